# Recorded answers and counted distributions, preloaded: rows of batches, single calls and parallel plans arrive once; what finds no room is
# dropped and counted; processes that die; retention; extensions and databases that go; standbys; counts as SQL has them.

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
restart_after_crash = on
max_worker_processes = 16
dlent.prediction_log_databases = 2
dlent.sketch_interval = 1
wal_keep_size = 512MB
CONF
$node->start;

sub as { my ($role, $sql, $db) = @_; return $node->safe_psql($db // 'postgres', $sql, extra_params => [ '-U', $role ]) }
sub ask { my ($sql, $db) = @_; return $node->safe_psql($db // 'postgres', $sql) }
sub wait_for {
    my ($what, $query, $db) = @_;
    return 1 if wait_for_query($node, $what, $query, $db);
    diag($node->safe_psql('postgres', 'TABLE dlent.prediction_log'));
    return 0;
}
# Until everything that was handed over is a row.
sub settle { return wait_for('nothing waits', q{SELECT coalesce(sum(waiting), 0) = 0 FROM dlent.prediction_log WHERE database = current_database()}) }
sub clear { settle(); ask('DELETE FROM dlent.prediction') }
sub writer { return ask(q{SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE backend_type = 'dlent prediction writer'}) }

my $setup = q{
    CREATE EXTENSION dlent;
    CREATE TABLE spot AS
    SELECT i AS id, 'c' || i % 50 AS customer, (i * 7919 % 1000) / 10.0 AS x, CASE WHEN i % 11 <> 0 THEN i % 13 END AS y,
           CASE WHEN i % 9 <> 0 THEN (ARRAY['web', 'till', 'phone'])[i % 3 + 1] END AS shop, i % 4 = 0 AS late,
           (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z
    FROM generate_series(1, 2000) AS i;
    ALTER TABLE spot SET (parallel_workers = 2);
    SELECT dlent_train('m', 'SELECT x, y, shop, late, z FROM spot', 'z', '{"preset": "fast", "epochs": 2, "seed": 1}');
};
ask($setup);
my $row = 'ROW(x, y, shop, late)';

# ---- nothing is recorded until somebody says so
ask('SELECT sum(dlent_predict(\'m\', spot)) FROM spot');
is(ask('SELECT count(*) FROM dlent.prediction_log'), '0', 'nothing is recorded unasked');

# ---- every row once: batches, single calls, parallel plans, objects
ask(q{SELECT dlent_observe('m', '{"sample": 1, "key": "id", "unit": "customer", "features": true, "sketches": false}')});
ask(q{SELECT sum(dlent_predict('m', s)) FROM (SELECT * FROM spot WHERE id <= 900) AS s});
settle();
is(ask(q{SELECT count(*), count(DISTINCT key), count(DISTINCT request), count(DISTINCT unit), min(version), bool_or(shadow), count(arm), count(error) FROM dlent.predictions}),
    '900|900|900|50|1|f|0|0', 'a batch');
is(ask(q{SELECT count(*) FROM dlent.predictions AS p JOIN spot AS s ON p.key = s.id::text
         WHERE abs(p.score - dlent_predict('m', s)) < 1e-6 AND p.unit = s.customer AND p.label = dlent_classify('m', s) AND p.latency_us >= 0
             AND (p.features ->> 'x')::numeric = s.x AND (p.features ->> 'y')::numeric IS NOT DISTINCT FROM s.y
             AND p.features ->> 'shop' IS NOT DISTINCT FROM s.shop AND (p.features ->> 'late')::boolean = s.late}), '900', 'with what it was');
settle();
clear();
ask(q{SET dlent.batch = off; SELECT sum(dlent_predict('m', s)) FROM (SELECT * FROM spot WHERE id <= 300) AS s});
settle();
is(ask(q{SELECT count(*), count(DISTINCT key), count(DISTINCT request) FROM dlent.predictions}), '300|300|300', 'one by one');
clear();
ask(q{SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SELECT sum(dlent_predict('m', s)) FROM spot AS s});
settle();
is(ask(q{SELECT count(*), count(DISTINCT key), count(DISTINCT request) FROM dlent.predictions}), '2000|2000|2000', 'parallel');
clear();
ask(q{SELECT dlent_predict('m', to_jsonb(s)), dlent_classify('m', to_jsonb(s)), dlent_probabilities('m', to_jsonb(s)) FROM spot AS s WHERE id <= 5});
settle();
cmp_ok(ask(q{SELECT count(*) FROM dlent.predictions WHERE key IS NOT NULL AND unit IS NOT NULL}), '>=', 5, 'objects');
is(ask(q{SELECT count(DISTINCT key) FROM dlent.predictions}), '5', 'by their keys');
clear();
my ($status) = $node->psql('postgres', q{BEGIN; SELECT sum(dlent_predict('m', s)) FROM (SELECT * FROM spot WHERE id <= 10) AS s; ROLLBACK});
settle();
is(ask('SELECT count(*) FROM dlent.predictions'), '10', 'what was answered was answered, though the transaction was rolled back');
clear();
ask(q{CREATE INDEX spot_score ON spot (dlent_predict_version('m', 1, x, y, shop, late)); ANALYZE spot; DROP INDEX spot_score});
settle();
is(ask('SELECT count(*) FROM dlent.predictions'), '0', 'the rows of an index were not asked for');
ask(q{SET dlent.prediction_log = off; SELECT sum(dlent_predict('m', s)) FROM spot AS s});
settle();
is(ask('SELECT count(*) FROM dlent.predictions'), '0', 'a session may keep its answers to itself');

# ---- shares: of rows, of units
ask(q{SELECT dlent_observe('m', '{"sample": 0.1, "sketches": false}')});
ask(q{SELECT sum(dlent_predict('m', s)) FROM spot AS s, generate_series(1, 10)}) for 1 .. 2;
settle();
my $count = ask('SELECT count(*) FROM dlent.predictions');
cmp_ok(abs($count - 4000), '<', 400, "a tenth of the rows ($count)");
is(ask('SELECT count(*) FROM dlent.predictions WHERE features IS NOT NULL OR key IS NOT NULL'), '0', 'without what was not asked for');
clear();
ask(q{SELECT dlent_observe('m', '{"sample": 0.3, "unit": "customer", "sketches": false}')});
ask(q{SELECT sum(dlent_predict('m', s)) FROM spot AS s});
settle();
is(ask(q{SELECT bool_and(n = 40) AND count(*) BETWEEN 5 AND 28 FROM (SELECT unit, count(*) AS n FROM dlent.predictions GROUP BY unit) AS u}), 't', 'units as a whole');
my $units = ask('SELECT string_agg(DISTINCT unit, \',\' ORDER BY unit) FROM dlent.predictions');
clear();
ask(q{SET dlent.batch = off; SELECT sum(dlent_predict('m', s)) FROM spot AS s});
settle();
is(ask('SELECT string_agg(DISTINCT unit, \',\' ORDER BY unit) FROM dlent.predictions'), $units, 'the same ones whoever asks');
clear();

# ---- within the transaction
ask(q{SELECT dlent_observe('m', '{"sample": 0.01, "key": "id", "sketches": false}')});
is(ask(q{SET dlent.prediction_log = synchronous; SELECT count(dlent_predict('m', s)) FROM spot AS s WHERE id <= 500; SELECT count(DISTINCT key) FROM dlent.predictions}), "500\n500", 'synchronous: at once, and all');
ask('DELETE FROM dlent.prediction');
ask(q{SET dlent.prediction_log = synchronous; BEGIN; SELECT count(dlent_predict('m', s)) FROM spot AS s WHERE id <= 500; ROLLBACK});
is(ask('SELECT count(*) FROM dlent.predictions'), '0', 'and gone with the transaction');
is(ask(q{SET dlent.prediction_log = synchronous; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
         SELECT count(dlent_predict('m', s)) FROM spot AS s; SELECT count(DISTINCT key) FROM dlent.predictions}), "2000\n2000", 'not in parallel');
ask('DELETE FROM dlent.prediction');
is(ask(q{SET dlent.prediction_log = synchronous; BEGIN READ ONLY; SELECT count(dlent_predict('m', s)) FROM spot AS s WHERE id <= 5; COMMIT; SELECT count(*) FROM dlent.predictions}), "5\n0", 'a transaction that only reads stays one');

# ---- versions and models that are gone before their records are written
ask(q{SELECT dlent_observe('m', '{"sample": 1, "key": "id", "sketches": false}')});
ask(q{BEGIN; SELECT dlent_train('gone', 'SELECT x, y, z FROM spot', 'z', '{"preset": "fast", "epochs": 1}'); SELECT dlent_observe('gone', '{"sample": 1, "sketches": false}');
      SELECT count(dlent_predict('gone', s)) FROM spot AS s WHERE id <= 50; ROLLBACK});
settle();
is(ask(q{SELECT count(*) FROM dlent.prediction}), '0', 'what never was has no records');
is(ask(q{SELECT sum(dropped) FROM dlent.prediction_log}), '0', 'nothing was dropped until now');

# ---- no room: dropped, counted, never waited for
my $lock = $node->background_psql('postgres');
$lock->query_safe('BEGIN; LOCK dlent.prediction IN ACCESS EXCLUSIVE MODE');
my $begun = time();
ask(q{SELECT count(dlent_predict('m', s)) FROM spot AS s, generate_series(1, 10)});
cmp_ok(time() - $begun, '<', 30, 'a full ring is in nobody\'s way');
my $dropped = ask('SELECT sum(dropped) FROM dlent.prediction_log');
my $waiting = ask('SELECT sum(waiting) FROM dlent.prediction_log');
cmp_ok($dropped, '>', 5000, "dropped $dropped");
is($dropped + $waiting, 20000, 'every record is counted');
$lock->query_safe('COMMIT');
$lock->quit;
settle();
is(ask('SELECT count(*) FROM dlent.predictions'), $waiting, 'what found room was written once the lock was gone');
clear();

# ---- the writer: told to go it writes first; killed, it comes back; nothing comes twice
ask(q{SELECT count(dlent_predict('m', s)) FROM spot AS s WHERE id <= 100});
my $pid = writer();
ask("SELECT pg_terminate_backend($pid)") if $pid;
ask(q{SELECT count(dlent_predict('m', s)) FROM spot AS s WHERE id > 100 AND id <= 200});
settle();
is(ask('SELECT count(*), count(DISTINCT key) FROM dlent.predictions'), '200|200', 'a writer that is ended loses nothing');
clear();
for my $victim ('writer', 'producer') {
    my $load = $node->background_psql('postgres', on_error_stop => 0);
    my $target = $load->query_safe('SELECT pg_backend_pid()');
    $load->query_until(qr/begins/, "\\echo begins\nSELECT count(dlent_predict('m', s)) FROM spot AS s, generate_series(1, 100000);\n");
    wait_for("load for the $victim", 'SELECT count(*) > 500 FROM dlent.predictions');
    $pid = $victim eq 'writer' ? writer() : $target;
    cmp_ok($pid, '>', 0, "a $victim to be killed") or last;
    kill 'KILL', $pid;
    wait_for_end($target);    # it ends with all the others
    wait_for('the server', 'SELECT true');
    eval { $load->quit };
    is(ask('SELECT count(*) = count(DISTINCT (request, shadow, arm, key)) FROM dlent.predictions'), 't', "killed $victim: no row twice");
    ask('DELETE FROM dlent.prediction');
    ask(q{SELECT count(dlent_predict('m', s)) FROM spot AS s WHERE id <= 100});
    settle();
    is(ask('SELECT count(*), count(DISTINCT key) FROM dlent.predictions'), '100|100', "killed $victim: it goes on");
    clear();
}
my $numbers = ask(q{SELECT count(dlent_predict('m', s)) FROM spot AS s WHERE id <= 10; SELECT pg_sleep(1.5); SELECT max(request) FROM dlent.predictions});
$numbers =~ s/.*\n//s;
$node->restart;
ask(q{SELECT count(dlent_predict('m', s)) FROM spot AS s WHERE id <= 10});
settle();
is(ask("SELECT count(*) FILTER (WHERE request <= $numbers), count(*) FILTER (WHERE request > $numbers) FROM dlent.predictions"), '10|10', 'requests are numbered on after a restart');

# ---- what is there when the server stops is written
clear();
ask(q{SELECT count(dlent_predict('m', s)) FROM spot AS s WHERE id <= 20});
wait_for('a writer', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dlent prediction writer'});
ask(q{SELECT count(dlent_predict('m', s)) FROM spot AS s WHERE id > 20 AND id <= 40});
$node->restart;
is(ask('SELECT count(*), count(DISTINCT key) FROM dlent.predictions'), '40|40', 'nothing is left behind at a stop');

# ---- rollouts: who answered what, and what shadows would have answered
clear();
ask(q{SELECT dlent_train('m', 'SELECT x, y, shop, late, z FROM spot', 'z', '{"preset": "fast", "epochs": 1, "seed": 2}');
      SELECT dlent_train('m', 'SELECT x, y, shop, late, length(shop) AS more, z FROM spot', 'z', '{"preset": "fast", "epochs": 1, "seed": 3}');
      SELECT dlent_observe('m', '{"sample": 0, "rollout_sample": 1, "key": "id", "sketches": false}');
      SELECT dlent_deploy('m', 2, '{"unit": "customer", "steps": [0.25, 1]}')});
my $answers = q{SELECT sum(dlent_predict('m', s)) FROM (SELECT * FROM spot WHERE id <= 1000) AS s};
for my $way ('on', 'off') {
    ask("SET dlent.batch = $way; $answers");
    settle();
    is(ask(q{SELECT string_agg(DISTINCT arm || version, ',' ORDER BY arm || version), count(*) = count(DISTINCT key), count(*) BETWEEN 200 AND 800, count(*) = 20 * count(DISTINCT unit), bool_or(shadow) FROM dlent.predictions}),
        'candidate2,champion1|t|t|t|f', "batch $way: arms are recorded, rows that take no part are not");
    is(ask(q{SELECT count(*) FROM dlent.predictions AS p JOIN spot AS s ON s.id::text = p.key WHERE abs(p.score - dlent_predict_version('m', p.version, s)) > 1e-6 OR p.unit <> s.customer OR p.rollout IS NULL}), '0', 'with what they answered');
    settle();
    clear();
}
ask(q{SELECT dlent_stop_rollout('m'); SELECT dlent_deploy('m', 2, '{"mode": "shadow", "unit": "customer"}')});
for my $way ('on', 'off') {
    ask("SET dlent.batch = $way; $answers");
    settle();
    is(ask(q{SELECT count(*), count(DISTINCT request), count(*) FILTER (WHERE shadow AND version = 2 AND arm <> 'champion'), count(DISTINCT key), count(error) FROM dlent.predictions}), '2000|1000|1000|1000|0', "batch $way: a shadow beside every answer");
    is(ask(q{SELECT bool_and(n = 2 AND keys = 1 AND units = 1) FROM (SELECT count(*) AS n, count(DISTINCT key) AS keys, count(DISTINCT unit) AS units FROM dlent.predictions GROUP BY request) AS r}), 't', 'of the same row');
    clear();
}
ask(q{SELECT dlent_observe('m', '{"sample": 0, "rollout_sample": 0.2, "sketches": false}')});
ask($answers);
settle();
is(ask(q{SELECT count(*) FILTER (WHERE shadow) = count(*) FILTER (WHERE NOT shadow), count(*) BETWEEN 100 AND 900 AND count(*) % 40 = 0 FROM dlent.predictions}), 't|t', 'shadows of exactly the answers that are recorded');
clear();
ask(q{SELECT dlent_observe('m', '{"sample": 0, "rollout_sample": 1, "key": "id", "sketches": false}'); SELECT dlent_stop_rollout('m'); SELECT dlent_deploy('m', 3, '{"mode": "shadow", "unit": "customer"}')});
for my $way ('on', 'off') {
    ask("SET dlent.batch = $way; $answers");
    settle();
    is(ask(q{SELECT count(*) FILTER (WHERE NOT shadow), count(*) FILTER (WHERE shadow) > 0, bool_and(error LIKE '%more%' AND score IS NULL AND label IS NULL) FILTER (WHERE shadow) FROM dlent.predictions}), '1000|t|t', "batch $way: a shadow that cannot answer says why");
    clear();
}
ask(q{SELECT dlent_train('kinds', 'SELECT x, y, coalesce(shop, ''none'') AS shop FROM spot', 'shop', '{"preset": "fast", "epochs": 1, "seed": 1}');
      SELECT dlent_train('kinds', 'SELECT x, y, coalesce(shop, ''none'') AS shop FROM spot', 'shop', '{"preset": "fast", "epochs": 1, "seed": 2}');
      SELECT dlent_deploy('kinds', 2, '{"mode": "shadow", "unit": "id"}');
      SELECT count(dlent_classify('kinds', s)) FROM spot AS s WHERE id <= 300});
settle();
is(ask(q{SELECT count(*), count(*) FILTER (WHERE label = (SELECT v.key FROM jsonb_each_text(probabilities) AS v ORDER BY v.value::float8 DESC LIMIT 1)),
                count(*) FILTER (WHERE (SELECT max(abs(v.value::float8 - (dlent_probabilities('kinds@' || version, s) ->> v.key)::float8)) < 1e-6 FROM jsonb_each_text(probabilities) AS v))
         FROM dlent.predictions JOIN spot AS s ON s.id::text = key WHERE model = 'kinds'}), '600|600|600', 'of several classes every probability is recorded, as it was answered');
ask(q{SELECT dlent_stop_rollout('kinds'); SELECT dlent_drop_model('kinds')});
clear();
ask(q{SELECT dlent_stop_rollout('m'); SELECT dlent_observe('m', '{"sample": 1, "key": "id", "sketches": false}')});
ask(q{SELECT count(dlent_predict('m', s)) FROM spot AS s WHERE id <= 40});
settle();

# ---- erasure and age
is(ask(q{SELECT dlent_forget_predictions('m', '7'), dlent_forget_predictions('m', '7'), dlent_forget_predictions('m', older_than => '1 day')}), '1|0|0', 'a key is forgotten');
is(ask(q{SELECT details FROM dlent.events WHERE action = 'forget_predictions'}), '{"by": "key", "predictions": 1}', 'and not named');
ask(q{UPDATE dlent.prediction SET predicted_at = predicted_at - interval '91 days' WHERE id IN (SELECT id FROM dlent.prediction ORDER BY id LIMIT 30)});
ask(q{SELECT count(dlent_predict('m', s)) FROM spot AS s WHERE id > 40 AND id <= 50});
settle();
wait_for('the old ones', 'SELECT count(*) = 19 FROM dlent.predictions');
ask(q{SELECT dlent_forget_predictions('m')});
is(ask('SELECT count(*) FROM dlent.prediction'), '0', 'or all');

# ---- distributions: as SQL counts them
ask(q{SELECT dlent_observe('m', '{"sample": 0}')});
ask(q{SELECT count(dlent_predict('m', s)) FROM spot AS s});
ask(q{SET dlent.batch = off; SELECT count(dlent_predict('m', s)) FROM spot AS s WHERE id <= 700});
my $sketches = q{
    WITH s AS (SELECT rows, stored, sketch FROM dlent.sketches WHERE model = 'm'),
    given AS (SELECT x::float4 AS x, y::float4 AS y, shop, late, dlent_predict_version('m', 1, spot)::float4 AS score FROM spot
              UNION ALL SELECT x::float4, y::float4, shop, late, dlent_predict_version('m', 1, spot)::float4 FROM spot WHERE id <= 700),
    reference AS (SELECT reference FROM dlent.versions WHERE model = 'm' AND version = 1),
    numbers AS (SELECT r.name, r.edges, c.counts, c.missing, c.below, c.above
                FROM (SELECT f ->> 'name' AS name, f -> 'edges' AS edges FROM reference, jsonb_array_elements(reference -> 'features') AS f WHERE f ->> 'kind' = 'numeric'
                      UNION ALL SELECT 'score', reference #> '{prediction,edges}' FROM reference) AS r
                JOIN (SELECT f ->> 'name' AS name, f -> 'counts' AS counts, (f ->> 'missing')::int AS missing, (f ->> 'below')::int AS below, (f ->> 'above')::int AS above
                      FROM s, jsonb_array_elements(sketch -> 'features') AS f
                      UNION ALL SELECT 'score', sketch #> '{prediction,counts}', (sketch #>> '{prediction,missing}')::int, (sketch #>> '{prediction,below}')::int,
                          (sketch #>> '{prediction,above}')::int FROM s) AS c USING (name)),
    given_numbers AS (SELECT n.name, CASE n.name WHEN 'x' THEN g.x WHEN 'y' THEN g.y ELSE g.score END AS value FROM numbers AS n, given AS g),
    bins AS (SELECT n.name, e.i, (n.edges ->> (e.i - 2)::int)::float8 AS low, e.edge::float8 AS high, (n.counts ->> (e.i - 1)::int)::int AS counted
             FROM numbers AS n, jsonb_array_elements_text(n.edges) WITH ORDINALITY AS e(edge, i)),
    wrong AS (SELECT b.name, b.i FROM bins AS b LEFT JOIN given_numbers AS g ON g.name = b.name AND g.value <= b.high AND (g.value > b.low OR b.i = 1 AND g.value = b.high)
              GROUP BY b.name, b.i, b.counted HAVING count(g.value) <> b.counted),
    levels AS (SELECT f ->> 'name' AS name, l.level ->> 0 AS level, (c.counts ->> (l.i - 1)::int)::int AS counted, c.missing, c.other
               FROM reference, jsonb_array_elements(reference -> 'features') AS f, jsonb_array_elements(f -> 'levels') WITH ORDINALITY AS l(level, i),
                   (SELECT f ->> 'name' AS name, f -> 'counts' AS counts, (f ->> 'missing')::int AS missing, (f ->> 'other')::int AS other
                    FROM s, jsonb_array_elements(sketch -> 'features') AS f) AS c WHERE f ->> 'kind' = 'category' AND c.name = f ->> 'name'),
    wrong_levels AS (SELECT l.name, l.level FROM levels AS l, given AS g GROUP BY l.name, l.level, l.counted, l.missing, l.other
                     HAVING l.counted <> count(*) FILTER (WHERE l.level = CASE l.name WHEN 'shop' THEN g.shop ELSE g.late::text END)
                         OR l.other <> 0 OR l.missing <> count(*) FILTER (WHERE CASE l.name WHEN 'shop' THEN g.shop ELSE g.late::text END IS NULL))
    SELECT (SELECT rows || ' ' || stored FROM s), (SELECT count(*) FROM bins) > 20, (SELECT count(*) FROM wrong), (SELECT count(*) FROM levels), (SELECT count(*) FROM wrong_levels),
        (SELECT bool_and(n.missing = (SELECT count(*) FROM given_numbers AS g WHERE g.name = n.name AND g.value IS NULL)) FROM numbers AS n)
};
is(ask("SET dlent.prediction_log = off; $sketches"), '2700 false|t|0|5|0|t', 'in memory');
is(ask(q{SELECT count(*) FROM dlent.predictions}), '0', 'without a row recorded');
$node->append_conf('postgresql.conf', 'dlent.sketch_window = 1s');
$node->reload;
wait_for('a stored window', q{SELECT count(*) = 1 FROM dlent.sketches WHERE stored});
is(ask("SET dlent.prediction_log = off; $sketches"), '2700 true|t|0|5|0|t', 'and stored');
is(ask(q{SELECT window_end > window_start AND window_end <= now() FROM dlent.sketches}), 't', 'with its window');
is(ask(q{SELECT count(*), bool_or(drifted) FROM dlent_drift('m', NULL, '{"live": "1 hour"}')}), ask(q{SELECT count(*), bool_or(drifted) FROM dlent_drift('m', 'spot', '{"target": false, "performance": false}')}), 'no drift of the rows it learnt from');
$node->append_conf('postgresql.conf', 'dlent.sketch_window = 1h');
$node->reload;
ask(q{SELECT count(dlent_predict('m', s)) FROM (SELECT x + 60 AS x, y, shop, late FROM spot) AS s, generate_series(1, 3)});
is(ask(q{SELECT feature, drifted, details ->> 'live_rows' FROM dlent_drift('m', NULL, '{"live": "1 hour", "features": ["x", "shop"], "prediction": false}') WHERE details ->> 'kind' = 'feature' ORDER BY 1}),
    "shop|f|8700\nx|t|8700", 'drift of what came live, stored and in memory');
is(ask(q{SELECT count(*) > 0 FROM dlent_drift('m', NULL, '{"live": "1 hour", "store": true}'); SELECT DISTINCT source FROM dlent.drift_reports}), "t\n(live) 1 hour", 'which can be kept');
$node->restart;
is(ask(q{SELECT count(*), sum(rows) FROM dlent.sketches WHERE stored}), '2|8700', 'a stop stores what was counted');
for my $option (q{"reference": "spot"}, q{"concept": true}, q{"multivariate": true}, q{"performance": true}, q{"target": true}, q{"attribution": true}, q{"window": "1 day", "time_column": "x"}) {
    my ($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT dlent_drift('m', NULL, '{\"live\": \"1 day\", $option}')");
    like($err, qr/22023: options "live" and "\w+" exclude each other/, "not with $option");
}

# ---- databases: each its own room; a third has none; they can be dropped
ask(q{SELECT dlent_observe('m', '{"sample": 1, "sketches": false}'); SELECT count(dlent_predict('m', s)) FROM spot AS s WHERE id <= 20});
settle();
$node->safe_psql('postgres', 'CREATE DATABASE second');
$node->safe_psql('postgres', 'CREATE DATABASE third');
for my $db ('second', 'third') {
    ask($setup . q{SELECT dlent_observe('m', '{"sample": 1, "key": "id", "sketches": false}')}, $db);
    ask(q{SELECT count(dlent_predict('m', s)) FROM spot AS s WHERE id <= 20}, $db);
}
wait_for('the second', 'SELECT count(*) = 20 FROM dlent.predictions', 'second');
is(ask('SELECT dropped FROM dlent.prediction_log WHERE database IS NULL'), '20', 'no room for a third');
$node->safe_psql('postgres', 'DROP DATABASE second');
pass('a database can be dropped');
wait_for('room', q{SELECT count(*) = 0 FROM dlent.prediction_log WHERE database = 'second'});
wait_for('its turn', q{SELECT count(dlent_predict('m', s)) = 20 AND (SELECT count(*) > 0 FROM dlent.predictions) FROM spot AS s WHERE id <= 20}, 'third');

# ---- the extension goes and comes again: nothing old is taken for new
ask(q{SELECT count(dlent_predict('m', s)) FROM spot AS s WHERE id <= 20}, 'third');
ask('DROP EXTENSION dlent CASCADE', 'third');
ask("DROP TABLE spot; $setup" . q{SELECT dlent_observe('m', '{"sample": 1, "key": "id"}')}, 'third');
ask(q{SELECT count(dlent_predict('m', s)) FROM spot AS s WHERE id <= 3}, 'third');
wait_for('the new one', 'SELECT count(*) = 3 FROM dlent.predictions', 'third');
usleep(1_500_000);
is(ask('SELECT count(*) FROM dlent.prediction', 'third'), '3', 'only the new extension\'s');
ask(q{SELECT dlent_drop_model('m')}, 'third');
is(ask('SELECT (SELECT count(*) FROM dlent.prediction), (SELECT count(*) FROM dlent.sketch)', 'third'), '0|0', 'and gone with the model');

# ---- a standby counts and writes nothing
ask(q{SELECT dlent_observe('m', '{"sample": 1}')});
clear();
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', q{SELECT count(dlent_predict('m', s)) FROM spot AS s; SET dlent.prediction_log = synchronous; SELECT count(dlent_predict('m', s)) FROM spot AS s}), "2000\n2000", 'a standby answers');
is($standby->safe_psql('postgres', q{SELECT rows FROM dlent.sketches WHERE NOT stored}), '4000', 'and counts');
is($standby->safe_psql('postgres', q{SELECT count(*) > 3 FROM dlent_drift('m', NULL, '{"live": "1 hour"}')}), 't', 'which says how far it has drifted');
is($standby->safe_psql('postgres', q{SELECT coalesce(sum(written), 0) FROM dlent.prediction_log}), '0', 'and records no row');
$standby->promote;
$standby->safe_psql('postgres', q{SELECT count(dlent_predict('m', s)) FROM spot AS s WHERE id <= 10});
ok($standby->poll_query_until('postgres', q{SELECT count(*) = 10 FROM dlent.predictions}), 'promoted, it does');
$standby->stop;

is(ask(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dlent prediction writer' AND datname = 'template1'}), '0', 'no writer where there is nothing');
$node->stop;
done_testing();
