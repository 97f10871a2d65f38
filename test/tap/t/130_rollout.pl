# Versions beside the champion: generated queries, with and without batches and in parallel plans; statements under way, standbys,
# dumps, crashes, and a shadow whose weights are damaged.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use GeneratedQueries;

my $queries = $ENV{DLENT_ROLLOUT_QUERIES} || 400;
my $seed = $ENV{DLENT_ROLLOUT_SEED} || 20261127;

my $node = new_server('primary', allows_streaming => 1);
create_tables($node);
train_models($node,
    number => [map { qq({"preset": "fast", "epochs": 1, "seed": $_}) } 1 .. 3],
    two => [map { qq({"preset": "fast", "epochs": 1, "seed": $_, "positive_class": true}) } 1 .. 2],
    three => ['{"epochs": 1, "seed": 1}'],
    dense => [map { qq({"preset": "fast", "epochs": 1, "seed": $_}) } 1 .. 2]);
# a version that no call of the generated ones can serve: its column is not there
$node->safe_psql('postgres', q{
    SELECT dlent_train('three', $$SELECT a, b, d, c, id % 5 AS junk, (ARRAY['low', 'mid', 'high'])[1 + id % 3] AS tier FROM plain$$, 'tier', '{"epochs": 1, "seed": 2}');
    SELECT dlent_deploy('number', NULL, '{"mode": "experiment", "unit": "id", "arms": {"2": 0.3, "3": 0.2}, "coverage": 0.9}');
    SELECT dlent_deploy('two', 2, '{"unit": "c", "steps": [0.5]}');
    SELECT dlent_deploy('three', 2, '{"mode": "shadow"}');
    SELECT dlent_deploy('dense', 2, '{"mode": "shadow", "unit": "id", "coverage": 0.5}');
});
compare_answers($node, $queries, $seed, 'rollouts');

# Which version answered whom: in SQL, from what the documentation says of arms and units.
my $answering = q{
    SELECT count(*), count(*) FILTER (WHERE s = dlent_predict_version('number', 1, p)), count(*) FILTER (WHERE s = dlent_predict_version('number', 2, p)),
           count(*) FILTER (WHERE s = dlent_predict_version('number', 3, p))
    FROM (SELECT p, dlent_predict('number', p) AS s FROM plain AS p OFFSET 0) AS q};
my $arms = $node->safe_psql('postgres', "SET max_parallel_workers_per_gather = 0; $answering");
like($arms, qr/^900\|[1-9]\d\d\|[1-9]\d\d\|[1-9]\d\d$/, "three versions share the rows: $arms");
is($node->safe_psql('postgres', $answering), $arms, 'the same ones in parallel workers');
my $analyzed = $node->safe_psql('postgres',
    q{EXPLAIN (ANALYZE, COSTS OFF) SELECT sum(dlent_predict('number', plain)) FROM plain});
like($analyzed, qr/Workers Launched: [12].*DlentScore.*Mode: experiment.*Versions: 1, 2, 3.*Rows Scored: 900\b/s, 'workers find the arms')
  or diag($analyzed);

# A statement keeps the arms that it began with, batched or not.
$node->safe_psql('postgres', q{SELECT dlent_stop_rollout('number'); SELECT dlent_deploy('number', 2, '{"unit": "id", "steps": [0.1, 0.5], "seed": "cursor"}')});
my $by_row = q{SELECT id, dlent_predict('number', p) = dlent_predict_version('number', 2, p) FROM plain AS p};
my $first_step = $node->safe_psql('postgres', "SET max_parallel_workers_per_gather = 0; $by_row");
for my $batch ('on', 'off') {
    my $under_way = $node->background_psql('postgres');
    $under_way->query_safe("SET dlent.batch = $batch; SET max_parallel_workers_per_gather = 0; BEGIN");
    $under_way->query_safe("DECLARE c CURSOR FOR $by_row");
    my $rows = $under_way->query_safe('FETCH 30 FROM c');
    my $repeatable = $node->background_psql('postgres');
    $repeatable->query_safe("SET dlent.batch = $batch; SET max_parallel_workers_per_gather = 0; BEGIN ISOLATION LEVEL REPEATABLE READ");
    is($repeatable->query_safe($by_row), $first_step, "REPEATABLE READ, batch $batch: the first step");
    $node->safe_psql('postgres', q{SELECT dlent_advance_rollout('number')});
    $rows .= "\n" . $under_way->query_safe('FETCH 300 FROM c');
    $node->safe_psql('postgres', q{SELECT dlent_advance_rollout('number')});
    $rows .= "\n" . $under_way->query_safe('FETCH ALL FROM c');
    is($rows, $first_step, "cursor, batch $batch: neither a step nor the promotion is seen");
    is($repeatable->query_safe($by_row), $first_step, "REPEATABLE READ, batch $batch: nor here");
    $_->query_safe('COMMIT') for ($under_way, $repeatable);
    is($repeatable->query_safe(q{SELECT count(*) FROM plain AS p WHERE dlent_predict('number', p) IS DISTINCT FROM dlent_predict_version('number', 2, p)}),
        '0', "batch $batch: the next transaction sees the promotion");
    $_->quit for ($under_way, $repeatable);
    $node->safe_psql('postgres', q{SELECT dlent_promote('number', 1); SELECT dlent_deploy('number', 2, '{"unit": "id", "steps": [0.1, 0.5], "seed": "cursor"}')});
}

