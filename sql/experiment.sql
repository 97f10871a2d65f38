-- Outcomes, reports on rollouts, verdicts: with predictions as a rollout would have recorded them.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS dlent;
SET dlent.progress_messages = off;
CREATE SCHEMA experiment;
SET search_path = experiment, public;
CREATE TABLE visit AS SELECT i AS id, i % 7 AS x, i % 7 > 3 AS bought FROM generate_series(1, 200) AS i;
SELECT count(*) FROM dlent_train('offer', 'SELECT x, bought FROM visit', 'bought', '{"preset": "fast", "epochs": 1}');
SELECT count(*) FROM dlent_train('offer', 'SELECT x, bought FROM visit', 'bought', '{"preset": "fast", "epochs": 1, "seed": 2}');

-- ---- outcomes ----
SELECT dlent_record_outcome('offer', 'a', 1);
SELECT dlent_record_outcome('offer', 'a', 12.5, 'revenue', '2026-01-01 00:00+00');
SELECT dlent_record_outcome('offer', 'a', 0);
SELECT model, key, metric, value, occurred_at <= now() AS past, recorded_at >= occurred_at AS later, recorded_by = current_user AS mine
FROM dlent.outcomes ORDER BY key, metric;
-- a table, a view, a SELECT; what is not known yet is left out; of two the last wins
CREATE TABLE sale (key int, value boolean, metric text, occurred_at timestamptz);
INSERT INTO sale VALUES (1, true, 'bought', '2026-02-01 00:00+00'), (2, NULL, 'bought', NULL), (NULL, true, 'bought', NULL), (3, false, 'bought', NULL),
    (3, true, 'bought', '2026-02-03 00:00+00'), (3, true, 'returned', NULL), (4, true, NULL, NULL);
SELECT dlent_record_outcomes('offer', 'sale');
SELECT key, metric, value, occurred_at > '2026-06-01' AS now FROM dlent.outcomes WHERE key ~ '\d' ORDER BY key, metric;
SET timezone = 'UTC';
CREATE VIEW sales AS SELECT key AS sale, 1.5::numeric AS amount, date '2026-03-01' AS on_day FROM sale WHERE key = 1;
SELECT dlent_record_outcomes('offer', 'sales', '{"key": "sale", "value": "amount", "occurred_at": "on_day", "metric": "revenue"}');
SELECT dlent_record_outcomes('offer', 'SELECT ''ä'' AS key, 2 AS value');
SELECT dlent_record_outcomes('offer', 'SELECT 1 AS key, 2 AS value LIMIT 0');
SELECT key, metric, value, extract(epoch FROM occurred_at)::bigint AS occurred_at FROM dlent.outcomes WHERE metric = 'revenue' ORDER BY key;
RESET timezone;
-- wrong ones
\set VERBOSITY default
SELECT dlent_record_outcome('nobody', 'a', 1);
SELECT dlent_record_outcome('offer', 'a', NULL);
SELECT dlent_record_outcome('offer', NULL, 1);
SELECT dlent_record_outcome('offer', 'a', 'NaN');
SELECT dlent_record_outcome('offer', 'a', 1, '');
SELECT dlent_record_outcomes('nobody', 'sale');
SELECT dlent_record_outcomes('offer', 'nowhere');
SELECT dlent_record_outcomes('offer', 'visit');
SELECT dlent_record_outcomes('offer', 'visit', '{"key": "id"}');
SELECT dlent_record_outcomes('offer', 'SELECT 1 AS key, ''yes''::text AS value');
SELECT dlent_record_outcomes('offer', 'SELECT 1 AS key, ''inf''::float8 AS value');
SELECT dlent_record_outcomes('offer', 'SELECT 1 AS key, 1 AS value, 2 AS metric');
SELECT dlent_record_outcomes('offer', 'SELECT 1 AS key, 1 AS value, 2 AS occurred_at');
SELECT dlent_record_outcomes('offer', 'sale', '{"metrics": "x"}');
SELECT dlent_record_outcomes('offer', 'sale', '{"metric": 1}');
SELECT dlent_record_outcomes('offer', 'sale', '[]');
-- who: those that manage the model, since outcomes decide; rows are read with the caller's rights
CREATE ROLE experiment_clerk;
GRANT USAGE ON SCHEMA experiment TO experiment_clerk;
SELECT dlent_grant('offer', 'predict', 'experiment_clerk');
SET ROLE experiment_clerk;
SELECT dlent_record_outcome('offer', 'a', 1);
SELECT count(*) FROM dlent.outcomes;
RESET ROLE;
SELECT dlent_grant('offer', 'manage', 'experiment_clerk');
SET ROLE experiment_clerk;
SELECT dlent_record_outcomes('offer', 'sale');
SELECT dlent_record_outcome('offer', 'b', 1);
SELECT recorded_by, count(*) FROM dlent.outcomes WHERE key = 'b' GROUP BY 1;
RESET ROLE;
-- erasure
SELECT dlent_forget_outcomes('offer', 'a'), dlent_forget_outcomes('offer', 'a');
SELECT dlent_forget_outcomes('offer', older_than => '1 day');
SELECT dlent_forget_outcomes('offer');
SELECT details FROM dlent.events WHERE model = 'offer' AND action = 'forget_outcomes' ORDER BY id;
BEGIN READ ONLY;
SELECT dlent_record_outcome('offer', 'a', 1);
ROLLBACK;

