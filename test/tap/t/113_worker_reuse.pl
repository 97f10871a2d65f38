# One worker, job after job: what a job leaves behind, whose settings it runs with, who gets the worker's slot, and what is cancelled,
# killed, dropped or shut down while a worker goes on.

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Waiting;
use Time::HiRes qw(time usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'dlent'
dlent.progress_messages = off
restart_after_crash = on
dlent.max_job_workers = 1
CONF
$node->start;
my $schema = q{
    CREATE EXTENSION dlent;
    CREATE TABLE spot AS
    SELECT (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z FROM generate_series(1, 100) AS i;
    CREATE TABLE seen (what text, job text DEFAULT current_setting('application_name'));
    CREATE SEQUENCE counter;
    GRANT ALL ON spot, seen, counter TO PUBLIC;
    CREATE TABLE opened (gate text);
    GRANT ALL ON opened TO PUBLIC;
    CREATE FUNCTION gate(wanted text) RETURNS SETOF spot LANGUAGE plpgsql AS $$
    BEGIN
        WHILE NOT EXISTS (SELECT FROM public.opened WHERE gate = wanted) LOOP PERFORM pg_sleep(0.01); END LOOP;
        RETURN QUERY SELECT * FROM public.spot;
    END $$;
    CREATE FUNCTION slow(seconds float8) RETURNS SETOF spot LANGUAGE sql AS 'SELECT p.* FROM spot AS p, pg_sleep(seconds)';
    CREATE FUNCTION broken() RETURNS SETOF spot LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'out of order'; END $$;
    CREATE FUNCTION leave() RETURNS SETOF spot LANGUAGE plpgsql AS $$
    BEGIN
        SET work_mem = '1MB';
        SET default_transaction_read_only = on;
        SET statement_timeout = '1h';
        SET my.mark = 'left';
        PERFORM set_config('search_path', 'pg_catalog, public', false), pg_advisory_lock(77), pg_advisory_lock_shared(78), nextval('public.counter');
        IF to_regclass('pg_temp.scratch') IS NULL THEN
            CREATE TEMP TABLE scratch (i int);
            EXECUTE 'PREPARE left_over AS SELECT 1';
            EXECUTE 'DECLARE held CURSOR WITH HOLD FOR SELECT 1';
        END IF;
        SET ROLE friend;
        RETURN QUERY SELECT * FROM public.spot;
    END $$;
    CREATE FUNCTION look() RETURNS SETOF spot LANGUAGE plpgsql AS $$
    DECLARE
        number text := 'none';
    BEGIN
        BEGIN number := currval('public.counter'); EXCEPTION WHEN OTHERS THEN END;
        INSERT INTO seen SELECT concat_ws(' ', current_setting('work_mem'), current_setting('default_transaction_read_only'), current_setting('statement_timeout'),
            nullif(current_setting('my.mark', true), ''), current_setting('search_path'), to_regclass('pg_temp.scratch'), session_user, current_user, number,
            (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_cursors WHERE is_holdable),
            (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objsubid IN (1, 2)));
        RETURN QUERY SELECT * FROM public.spot;
    END $$;
};
$node->safe_psql('postgres', 'CREATE ROLE friend LOGIN; CREATE ROLE analyst LOGIN; CREATE ROLE colleague LOGIN; GRANT friend TO analyst; ' . $schema);

sub as { my ($role, $sql, $db) = @_; return $node->safe_psql($db // 'postgres', $sql, extra_params => [ '-U', $role ]) }
sub wait_for { my ($what, $query, $db) = @_; return wait_for_query($node, $what, $query, $db) }
# asks for jobs in one transaction: [owner, source, options]
sub ask_in {
    my ($db, @wanted) = @_;
    my $beside = $wanted[0] eq 'beside' && shift @wanted;
    # one that is about to go might take the last of them first
    wait_for('no worker', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'dlent job' AND datname = current_database()}, $db) unless $beside;
    my $sql = join('', map { my ($role, $source, $options) = @$_; $options //= '{}'; $source =~ s/'/''/g;
        qq{SET LOCAL ROLE $role; SELECT dlent_start_job('evaluate', 'm', '{"source": "SELECT * FROM $source"}', '$options');\n} } @wanted);
    return split /\n/, $node->safe_psql($db, "BEGIN;\n${sql}COMMIT");
}
sub ask { return ask_in('postgres', @_) }
sub open_gate { my ($gate, $db) = @_; $node->safe_psql($db // 'postgres', "INSERT INTO opened VALUES ('$gate')") }
sub ended { my ($job) = @_; return as('postgres', "SELECT dlent_wait($job)") }
sub pid_of { my ($job) = @_; return $node->safe_psql('postgres', "SELECT pid FROM dlent.job_runs WHERE job = $job ORDER BY attempt DESC LIMIT 1") }
sub running { my ($job) = @_; return wait_for("job $job runs", "SELECT state = 'running' FROM dlent.jobs WHERE job = $job") }
sub last_seen { my ($job) = @_; return $node->safe_psql('postgres', "SELECT DISTINCT what FROM seen WHERE job = 'dlent job $job'") }

my $train = q{SELECT dlent_train('m', 'spot', 'z', '{"preset": "fast", "epochs": 1}')};
$node->safe_psql('postgres', "$train; GRANT ALL ON SCHEMA public TO PUBLIC");
$node->safe_psql('postgres', q{SELECT dlent_grant('m', 'manage', 'analyst'), dlent_grant('m', 'manage', 'colleague'), dlent_grant('m', 'manage', 'friend')});

# until there is a scheduler, each job's session starts a worker of its own
wait_for('a scheduler', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dlent scheduler' AND datname = 'postgres'});

# ---- what a job leaves is not there for the next
my ($first, $leave, $look) = ask([ 'analyst', 'slow(0)' ], [ 'analyst', 'leave()' ], [ 'analyst', 'look()' ]);
is(join(' ', map { ended($_) } $first, $leave, $look), 'succeeded succeeded succeeded', 'three jobs');
is(pid_of($_), pid_of($first), 'of one process') for $leave, $look;
is(last_seen($look), '4MB off 0 "$user", public analyst analyst none 0 0 0', 'each in a session as good as new, by its own name');

# ---- the owner's settings are those of the time when a job starts
($first, $look) = ask([ 'analyst', q{gate('settings')} ], [ 'analyst', 'look()' ]);
running($first);
$node->safe_psql('postgres', q{ALTER ROLE analyst SET work_mem = '7MB'});
open_gate('settings');
is(ended($look), 'succeeded', 'a role that is altered meanwhile');
isnt(pid_of($look), pid_of($first), 'is served by a new process');
like(last_seen($look), qr/^7MB /, 'with its new settings');
($leave, $look) = ask([ 'analyst', 'leave()' ], [ 'analyst', 'look()' ]);
ended($look);
is(pid_of($look), pid_of($leave), 'which later jobs of one process');
like(last_seen($look), qr/^7MB /, 'find again');
$node->safe_psql('postgres', q{ALTER ROLE analyst RESET work_mem});

# ---- cancels, limits and failures reach their own job
my @jobs = ask([ 'analyst', q{gate('never')} ], [ 'analyst', 'broken()' ], [ 'analyst', 'look()' ], [ 'analyst', q{gate('never')}, '{"run_limit": 0.3}' ], [ 'analyst', 'slow(0.5)' ]);
running($jobs[0]);
as('analyst', "SELECT dlent_cancel($jobs[0])");
is(join(' ', map { ended($_) } @jobs), 'canceled failed succeeded failed succeeded', 'each as it deserves');
is(join(' ', map { pid_of($_) } @jobs), join(' ', (pid_of($jobs[0])) x 5), 'in one process');
is($node->safe_psql('postgres', "SELECT message FROM dlent.job_runs WHERE job = $jobs[3]"), 'the job took longer than its run_limit of 0 s', 'by its own limit');
@jobs = ask([ 'analyst', 'broken()', '{"retries": 1, "retry_period": 0.2, "backoff": "none"}' ], [ 'analyst', 'slow(0)' ]);
is(join(' ', map { ended($_) } @jobs), 'failed succeeded', 'while one waits for its second attempt, the other runs');
is($node->safe_psql('postgres', "SELECT count(*) FROM dlent.job_runs WHERE job = $jobs[0]"), '2', 'which it makes');
is($node->safe_psql('postgres', "SELECT max(r.started_at) FILTER (WHERE r.job = $jobs[0]) > max(r.started_at) FILTER (WHERE r.job = $jobs[1]) FROM dlent.job_runs AS r"), 't', 'afterwards');

# ---- turns: another owner's job that was due before, another database
@jobs = ask([ 'analyst', 'slow(0.7)' ], [ 'colleague', 'slow(0)' ], [ 'analyst', 'slow(0)' ]);
ended($_) for @jobs;
is($node->safe_psql('postgres', 'SELECT string_agg(job::text, $$ $$ ORDER BY started_at) FROM dlent.jobs WHERE job IN (' . join(',', @jobs) . ')'), join(' ', @jobs), 'owners in the order of their jobs');
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', "$schema $train");
wait_for('its scheduler', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dlent scheduler' AND datname = 'other'});
@jobs = ask([ 'analyst', q{gate('other')} ], map { [ 'analyst', 'slow(1)' ] } 1 .. 4);
running($jobs[0]);
my ($foreign) = ask_in('other', [ 'postgres', 'slow(0)' ]);
open_gate('other');
is(as('postgres', "SELECT dlent_wait($foreign)", 'other'), 'succeeded', 'a job of another database');
ended($_) for @jobs;
my $began = $node->safe_psql('other', "SELECT started_at FROM dlent.jobs WHERE job = $foreign");
is($node->safe_psql('postgres', "SELECT started_at > '$began' FROM dlent.jobs WHERE job = $jobs[4]"), 't', 'does not wait until all of this one have ended');

# ---- a transaction that has cancelled a job, and stays open, holds up nobody else
sub session {
    my ($sql, $said) = @_;
    my %session = (in => "BEGIN; $sql\n", out => '', err => '');
    $session{psql} = IPC::Run::start([ 'psql', '-X', '-A', '-t', '-q', '-d', $node->connstr('postgres') ], \$session{in}, \$session{out}, \$session{err});
    $session{psql}->pump until $session{out} =~ $said;
    return \%session;
}
sub roll_back { my ($session) = @_; $session->{in} .= "ROLLBACK;\n\\q\n"; $session->{psql}->finish }
@jobs = ask([ 'analyst', q{gate('cancel')} ], [ 'analyst', 'look()' ], [ 'analyst', 'look()' ]);
running($jobs[0]);
my $session = session("SELECT 'cancelled ' || dlent_cancel($jobs[1]);", qr/cancelled/);
open_gate('cancel');
is(ended($jobs[2]), 'succeeded', 'the job behind it runs');
is($node->safe_psql('postgres', "SELECT state FROM dlent.jobs WHERE job = $jobs[1]"), 'queued', 'while the other is not decided');
my ($new) = ask('beside', [ 'colleague', 'slow(0)' ]);
is(ended($new), 'succeeded', 'and new ones do');
roll_back($session);
is(ended($jobs[1]), 'succeeded', 'which goes on when it is taken back');

# ---- a worker that dies before it has taken its job is followed by another
$node->safe_psql('postgres', q{ALTER ROLE colleague SET lock_timeout = '20ms'});
$session = session(q{LOCK TABLE dlent.job_run IN SHARE MODE; SELECT 'locked';}, qr/locked/);
my $offset = -s $node->logfile;
($new) = ask([ 'colleague', 'slow(0)' ]);
my $until = time() + 60;
usleep(20_000) until slurp_file($node->logfile, $offset) =~ /canceling statement due to lock timeout/ || time() > $until;
is($node->safe_psql('postgres', "SELECT state, attempts FROM dlent.job WHERE id = $new"), 'queued|0', 'a worker that cannot take its job leaves it');
roll_back($session);
is(ended($new), 'succeeded', 'to the next');
$node->safe_psql('postgres', q{ALTER ROLE colleague RESET lock_timeout});

# ---- a worker that is killed while it goes on
wait_for('a scheduler', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dlent scheduler' AND datname = 'postgres'});
@jobs = ask([ 'analyst', 'slow(0)' ], [ 'analyst', q{gate('kill')}, '{"retry_period": 0.1}' ]);
running($jobs[1]);
is(pid_of($jobs[1]), pid_of($jobs[0]), 'a second job of a process');
kill_backend(pid_of($jobs[1]));
wait_for('the server', q{SELECT true});
open_gate('kill');
wait_for('its second attempt', "SELECT state = 'succeeded' FROM dlent.jobs WHERE job = $jobs[1]");
is($node->safe_psql('postgres', "SELECT string_agg(concat_ws(' ', job, attempt, state, message), ', ' ORDER BY job, attempt) FROM dlent.job_runs WHERE job IN ($jobs[0], $jobs[1])"),
    "$jobs[0] 1 succeeded, $jobs[1] 1 interrupted the worker was killed, $jobs[1] 2 succeeded", 'was killed, and not the first');

# ---- a database that goes, a server that stops, an owner that is dropped, while a worker goes on
wait_for('its scheduler', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dlent scheduler' AND datname = 'other'});
ask_in('other', map { [ 'analyst', 'slow(0.2)' ] } 1 .. 30) if $node->safe_psql('other', q{SELECT dlent_grant('m', 'manage', 'analyst'); SELECT true}) =~ /t/;
wait_for('some of them', q{SELECT count(*) FILTER (WHERE state = 'succeeded') > 2 FROM dlent.jobs}, 'other');
$node->safe_psql('postgres', 'DROP DATABASE other');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_database WHERE datname = 'other'}), '0', 'DROP DATABASE is not in the way');
@jobs = ask(map { [ 'colleague', 'slow(0.2)' ] } 1 .. 20);
wait_for('some of them', "SELECT count(*) FILTER (WHERE state = 'succeeded') > 3 FROM dlent.jobs WHERE job >= $jobs[0]");
$node->stop('fast');
$node->start;
wait_for('all', 'SELECT count(*) = 0 FROM dlent.jobs WHERE finished_at IS NULL');
is($node->safe_psql('postgres', "SELECT count(*) FILTER (WHERE state = 'succeeded'), count(*) FILTER (WHERE attempts > 1) <= 1 FROM dlent.jobs WHERE job >= $jobs[0]"), '20|t', 'a restart repeats what it cut short');
wait_for('a scheduler', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dlent scheduler' AND datname = 'postgres'});
@jobs = ask([ 'colleague', q{gate('drop')} ], map { [ 'colleague', 'slow(0)' ] } 1 .. 5);
running($jobs[0]);
$node->safe_psql('postgres', q{SELECT dlent_revoke('m', 'manage', 'colleague'); DROP OWNED BY colleague; DROP ROLE colleague});
open_gate('drop');
wait_for('all', 'SELECT count(*) = 0 FROM dlent.jobs WHERE finished_at IS NULL');
is($node->safe_psql('postgres', "SELECT count(*), string_agg(DISTINCT concat_ws(' ', message, detail), ', ') FROM dlent.job_runs WHERE job > $jobs[0]"), '5|the job cannot be started The role does not exist any more.', 'an owner that is dropped has no more jobs run');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid IN (209, 210)}), '0', 'no lock, no slot is left');
($new) = ask([ 'analyst', 'slow(0)' ]);
is(ended($new), 'succeeded', 'and the one place is free');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal (?!9)/, 'nothing died but what was killed');
done_testing();
