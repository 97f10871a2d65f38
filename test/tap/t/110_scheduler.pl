# The scheduler, preloaded: schedules, overlap, catching up, quarantine, crashes, databases and extensions that go, roles that go,
# standbys, dumps.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Waiting;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'dlent'
dlent.progress_messages = off
restart_after_crash = on
max_worker_processes = 16
dlent.max_job_workers = 4
wal_keep_size = 512MB
CONF
$node->start;
$node->safe_psql('postgres', q{
    CREATE ROLE analyst LOGIN;
    CREATE ROLE stranger LOGIN;
    CREATE ROLE leaver LOGIN;
    CREATE EXTENSION dlent;
    CREATE TABLE spot AS
    SELECT (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z FROM generate_series(1, 200) AS i;
    CREATE TABLE large AS SELECT random() AS a, random() AS b, random() AS c, random() AS z FROM generate_series(1, 60000) AS i;
    GRANT SELECT ON spot, large TO PUBLIC;
    CREATE FUNCTION slow() RETURNS SETOF spot LANGUAGE sql AS 'SELECT p.* FROM spot AS p, pg_sleep(2.5)';
    CREATE FUNCTION broken() RETURNS SETOF spot LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'out of order'; END $$;
});

sub as { my ($role, $sql, $db) = @_; return $node->safe_psql($db // 'postgres', $sql, extra_params => [ '-U', $role ]) }
sub error_of { my ($role, $sql) = @_; my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", extra_params => [ '-U', $role ]); return $err }
sub wait_for { my ($what, $query, $on, $db) = @_; return wait_for_query($on // $node, $what, $query, $db) }
my $alive = q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dlent scheduler' AND datname = current_database()};
my $fast = q{"preset": "fast", "epochs": 1};

wait_for('a scheduler where the extension is', $alive);
is($node->safe_psql('template1', $alive), 'f', 'and nowhere else');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dlent launcher'}), '1', 'a launcher');

# ---- jobs are started by the scheduler
my $job = as('analyst', qq{SELECT dlent_train_async('m', 'spot', 'z', '{$fast}')});
is(as('analyst', "SELECT dlent_wait($job)"), 'succeeded', 'a job');

# ---- mistakes
like(error_of('analyst', q{SELECT dlent_schedule('m', '61 * * * *')}), qr/22023: invalid minute "61" in a schedule/, 'a wrong field');
like(error_of('analyst', q{SELECT dlent_schedule('m', 'sometimes')}), qr/22023: invalid schedule "sometimes"/, 'no schedule');
like(error_of('analyst', q{SELECT dlent_schedule('m', '100 ms')}), qr/22023: the interval of schedule "100 ms" is too short/, 'too often');
like(error_of('analyst', q{SELECT dlent_schedule('m', '@daily', 'train', '{"time_zone": "Mars/Olympus"}')}), qr/22023: unknown time zone/, 'no zone');
like(error_of('analyst', q{SELECT dlent_schedule('m', '@daily', 'train', '{"overlap": "run"}')}), qr/22023/, 'no overlap');
like(error_of('analyst', q{SELECT dlent_schedule('m', '@daily', 'train', '{"often": true}')}), qr/22023: unknown option of a schedule "often"\n.*There are arguments, time_zone/s, 'no option');
like(error_of('analyst', q{SELECT dlent_schedule('other', '@daily')}), qr/42704/, 'nothing to be trained anew');
like(error_of('stranger', q{SELECT dlent_schedule('m', '@daily')}), qr/42501/, 'not a stranger');

# ---- when a schedule is due
is(as('analyst', q{SET TimeZone = 'Europe/Berlin'; SELECT dlent_schedule('m', '30 2 * * *') > 0}), 't', 'cron');
is(as('analyst', q{SELECT next_run = (((now() AT TIME ZONE 'Europe/Berlin' - interval '2:30')::date + 1) + time '2:30') AT TIME ZONE 'Europe/Berlin', time_zone, paused FROM dlent.schedules}), 't|Europe/Berlin|f', 'in its zone');
as('analyst', q{SELECT dlent_unschedule(schedule) FROM dlent.schedules});
as('analyst', q{SELECT dlent_schedule('m', '1 month', 'train', '{"time_zone": "America/New_York"}')});
is(as('analyst', q{SET TimeZone = 'America/New_York'; SELECT next_run = created_at + interval '1 month' FROM dlent.schedules}), 't', 'months are months of the zone');
like(error_of('stranger', q{SELECT dlent_unschedule(2)}), qr/42501/, 'nobody alters what is another\'s');
like(error_of('stranger', q{SELECT dlent_run_schedule(2)}), qr/42501/, 'nor runs it');
is(as('stranger', 'SELECT count(*) FROM dlent.schedules'), '0', 'nor sees it');
is(as('analyst', q{SELECT dlent_pause_schedule(2, 'holidays'), dlent_pause_schedule(2)}), 't|f', 'paused');
is(as('analyst', q{SELECT paused, reason, next_run IS NULL FROM dlent.schedules}), 't|holidays|t', 'which is shown');
$job = as('analyst', q{SELECT dlent_run_schedule(2)});
is(as('analyst', "SELECT dlent_wait($job)"), 'succeeded', 'run now, though paused');
is(as('analyst', q{SELECT dlent_resume_schedule(2) > now()}), 't', 'resumed');
is(as('analyst', q{SELECT dlent_unschedule(2), dlent_unschedule(2)}), 't|f', 'ended');

# ---- every second, never twice at a time
my $schedule = as('analyst', qq{SELECT dlent_schedule('m', '1 second', 'train', '{"arguments": {"source": "spot", "target": "z", "options": {$fast}}}')});
wait_for('three jobs', "SELECT count(*) >= 3 FROM dlent.jobs WHERE schedule = $schedule AND state = 'succeeded'");
as('analyst', "SELECT dlent_pause_schedule($schedule)");
wait_for('their end', "SELECT count(*) = 0 FROM dlent.jobs WHERE schedule = $schedule AND finished_at IS NULL");
is(as('analyst', "SELECT count(*) = count(DISTINCT scheduled_for) AND bool_and(started_at - scheduled_for < interval '2 s') AND bool_and(started_at >= scheduled_for) FROM dlent.jobs WHERE schedule = $schedule"), 't', 'each once, and on time');
is(as('analyst', "SELECT bool_and(date_part('epoch', scheduled_for - created_at)::numeric % 1 = 0) FROM (SELECT j.scheduled_for, s.created_at FROM dlent.jobs AS j JOIN dlent.schedules AS s USING (schedule)) AS a"), 't', 'without drifting');
as('analyst', "SELECT dlent_unschedule($schedule)");

$schedule = as('analyst', qq{SELECT dlent_schedule('m', '1 second', 'train', '{"arguments": {"source": "SELECT * FROM slow()", "target": "z", "options": {$fast}}}')});
wait_for('skipped times', "SELECT skipped >= 2 FROM dlent.schedules WHERE schedule = $schedule");
is(as('analyst', "SELECT count(*) <= 1 FROM dlent.jobs WHERE schedule = $schedule AND finished_at IS NULL"), 't', 'one at a time');
as('analyst', "SELECT dlent_unschedule($schedule)");
my $queued = as('analyst', qq{SELECT dlent_schedule('m', '1 second', 'train', '{"overlap": "queue", "arguments": {"source": "SELECT * FROM slow()", "target": "z", "options": {$fast}}}')});
wait_for('one that runs and one that waits', "SELECT count(*) FILTER (WHERE state = 'running') = 1 AND count(*) FILTER (WHERE state = 'queued') = 1 FROM dlent.jobs WHERE schedule = $queued");
as('analyst', "SELECT dlent_unschedule($queued)");
as('analyst', "SELECT count(dlent_cancel(job)) FROM dlent.jobs WHERE finished_at IS NULL");

# ---- failures: retries, then quarantine; success forgives
$schedule = as('analyst', q{SELECT dlent_schedule('m', '1 second', 'train', '{"retries": 1, "retry_period": 0.05, "quarantine_after": 2, "arguments": {"source": "SELECT * FROM broken()", "target": "z"}}')});
wait_for('quarantine', "SELECT paused AND reason = 'quarantined: 2 jobs failed in a row' FROM dlent.schedules WHERE schedule = $schedule");
is(as('analyst', "SELECT count(*), min(attempts), max(attempts), min(message) FROM dlent.jobs WHERE schedule = $schedule AND state = 'failed'"), '2|2|2|out of order', 'after two jobs of two attempts');
$node->safe_psql('postgres', q{CREATE OR REPLACE FUNCTION broken() RETURNS SETOF spot LANGUAGE sql AS 'SELECT * FROM spot'});
as('analyst', "SELECT dlent_resume_schedule($schedule)");
wait_for('a success', "SELECT count(*) > 0 FROM dlent.jobs WHERE schedule = $schedule AND state = 'succeeded'");
is(as('analyst', "SELECT failures FROM dlent.schedules WHERE schedule = $schedule"), '0', 'forgives');
as('analyst', "SELECT dlent_unschedule($schedule)");

# ---- an owner that goes
$node->safe_psql('postgres', q{GRANT CREATE ON SCHEMA public TO leaver});
as('leaver', qq{SELECT dlent_train('l', 'spot', 'z', '{$fast}')});
$schedule = as('leaver', q{SELECT dlent_schedule('l', '1 second', 'train', '{"arguments": {"source": "spot", "target": "z", "options": {"preset": "fast", "epochs": 1}}}')});
$node->safe_psql('postgres', q{ALTER ROLE leaver NOLOGIN});
wait_for('a pause', "SELECT paused AND reason LIKE 'its owner can have no sessions: The role has no LOGIN.' FROM dlent.schedules WHERE schedule = $schedule");
$node->safe_psql('postgres', q{ALTER ROLE leaver LOGIN; REASSIGN OWNED BY leaver TO postgres; DROP OWNED BY leaver});
as('postgres', "SELECT dlent_resume_schedule($schedule)");
$node->safe_psql('postgres', 'DROP ROLE leaver');
wait_for('another', "SELECT paused AND reason LIKE '%does not exist%' FROM dlent.schedules WHERE schedule = $schedule");
as('postgres', "SELECT dlent_unschedule($schedule)");

# ---- the clock: set forward, within grace and beyond it; set back
sub set_clock {
    my ($offset) = @_;
    $node->append_conf('postgresql.conf', "dlent.debug_clock_offset = $offset\n");
    $node->reload;
    wait_for('the clock', "SELECT setting = '$offset' FROM pg_settings WHERE name = 'dlent.debug_clock_offset'");
    as('postgres', 'SELECT dlent.wake_scheduler()');
}
my $evaluate = q{"arguments": {"source": "spot"}};
my $near = as('analyst', qq{SELECT dlent_schedule('m', '7 days', 'evaluate', '{"catch_up": "30 days", $evaluate}')});
my $far = as('analyst', qq{SELECT dlent_schedule('m', '7 days', 'evaluate', '{"catch_up": "1 hour", $evaluate}')});
set_clock(22 * 86400);
wait_for('catching up', "SELECT missed = 1 FROM dlent.schedules WHERE schedule = $far");
wait_for('one job', "SELECT count(*) = 1 FROM dlent.jobs WHERE schedule = $near AND state = 'succeeded'");
is(as('analyst', "SELECT count(*) FROM dlent.jobs WHERE schedule = $far"), '0', 'none beyond the grace');
is(as('analyst', "SELECT bool_and(next_run - created_at = interval '28 days') FROM dlent.schedules"), 't', 'both go on in step');
set_clock(0);
wait_for('times anew', "SELECT bool_and(next_run - created_at = interval '7 days') FROM dlent.schedules");
as('analyst', 'SELECT dlent_unschedule(schedule) FROM dlent.schedules');

# ---- processes that die
sub pid_of { my ($type) = @_; return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'dlent $type' LIMIT 1") }
for my $type ('launcher', 'scheduler')
{
    my $pid = pid_of($type);
    $node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
    wait_for("a new $type", "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dlent $type' AND pid <> $pid");
}
$job = as('analyst', q{SELECT dlent_train_async('k', 'SELECT a, b, c, z FROM large LIMIT 3000', 'z', '{"members": 5, "epochs": 30, "job": {"retry_period": 0.1}}')});
wait_for('a checkpoint', "SELECT count(*) >= 1 FROM dlent.job_checkpoint WHERE job_id = $job");
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM dlent.jobs WHERE job = $job");
wait_for('the second attempt', "SELECT state = 'succeeded' AND attempts = 2 FROM dlent.jobs WHERE job = $job");

# ---- a database that goes, with a job in it
$node->safe_psql('postgres', 'CREATE DATABASE doomed');
$node->safe_psql('doomed', 'CREATE EXTENSION dlent; CREATE TABLE large AS SELECT random() AS a, random() AS b, random() AS z FROM generate_series(1, 60000) AS i');
wait_for('its scheduler', $alive, $node, 'doomed');
$node->safe_psql('doomed', q{SELECT dlent_train_async('d', 'large', 'z', '{"preset": "best", "epochs": 5000}')});
wait_for('a job', q{SELECT count(*) = 1 FROM dlent.jobs WHERE state = 'running'}, $node, 'doomed');
like(error_of('stranger', 'DROP DATABASE doomed'), qr/42501/, 'nobody ends another\'s jobs');
is($node->safe_psql('doomed', q{SELECT count(*) FROM dlent.jobs WHERE state = 'running'}), '1', 'by trying');
wait_for('its scheduler', $alive, $node, 'doomed');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->safe_psql('postgres', 'ALTER DATABASE copy RENAME TO copied; DROP DATABASE copied');
$node->safe_psql('postgres', 'DROP DATABASE doomed');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_database WHERE datname = 'doomed'}), '0', 'DROP DATABASE is not in the way');
# a template that has the extension
$node->safe_psql('postgres', 'CREATE DATABASE pattern');
$node->safe_psql('pattern', 'CREATE EXTENSION dlent');
wait_for('its scheduler', $alive, $node, 'pattern');
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE pattern');
wait_for('the copy\'s scheduler', $alive, $node, 'copy');
wait_for('the template\'s scheduler, again', $alive, $node, 'pattern');
$node->safe_psql('postgres', 'DROP DATABASE pattern');

# ---- an extension that goes, and comes back
$node->safe_psql('copy', 'BEGIN; DROP EXTENSION dlent; ROLLBACK');
is($node->safe_psql('copy', q{SELECT count(*) FROM dlent.jobs}), '0', 'a DROP EXTENSION that rolls back');
$node->safe_psql('copy', 'DROP EXTENSION dlent');
wait_for('no scheduler', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'dlent scheduler' AND datname = 'copy'});
$node->safe_psql('copy', 'CREATE EXTENSION dlent');
wait_for('its scheduler', $alive, $node, 'copy');

# ---- dumps start paused
$schedule = as('analyst', qq{SELECT dlent_schedule('m', '1 second', 'evaluate', '{$evaluate}')});
wait_for('a job', "SELECT count(*) > 1 FROM dlent.jobs WHERE schedule = $schedule AND state = 'succeeded'");
$node->safe_psql('postgres', 'CREATE DATABASE restored');
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, 'postgres' ], 'pg_dump');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'restored', '-f', $dump ], 'restore');
wait_for('its scheduler', $alive, $node, 'restored');
is(as('analyst', q{SELECT paused, reason, expression FROM dlent.schedules}, 'restored'), 't|restored from a dump|1 second', 'a restored schedule is paused');
is(as('analyst', q{SELECT count(*) > 1 AND bool_and(finished_at IS NOT NULL) FROM dlent.jobs}, 'restored'), 't', 'the history is there, and nothing that would start');
as('analyst', "SELECT dlent_resume_schedule($schedule)", 'restored');
wait_for('a job', "SELECT count(*) > 0 FROM dlent.jobs WHERE schedule = $schedule AND created_at > now() - interval '10 s'", $node, 'restored');
as('analyst', "SELECT dlent_unschedule($schedule)", 'restored');
$node->safe_psql('postgres', 'DROP DATABASE restored; DROP DATABASE copy');