-- ---- a canary: 10 % of the champion's visitors buy, 11 % of the candidate's; then 12 % ----
SELECT * FROM dlent_experiment_report('offer');
INSERT INTO dlent.rollout (model_id, mode, unit, seed, coverage, options, started_by)
SELECT id, 'canary', 'id', 's', 0.02, '{"mode": "canary", "goal": {"metric": "bought", "direction": "increase"}, "guardrails": [{"metric": "returned", "direction": "decrease", "margin": 0.05}]}', 'test'
FROM dlent.model WHERE name = 'offer' RETURNING id AS canary \gset
INSERT INTO dlent.rollout_arm VALUES (:canary, 0, 'champion', 1, 0.5, false), (:canary, 1, 'candidate', 2, 0.5, false);
SELECT metric, arm, role, units, outcomes, mean, difference, low, high, p_value, status FROM dlent_experiment_report('offer');
CREATE FUNCTION predict_arm(rollout bigint, arm int, units int, hits int, metric text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO dlent.prediction (request, predicted_at, model_id, version, rollout_id, arm, shadow, unit, key, score, latency_us)
    SELECT i, clock_timestamp(), r.model_id, arm + 1, r.id, arm, false, arm || '/' || i, r.id || '/' || arm || '/' || i, (i <= hits)::int * 0.5 + 0.25, 10 * (arm + 1)
    FROM dlent.rollout AS r, generate_series(1, units) AS i WHERE r.id = rollout
    ON CONFLICT DO NOTHING;
    INSERT INTO dlent.outcome (model_id, key, metric, value, occurred_at, recorded_by)
    SELECT r.model_id, r.id || '/' || arm || '/' || i, metric, (i <= hits)::int, now(), current_user
    FROM dlent.rollout AS r, generate_series(1, units) AS i WHERE r.id = rollout
    ON CONFLICT (model_id, key, metric) DO UPDATE SET value = excluded.value
$$;
SELECT predict_arm(:canary, 0, 10000, 1000, 'bought');
SELECT predict_arm(:canary, 1, 10000, 1100, 'bought');
-- who takes no part does not count
INSERT INTO dlent.prediction (request, predicted_at, model_id, version, rollout_id, arm, shadow, unit, key, score)
SELECT i, now(), model_id, 1, id, NULL, false, 'x' || i, :canary || '/0/' || i, 1 FROM dlent.rollout, generate_series(1, 100) AS i WHERE id = :canary;
CREATE VIEW report AS
SELECT metric, arm, version, role, units, outcomes, round(mean::numeric, 6) AS mean, round(difference::numeric, 6) AS difference, round(low::numeric, 6) AS low,
       round(high::numeric, 6) AS high, round(p_value::numeric, 6) AS p_value, status, round((details ->> 'fixed_p_value')::numeric, 4) AS fixed_p
FROM dlent_experiment_report('offer');
SELECT * FROM report;
SELECT metric, arm, details - ARRAY['standard_deviation', 'standard_error', 'fixed_p_value'] AS details FROM dlent_experiment_report('offer')
WHERE metric IN ('bought', 'sample_ratio', 'error_rate') ORDER BY metric, arm;
UPDATE dlent.outcome SET value = 1 WHERE key ~ ('^' || :canary || '/1/1(1[0-9][0-9]|200)$') AND metric = 'bought';
SELECT p_value::numeric(12, 9), status FROM dlent_experiment_report('offer') WHERE metric = 'bought' AND arm = 'candidate';
SELECT metric, arm, role, difference::numeric(8, 4), low > 0 AS surely, details -> 'relative' AS relative
FROM dlent_experiment_report('offer', '{"relative": true, "metrics": ["bought", "score"], "alpha": 0.01}') WHERE arm = 'candidate';
-- the mixture sequential probability ratio test, where it is said what effects are expected
WITH r AS (SELECT difference AS d, (details ->> 'standard_error')::float8 ^ 2 AS v, (details ->> 'mixture_p_value')::float8 AS p
           FROM dlent_experiment_report('offer', '{"effects": {"bought": 0.01}}') WHERE metric = 'bought' AND arm = 'candidate')
SELECT abs(p - 1 / (sqrt(v / (v + 1e-4)) * exp(1e-4 * d ^ 2 / (2 * v * (v + 1e-4))))) < 1e-12 AS as_defined, p < 0.001 AS sure FROM r;
SELECT count(*) FROM dlent_experiment_report('offer', '{"effects": {"nothing": 1}}') WHERE details ? 'mixture_p_value';
-- a unit's mean is one observation
UPDATE dlent.prediction SET unit = '1/' || substring(unit FROM 3)::int / 2 WHERE rollout_id = :canary AND arm = 1;
SELECT arm, units, outcomes, mean::numeric(8, 4), status FROM dlent_experiment_report('offer', '{"metrics": ["bought"]}') WHERE role IN ('goal', 'check');
SELECT arm, units, p_value < 1e-9 AS alarm FROM dlent_experiment_report('offer', '{"metrics": []}') WHERE metric = 'sample_ratio';
-- a time
SELECT units FROM dlent_experiment_report('offer', '{"metrics": [], "from": "2020-01-01", "until": "2021-01-01"}') WHERE metric = 'sample_ratio';
-- other rollouts stay to be seen
UPDATE dlent.rollout SET state = 'stopped', ended_at = now() WHERE id = :canary;

-- ---- known numbers: d .5033611, se .3334122, n 6461, tightest at 1000 ----
INSERT INTO dlent.rollout (model_id, mode, unit, seed, coverage, options, started_by)
SELECT id, 'experiment', 'id', 's', 1, '{"goal": {"metric": "spent", "direction": "increase"}, "tuning_units": 1000}', 'test' FROM dlent.model WHERE name = 'offer' RETURNING id AS known \gset
INSERT INTO dlent.rollout_arm VALUES (:known, 0, 'champion', 1, 0.5, false), (:known, 1, 'version 2', 2, 0.5, false);
SELECT predict_arm(:known, 0, 3231, 0, 'spent');
SELECT predict_arm(:known, 1, 3230, 0, 'spent');
UPDATE dlent.outcome SET value = 0.5033611 + (substring(key FROM '\d+$')::int % 2 * 2 - 1) * 0.3334122 * sqrt(3229) WHERE key ~ ('^' || :known || '/1/') AND metric = 'spent';
SELECT difference::numeric(8, 7), low::numeric(6, 5), high::numeric(6, 5), p_value, status FROM dlent_experiment_report('offer') WHERE metric = 'spent' AND version = 2;
SELECT DISTINCT rollout = :canary AS earlier FROM dlent_experiment_report('offer', jsonb_build_object('rollout', :canary));
-- sample ratio mismatch: 500 to 600 is quiet, 5000 to 5400 is not
DELETE FROM dlent.prediction WHERE rollout_id = :known;
SELECT predict_arm(:known, 0, 500, 0, 'none');
SELECT predict_arm(:known, 1, 600, 0, 'none');
SELECT p_value::numeric(8, 7), status FROM dlent_experiment_report('offer', '{"metrics": []}') WHERE metric = 'sample_ratio';
DELETE FROM dlent.prediction WHERE rollout_id = :known;
SELECT predict_arm(:known, 0, 5000, 0, 'none');
SELECT predict_arm(:known, 1, 5400, 0, 'none');
SELECT p_value::numeric(12, 10), status FROM dlent_experiment_report('offer', '{"metrics": []}') WHERE metric = 'sample_ratio';

-- ---- computed metrics ----
DELETE FROM dlent.prediction WHERE rollout_id = :known;
INSERT INTO dlent.prediction (request, predicted_at, model_id, version, rollout_id, arm, shadow, unit, key, score)
SELECT n, now(), r.model_id, arm + 1, r.id, arm, false, 'u' || n || arm, 'k' || n, score
FROM dlent.rollout AS r, (VALUES (1, 0, 0.9), (1, 1, 1), (2, 0, 0.2), (2, 1, 0.6), (3, 0, 0.5), (3, 1, 'NaN')) AS v (n, arm, score) WHERE r.id = :known;
SELECT dlent_record_outcomes('offer', 'VALUES (''k1'', 1), (''k2'', 0), (''k3'', 1)', '{"key": "column1", "value": "column2"}');
SELECT metric, arm, units, outcomes, mean::numeric(10, 6), abs(mean + (ln(0.9) + ln(0.8) + ln(0.5)) / 3) < 1e-9 AS loss_of_champion
FROM dlent_experiment_report('offer', '{"metrics": ["log_loss", "brier_score", "accuracy", "score"]}') WHERE role = 'info' AND outcomes IS NOT NULL;
SELECT arm, details FROM dlent_experiment_report('offer', '{"metrics": []}') WHERE metric = 'error_rate';
SELECT dlent_record_outcome('offer', 'k3', 7);
SELECT arm, outcomes, details -> 'invalid_outcomes' AS invalid FROM dlent_experiment_report('offer', '{"metrics": ["log_loss"]}') WHERE metric = 'log_loss';

-- ---- a shadow, compared on the same requests ----
UPDATE dlent.rollout SET state = 'stopped', ended_at = now() WHERE id = :known;
INSERT INTO dlent.rollout (model_id, mode, seed, coverage, options, started_by)
SELECT id, 'shadow', 's', 1, '{"goal": {"metric": "log_loss"}}', 'test' FROM dlent.model WHERE name = 'offer' RETURNING id AS shadow \gset
INSERT INTO dlent.rollout_arm VALUES (:shadow, 0, 'champion', 1, 1, false), (:shadow, 1, 'shadow', 2, 0, true);
INSERT INTO dlent.prediction (request, predicted_at, model_id, version, rollout_id, arm, shadow, key, score, latency_us, error)
SELECT i, clock_timestamp(), r.model_id, arm + 1, r.id, arm, arm = 1, 's' || i,
       CASE WHEN i > 10 OR arm = 0 THEN (1 + arm * i % 3 + i % 7) / 12.0 END, 10 + 5 * arm, CASE WHEN i <= 10 AND arm = 1 THEN 'no' END
FROM dlent.rollout AS r, generate_series(1, 1000) AS i, generate_series(0, 1) AS arm WHERE r.id = :shadow;
SELECT dlent_record_outcomes('offer', 'SELECT ''s'' || i AS key, i % 7 > 3 AS value FROM generate_series(1, 900) AS i');
SELECT metric, arm, version, role, units, outcomes, mean, difference, low, high, p_value, status, fixed_p FROM report;
-- by hand
WITH loss AS (
    SELECT p.request, p.arm, p.score, -ln(CASE o.value WHEN 1 THEN p.score WHEN 0 THEN 1 - p.score END) AS loss FROM dlent.prediction AS p LEFT JOIN dlent.outcome AS o USING (model_id, key)
    WHERE p.rollout_id = :shadow)
SELECT round(avg(s.loss - c.loss)::numeric, 6) AS difference, count(s.loss - c.loss) AS pairs, round((stddev_samp(s.loss - c.loss) / sqrt(890))::numeric, 6) AS standard_error,
       round(avg(((s.score >= 0.5) = (c.score >= 0.5))::int)::numeric, 6) AS agreement, round(corr(s.score, c.score)::numeric, 6) AS correlation
FROM loss AS s JOIN loss AS c ON c.request = s.request AND c.arm = 0 WHERE s.arm = 1;
SELECT details ->> 'compared' AS compared, details -> 'pairs' AS pairs, round((details ->> 'standard_error')::numeric, 6) AS standard_error
FROM dlent_experiment_report('offer') WHERE metric = 'log_loss' AND arm = 'shadow';

-- ---- reading only, and who may ----
BEGIN READ ONLY;
SELECT count(*) FROM dlent_experiment_report('offer');
ROLLBACK;
SELECT dlent_revoke('offer', 'all', 'experiment_clerk');
SET ROLE experiment_clerk;
SELECT count(*) FROM dlent_experiment_report('offer');
RESET ROLE;
SELECT dlent_grant('offer', 'predict', 'experiment_clerk');
SET ROLE experiment_clerk;
SELECT count(*) FROM dlent_experiment_report('offer');
RESET ROLE;
SELECT * FROM dlent_experiment_report('offer', '{"rolout": 1}');
SELECT * FROM dlent_experiment_report('offer', '{"rollout": 99999999}');
SELECT * FROM dlent_experiment_report('offer', '{"rollout": "last"}');
SELECT * FROM dlent_experiment_report('offer', '{"from": "soon"}');
SELECT * FROM dlent_experiment_report('offer', '{"from": 1}');
SELECT * FROM dlent_experiment_report('offer', '{"metrics": "bought"}');
SELECT * FROM dlent_experiment_report('offer', '{"metrics": ["squared_error"]}');
SELECT * FROM dlent_experiment_report('offer', '{"alpha": 1}');
SELECT * FROM dlent_experiment_report('offer', '{"relative": 1}');
SELECT * FROM dlent_experiment_report('offer', '{"effects": 1}');
SELECT * FROM dlent_experiment_report('offer', '{"effects": {"bought": 0}}');
SELECT * FROM dlent_experiment_report('offer', '[]');
SELECT * FROM dlent_experiment_report('nobody');

-- ---- the rule of a rollout ----
UPDATE dlent.rollout SET state = 'stopped', ended_at = now() WHERE id = :shadow;
SELECT dlent_deploy('offer', 2, '{"unit": "id", "goal": "bought"}');
SELECT dlent_deploy('offer', 2, '{"unit": "id", "goal": 1}');
SELECT dlent_deploy('offer', 2, '{"unit": "id", "goal": {"direction": "increase"}}');
SELECT dlent_deploy('offer', 2, '{"unit": "id", "goal": {"metric": "accuracy", "direction": "decrease"}}');
SELECT dlent_deploy('offer', 2, '{"unit": "id", "goal": {"metric": "bought", "direction": "up"}}');
SELECT dlent_deploy('offer', 2, '{"unit": "id", "goal": {"metric": "accuracy", "margin": -1}}');
SELECT dlent_deploy('offer', 2, '{"unit": "id", "goal": {"metric": "accuracy", "limit": 1}}');
SELECT dlent_deploy('offer', 2, '{"unit": "id", "goal": "squared_error"}');
SELECT dlent_deploy('offer', 2, '{"unit": "id", "goal": "accuracy", "guardrails": ["accuracy"]}');
SELECT dlent_deploy('offer', 2, '{"unit": "id", "guardrails": "accuracy"}');
SELECT dlent_deploy('offer', 2, '{"mode": "shadow", "goal": {"metric": "bought", "direction": "increase"}}');
SELECT dlent_deploy('offer', 2, '{"unit": "id", "min_duration": "1 day", "max_duration": "1 hour"}');
SELECT dlent_deploy('offer', 2, '{"unit": "id", "max_error_rate": 1}');
SELECT dlent_deploy('offer', 2, '{"unit": "id", "max_latency_us": 0}');
SELECT dlent_deploy('offer', 2, '{"unit": "id", "check": 0.1}');
SELECT dlent_deploy('offer', 2, '{"unit": "id", "checks": "1 day"}');

-- ---- verdicts ----
SELECT dlent_deploy('offer', 2, '{"unit": "id", "goal": {"metric": "bought", "direction": "increase"}, "guardrails": [{"metric": "log_loss", "margin": 0.1}], "min_duration": 0, "max_duration": "1 day", "max_latency_us": 100}') AS judged \gset
SELECT options - 'seed' AS options FROM dlent.rollouts WHERE rollout = :judged;
CREATE VIEW verdict AS
SELECT c ->> 'verdict' AS verdict, k."check", k.arm, k.status, k.sentence
FROM dlent_check_rollout('offer') AS c CROSS JOIN LATERAL jsonb_to_recordset(c -> 'checks') AS k ("check" text, arm text, status text, sentence text) WHERE k."check" <> 'duration';
SELECT * FROM verdict;
SELECT predict_arm(:judged, 0, 1000, 100, 'bought');
SELECT predict_arm(:judged, 1, 1000, 300, 'bought');
SELECT dlent_record_outcomes('offer', format('SELECT key, value FROM dlent.outcomes WHERE metric = ''bought'' AND key LIKE ''%s/%%''', :judged));
SELECT * FROM verdict WHERE "check" = 'guardrail'; -- all losses are equal
UPDATE dlent.prediction SET score = score + 0.01 * (substring(unit FROM 3)::int % 5) WHERE rollout_id = :judged;
SELECT * FROM verdict;
SELECT dlent_check_rollout('offer') - 'checks' - 'rollout' AS verdict;
-- a stored check of expectations
SELECT dlent_expect('offer', 'few', 'count(*) < 10');
SELECT status FROM dlent_check('offer@2', 'visit', '{"store": true}');
SELECT * FROM verdict WHERE "check" = 'expectations';
SELECT dlent_drop_expectation('offer', 'few');
SELECT count(*) FROM verdict WHERE "check" = 'expectations';
-- who may, and when
SET ROLE experiment_clerk;
SELECT dlent_check_rollout('offer') ->> 'state' AS state;
SELECT dlent_check_rollout('offer', '{"apply": true}');
RESET ROLE;
BEGIN READ ONLY;
SELECT dlent_check_rollout('offer') ->> 'state' AS state;
SELECT dlent_check_rollout('offer', '{"apply": true}');
ROLLBACK;
SELECT dlent_check_rollout('offer', '{"aply": true}');
SELECT dlent_check_rollout('offer', '{"apply": 1}');
SELECT dlent_check_rollout('offer', '{"rollout": 0}');
SELECT dlent_check_rollout('nobody');
SELECT dlent_check_rollout('offer', jsonb_build_object('rollout', :canary, 'apply', true)) ->> 'verdict' AS another;
SELECT c ->> 'verdict' AS verdict, c ->> 'applied' AS applied, c ->> 'share' AS share FROM dlent_check_rollout('offer', '{"apply": true}') AS c;
SELECT step, state FROM dlent.rollouts WHERE rollout = :judged;
SELECT * FROM verdict WHERE status <> 'pass';
SELECT dlent_stop_rollout('offer');

-- ---- several classes: labels are compared ----
CREATE TABLE iris AS SELECT i AS id, i % 9 AS x, (ARRAY['one', 'two', 'three'])[1 + i % 9 / 3] AS kind FROM generate_series(1, 180) AS i;
SELECT count(*) FROM dlent_train('iris', 'SELECT x, kind FROM iris', 'kind', '{"preset": "fast", "epochs": 3}');
SELECT count(*) FROM dlent_train('iris', 'SELECT x, kind FROM iris', 'kind', '{"preset": "fast", "epochs": 3, "seed": 2}');
SELECT dlent_record_outcomes('offer', 'SELECT 1 AS key, ''one''::text AS value');
SELECT dlent_deploy('iris', 2, '{"mode": "shadow", "goal": "brier_score"}');
SELECT dlent_deploy('iris', 2, '{"mode": "shadow", "goal": {"metric": "paid", "direction": "increase"}}');
SELECT dlent_deploy('iris', 2, '{"unit": "id", "goal": "accuracy", "min_duration": 0, "min_outcomes": 10}') AS iris \gset
CREATE FUNCTION probabilities(i int) RETURNS jsonb LANGUAGE sql RETURN jsonb_build_object('one', 0.2 + 0.01 * (i % 7), 'two', 0.5, 'three', 0.3 - 0.01 * (i % 7));
INSERT INTO dlent.prediction (request, predicted_at, model_id, version, rollout_id, arm, shadow, unit, key, score, label, probabilities)
SELECT i.id, now(), r.model_id, 1 + i.id % 2, r.id, i.id % 2, false, i.id, i.id, 0.5, CASE WHEN i.id % (5 + 10 * (i.id % 2)) = 0 THEN 'one' ELSE i.kind END, probabilities(i.id)
FROM dlent.rollout AS r, iris AS i WHERE r.id = :iris;
SELECT dlent_record_outcomes('iris', 'SELECT id AS key, kind AS value FROM iris WHERE id <= 170');
SELECT key, metric, value, label FROM dlent.outcomes WHERE model = 'iris' AND key IN ('1', '5') ORDER BY key;
SELECT arm, metric, role, units, outcomes, mean::numeric(8, 6), status FROM dlent_experiment_report('iris') WHERE metric IN ('accuracy', 'log_loss');
SELECT p.arm, avg((p.label = i.kind)::int)::numeric(8, 6) AS accuracy, avg(-ln((p.probabilities ->> i.kind)::float8))::numeric(8, 6) AS log_loss FROM dlent.prediction AS p JOIN iris AS i ON i.id = p.key::int AND i.id <= 170 WHERE p.rollout_id = :iris GROUP BY 1 ORDER BY 1;
SELECT dlent_record_outcome('iris', '1', 2);
SELECT value, label FROM dlent.outcomes WHERE model = 'iris' AND key = '1';
SELECT dlent_stop_rollout('iris');
-- a shadow, by pairs; a label that is a number is a text like others
SELECT dlent_deploy('iris', 2, '{"mode": "shadow", "goal": "accuracy"}') AS pairs \gset
INSERT INTO dlent.prediction (request, predicted_at, model_id, version, rollout_id, arm, shadow, key, score, label, probabilities)
SELECT i.id, now(), r.model_id, 1 + a, r.id, a, a = 1, i.id, 0.5, CASE WHEN i.id % (4 + 4 * a) = 0 THEN 'one' WHEN i.id = 1 THEN '2' ELSE i.kind END, probabilities(i.id + a)
FROM dlent.rollout AS r, iris AS i, generate_series(0, 1) AS a WHERE r.id = :pairs;
SELECT arm, outcomes, mean::numeric(8, 6), difference::numeric(8, 6), details -> 'pairs' AS pairs FROM dlent_experiment_report('iris') WHERE metric IN ('accuracy', 'log_loss');
SELECT (avg((s.label = coalesce(o.label, o.value::text))::int) - avg((c.label = coalesce(o.label, o.value::text))::int))::numeric(8, 6) AS accuracy,
       avg(ln((c.probabilities ->> o.label)::float8) - ln((s.probabilities ->> o.label)::float8))::numeric(8, 6) AS log_loss
FROM dlent.prediction AS s JOIN dlent.prediction AS c ON c.rollout_id = :pairs AND c.request = s.request AND c.arm = 0 JOIN dlent.outcome AS o ON o.key = s.key AND o.model_id = s.model_id
WHERE s.rollout_id = :pairs AND s.arm = 1;

-- what is recorded while it is under way
SELECT dlent_observe('iris', '{"key": "id", "sketches": false}');
SET dlent.prediction_log = synchronous;
SELECT count(dlent_classify('iris', i)) FROM (SELECT id + 1000 AS id, x FROM iris WHERE id <= 20) AS i;
RESET dlent.prediction_log;
SELECT p.shadow, count(*), bool_and((SELECT max(abs(v.value::float8 - (dlent_probabilities('iris@' || p.version, i) ->> v.key)::float8)) FROM jsonb_each_text(p.probabilities) AS v) < 1e-6) AS right
FROM dlent.predictions AS p JOIN iris AS i ON p.key = (i.id + 1000)::text WHERE p.model = 'iris' GROUP BY 1 ORDER BY 1;
DELETE FROM dlent.prediction WHERE rollout_id = :pairs AND key::int > 1000;

-- ---- the same numbers, whether outcomes are looked up or read ----
SELECT dlent_stop_rollout('iris');
CREATE VIEW now AS SELECT arm, metric, units, outcomes, round(mean::numeric, 9) AS mean, round(difference::numeric, 9) AS difference, round(low::numeric, 9) AS low
FROM dlent_experiment_report('iris', jsonb_build_object('rollout', (SELECT min(rollout) FROM dlent.rollouts WHERE model = 'iris'))) UNION ALL
SELECT arm, metric, units, outcomes, round(mean::numeric, 9), round(difference::numeric, 9), round(low::numeric, 9)
FROM dlent_experiment_report('iris', jsonb_build_object('rollout', (SELECT max(rollout) FROM dlent.rollouts WHERE model = 'iris')));
CREATE TABLE before AS TABLE now;
INSERT INTO dlent.outcome (model_id, key, metric, value, occurred_at, recorded_by) SELECT id, 'x' || i, 'outcome', 1, now(), current_user FROM dlent.model, generate_series(1, 20000) AS i WHERE name = 'offer';
SELECT count(*) AS rows, count(outcomes) AS counted FROM before;
(TABLE before EXCEPT ALL TABLE now) UNION ALL (TABLE now EXCEPT ALL TABLE before);
SELECT dlent_drop_model('iris');

-- ---- gone with the model ----
SELECT dlent_drop_model('offer');
SELECT count(*) FROM dlent.outcome;
DROP OWNED BY experiment_clerk;
DROP ROLE experiment_clerk;
DROP SCHEMA experiment CASCADE;
