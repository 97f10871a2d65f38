# A monitor that tries its candidate out before it promotes it: as a shadow, then as a canary, step by step, by the numbers of the rollout.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "dlent.progress_messages = off\nclient_min_messages = error\ndlent.prediction_log = synchronous\n");
$node->start;
$node->safe_psql('postgres', q{
    CREATE EXTENSION dlent;
    CREATE FUNCTION uniform(stream int, i int) RETURNS float8 LANGUAGE sql IMMUTABLE
    RETURN (hashint8extended(i, stream) & 1048575) / 1048576.0;
    CREATE FUNCTION calls(first int, last int, season int) RETURNS TABLE (id int, caller int, minutes float8, hour float8, again boolean) LANGUAGE sql IMMUTABLE AS $$
        SELECT i, i / 2, 30 * uniform(1, i), 24 * uniform(2, i),
               CASE season WHEN 0 THEN uniform(1, i) ELSE 1 - uniform(1, i) END + 0.5 * uniform(2, i) + 0.3 * uniform(3, i) > 0.9
        FROM generate_series(first, last) AS i $$;
    CREATE TABLE call AS SELECT * FROM calls(1, 2000, 0);
    CREATE TABLE recent AS SELECT * FROM calls(2001, 2400, 0);
    SELECT dlent_train('again', 'call', 'again', '{"preset": "fast", "epochs": 10, "exclude": ["id", "caller"]}');
    SELECT dlent_observe('again', '{"sample": 1, "unit": "caller", "key": "id"}');
});

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub error_of { my ($sql) = @_; my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql"); return $err }
my $next = 10_001;
# calls that are answered, and what became of them
sub traffic {
    my ($season, $count) = @_;
    my $last = $next + $count - 1;
    sql("SELECT count(dlent_predict('again', c)) FROM calls($next, $last, $season) AS c");
    sql("SELECT dlent_record_outcomes('again', 'SELECT id::text AS key, again AS value FROM calls($next, $last, $season)')");
    $next = $last + 1;
}
sub run_monitor { my ($options) = @_; $options //= '{}'; return sql("SELECT r ->> 'state', string_agg(s ->> 'decision', ' ' ORDER BY n) FROM dlent_run_monitor('again', '$options') AS r, jsonb_array_elements(r -> 'steps') WITH ORDINALITY AS t (s, n) GROUP BY 1") }
sub new_season { my ($season) = @_; sql("TRUNCATE call, recent; INSERT INTO call SELECT * FROM calls(1, 2000, $season); INSERT INTO recent SELECT * FROM calls(2001, 2400, $season)") }

like(error_of(q{SELECT dlent_monitor('again', 'recent', NULL, '{"rollout": {"shadow": {"mode": "canary"}}}')}), qr/22023: option "rollout.shadow" must be without mode/, 'modes are what they are called');
like(error_of(q{SELECT dlent_monitor('again', 'recent', NULL, '{"rollout": {"canary": {"unit": "caller", "stepps": []}}}')}), qr/22023/, 'options of dlent_deploy are strict');

my $rule = q{"min_duration": 0, "min_outcomes": 100};
my $goal = q{"goal": {"metric": "log_loss", "direction": "decrease", "margin": 0}};
my $policy = qq{"cooldown": 0, "backoff": {"period": 0}, "gates": {"data": false},
    "rollout": {"shadow": {"unit": "caller", $rule, $goal}, "canary": {"unit": "caller", "steps": [0.25, 0.5, 1], $rule}}};
sql("SELECT dlent_monitor('again', 'recent', NULL, '{$policy}')");

# ---- all the way
new_season(1);
is(run_monitor('{"force": "retrain"}'), 'shadow|retrain accepted trained accepted deployed', 'a shadow');
is(sql(q{SELECT mode, state, version FROM dlent.rollouts JOIN dlent.rollout_arms USING (model, rollout) WHERE arm = 1}), 'shadow|running|2', 'is at work');
is(sql(q{SELECT champion, candidate FROM dlent.monitors}), '1|2', 'behind the champion');
is(sql('SELECT count(*) FROM dlent.predictions'), '0', 'what the monitor asks of it is not recorded');
is(run_monitor(), 'shadow|waits', 'no traffic, no verdict');
traffic(1, 1500);
is(run_monitor(), 'canary|passed deployed', 'it has proved itself, and answers a part');
is(run_monitor(), 'canary|waits', 'no traffic, no step');
for my $step ('canary|advanced', 'watching|promoted')
{
    traffic(1, 3000);
    is(run_monitor(), $step, "the canary: $step");
}
is(sql(q{SELECT champion FROM dlent.models WHERE model = 'again'}), '2', 'the candidate is champion');
is(sql(q{SELECT string_agg(mode || ' ' || state, ', ' ORDER BY rollout) FROM dlent.rollouts}), 'shadow stopped, canary promoted', 'rollouts have ended');
is(sql(q{SELECT string_agg(action, ' ' ORDER BY occurred_at) FROM dlent.events WHERE action LIKE 'monitor\_%'}),
    'monitor_trigger monitor_data_accepted monitor_trained monitor_accepted monitor_shadow monitor_shadow_passed monitor_canary '
    . 'monitor_canary_advanced monitor_promoted', 'events in their order');
is(sql(q{SELECT state, failures FROM dlent.monitors}), 'watching|0', 'and the monitor watches again');

# ---- worse in production than on the held-out rows
new_season(0);
is(run_monitor('{"force": "retrain"}'), 'shadow|retrain accepted trained accepted deployed', 'another shadow');
my $champion = sql(q{SELECT champion FROM dlent.models WHERE model = 'again'});
traffic(1, 1500);
is(run_monitor(), 'watching|rolled back', 'is given up where it is worse');
is(sql(q{SELECT champion FROM dlent.models WHERE model = 'again'}), $champion, 'the champion stays');
like(sql(q{SELECT action || ': ' || reason FROM dlent.events WHERE action LIKE 'monitor\_%' ORDER BY occurred_at DESC LIMIT 1}), qr/^monitor_rolled_back: ./, 'with a reason');
is(sql(q{SELECT count(*) FROM dlent.rollouts WHERE ended_at IS NULL}), '0', 'its rollout has ended');
is(sql(q{SELECT failures FROM dlent.monitors}), '1', 'and counts as a failure');

# ---- others interfere
is(run_monitor('{"force": "retrain"}'), 'shadow|retrain accepted trained accepted deployed', 'a third');
sql(q{SELECT dlent_stop_rollout('again', 'enough')});
is(run_monitor(), 'watching|stopped', 'a rollout that somebody else has ended');
is(run_monitor('{"force": "retrain"}'), 'shadow|retrain accepted trained accepted deployed', 'a fourth');
my $candidate = sql('SELECT candidate FROM dlent.monitors');
sql("SELECT dlent_promote('again', $candidate, 'I like it')");
is(run_monitor(), 'watching|promoted', 'somebody has promoted the candidate');
new_season(1);
is(run_monitor('{"force": "retrain"}'), 'shadow|retrain accepted trained accepted deployed', 'a fifth');
sql(q{SELECT dlent_stop_rollout('again', 'to be dropped'), dlent_drop_model('again', (SELECT candidate FROM dlent.monitors))});
is(run_monitor(), 'watching|stopped', 'somebody has dropped the candidate');
is(run_monitor('{"force": "retrain"}'), 'shadow|retrain accepted trained accepted deployed', 'a sixth');
is(sql(q{SELECT dlent_unmonitor('again')}), 't', 'the monitor is ended');
is(sql(q{SELECT count(*) FROM dlent.rollouts WHERE ended_at IS NULL}), '0', 'and its rollout with it');

$node->stop;
done_testing();
