# Rows that a training has kept for the next one are given back, however the transaction or the savepoint that keeps them ends.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "dlent.progress_messages = off\nclient_min_messages = error\nmax_parallel_workers_per_gather = 0\nmax_prepared_transactions = 2\n");
$node->start;
$node->safe_psql('postgres', q{
    CREATE EXTENSION dlent;
    -- columns that are always NULL take as much memory as others, and no time to learn from
    CREATE TABLE rows AS SELECT hashint4(i + 1)::float8 AS x, hashint4(i)::float8 AS y, array_fill(NULL::float8, ARRAY[400]) AS v FROM generate_series(1, 12000) AS i;
    CREATE FUNCTION train() RETURNS text LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM dlent_train('m', 'rows', 'y', '{"preset": "fast", "epochs": 1, "hidden": [1], "members": 1, "numeric_embedding": "none"}');
        RETURN (SELECT (details->'reading'->'reused')::text || ' ' || ((details->'reading'->'bytes')::int >> 20) FROM dlent.versions ORDER BY version DESC LIMIT 1);
    END
    $$;
});

my $session = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $session->query('SELECT pg_backend_pid()');

# Megabytes of the session's own.
sub megabytes
{
    slurp_file("/proc/$pid/status") =~ /^VmData:\s+(\d+) kB/m or die 'no VmData';
    return $1 / 1024;
}

like($session->query('SELECT train()'), qr/^false 1[89]$/, 'a table of 18 MB or a chunk more');
my $before = megabytes();
$session->query('BEGIN ISOLATION LEVEL REPEATABLE READ');
$session->query('SELECT train()');
cmp_ok(megabytes(), '>', $before + 10, 'a transaction keeps it');
like($session->query('SELECT train()'), qr/^true/, 'for the next training');
$session->query('COMMIT');

# what was given back may stay in the allocator, and be used again; what was not adds up
for my $end ('COMMIT', 'ROLLBACK', 'SELECT 1 / 0; ROLLBACK', 'SAVEPOINT s; SELECT train(); ROLLBACK TO s; COMMIT', 'SAVEPOINT s; SELECT train(); RELEASE s; PREPARE TRANSACTION \'p\'; ROLLBACK PREPARED \'p\'') {
    for (1 .. 4) {
        $session->query('BEGIN ISOLATION LEVEL REPEATABLE READ');
        like($session->query('SELECT train()'), qr/^false/, "$end: nothing is left from before");
        $session->query($_) for split /; /, $end;
    }
    cmp_ok(megabytes(), '<', $before + 50, "$end: memory is given back");
}

$session->quit;
$node->stop;
done_testing();