# A standby follows, and answers each unit as the primary does.
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
my $sum = q{SELECT count(*) FILTER (WHERE dlent_predict('number', p) = dlent_predict_version('number', 2, p)), min(s), max(s), sum(s::numeric) FROM (SELECT p, dlent_predict('number', p) AS s FROM plain AS p) AS q};
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $sum), $node->safe_psql('postgres', $sum), 'the standby answers as the primary at the first step');
my $before = $node->safe_psql('postgres', $sum);
my $session = $standby->background_psql('postgres');
$session->query_safe("PREPARE s AS $sum");
is($session->query_safe('EXECUTE s'), $before, 'and in a session that goes on');
$node->safe_psql('postgres', q{SELECT dlent_advance_rollout('number')});
$node->wait_for_catchup($standby);
my $after = $node->safe_psql('postgres', $sum);
isnt($after, $before, 'a step changes who answers');
is($session->query_safe('EXECUTE s'), $after, 'there too, once it has arrived');
my ($status, $output, $error) = $standby->psql('postgres', q{SELECT dlent_stop_rollout('number')});
like($error, qr/cannot execute dlent_stop_rollout\(\) in a read-only transaction/, 'a standby changes no rollout');
$session->quit;
$standby->stop;

# A dump takes rollouts along.
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'a database with rollouts is dumped');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('restored') ], 'and restored');
for my $query ('SELECT r.* FROM dlent.rollouts AS r ORDER BY rollout', 'SELECT * FROM dlent.rollout_arms ORDER BY rollout, arm', $sum) {
    is($node->safe_psql('restored', $query), $node->safe_psql('postgres', $query), "restored: $query");
}
is($node->safe_psql('restored', q{SELECT dlent_stop_rollout('number'); SELECT dlent_deploy('number', 3, '{"unit": "id"}') > max(rollout) FROM dlent.rollouts WHERE ended_at IS NOT NULL}),
    "t\nt", 'and numbers go on');
$node->safe_psql('postgres', 'DROP DATABASE restored');

# A unit's place follows from its UTF-8, whatever the encoding of the database.
my @towns = map { "$_$_\xc3\xbc$_" } 'a' .. 'z';
my %places;
for my $database ('postgres', 'latin') {
    $node->safe_psql('postgres', q{CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0}) if $database eq 'latin';
    $node->safe_psql($database, 'CREATE EXTENSION dlent') if $database eq 'latin';
    my $values = join(', ', map { "('$_')" } @towns);
    my $source = q{'SELECT i % 7 AS x, i % 11 AS y, i % 7 + i % 11 AS z FROM generate_series(1, 200) AS i', 'z'};
    $places{$database} = $node->safe_psql($database, qq{
        SET client_encoding = 'UTF8';
        SELECT dlent_train('encoded', $source, '{"preset": "fast", "epochs": 1, "seed": 1, "task": "regression"}') IS NULL;
        SELECT dlent_train('encoded', $source, '{"preset": "fast", "epochs": 1, "seed": 2, "task": "regression"}') IS NULL;
        SELECT dlent_deploy('encoded', 2, '{"mode": "experiment", "unit": "town", "seed": "caf\xc3\xa9"}') IS NULL;
        SELECT string_agg(CASE WHEN dlent_predict('encoded', t) = dlent_predict_version('encoded', 2, t.x, t.y) THEN '2' ELSE '1' END, '') FROM (SELECT town, 3 AS x, 4 AS y FROM (VALUES $values) AS v (town) OFFSET 0) AS t});
}
like($places{latin}, qr/^f\nf\nf\n(?=.*1)(?=.*2)[12]{26}$/, 'towns are answered by both versions');
is($places{latin}, $places{postgres}, 'and by the same in both encodings');

