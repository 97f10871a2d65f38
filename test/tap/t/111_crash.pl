# kill -9 of worker, scheduler, launcher and postmaster at random moments, while schedules and trainings run: nothing is lost, nothing is
# done twice, nothing hangs.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use KillServer;
use Waiting;
use Time::HiRes qw(usleep);

srand(20);
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'dlent'
dlent.progress_messages = off
restart_after_crash = on
autovacuum = off
max_worker_processes = 16
shared_buffers = 32MB
dlent.max_job_workers = 4
CONF
$node->start;
$node->safe_psql('postgres', q{
    CREATE EXTENSION dlent;
    CREATE TABLE spot AS
    SELECT (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z FROM generate_series(1, 400) AS i;
    SELECT dlent_train('m', 'spot', 'z', '{"preset": "fast", "epochs": 2}');
    SELECT dlent_schedule('m', '1 second', 'evaluate', '{"catch_up": "1 day", "arguments": {"source": "spot"}, "quarantine_after": 0, "resumes": 100, "retry_period": 0.1, "backoff": "none"}');
});

sub query { my ($sql) = @_; return try_query($node, $sql) }
sub wait_for { my ($what, $query) = @_; return wait_for_query($node, $what, $query) }

my $options = q{"members": 3, "epochs": 20};
my $rounds = 20;
my @jobs;
my %killed;
for my $round (1 .. $rounds)
{
    push @jobs, $node->safe_psql('postgres', qq{SELECT dlent_train_async('r$round', 'spot', 'z', '{$options, "job": {"resumes": 100, "retry_period": 0.1, "backoff": "none"}}')});
    usleep(int(rand(400_000)));
    my $victim = ('dlent job', 'dlent scheduler', 'dlent launcher', 'postmaster')[ $round % 4 ];
    if ($victim eq 'postmaster')
    {
        kill_server($node);
        $killed{$victim}++;
    }
    else
    {
        my $pid = query("SELECT pid FROM pg_stat_activity WHERE backend_type = '$victim' LIMIT 1");
        $killed{$victim}++ if $pid && kill('KILL', $pid);
        usleep(100_000);
    }
    wait_for('the server', 'SELECT true');
}
note("killed: " . join(', ', map {"$_ $killed{$_}"} sort keys %killed));

wait_for('all jobs', 'SELECT bool_and(finished_at IS NOT NULL) FROM dlent.jobs WHERE job IN (' . join(', ', @jobs) . ')');
is($node->safe_psql('postgres', 'SELECT count(*), string_agg(DISTINCT state, $$,$$) FROM dlent.jobs WHERE job IN (' . join(', ', @jobs) . ')'), "$rounds|succeeded", 'every training succeeded');
is($node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT model), count(DISTINCT digest) FROM dlent.versions WHERE model LIKE 'r%'}), "$rounds|$rounds|1", 'once, to the same bytes');
is($node->safe_psql('postgres', q{SELECT count(*) FROM (SELECT job FROM dlent.job_runs WHERE state = 'succeeded' GROUP BY job HAVING count(*) > 1) AS twice}), '0', 'no job succeeded twice');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM dlent.job_runs WHERE state = 'interrupted'}), '>', 0, 'some were interrupted');

# the schedule goes on, each of its times was done once at most
wait_for('the schedule', q{SELECT count(*) > 0 FROM dlent.jobs WHERE schedule IS NOT NULL AND state = 'succeeded' AND finished_at > now() - interval '3 s'});
$node->safe_psql('postgres', 'SELECT dlent_pause_schedule(schedule) FROM dlent.schedules');
wait_for('its jobs', 'SELECT bool_and(finished_at IS NOT NULL) FROM dlent.jobs');
is($node->safe_psql('postgres', q{SELECT count(*) = count(DISTINCT scheduled_for), bool_and(state = 'succeeded') FROM dlent.jobs WHERE schedule IS NOT NULL}), 't|t', 'scheduled jobs are done once each');
is($node->safe_psql('postgres', q{SELECT count(*) FROM dlent.job_run AS r WHERE r.state = 'running'}), '0', 'no attempt is left open');
is($node->safe_psql('postgres', 'SELECT count(*) FROM dlent.job_checkpoint'), '0', 'no checkpoint is left');
is($node->safe_psql('postgres', q{SELECT champion, dlent_predict('m', s) IS NOT NULL FROM dlent.models, (SELECT * FROM spot LIMIT 1) AS s WHERE model = 'm'}), '1|t', 'the champion is as it was');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type IN ('dlent launcher', 'dlent scheduler')}), '2', 'launcher and scheduler are there');
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal (?!9)/, 'nothing died but what was killed');
done_testing();
