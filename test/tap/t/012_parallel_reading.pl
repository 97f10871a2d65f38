# Who reads a source: how many parallel workers take part, and what ends them.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Waiting;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'dlent'
dlent.progress_messages = off
client_min_messages = error
max_worker_processes = 12
max_parallel_workers = 8
max_parallel_workers_per_gather = 2
CONF
$node->start;
$node->safe_psql('postgres', q{
    CREATE EXTENSION dlent;
    CREATE TABLE rows AS SELECT hashint4(i)::float8 AS x, repeat('x', 400) AS filling, i, hashint4(i + 1)::float8 AS y FROM generate_series(1, 60000) AS i;
    CREATE TABLE few AS SELECT x, y FROM rows LIMIT 300;
    ANALYZE;
    -- goes on until a cancel or the timeout ends it
    CREATE FUNCTION slow(value float8) RETURNS float8 LANGUAGE plpgsql PARALLEL SAFE AS $$
    BEGIN
        PERFORM pg_sleep(0.02);
        RETURN value;
    END
    $$;
});

my $quick = q{{"preset": "fast", "epochs": 1, "hidden": [1], "members": 1}};
my $slow = qq{SELECT dlent_train('victim', 'SELECT slow(x) AS x, y FROM rows', 'y', '$quick')};

# How many workers helped a training of these rows.
sub workers {
    my ($source, $settings) = @_;
    my $answer = $node->safe_psql('postgres', ($settings // '') . qq{;
        SELECT version FROM dlent_train('counted', '$source', 'y', '$quick') \\gset
        SELECT details->'reading'->>'workers' FROM dlent.versions WHERE model = 'counted';
        SELECT dlent_drop_model('counted')});
    return (split /\n/, $answer)[0];
}

is(workers('SELECT x, y FROM rows'), 2, 'two workers read a table of 25 MB');
is(workers('SELECT x, y FROM rows WHERE i % 2 = 0'), 2, 'with a filter too');
is(workers('SELECT x, y FROM few'), 0, 'none reads a small table');
is(workers('SELECT x, y FROM few', 'SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0'), 1, 'unless it is asked for');
is(workers('SELECT x, y FROM rows', 'SET parallel_setup_cost = 1000000'), 0, 'none where starting it would cost more');
is(workers('SELECT x, y FROM rows', 'SET max_parallel_workers_per_gather = 0'), 0, 'none where none is allowed');
is(workers('SELECT x, y FROM rows', 'SET max_parallel_workers_per_gather = 1'), 1, 'one where one is allowed');
is(workers('SELECT x, y FROM rows', 'SET max_parallel_workers = 0'), 0, 'none where there is no place, and no error');
is(workers('SELECT x, y FROM rows', 'SET max_parallel_workers = 1'), 1, 'as many as there are');
my $force = $node->pg_version >= 16 ? 'debug_parallel_query' : 'force_parallel_mode';
is(workers('SELECT x, y FROM few', "SET $force = on"), 1, "one where $force is on");
is(workers('SELECT random() * x AS x, y FROM rows'), 0, 'none for what is not parallel safe');
is(workers('SELECT x, y FROM rows ORDER BY x LIMIT 1000'), 0, 'none for another plan');
is(workers('SELECT x, y FROM of_session', 'CREATE TEMP TABLE of_session AS SELECT * FROM rows; ANALYZE of_session'), 0, 'none for a temporary table');
$node->safe_psql('postgres', 'ALTER TABLE rows SET (parallel_workers = 0)');
is(workers('SELECT x, y FROM rows'), 0, 'none where the table says none');
$node->safe_psql('postgres', 'ALTER TABLE rows RESET (parallel_workers)');

# A reading in ranges of blocks is one scan of each process to the statistics.
my $count = q{SELECT pg_stat_force_next_flush(); SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'rows'};
sub scans { return (split /\n/, $node->safe_psql('postgres', $count))[-1] }
my $scans = scans();
is(workers('SELECT x, y FROM rows WHERE i > 1'), 2, 'two workers again');
ok(wait_until('the statistics', sub { scans() > $scans }), 'the scan is counted');
cmp_ok(scans() - $scans, '<=', 3, 'once for each process');

# Jobs are read by workers as well.
my $job = $node->safe_psql('postgres', qq{SELECT dlent_train_async('in_job', 'SELECT x, y FROM rows', 'y', '$quick')});
is($node->safe_psql('postgres', "SELECT dlent_wait($job)"), 'succeeded', 'a job succeeds');
is($node->safe_psql('postgres', q{SELECT details->'reading'->>'workers' FROM dlent.versions WHERE model = 'in_job'}), 2, 'two workers help a job');

# Begins to read slowly, with two workers; returns session and process.
sub begin_reading {
    my $session = $node->background_psql('postgres', on_error_stop => 0);
    my $pid = $session->query('SELECT pg_backend_pid()');
    $session->query_until(qr/started/, "\\echo started\n$slow;\n");
    wait_for_query($node, 'two workers read', "SELECT count(*) = 2 FROM pg_stat_activity WHERE leader_pid = $pid AND query LIKE 'SELECT slow%'");
    return ($session, $pid);
}

sub nothing_is_left {
    my ($pid, $what) = @_;
    ok(wait_for_query($node, 'workers end', "SELECT count(*) = 0 FROM pg_stat_activity WHERE leader_pid = $pid"), "$what: no worker is left");
    is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE relation = 'rows'::regclass}), 0, "$what: no lock is left");
    is($node->safe_psql('postgres', q{SELECT count(*) FROM dlent.models WHERE model = 'victim'}), 0, "$what: no model is left");
}

my ($session, $pid) = begin_reading();
my $start = time();
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
wait_for_query($node, 'the statement ends', "SELECT state <> 'active' FROM pg_stat_activity WHERE pid = $pid");
cmp_ok(time() - $start, '<', 5, 'a cancel ends it soon');
is($session->query('SELECT 1'), 1, 'the session goes on');
like($session->{stderr}, qr/canceling statement due to user request/, 'and was told why');
nothing_is_left($pid, 'cancel');
$session->quit;

($session, $pid) = begin_reading();
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE leader_pid = $pid LIMIT 1");
wait_for_query($node, 'the statement ends', "SELECT state <> 'active' FROM pg_stat_activity WHERE pid = $pid");
is($session->query('SELECT 1'), 1, 'the session survives the end of a worker');
like($session->{stderr}, qr/ERROR:  terminating (?:connection|background worker "parallel worker") due to administrator command/, 'which is an error');
nothing_is_left($pid, 'end of a worker');
$session->quit;

# The leader's death takes its workers along.
($session, $pid) = begin_reading();
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
ok(wait_for_query($node, 'it is gone', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)"), 'terminated');
nothing_is_left($pid, 'end of the session');
$session->{run}->kill_kill;

# An error that is caught leaves a session that can go on, with workers.
is($node->safe_psql('postgres', qq{
    DO \$\$
    BEGIN
        FOR i IN 1 .. 20 LOOP
            BEGIN
                PERFORM dlent_train('victim', 'SELECT x / (i - 30000) AS x, y FROM rows', 'y', '$quick');
            EXCEPTION WHEN division_by_zero THEN
                PERFORM 1;
            END;
        END LOOP;
    END
    \$\$;
    SELECT version FROM dlent_train('victim', 'SELECT x, y FROM rows', 'y', '$quick') \\gset
    SELECT details->'reading'->>'workers' FROM dlent.versions WHERE model = 'victim'}), 2, 'errors leave nothing behind');

$node->stop;
done_testing();
