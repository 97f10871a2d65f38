# Rollouts that are judged by themselves, from the first predictions to promotion or rollback: by hand, by a job, by a schedule; two at a
# time, with a crash in between, on a standby; and the statements of docs/rollout.md.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Waiting;
use Time::HiRes qw(time usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'dlent'
dlent.progress_messages = off
client_min_messages = warning
restart_after_crash = on
wal_keep_size = 512MB
CONF
$node->start;
$node->safe_psql('postgres', q{
    CREATE EXTENSION dlent;
    CREATE TABLE visit AS SELECT i AS id, i % 7 AS x, i % 7 > 3 AS bought FROM generate_series(1, 200) AS i;
    SELECT dlent_train('m', 'SELECT x, bought FROM visit', 'bought', '{"preset": "fast", "epochs": 1}');
    SELECT dlent_train('m', 'SELECT x, bought FROM visit', 'bought', '{"preset": "fast", "epochs": 1, "seed": 2}');
    SELECT dlent_train('m', 'SELECT x, bought FROM visit', 'bought', '{"preset": "fast", "epochs": 1, "seed": 3}');
    -- What the recording of answers leaves behind: units new units for each arm, of which a share bought.
    CREATE SEQUENCE unit_number;
    CREATE FUNCTION simulate(units int, VARIADIC rates float8[]) RETURNS void LANGUAGE sql AS $$
        WITH r AS (SELECT * FROM dlent.rollout ORDER BY id DESC LIMIT 1),
        answer AS (
            SELECT r.model_id, r.id, a.arm, a.version, a.shadow, nextval('unit_number') AS n, i
            FROM r JOIN dlent.rollout_arm AS a ON a.rollout_id = r.id, generate_series(1, units) AS i),
        predicted AS (
            INSERT INTO dlent.prediction (request, predicted_at, model_id, version, rollout_id, arm, shadow, unit, key, score, latency_us)
            SELECT n, clock_timestamp(), model_id, version, id, arm, shadow, n, n, 0.5, 10 FROM answer)
        INSERT INTO dlent.outcome (model_id, key, metric, value, occurred_at, recorded_by)
        SELECT model_id, n, 'bought', (i <= units * rates[arm + 1])::int, now(), current_user FROM answer
    $$;
});

sub query { return $node->safe_psql('postgres', $_[0]) }
sub check { return query(q{SELECT concat_ws('|', c ->> 'verdict', c ->> 'applied', (c ->> 'share')::float8) FROM dlent_check_rollout('m', '{"apply": true}') AS c}) }
sub wait_for {
    my ($what, $query) = @_;
    my $until = time() + 60;
    while (time() < $until) { return pass($what) if query($query) eq 't'; usleep(50_000) }
    fail($what);
}
my $rule = q{"unit": "id", "min_duration": 0, "min_outcomes": 1000, "goal": {"metric": "bought", "direction": "increase"}};
sub deploy { my ($version, $options) = @_; return query(qq{SELECT dlent_deploy('m', $version, '{$options, $rule}')}) }
sub champion { return query(q{SELECT champion FROM dlent.models WHERE model = 'm'}) }

# ---- what is better goes all the way
deploy(2, '"steps": [0.05, 0.5]');
is(check(), 'wait', 'no predictions: wait');
query('SELECT simulate(900, 0.10, 0.20)');
is(check(), 'wait', 'too few outcomes');
query('SELECT simulate(2000, 0.10, 0.14)');
is(query(q{SELECT c ->> 'verdict', c ? 'applied' FROM dlent_check_rollout('m') AS c}), 'advance|f', 'a verdict alone');
is(query(q{SELECT step, share FROM dlent.rollouts WHERE state = 'running'}), '1|0.05', 'changes nothing');
is(check(), 'advance|advanced|0.5', 'the second step');
is(check(), 'wait', 'which has outcomes to come of its own');
query('SELECT simulate(2000, 0.10, 0.14)');
is(check(), 'advance|promoted|1', 'promoted');
is(champion(), '2', 'the candidate is champion');
is(query(q{SELECT state, reason FROM dlent.rollouts WHERE rollout = 1}), 'promoted|candidate (version 2) passes every check.', 'the rollout says why');
is(query(q{SELECT string_agg(concat_ws(':', action, version, details ->> 'verdict', details ->> 'applied'), ' ' ORDER BY id) FROM dlent.events WHERE model = 'm' AND action IN ('deploy', 'advance', 'promote', 'check_rollout') AND id > (SELECT max(id) FROM dlent.events WHERE action = 'train')}),
    'deploy:2 check_rollout:2:advance:advanced advance:2 check_rollout:2:advance:advanced promote:2', 'and so do the events');
is(query(q{SELECT c ->> 'verdict', c ->> 'applied' FROM dlent_check_rollout('m', '{"apply": true}') AS c}), 'ended|', 'what has ended stays ended');

# ---- what is worse does not
deploy(3, '"steps": [0.05, 0.5]');
query('SELECT simulate(3000, 0.10, 0.06)');
is(check(), 'roll back|rolled back', 'rolled back');
is(champion(), '2', 'the champion stays');
like(query(q{SELECT reason FROM dlent.rollouts ORDER BY rollout DESC LIMIT 1}), qr/^goal bought of candidate \(version 3\): the difference to the champion is -0\.04, surely between/, 'with the numbers');

# ---- a guardrail, the deadline, errors, arms that are not as large as they should be
deploy(3, '"guardrails": [{"metric": "score", "direction": "decrease", "margin": 0.01}]');
query('SELECT simulate(2000, 0.10, 0.14)');
query(q{UPDATE dlent.prediction SET score = 0.4 + 0.1 * arm + 0.01 * (id % 3) WHERE rollout_id = (SELECT max(id) FROM dlent.rollout)});
is(check(), 'roll back|rolled back', 'a guardrail');
deploy(3, '"max_duration": "1 second"');
query('SELECT pg_sleep(1.1)');
is(check(), 'roll back|rolled back', 'the deadline');
deploy(3, '"alpha": 0.05');
query('SELECT simulate(2000, 0.10, 0.14)');
query(q{DELETE FROM dlent.prediction WHERE arm = 1 AND id % 10 = 0 AND rollout_id = (SELECT max(id) FROM dlent.rollout)});
is(check(), 'hold|held', 'a sample ratio mismatch');
is(check(), 'hold', 'which is said once');
query(q{UPDATE dlent.prediction SET score = 'NaN' WHERE id = (SELECT max(id) FROM dlent.prediction WHERE arm = 1)});
is(check(), 'roll back|rolled back', 'what is held is still looked after');

# ---- silence is no consent, however long
deploy(3, '"steps": [0.1]');
query(q{UPDATE dlent.rollout SET step_started_at = now() - interval '10 years' WHERE state = 'running'});
is(check(), 'wait', "look $_") for 1 .. 3;
query(q{SELECT dlent_stop_rollout('m')});

# ---- an experiment promotes its best arm
query(qq{SELECT dlent_promote('m', 1)});
query(qq{SELECT dlent_deploy('m', NULL, '{"mode": "experiment", "arms": {"2": 0.3, "3": 0.3}, $rule}')});
query(q{UPDATE dlent.rollout_arm SET weight = 1 / 3.0 WHERE rollout_id = (SELECT max(id) FROM dlent.rollout)});
query('SELECT simulate(3000, 0.10, 0.14, 0.16)');
is(check(), 'advance|promoted', 'an experiment is decided');
is(champion(), '3', 'by its best arm');

# ---- a shadow: judged, and left to who deployed it
query(q{SELECT dlent_deploy('m', 2, '{"mode": "shadow", "min_duration": 0, "min_outcomes": 100}')});
query('SELECT simulate(200, 0, 0)');
is(query(q{SELECT c ->> 'verdict', c ->> 'applied', c ->> 'why_not' FROM dlent_check_rollout('m', '{"apply": true}') AS c}),
    'advance||A shadow has no next step; deploy the version as a canary, or promote it.', 'a shadow passes');
query(q{UPDATE dlent.prediction SET error = 'broken', score = NULL WHERE shadow AND id % 2 = 0});
is(check(), 'roll back|stopped', 'and is stopped');

# ---- two at a time: the second sees what the first has done
deploy(2, '"steps": [0.05, 0.1, 0.5]');
query('SELECT simulate(2000, 0.10, 0.14)');
my ($first, $second) = map { $node->background_psql('postgres') } 1 .. 2;
$first->query_safe('BEGIN');
is($first->query_safe(q{SELECT c ->> 'applied' FROM dlent_check_rollout('m', '{"apply": true}') AS c}), 'advanced', 'the first advances');
$second->query_until(qr/asked/, qq{\\echo asked\nSELECT c ->> 'verdict' FROM dlent_check_rollout('m', '{"apply": true}') AS c;\n});
wait_for('the second waits', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'});
$first->query_safe('COMMIT');
is($second->query_safe('SELECT 1') =~ s/\n.*//sr, 'wait', 'and finds a step without outcomes');
$_->quit for $first, $second;
is(query(q{SELECT step FROM dlent.rollouts WHERE state = 'running'}), '2', 'one step further');

# ---- a crash between verdict and commit leaves neither
query('SELECT simulate(2000, 0.10, 0.14)');
my $events = query(q{SELECT count(*) FROM dlent.events});
my $doomed = $node->background_psql('postgres', on_error_stop => 0);
$doomed->query_safe('BEGIN');
is($doomed->query_safe(q{SELECT c ->> 'applied' FROM dlent_check_rollout('m', '{"apply": true}') AS c}), 'advanced', 'advanced, not committed');
my $pid = $doomed->query_safe('SELECT pg_backend_pid()');
kill_backend($pid);
wait_for_query($node, 'the server', 'SELECT true');
eval { $doomed->quit };
is(query(q{SELECT r.step, (SELECT count(*) FROM dlent.events) FROM dlent.rollouts AS r WHERE state = 'running'}), "2|$events", 'nothing of it is left');
my $job = query(q{SELECT dlent_start_job('check_rollout', 'm')});
is(query("SELECT dlent_wait($job)"), 'succeeded', 'a job does it');
is(query(qq{SELECT result ->> 'applied' FROM dlent.jobs WHERE job = $job}), 'advanced', 'once');
is(query(q{SELECT step FROM dlent.rollouts WHERE state = 'running'}), '3', 'and only once');
query(q{SELECT dlent_stop_rollout('m')});

# ---- by itself
deploy(2, '"steps": [0.05, 0.5], "check": "1 second"');
is(query(q{SELECT action, expression, arguments FROM dlent.schedules}), 'check_rollout|1 seconds|' . query(q{SELECT jsonb_build_object('options', jsonb_build_object('apply', true, 'rollout', max(rollout))) FROM dlent.rollouts}), 'a schedule');
query('SELECT simulate(2000, 0.10, 0.14)');
wait_for('the second step comes', q{SELECT step = 2 FROM dlent.rollouts ORDER BY rollout DESC LIMIT 1});
query('SELECT simulate(2000, 0.10, 0.14)');
wait_for('and promotion', q{SELECT state = 'promoted' FROM dlent.rollouts ORDER BY rollout DESC LIMIT 1});
is(query('SELECT count(*) FROM dlent.schedules'), '0', 'the schedule ends with the rollout');
wait_for('its job succeeds', q{SELECT state = 'succeeded' FROM dlent.jobs ORDER BY job DESC LIMIT 1});

# ---- a standby reports and judges, and applies nothing
deploy(3, '"steps": [0.05, 0.5], "check": "1 hour"');
query('SELECT simulate(2000, 0.10, 0.14)');
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', q{SELECT status FROM dlent_experiment_report('m') WHERE role = 'goal' AND version = 3}), 'pass', 'a standby reports');
is($standby->safe_psql('postgres', q{SELECT dlent_check_rollout('m') ->> 'verdict'}), 'advance', 'and judges');
my ($status, $out, $err) = $standby->psql('postgres', q{SELECT dlent_check_rollout('m', '{"apply": true}')});
like($err, qr/cannot execute dlent_check_rollout\(\) in a read-only transaction/, 'and applies nothing');
$standby->stop;
query(q{SELECT dlent_stop_rollout('m', 'enough')});
is(query('SELECT count(*) FROM dlent.schedules'), '0', 'a schedule ends when a rollout is stopped');

# ---- the guide's statements, one after another
open my $file, '<', "$ENV{DLENT_EXAMPLES}/../docs/rollout.md" or die "cannot read docs/rollout.md: $!";
my $guide = do { local $/; <$file> };
close $file;
my @blocks = $guide =~ /^```sql\n(.*?)^```/msg;
cmp_ok(scalar @blocks, '>=', 4, 'the guide has statements');
$node->safe_psql('postgres', 'CREATE DATABASE guide');
my $number = 0;
foreach my $block (@blocks)
{
    $number++;
    ($status, $out, $err) = $node->psql('guide', $block, on_error_stop => 1);
    is($status, 0, "block $number runs") or diag($err);
}

# what the guide's calls left behind, through dlent_predict itself
is($node->safe_psql('guide', q{SELECT string_agg(DISTINCT concat_ws(':', rollout_id, arm, version, shadow), ' ') FROM dlent.prediction WHERE arm IS NOT NULL}),
    '1:0:1:f 1:1:2:t 2:0:1:f 2:1:2:f 3:0:1:f 3:1:2:f 3:2:3:f', 'every arm has answered');
is($node->safe_psql('guide', q{SELECT units, outcomes, details ->> 'pairs' FROM dlent_experiment_report('offer', '{"rollout": 1}') WHERE metric = 'log_loss' AND arm = 'shadow'}), '2000|2000|2000', 'the shadow beside the champion');
is($node->safe_psql('guide', q{SELECT status FROM dlent_experiment_report('offer', '{"rollout": 3}') WHERE metric = 'sample_ratio'}), 'pass', 'and units are split as they should be');

$node->stop;
done_testing();