# ---- a standby: nothing runs there, until it is promoted
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$job = as('analyst', q{SELECT dlent_train_async('p', 'SELECT a, b, c, z FROM large LIMIT 3000', 'z', '{"members": 5, "epochs": 60}')});
wait_for('a checkpoint', "SELECT count(*) >= 1 FROM dlent.job_checkpoint WHERE job_id = $job");
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'dlent%'}), '0', 'no process of ours on a standby');
is($standby->safe_psql('postgres', "SELECT state FROM dlent.jobs WHERE job = $job"), 'running', 'where jobs are seen');
is($standby->safe_psql('postgres', "SELECT dlent_wait($job, '100 ms')"), 'running', 'and waited for');
my ($status, $out, $err) = $standby->psql('postgres', "\\set VERBOSITY verbose\nSELECT dlent_schedule('m', '\@daily')");
like($err, qr/25006/, 'but not scheduled');
$node->stop('immediate');
$standby->promote;
wait_for('the job on the promoted standby', "SELECT state = 'succeeded' FROM dlent.jobs WHERE job = $job", $standby);
is($standby->safe_psql('postgres', "SELECT string_agg(concat_ws(' ', attempt, state, sqlstate, message), ', ' ORDER BY attempt) FROM dlent.job_runs WHERE job = $job"),
    '1 interrupted 57P02 the server that ran the job was replaced, 2 succeeded', 'goes on');
wait_for('its schedule', "SELECT count(*) > 0 FROM dlent.jobs WHERE schedule = $schedule AND created_at > now() - interval '5 s'", $standby);
$standby->stop;

for my $log (slurp_file($node->logfile), slurp_file($standby->logfile))
{
    unlike($log, qr/PANIC|TRAP|terminated by signal/, 'nothing died that was not asked to');
    my @lines = $log =~ /^.*(?:dlent: ).*$/mg;
    cmp_ok(scalar(@lines), '<', 20, 'no flood of messages') or diag(join("\n", @lines));
}
done_testing();
