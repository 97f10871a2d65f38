# A monitor on a schedule: nothing while the world stays; drift, retrain, gates and promotion when it changes, every step with its
# event; cooldown; permissions; kill -9 at every step; a standby; a dump.

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
client_min_messages = error
max_worker_processes = 16
wal_keep_size = 512MB
CONF
$node->start;
$node->safe_psql('postgres', q{
    CREATE ROLE analyst LOGIN;
    CREATE ROLE reader LOGIN;
    CREATE EXTENSION dlent;
    GRANT CREATE ON SCHEMA public TO analyst;
    SET ROLE analyst;
    CREATE FUNCTION uniform(stream int, i int) RETURNS float8 LANGUAGE sql IMMUTABLE
    RETURN (hashint8extended(i, stream) & 1048575) / 1048576.0;
    -- visits of a shop, some of which end with a purchase; in another season other customers come, and buy other things
    CREATE FUNCTION visits(first int, last int, season int) RETURNS
        TABLE (at timestamptz, pages float8, minutes float8, channel text, bought boolean) LANGUAGE sql IMMUTABLE AS $$
        SELECT '2026-01-01 00:00+00'::timestamptz + i * interval '1 minute', 1 + 20 * uniform(1, i) ^ (1 + season), 30 * uniform(2, i),
               (ARRAY['web', 'app', 'shop'])[1 + i % 3],
               CASE season WHEN 0 THEN uniform(1, i) + uniform(2, i) ELSE uniform(1, i) - uniform(2, i) + 0.8 END + 0.3 * uniform(3, i) > 1.1
        FROM generate_series(first, last) AS i $$;
    CREATE TABLE visit AS SELECT * FROM visits(1, 2500, 0);
    CREATE TABLE recent AS SELECT * FROM visits(2501, 3000, 0);
    SELECT dlent_train('buys', 'visit', 'bought', '{"preset": "fast", "epochs": 10, "exclude": ["at"]}');
    SELECT dlent_grant('buys', 'predict', 'reader');
});

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub as { my ($role, $sql) = @_; return $node->safe_psql('postgres', $sql, extra_params => [ '-U', $role ]) }
sub error_of { my ($role, $sql, $on) = @_; my ($status, $out, $err) = ($on // $node)->psql('postgres', "\\set VERBOSITY verbose\n$sql", extra_params => [ '-U', $role ]); return $err }
sub wait_for {
    my ($what, $query, $on) = @_;
    return 1 if wait_for_query($on // $node, $what, $query, 'postgres', 90);
    diag(sql('SELECT * FROM dlent.monitor_runs ORDER BY run DESC, step DESC LIMIT 10'));
    return 0;
}
sub decisions { return sql(q{SELECT string_agg(name || ' ' || decision, ', ' ORDER BY run, step) FROM dlent.monitor_runs WHERE run > } . ($_[0] // 0)) }
sub last_run { return sql('SELECT COALESCE(max(run), 0) FROM dlent.monitor_runs') }
sub new_season {
    my ($season) = @_;
    sql("TRUNCATE visit, recent; INSERT INTO visit SELECT * FROM visits(1, 2500, $season); INSERT INTO recent SELECT * FROM visits(2501, 3000, $season)");
}

# ---- permissions
my $policy = q{"retrain": {"epochs": 12}, "gates": {"data": {"max_prior_change": 0.4}}, "backoff": {"period": 0}};
like(error_of('reader', q{SELECT dlent_monitor('buys', 'recent')}), qr/42501/, 'who may only predict declares nothing');
like(error_of('analyst', q{SELECT dlent_monitor('nothing', 'recent')}), qr/42704: model "nothing" does not exist/, 'no model');
as('analyst', qq{SELECT dlent_monitor('buys', 'recent', '1 second', '{"cooldown": "1 hour", $policy}')});
is(sql(q{SELECT owner, paused, expression FROM dlent.monitors}), 'analyst|f|1 second', 'who declares it owns it');
like(error_of('reader', q{SELECT dlent_run_monitor('buys')}), qr/42501: permission denied for the monitor of model "buys"/, 'nobody else runs it');
like(error_of('postgres', q{SELECT dlent_run_monitor('buys')}), qr/42501/, 'a superuser neither: the source is somebody else\'s text');
like(error_of('reader', q{SELECT dlent_unmonitor('buys')}), qr/42501/, 'nor ends it');
is(as('reader', 'SELECT model FROM dlent.monitors'), 'buys', 'who may predict sees it');

# ---- while nothing changes
wait_for('three runs', q{SELECT count(*) >= 3 FROM dlent.monitor_runs});
is(sql(q{SELECT DISTINCT name || ' ' || decision || ' ' || reason FROM dlent.monitor_runs}), 'watch quiet no drift in 3 features', 'no drift, nothing is done');
is(sql(q{SELECT count(*) FROM dlent.events WHERE action LIKE 'monitor\_%'}), '0', 'and nothing is told');
is(sql('SELECT DISTINCT role FROM dlent.monitor_runs'), 'analyst', 'runs are the owner\'s');

# ---- the season changes
my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN dlent_alerts');
new_season(1);
wait_for('a promotion', q{SELECT champion = 2 FROM dlent.models WHERE model = 'buys'});
is(sql(q{SELECT string_agg(action, ' ' ORDER BY occurred_at) FROM dlent.events WHERE model = 'buys' AND occurred_at >= (SELECT min(occurred_at) FROM dlent.events WHERE action = 'monitor_trigger')}),
    'monitor_trigger monitor_data_accepted train monitor_trained monitor_accepted promote monitor_promoted', 'events in their order');
like(sql(q{SELECT reason FROM dlent.events WHERE action = 'monitor_trigger'}), qr/^drift in .*pages.* \(2 of the last \d looks\)/, 'what set it off');
like(sql(q{SELECT reason FROM dlent.events WHERE action = 'promote'}), qr/^drift in .*; version 2 passes all gates: its roc_auc is 0\.\d+, that of version 1 0\.\d+, on \d+ held-out rows$/, 'why it was promoted');
is(sql(q{SELECT count(*) FROM dlent.jobs WHERE state = 'failed'}), '0', 'no job failed');
like($listener->query('SELECT 1'), qr/^1/, 'the listener listens');
my $told = $listener->{stdout} . ($listener->query('SELECT 1') // '');
$listener->quit;
is(sql(q{SELECT string_agg(severity || ' ' || kind, ', ' ORDER BY alert) FROM dlent.alerts}), 'warning drift, info promotion', 'alerts');
is(sql(q{SELECT count(*) FROM dlent.alerts WHERE resolved_at IS NULL}), '0', 'which are over');
my $mark = last_run();
wait_for('two more runs', "SELECT count(DISTINCT run) >= 2 FROM dlent.monitor_runs WHERE run > $mark");
like(decisions($mark), qr/^watch quiet(, watch quiet)*$/, 'the reference has moved with the champion');

# ---- cooldown
$mark = last_run();
new_season(0);
wait_for('a run that waits', "SELECT count(*) >= 2 FROM dlent.monitor_runs WHERE run > $mark AND decision = 'waits'");
like(sql("SELECT reason FROM dlent.monitor_runs WHERE decision = 'waits' LIMIT 1"), qr/no retrain for another \d+ s \(cooldown\)$/, 'cooldown');
is(sql(q{SELECT count(*), max(occurrences) > 1 FROM dlent.alerts WHERE kind = 'drift' AND resolved_at IS NULL}), '1|t', 'one alert as long as it lasts');
like(error_of('reader', 'SELECT dlent_acknowledge(max(alert)) FROM dlent.alerts'), qr/42501/, 'not everybody acknowledges it');
is(as('analyst', q{SELECT dlent_acknowledge(alert), dlent_acknowledge(alert) FROM dlent.alerts WHERE kind = 'drift' AND resolved_at IS NULL}), 't|f', 'acknowledged once');
is(sql(q{SELECT acknowledged_by FROM dlent.alerts WHERE acknowledged_at IS NOT NULL}), 'analyst', 'by whom');
as('analyst', q{SELECT dlent_pause_schedule(schedule) FROM dlent.monitors});
wait_for('no job', q{SELECT count(*) = 0 FROM dlent.jobs WHERE state IN ('queued', 'running')});

# ---- a dry run
my $everything = q{SELECT (SELECT count(*) FROM dlent.event), (SELECT count(*) FROM dlent.monitor_step), (SELECT count(*) FROM dlent.alert),
    (SELECT count(*) FROM dlent.version), (SELECT count(*) FROM dlent.drift_report), (SELECT string_agg(o::text, '') FROM dlent.monitor AS o)};
my $before = sql($everything);
is(as('analyst', q{SET default_transaction_read_only = on; SELECT r ->> 'decision', r #>> '{data,accepted}' FROM dlent_run_monitor('buys', '{"dry_run": true, "force": "retrain"}') AS r}),
    'retrain|true', 'a dry run, read-only');
is(sql($everything), $before, 'writes nothing');
like(error_of('analyst', q{SELECT dlent_run_monitor('buys', '{"dry": true}')}), qr/22023: unknown option "dry"\n.*Valid options are dry_run, force/s, 'options are strict');

# ---- in a session: two recipes compete
as('analyst', q{SELECT dlent_monitor('buys', 'recent', NULL, '{"cooldown": 0, "gates": {"data": {"max_prior_change": 0.4}}, "retrain": [{"epochs": 1, "hidden": []}, {"epochs": 12}]}')});
is(sql(q{SELECT count(*) FROM dlent.schedules}), '0', 'the schedule of the last one is gone');
my $run = as('analyst', q{SELECT string_agg(s ->> 'decision', ' ') FROM dlent_run_monitor('buys', '{"force": "retrain"}') AS r, jsonb_array_elements(r -> 'steps') AS s});
is($run, 'retrain accepted trained trained accepted promoted', 'in a session');
is(sql(q{SELECT champion FROM dlent.models WHERE model = 'buys'}), '4', 'the better of two recipes');
like(sql(q{SELECT details -> 'candidates' FROM dlent.events WHERE action = 'monitor_accepted' AND version = 4}), qr/"version": 3.*"version": 4/, 'both were judged');
is(as('analyst', q{BEGIN; SELECT dlent_run_monitor('buys', '{"force": "retrain"}') IS NULL; ROLLBACK; SELECT state, retrains FROM dlent.monitors}), "f\nwatching|1", 'what is rolled back was not');

# ---- gates that are asked for
as('analyst', q{SELECT dlent_expect('buys', 'rate', 'avg(prediction) < 0.01')});
as('analyst', q{SELECT dlent_monitor('buys', 'recent', NULL, '{"cooldown": 0, "retrain": {"epochs": 30, "seed": 7, "hidden": [64]}, "triggers": {"age": 0.001, "new_labels": 100000, "metric": {"name": "roc_auc", "min": 0.999}}, "gates": {"confidence": 0, "data": false}}')});
my $reason = as('analyst', q{SELECT r ->> 'reason' FROM dlent_run_monitor('buys', '{"dry_run": true}') AS r});
like($reason, qr/^roc_auc is 0\.\d+ on 500 rows, below 0\.999; version 4 is \S+ hours old, of/, 'other triggers');
new_season(1);
$run = as('analyst', q{SELECT r ->> 'decision', r ->> 'reason' FROM dlent_run_monitor('buys') AS r});
like($run, qr/^rejected\|version 5 does not meet expectation "rate"$/, 'expectations of answers');
as('analyst', q{SELECT dlent_drop_expectation('buys', 'rate')});
as('analyst', q{SELECT dlent_monitor('buys', 'recent', NULL, '{"cooldown": 0, "gates": {"data": false, "fairness": {"column": "channel", "max_difference": 0}}}')});
like(as('analyst', q{SELECT r ->> 'decision', r ->> 'reason' FROM dlent_run_monitor('buys', '{"force": "retrain"}') AS r}),
    qr/^rejected\|with version 6 the rate of positive decisions differs by .* between groups of "channel" \(demographic_parity\)$/, 'fairness');
as('analyst', q{SELECT dlent_monitor('buys', 'recent', NULL, '{"cooldown": 0, "gates": {"data": false, "golden": "SELECT * FROM visits(4000, 5000, 0)"}}')});
like(as('analyst', q{SELECT r ->> 'decision', r ->> 'reason' FROM dlent_run_monitor('buys', '{"force": "retrain"}') AS r}),
    qr/^rejected\|version 7 is worse on the golden rows by more than 0\.02: /, 'golden rows');
as('analyst', q{SELECT dlent_monitor('buys', 'recent', NULL, '{"cooldown": 0, "gates": {"data": false, "holdout": {"time_column": "at", "fraction": 0.3}, "slices": ["channel", "minutes > 20"]}}')});
like(as('analyst', q{SELECT r ->> 'decision', r ->> 'reason' FROM dlent_run_monitor('buys', '{"force": "retrain"}') AS r}),
    qr/^promoted\|version 8 takes the place of version 4, and is what drift is measured against from now on$/, 'the newest rows, and slices');
is(sql(q{SELECT count(*) FROM dlent.events AS e, jsonb_array_elements(e.details -> 'gates') AS g, jsonb_array_elements(g -> 'parts') WHERE e.action = 'monitor_accepted' AND e.version = 8 AND g ->> 'gate' = 'slices'}), '4', 'each part was judged');
is(sql(q{SELECT train_rows FROM dlent.versions WHERE version = 8}), '1749', 'and the newest rows were not learnt from');

# ---- kill -9 at every step
sql(q{
    CREATE TABLE closed (action text);
    CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        WHILE EXISTS (SELECT FROM public.closed AS c WHERE c.action = NEW.action) LOOP PERFORM pg_catalog.pg_sleep(0.02); END LOOP;
        RETURN NEW;
    END $$;
    CREATE TRIGGER hold BEFORE INSERT ON dlent.event FOR EACH ROW EXECUTE FUNCTION wait_here();
});
my $season = 0;
for my $action (qw(monitor_trigger monitor_data_accepted train monitor_trained monitor_accepted promote monitor_promoted))
{
    new_season($season);
    $season = 1 - $season;
    as('analyst', q{SELECT dlent_monitor('buys', 'recent', NULL, '{"cooldown": 0, "gates": {"data": false}}')});
    my ($champion, $versions, $promotions) = split /\|/, sql(q{SELECT champion, versions, (SELECT count(*) FROM dlent.events WHERE action = 'promote') FROM dlent.models WHERE model = 'buys'});
    sql("INSERT INTO closed VALUES ('$action')");
    my $job = as('analyst', q{SELECT dlent_start_job('monitor', 'buys', '{"options": {"force": "retrain"}}')});
    my $sleeping = q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dlent job' AND wait_event = 'PgSleep'};
    wait_for("the worker is at $action", $sleeping);
    my $pid = sql(q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'dlent job'});
    kill 'KILL', $pid;
    wait_for("the job is at $action again", "$sleeping AND pid <> $pid");
    sql('DELETE FROM closed');
    is(as('analyst', "SELECT dlent_wait($job)"), 'succeeded', "killed at $action: the job is resumed");
    is(sql(qq{SELECT champion = $champion + 1, versions - $versions, (SELECT count(*) FROM dlent.events WHERE action = 'promote') - $promotions FROM dlent.models WHERE model = 'buys'}),
        't|1|1', 'one version, one promotion');
}
sql('DROP TRIGGER hold ON dlent.event');

# ---- a run that fails is told of
as('analyst', q{SELECT dlent_monitor('buys', 'recent')});
as('analyst', 'ALTER TABLE recent RENAME TO elsewhere');
my $job = as('analyst', q{SELECT dlent_start_job('monitor', 'buys')});
is(as('analyst', "SELECT dlent_wait($job)"), 'failed', 'a run that fails');
like(sql(q{SELECT message FROM dlent.alerts WHERE kind = 'run'}), qr/^the monitor of model "buys" failed: relation "recent" does not exist/, 'an alert says why');
as('analyst', 'ALTER TABLE elsewhere RENAME TO recent');
is(as('analyst', q{SELECT r ->> 'decision' FROM dlent_run_monitor('buys') AS r}), 'quiet', 'mended');
is(sql(q{SELECT resolved_at IS NOT NULL FROM dlent.alerts WHERE kind = 'run'}), 't', 'and over');

# ---- a standby
as('analyst', q{SELECT dlent_monitor('buys', 'recent', '1 second')});
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
$node->stop;
is($standby->safe_psql('postgres', q{SELECT r ->> 'decision' FROM dlent_run_monitor('buys', '{"dry_run": true}') AS r}, extra_params => [ '-U', 'analyst' ]), 'quiet', 'a dry run on a standby');
like(error_of('analyst', q{SELECT dlent_run_monitor('buys')}, $standby), qr/25006/, 'nothing else');
my $runs = $standby->safe_psql('postgres', 'SELECT count(*) FROM dlent.monitor_runs');
sleep 2;
is($standby->safe_psql('postgres', 'SELECT count(*) FROM dlent.monitor_runs'), $runs, 'nothing runs there');
$standby->promote;
wait_for('it runs where the standby is promoted', "SELECT count(*) > $runs FROM dlent.monitor_runs", $standby);

# ---- a dump
$standby->safe_psql('postgres', 'CREATE DATABASE restored');
my $dump = $standby->basedir . '/dump.sql';
$standby->command_ok([ 'pg_dump', '-d', $standby->connstr('postgres'), '-f', $dump ], 'a dump');
$standby->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $standby->connstr('restored'), '-f', $dump ], 'restored');
is($standby->safe_psql('restored', 'SELECT model, owner, state, paused, next_run IS NULL FROM dlent.monitors'), 'buys|analyst|watching|t|t', 'the monitor is there, paused');
is($standby->safe_psql('restored', q{SELECT count(*) > 0 FROM dlent.alerts}), 't', 'and what it told');

# ---- with the model goes its monitor
$standby->safe_psql('restored', q{SELECT dlent_drop_model('buys')});
is($standby->safe_psql('restored', 'SELECT (SELECT count(*) FROM dlent.monitor) + (SELECT count(*) FROM dlent.monitor_step) + (SELECT count(*) FROM dlent.alert) + (SELECT count(*) FROM dlent.schedule)'), '0', 'dropped');
is($standby->safe_psql('postgres', q{SELECT dlent_unmonitor('buys'), dlent_unmonitor('buys')}), 't|f', 'ended by hand');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM dlent.schedules'), '0', 'and its schedule with it');
$standby->stop;
done_testing();
