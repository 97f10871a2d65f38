# 200 schedules in 10 databases: every time of every schedule is done, once. How late they are is said, not judged.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $databases = 10;
my $each = 20;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'dlent'
dlent.progress_messages = off
max_worker_processes = 40
max_connections = 60
dlent.max_job_workers = 24
shared_buffers = 64MB
CONF
$node->start;
$node->safe_psql('template1', q{
    CREATE EXTENSION dlent;
    CREATE TABLE spot AS
    SELECT (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z FROM generate_series(1, 100) AS i;
    SELECT dlent_train('m', 'spot', 'z', '{"preset": "fast", "epochs": 1, "hidden": [4]}');
});
my @databases = map {"d$_"} 1 .. $databases;
$node->safe_psql('postgres', "CREATE DATABASE $_") for @databases;
# all of a database are due at the same seconds: a cron job's minute
my $period = 10;
for my $database (@databases)
{
    $node->safe_psql($database, qq{SELECT count(dlent_schedule('m', '$period seconds', 'evaluate', '{"overlap": "queue", "catch_up": "1 day", "arguments": {"source": "spot"}}')) FROM generate_series(1, $each)});
}
usleep(1_000_000 * 2.5 * $period);
my ($asked, $due, $late_most, $late_95) = (0, 0, 0, 0);
for my $database (@databases)
{
    $node->safe_psql($database, 'SELECT count(dlent_pause_schedule(schedule)) FROM dlent.schedules');
    my $until = time() + 60;
    until ($node->safe_psql($database, 'SELECT count(*) = 0 FROM dlent.jobs WHERE finished_at IS NULL') eq 't')
    {
        last if time() > $until;
        usleep(50_000);
    }
    is($node->safe_psql($database, 'SELECT count(DISTINCT (schedule, scheduled_for)) = count(*), bool_and(state = $$succeeded$$) FROM dlent.jobs'), 't|t', "$database: each once, to its end");
    is($node->safe_psql($database, 'SELECT sum(missed) + sum(skipped) FROM dlent.schedules'), '0', "$database: nothing missed");
    is($node->safe_psql($database, 'SELECT count(*) FROM (SELECT schedule FROM dlent.jobs GROUP BY 1 HAVING count(*) >= 2) AS s'), $each, "$database: every schedule more than once");
    my ($late, $late_share) = split /\|/, $node->safe_psql($database, q{SELECT max(e), percentile_cont(0.95) WITHIN GROUP (ORDER BY e) FROM (SELECT date_part('epoch', started_at - scheduled_for) AS e FROM dlent.jobs) AS l});
    $late_most = $late if $late > $late_most;
    $late_95 = $late_share if $late_share > $late_95;
}
note(sprintf('started %.2f s after their time at most, 95 %% within %.2f s', $late_most, $late_95));
$node->stop;
my @said = slurp_file($node->logfile) =~ /^.*dlent: .*$/mg;
cmp_ok(scalar(@said), '<=', $databases + 1, 'no flood of messages');
done_testing();
