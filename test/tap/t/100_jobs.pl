# Jobs without preload: workers of their own, progress, cancel, limits, retries, rights, and what a crash leaves.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Waiting;
use Time::HiRes qw(time usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
dlent.progress_messages = off
restart_after_crash = on
dlent.max_job_workers = 2
CONF
$node->start;
$node->safe_psql('postgres', q{
    CREATE ROLE analyst LOGIN;
    CREATE ROLE friend LOGIN;
    CREATE ROLE stranger LOGIN;
    CREATE ROLE watcher LOGIN IN ROLE pg_monitor;
    CREATE ROLE nobody;
    CREATE EXTENSION dlent;
    CREATE SCHEMA app;
    CREATE TABLE app.point AS
    SELECT (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z FROM generate_series(1, 400) AS i;
    CREATE TABLE app.large AS
    SELECT random() AS a, random() AS b, random() AS c, random() AS z FROM generate_series(1, 60000) AS i;
    GRANT USAGE ON SCHEMA app TO PUBLIC;
    GRANT SELECT ON app.point, app.large TO PUBLIC;
});

sub as { my ($role, $sql) = @_; return $node->safe_psql('postgres', $sql, extra_params => [ '-U', $role ]) }
sub error_of { my ($role, $sql) = @_; my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", extra_params => [ '-U', $role ]); return $err }
sub wait_for { my ($what, $query) = @_; return wait_for_query($node, $what, $query) }
my $slow = q{{"preset": "best", "epochs": 5000}};

# ---- a job is what the function does, in the settings of the session that asked
my $job = as('analyst', q{SET search_path = public, app; SET TimeZone = 'Asia/Tokyo';
    SELECT dlent_train_async('m', 'point', 'z', '{"preset": "fast", "epochs": 2}')});
is(as('analyst', "SELECT dlent_wait($job)"), 'succeeded', 'a job succeeds');
as('analyst', q{SET search_path = public, app; SELECT dlent_train('n', 'point', 'z', '{"preset": "fast", "epochs": 2}')});
is(as('analyst', q{SELECT count(DISTINCT (digest, weights_sha256, data_fingerprint, source, metrics)) FROM dlent.versions}), '1', 'to the bytes of dlent_train');
is(as('analyst', q{SELECT model || ' ' || champion || ' ' || owner FROM dlent.models WHERE model = 'm'}), 'm 1 analyst', 'and owned by who asked');
is(as('analyst', "SELECT action, model, state, owner, attempts, pid IS NULL, sqlstate IS NULL, result ->> 'version', finished_at > started_at FROM dlent.jobs WHERE job = $job"),
    'train|m|succeeded|analyst|1|t|t|1|t', 'dlent.jobs');
is(as('analyst', "SELECT attempt, state, seconds > 0, result ? 'metrics' FROM dlent.job_runs WHERE job = $job"), '1|succeeded|t|t', 'dlent.job_runs');
is($node->safe_psql('postgres', "SELECT pid = ANY (SELECT pid FROM pg_stat_activity) FROM dlent.job_runs WHERE job = $job"), 'f', 'its process is gone');

# ---- transactions
is(as('analyst', q{BEGIN; SELECT dlent_train_async('gone', 'app.point', 'z') > 0; ROLLBACK; SELECT count(*) FROM dlent.jobs WHERE model = 'gone'}), "t\n0", 'a job that rolls back never was');
like(error_of('analyst', q{BEGIN; SELECT dlent_wait(dlent_train_async('gone', 'app.point', 'z'))}), qr/55000: job \d+ starts when this transaction commits/, 'nobody waits for what cannot begin');
is(as('analyst', q{BEGIN; SAVEPOINT s; SELECT dlent_train_async('gone', 'app.point', 'z') > 0; ROLLBACK TO s; COMMIT; SELECT count(*) FROM dlent.jobs WHERE model = 'gone'}), "t\n0", 'nor one of a subtransaction');

# ---- mistakes are told at once
like(error_of('analyst', q{SELECT dlent_train_async('x', 'nowhere', 'z')}), qr/42P01/, 'no such table');
like(error_of('analyst', q{SELECT dlent_train_async('x', 'app.point', 'q')}), qr/42703/, 'no such column');
like(error_of('analyst', q{SELECT dlent_train_async('x', 'app.point', 'z', '{"epoch": 3}')}), qr/22023/, 'no such option');
like(error_of('analyst', q{SELECT dlent_train_async('x', 'app.point', 'z', '{"job": {"retry": 3}}')}), qr/22023: unknown option of a job "retry"\n.*HINT:  There are retries/s, 'no such option of a job');
like(error_of('analyst', q{SELECT dlent_train_async('x', 'app.point', 'z', '{"job": {"run_limit": "soon"}}')}), qr/22007/, 'no interval');
like(error_of('analyst', q{SELECT dlent_train_async('x', 'app.point', 'z', '{"job": {"retries": -1}}')}), qr/22023/, 'no count');
like(error_of('analyst', q{SELECT dlent_start_job('dance', 'm')}), qr/22023: unknown action "dance"\n.*HINT:  Actions are train, evaluate/s, 'no such action');
like(error_of('analyst', q{SELECT dlent_start_job('evaluate', 'm')}), qr/22023: argument "source" of the action is missing/, 'no argument');
like(error_of('analyst', q{SELECT dlent_start_job('evaluate', 'm', '{"source": "app.point", "sauce": 1}')}), qr/22023: unknown argument "sauce"/, 'no such argument');
like(error_of('analyst', q{SELECT dlent_wait(4711)}), qr/42704: job 4711 does not exist/, 'no such job');
like(error_of('postgres', q{SET ROLE nobody; SELECT dlent_train_async('x', 'app.point', 'z')}), qr/28000: role "nobody" cannot own a job\n.*no LOGIN/s, 'a role without LOGIN');
like(error_of('analyst', q{BEGIN READ ONLY; SELECT dlent_train_async('x', 'app.point', 'z')}), qr/25006/, 'a read-only transaction');
is($node->safe_psql('postgres', q{CREATE FUNCTION sneak() RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT 1 $$;
    CREATE TABLE trap (i int); INSERT INTO trap VALUES (1);
    CREATE OR REPLACE FUNCTION sneak(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM public.dlent_start_job('evaluate', 'm', '{"source": "app.point"}'); RETURN i; END $$; SELECT 1}), '1', 'a trap');
like(error_of('postgres', q{CREATE INDEX ON trap (sneak(i))}), qr/42501: cannot execute dlent_start_job\(\) within security-restricted operation/, 'maintenance starts nothing');

# ---- other actions, and training anew as the champion was
$job = as('analyst', q{SELECT dlent_start_job('evaluate', 'm', '{"source": "app.point", "options": {"threshold": 0.4}}')});
is(as('analyst', "SELECT dlent_wait($job)"), 'succeeded', 'an evaluation');
is(as('analyst', "SELECT result = dlent_evaluate('m', 'app.point', '{\"threshold\": 0.4}') FROM dlent.jobs WHERE job = $job"), 't', 'has the result of the function');
like(error_of('analyst', q{SELECT dlent_start_job('train', 'm')}), qr/42P01: relation "point" does not exist/, 'anew: but "point" is not in this search path');
$job = as('analyst', q{SET search_path = public, app; SELECT dlent_start_job('train', 'm')});
is(as('analyst', "SELECT dlent_wait($job)"), 'succeeded', 'anew');
is(as('analyst', q{SELECT count(*), count(DISTINCT digest) FROM dlent.versions WHERE model = 'm'}), '2|1', 'as the champion was trained');

# ---- progress and cancel
$job = as('analyst', qq{SELECT dlent_train_async('victim', 'app.large', 'z', '$slow')});
wait_for('progress', "SELECT progress ->> 'phase' = 'training' AND (progress ->> 'epochs')::int > 0 AND pid > 0 FROM dlent.jobs WHERE job = $job");
my $pid = $node->safe_psql('postgres', "SELECT pid FROM dlent.jobs WHERE job = $job");
is($node->safe_psql('postgres', "SELECT backend_type || ', ' || usename || ', ' || application_name || ', ' || (xact_start IS NULL) || ', ' || (backend_xmin IS NULL) FROM pg_stat_activity WHERE pid = $pid"),
    "dlent job, analyst, dlent job $job, true, true", 'a session of its owner that holds no snapshot');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_locks WHERE relation = 'app.large'::regclass"), '0', 'nor a lock on its source');
like(as('analyst', "SELECT dlent_wait($job, '50 ms')"), qr/^running$/, 'a wait ends in time');
like(error_of('stranger', "SELECT dlent_cancel($job)"), qr/42501: permission denied for job $job/, 'not by a stranger');
like(error_of('stranger', "SELECT dlent_wait($job)"), qr/42501/, 'who cannot wait for it');
is(as('stranger', 'SELECT count(*) FROM dlent.jobs'), '0', 'nor see it');
is(as('watcher', "SELECT state FROM dlent.jobs WHERE job = $job"), 'running', 'a monitoring role sees it');
like(error_of('watcher', "SELECT dlent_cancel($job)"), qr/42501/, 'and cannot cancel');
my $start = time();
is(as('analyst', "SELECT dlent_cancel($job)"), 't', 'cancelled');
is(as('analyst', "SELECT dlent_wait($job)"), 'canceled', 'and ended');
cmp_ok(time() - $start, '<', 5, 'soon');
is(as('analyst', "SELECT state, sqlstate, message FROM dlent.job_runs WHERE job = $job"), 'canceled|57014|canceled on request', 'which its run says');
is(as('analyst', "SELECT dlent_cancel($job)"), 'f', 'only once');
is($node->safe_psql('postgres', "SELECT count(*) FROM dlent.models WHERE model = 'victim'"), '0', 'nothing is stored');
is($node->safe_psql('postgres', 'SELECT count(*) FROM dlent.job_checkpoint'), '0', 'and no checkpoint left');

# who manages the model may cancel its jobs
as('analyst', q{SELECT dlent_grant('m', 'manage', 'friend')});
$job = as('analyst', qq{SELECT dlent_train_async('m', 'app.large', 'z', '$slow')});
wait_for('running', "SELECT state = 'running' FROM dlent.jobs WHERE job = $job");
is(as('friend', "SELECT state FROM dlent.jobs WHERE job = $job"), 'running', 'who manages the model sees the job');
is(as('friend', "SELECT dlent_cancel($job)"), 't', 'and cancels it');
is(as('friend', "SELECT dlent_wait($job)"), 'canceled', 'and waits for it');

# rights are those of the time when it runs
$node->safe_psql('postgres', q{CREATE TABLE app.secret AS SELECT * FROM app.point; GRANT SELECT ON app.secret TO analyst});
$job = $node->safe_psql('postgres', q{BEGIN; SET LOCAL ROLE analyst; SELECT dlent_train_async('s', 'app.secret', 'z'); RESET ROLE; REVOKE SELECT ON app.secret FROM analyst; COMMIT});
is(as('analyst', "SELECT dlent_wait($job)"), 'failed', 'a right that is gone');
is(as('analyst', "SELECT sqlstate, message FROM dlent.jobs WHERE job = $job"), '42501|permission denied for table secret', 'is missed');

# ---- limits of time, failures, retries
$node->safe_psql('postgres', q{
    CREATE FUNCTION app.sleepy() RETURNS SETOF app.point LANGUAGE sql AS 'SELECT p.* FROM app.point AS p, pg_sleep(60)';
    CREATE TABLE app.tries (i int);
    CREATE SEQUENCE app.tried;
    GRANT USAGE ON SEQUENCE app.tried TO PUBLIC;
    CREATE FUNCTION app.flaky() RETURNS SETOF app.point LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('app.tried') < 3 THEN RAISE EXCEPTION 'not yet' USING ERRCODE = 'P0007', DETAIL = 'a detail', HINT = 'a hint'; END IF;
        RETURN QUERY SELECT * FROM app.point;
    END $$;
});
$job = as('analyst', q{SELECT dlent_train_async('t', 'SELECT * FROM app.sleepy()', 'z', '{"job": {"run_limit": "500 ms"}}')});
is(as('analyst', "SELECT dlent_wait($job)"), 'failed', 'a run limit');
like(as('analyst', "SELECT sqlstate, message FROM dlent.jobs WHERE job = $job"), qr/^57014\|the job took longer than its run_limit/, 'which its run says');
$job = as('analyst', q{SELECT dlent_train_async('t', 'SELECT * FROM app.sleepy()', 'z', '{"job": {"idle_limit": 0.5}}')});
is(as('analyst', "SELECT dlent_wait($job)"), 'failed', 'an idle limit');
like(as('analyst', "SELECT sqlstate, message FROM dlent.jobs WHERE job = $job"), qr/^57014\|the job made no progress within its idle_limit/, 'which its run says');
$job = as('analyst', q{SELECT dlent_train_async('t', 'SELECT * FROM app.flaky()', 'z', '{"preset": "fast", "epochs": 1, "job": {"retries": 5, "retry_period": "100 ms", "backoff": "none"}}')});
is(as('analyst', "SELECT dlent_wait($job)"), 'succeeded', 'the third attempt succeeds');
is(as('analyst', "SELECT string_agg(concat_ws(' ', attempt, state, sqlstate, message, detail, hint), ', ' ORDER BY attempt) FROM dlent.job_runs WHERE job = $job"),
    '1 failed P0007 not yet a detail a hint, 2 failed P0007 not yet a detail a hint, 3 succeeded', 'and the errors of the first two are kept');
$node->safe_psql('postgres', q{SELECT setval('app.tried', 1, false)});
$job = as('analyst', q{SELECT dlent_train_async('t2', 'SELECT * FROM app.flaky()', 'z', '{"job": {"retries": 1, "retry_period": 60}}')});
wait_for('a failure', "SELECT state = 'queued' AND attempts = 1 FROM dlent.jobs WHERE job = $job");
is(as('analyst', "SELECT next_start BETWEEN clock_timestamp() + interval '40 s' AND clock_timestamp() + interval '70 s' FROM dlent.jobs WHERE job = $job"), 't', 'a retry waits');
is(as('analyst', "SELECT dlent_cancel($job), dlent_wait($job)"), 't|canceled', 'and can be cancelled');

# ---- slots: what finds none waits for the next
my @jobs = map { as('analyst', qq{SELECT dlent_train_async('q$_', 'app.large', 'z', '$slow')}) } 1 .. 2;
wait_for('two running', "SELECT count(*) = 2 FROM dlent.jobs WHERE state = 'running'");
my $third = as('analyst', q{SELECT dlent_train_async('q3', 'app.point', 'z', '{"preset": "fast", "epochs": 1}')});
is(as('analyst', "SELECT dlent_wait($third, '300 ms')"), 'queued', 'a third waits for a slot');
my $late = as('analyst', q{SELECT dlent_train_async('q4', 'app.point', 'z', '{"job": {"start_limit": 0.01}}')});
as('analyst', "SELECT dlent_cancel($jobs[0])");
is(as('analyst', "SELECT dlent_wait($third)"), 'succeeded', 'and gets it');
is(as('analyst', "SELECT dlent_wait($late)"), 'failed', 'a fourth may not wait so long');
like(as('analyst', "SELECT sqlstate, message FROM dlent.jobs WHERE job = $late"), qr/^57014\|the job was not started within its start_limit/, 'which its run says');
as('analyst', "SELECT dlent_cancel($jobs[1])");
is(as('analyst', "SELECT dlent_wait($jobs[1])"), 'canceled', 'the second is cancelled');

# ---- a crash: what ran goes on behind its last checkpoint, to the same bytes
my $train = q{{"members": 6, "epochs": 30, "preset": "default"}};
as('analyst', qq{SELECT dlent_train('straight', 'SELECT a, b, c, z FROM app.large LIMIT 4000', 'z', '$train')});
for my $how ('KILL', 'immediate', 'fast')
{
    my $model = lc "resumed_$how";
    $job = as('analyst', qq{SELECT dlent_train_async('$model', 'SELECT a, b, c, z FROM app.large LIMIT 4000', 'z', '$train')});
    wait_for('two checkpoints', "SELECT count(*) >= 2 FROM dlent.job_checkpoint WHERE job_id = $job");
    if ($how eq 'KILL')
    {
        kill_backend($node->safe_psql('postgres', "SELECT pid FROM dlent.jobs WHERE job = $job"));
        wait_for('the server', 'SELECT true');
    }
    else
    {
        $node->stop($how);
        $node->start;
    }
    my $kept = $node->safe_psql('postgres', "SELECT count(*) FROM dlent.job_checkpoint WHERE job_id = $job");
    is($node->safe_psql('postgres', "SELECT state, pid IS NULL FROM dlent.jobs WHERE job = $job"), 'running|t', "$how: nobody works on it");
    is(as('analyst', "SELECT dlent_wait($job)"), 'succeeded', "$how: who waits has it resumed");
    like(as('analyst', "SELECT string_agg(concat_ws(' ', attempt, state, sqlstate, message), ', ' ORDER BY attempt) FROM dlent.job_runs WHERE job = $job"),
        ($how eq 'KILL' ? qr/^1 interrupted 57P02 the worker was killed, 2 succeeded$/ : qr/^1 interrupted 57P01 the server was restarted, 2 succeeded$/), "$how: its runs tell the story");
    cmp_ok($kept, '>=', 2, "$how: it went on behind $kept checkpoints");
    is(as('analyst', qq{SELECT count(DISTINCT (digest, metrics)) FROM dlent.versions WHERE model IN ('straight', '$model')}), '1', "$how: to the same bytes");
    is($node->safe_psql('postgres', 'SELECT count(*) FROM dlent.job_checkpoint'), '0', "$how: no checkpoint is left");
}

# one that is cancelled while nobody works on it does not come back
$job = as('analyst', qq{SELECT dlent_train_async('never', 'app.large', 'z', '$slow')});
wait_for('running', "SELECT state = 'running' FROM dlent.jobs WHERE job = $job");
$node->stop('immediate');
$node->start;
is(as('analyst', "SELECT dlent_cancel($job)"), 't', 'an orphan is cancelled');
is(as('analyst', "SELECT dlent_wait($job)"), 'failed', 'and failed');
is(as('analyst', "SELECT attempts FROM dlent.jobs WHERE job = $job"), '1', 'without another attempt');

# ---- history ends
$node->append_conf('postgresql.conf', "dlent.job_retention = 0\n");
$node->reload;
$job = as('analyst', q{SELECT dlent_start_job('evaluate', 'm', '{"source": "app.point"}')});
wait_for('nothing but what has just ended', 'SELECT count(*) = 0 FROM dlent.jobs');
is($node->safe_psql('postgres', 'SELECT count(*) FROM dlent.job_run'), '0', 'runs go with their jobs');
$node->append_conf('postgresql.conf', "dlent.job_retention = '30d'\n");
$node->reload;

# ---- DROP EXTENSION while a job runs
$job = as('analyst', qq{SELECT dlent_train_async('dropped', 'app.large', 'z', '$slow')});
wait_for('running', "SELECT progress ->> 'phase' = 'training' FROM dlent.jobs WHERE job = $job");
$node->safe_psql('postgres', 'DROP EXTENSION dlent; CREATE EXTENSION dlent');
wait_for('its end', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'dlent job'});
is($node->safe_psql('postgres', 'SELECT count(*) FROM dlent.jobs'), '0', 'the new extension knows nothing of it');
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal (?!9)/, 'nothing died but what was killed');
done_testing();