# A crash in the middle of a step leaves the one before.
$node->safe_psql('postgres', q{SELECT dlent_stop_rollout('number'); SELECT dlent_deploy('number', 2, '{"unit": "id", "steps": [0.1, 0.5], "seed": "cursor"}')});
my $advancing = $node->background_psql('postgres');
$advancing->query_safe(q{BEGIN; SELECT dlent_advance_rollout('number')});
$node->stop('immediate');
eval { $advancing->quit };
$node->start;
is($node->safe_psql('postgres', q{SELECT state, step, share FROM dlent.rollouts WHERE model = 'number' AND ended_at IS NULL}), 'running|1|0.1',
    'a crash before the commit: the old step');
is($node->safe_psql('postgres', $sum), $before, 'and its answers');

# A shadow that cannot be loaded in time: an error of PostgreSQL's own, with locks held, ends with it; a cancel does not.
$node->safe_psql('postgres', q{SELECT dlent_stop_rollout('number'); SELECT dlent_deploy('number', 3, '{"mode": "shadow", "unit": "id"}')});
$node->restart;
my $champion = q{SELECT count(*) FILTER (WHERE dlent_predict('number', p) = dlent_predict_version('number', 1, p)) FROM plain AS p};
$node->safe_psql('postgres', q{SELECT dlent_predict('number@1', p) FROM plain AS p LIMIT 1});
my $locking = $node->background_psql('postgres');
$locking->query_safe('BEGIN; LOCK TABLE dlent.weight_chunk IN ACCESS EXCLUSIVE MODE');
for my $settings ('SET dlent.batch = on', 'SET dlent.batch = off') {
    my ($status, $output, $error) = $node->psql('postgres', qq{
        SET max_parallel_workers_per_gather = 0; $settings; SET client_min_messages = debug1; SET lock_timeout = '200ms';
        BEGIN; $champion; SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND (locktype = 'advisory' OR relation = 'dlent.weight_chunk'::regclass); COMMIT});
    is("$status $output", "0 900\n0", "$settings: the champion answers, and no lock is left");
    like($error, qr/shadow "number\@3" failed: canceling statement due to lock timeout/, 'the shadow waited too long');
    ($status, $output, $error) = $node->psql('postgres', "SET max_parallel_workers_per_gather = 0; $settings; SET statement_timeout = '300ms'; $champion");
    like($error, qr/canceling statement due to statement timeout/, "$settings: a cancel is the statement's");
}
$locking->query_safe('COMMIT');
$locking->quit;
is($node->safe_psql('postgres', $champion), '900', 'and when it can be loaded, it is');

# The shadow's weights are damaged: whoever calls the model does not notice, in a parallel worker either.
$node->safe_psql('postgres', q{
    UPDATE dlent.weight_chunk SET data = set_byte(data, length(data) - 5, 255 - get_byte(data, length(data) - 5))
    WHERE version_id = (SELECT id FROM dlent.version WHERE number = 3 AND model_id = (SELECT id FROM dlent.model WHERE name = 'number'));
});
$node->restart;
($status, $output, $error) = $node->psql('postgres', q{SELECT dlent_predict('number@3', p) FROM plain AS p});
isnt($status, 0, 'the version itself cannot be used');
for my $settings ('SET max_parallel_workers_per_gather = 2', 'SET max_parallel_workers_per_gather = 0', 'SET dlent.batch = off') {
    ($status, $output, $error) = $node->psql('postgres',
        "SET client_min_messages = debug1; $settings; $champion");
    is("$status $output", '0 900', "$settings: the champion answers");
    like($error, qr/shadow "number\@3" failed: /, 'and who listens hears of the shadow');
}
# what it opened is closed again: locks and snapshots would be complained of
my $log = slurp_file($node->logfile);
unlike($log, qr/ leak: |still active|PANIC|was terminated by signal/, 'nothing is left behind');

$node->stop;
done_testing();
