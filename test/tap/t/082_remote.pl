# Scoring across servers: dlent_score() is shipped by postgres_fdw, asynchronous scans stay asynchronous, and foreign
# rows are scored here in batches when the call cannot be shipped.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'dlent'\ndlent.progress_messages = off\nclient_min_messages = warning\n");
$node->start;
if ($node->psql('postgres', 'CREATE EXTENSION postgres_fdw') != 0)
{
    plan skip_all => 'postgres_fdw is not installed';
}

# The same rows, options and seed give the same model everywhere: no file is copied.
my $point = q{
    CREATE EXTENSION dlent;
    CREATE TABLE point AS
    SELECT i AS id, (i * 7919 % 1000) / 10.0::float8 AS x, i % 13 AS y, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z
    FROM generate_series(1, 4000) AS i;
    SELECT dlent_train('m', 'SELECT x, y, z FROM point WHERE id <= 600', 'z', '{"preset": "fast", "epochs": 2, "seed": 1}');
    ANALYZE point;
};
$node->safe_psql('postgres', $_) for 'CREATE DATABASE remote', 'CREATE DATABASE here';
$node->safe_psql('remote', $point . q{
    CREATE TABLE low AS SELECT * FROM point WHERE id <= 2500;
    CREATE TABLE high AS SELECT * FROM point WHERE id > 2500;
    ANALYZE;
});
my ($host, $port) = ($node->host, $node->port);
$node->safe_psql('here', $point . qq{
    CREATE EXTENSION postgres_fdw;
    CREATE SERVER loopback FOREIGN DATA WRAPPER postgres_fdw
        OPTIONS (host '$host', port '$port', dbname 'remote', extensions 'dlent', async_capable 'true', fetch_size '300');
    CREATE SERVER second FOREIGN DATA WRAPPER postgres_fdw
        OPTIONS (host '$host', port '$port', dbname 'remote', extensions 'dlent', async_capable 'true', fetch_size '300');
    CREATE USER MAPPING FOR CURRENT_USER SERVER loopback;
    CREATE USER MAPPING FOR CURRENT_USER SERVER second;
    CREATE FOREIGN TABLE far (id int, x float8, y int, z boolean) SERVER loopback OPTIONS (table_name 'point');
    CREATE TABLE spread (id int, x float8, y int, z boolean) PARTITION BY RANGE (id);
    CREATE FOREIGN TABLE spread_low PARTITION OF spread FOR VALUES FROM (MINVALUE) TO (2501) SERVER loopback OPTIONS (table_name 'low');
    CREATE FOREIGN TABLE spread_high PARTITION OF spread FOR VALUES FROM (2501) TO (MAXVALUE) SERVER second OPTIONS (table_name 'high');
    ANALYZE far, spread;
});
my $digest = $node->safe_psql('here', 'SELECT digest FROM dlent.versions');
is($node->safe_psql('remote', 'SELECT digest FROM dlent.versions'), $digest, 'both servers have trained the same model');

sub plan_of { return $node->safe_psql('here', "EXPLAIN (VERBOSE, COSTS OFF) $_[0]") }
sub answer { return $node->safe_psql('here', $_[0]) }
sub digest_of { return "SELECT count(*), md5(string_agg(id || ' ' || s, ',' ORDER BY id)) FROM ($_[0]) AS t" }

my $call = "dlent_score('$digest', x, y)";
my $local = answer(digest_of("SELECT id, $call AS s FROM point"));

# ---- shipped
my $where = "SELECT id FROM far WHERE $call > 0.6 ORDER BY id";
like(plan_of($where), qr/Remote SQL: .*WHERE .*dlent_score\('$digest'::uuid, x, y\)/, 'a condition is computed where the rows are');
unlike(plan_of($where), qr/DlentScore|Filter/, 'and not here');
is(answer($where), answer("SELECT id FROM point WHERE $call > 0.6 ORDER BY id"), 'it selects the same rows');
my $sum = "SELECT count(*), sum($call), max($call) FROM far";
like(plan_of($sum), qr/Remote SQL: SELECT count\(\*\), sum\(public\.dlent_score\(/, 'so is an aggregate');
is(answer($sum), answer("SELECT count(*), sum($call), max($call) FROM point"), 'with the same result');
my $top = "SELECT id FROM far ORDER BY $call DESC, id LIMIT 7";
like(plan_of($top), qr/Remote SQL: .*ORDER BY public\.dlent_score\(/, 'so is an order');
is(answer($top), answer("SELECT id FROM point ORDER BY $call DESC, id LIMIT 7"), 'with the same rows');

# ---- not shipped: the rows come here and are scored in batches
for my $scored ($call, "dlent_predict('m', x, y)", "dlent_predict('m', far)")
{
    my $query = "SELECT id, $scored AS s FROM far";
    like(plan_of($query), qr/Custom Scan \(DlentScore\).*->  Foreign Scan on public\.far/s, "$scored: batches over the foreign scan");
    is(answer(digest_of($query)), $local, "$scored: the same scores");
    is(answer('SET dlent.batch = off; ' . digest_of($query)), $local, "$scored: row by row as well");
}

# ---- asynchronous scans
for my $batch ('on', 'off')
{
    my $setting = "SET dlent.batch = $batch;";
    my $count = "SELECT count(*) FROM spread WHERE $call > 0.4";
    my $plan = $node->safe_psql('here', "$setting EXPLAIN (VERBOSE, COSTS OFF) $count");
    is(scalar(() = $plan =~ /Async Foreign Scan/g), 2, "batch $batch: two asynchronous scans score where the rows are");
    unlike($plan, qr/DlentScore/, "batch $batch: none of them is wrapped");
    is(answer("$setting $count"), answer("SELECT count(*) FROM point WHERE $call > 0.4"), "batch $batch: the same count");

    my $rows = "SELECT id, dlent_predict('m', x, y) AS s FROM spread";
    $plan = $node->safe_psql('here', "$setting EXPLAIN (VERBOSE, COSTS OFF) $rows");
    is(scalar(() = $plan =~ /Async Foreign Scan/g), 2, "batch $batch: scans of rows that are scored here stay asynchronous");
    unlike($plan, qr/DlentScore\)(?:(?!Append).)*Async Foreign Scan/s, "batch $batch: batches are above the Append") if $batch eq 'on';
    is(answer("$setting " . digest_of($rows)), $local, "batch $batch: the same scores");

    my $groups = "SELECT z, count(*), max($call) FROM spread GROUP BY z ORDER BY z";
    is(answer("$setting SET enable_partitionwise_aggregate = on; $groups"),
        answer("SELECT z, count(*), max($call) FROM point GROUP BY z ORDER BY z"), "batch $batch: aggregates by partition");
}

# ---- scoring writes nothing, here and there
like(answer("BEGIN; $sum; SELECT pg_current_xact_id_if_assigned() IS NULL; COMMIT"), qr/\nt$/, 'no transaction id is assigned here');
my $ids = q{SELECT pg_snapshot_xmax(pg_current_snapshot())};
my $before = $node->safe_psql('remote', $ids);
answer($sum);
answer($where);
is($node->safe_psql('remote', $ids), $before, 'nor there');

# ---- a digest that the other side does not have is an error that names it
my $unknown = '00000000-0000-0000-0000-000000000001';
my ($status, $out, $err) = $node->psql('here', "SELECT count(*) FROM far WHERE dlent_score('$unknown', x, y) > 0.5");
like($err, qr/no version of a model has digest "$unknown"/, 'a digest that is not there');
$node->stop;
done_testing();
