-- What is recorded of a model's answers: dlent_observe and its options.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS dlent;
SET dlent.progress_messages = off;
CREATE SCHEMA observe;
SET search_path = observe, public;
CREATE ROLE regress_observe_user;
GRANT USAGE ON SCHEMA observe TO regress_observe_user;

CREATE TABLE spot AS
SELECT i AS id, 'c' || i % 20 AS customer, (i * 7919 % 1000) / 10.0 AS x, CASE WHEN i % 11 <> 0 THEN i % 13 END AS y,
       (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z
FROM generate_series(1, 200) AS i;
SELECT version FROM dlent_train('watched', 'SELECT x, y, z FROM spot', 'z', '{"preset": "fast", "epochs": 2, "seed": 1}');

-- ---- options ----
SELECT dlent_observe('watched', '{}');
SELECT * FROM dlent.observations WHERE model = 'watched';
SELECT dlent_observe('watched', '{"sample": 0.5, "unit": "customer", "key": "id", "features": true, "sketches": false, "rollout_sample": 0.75}');
SELECT * FROM dlent.observations WHERE model = 'watched';
SELECT dlent_observe('watched', '{"sample": 0.5, "unit": "customer", "key": "id", "features": true, "sketches": false, "rollout_sample": 0.75}') AS again;
SELECT dlent_observe('watched', '{"sample": 0}') AS only_sketches_and_rollouts;
SELECT * FROM dlent.observations WHERE model = 'watched';
SELECT dlent_observe('watched', '{"sample": 0, "sketches": false}') AS ended;
SELECT count(*) FROM dlent.observations WHERE model = 'watched';
SELECT dlent_observe('watched', '{"sample": 0, "sketches": false, "rollout_sample": 1}') AS only_rollouts;
SELECT dlent_observe('watched', NULL) AS ended;
SELECT count(*) FROM dlent.observations WHERE model = 'watched';
SELECT action, details FROM dlent.events WHERE model = 'watched' AND action = 'observe' ORDER BY id;

-- ---- mistakes ----
\set VERBOSITY default
SELECT dlent_observe('watched', '{"sampel": 1}');
SELECT dlent_observe('watched', '{"sample": 1.5}');
SELECT dlent_observe('watched', '{"sample": "all"}');
SELECT dlent_observe('watched', '{"rollout_sample": -0.1}');
SELECT dlent_observe('watched', '{"unit": ["customer"]}');
SELECT dlent_observe('watched', '{"key": ""}');
SELECT dlent_observe('watched', '{"features": 1}');
SELECT dlent_observe('watched', '{"sketches": "yes"}');
SELECT dlent_observe('watched', '[]');
SELECT dlent_observe('nothing', '{}');
SELECT dlent_observe(NULL, '{}');
SELECT dlent_observe('watched@1', '{}');
SET ROLE regress_observe_user;
SELECT dlent_observe('watched', '{}');
RESET ROLE;
BEGIN READ ONLY;
SELECT dlent_observe('watched', '{}');
ROLLBACK;

-- ---- rights ----
SELECT dlent_grant('watched', 'predict', 'regress_observe_user');
SET ROLE regress_observe_user;
SELECT dlent_observe('watched', '{}');
RESET ROLE;
SELECT dlent_grant('watched', 'manage', 'regress_observe_user');
SET ROLE regress_observe_user;
SELECT dlent_observe('watched', '{"sample": 1}');
SELECT model, sample FROM dlent.observations;
RESET ROLE;
SELECT dlent_revoke('watched', 'all', 'regress_observe_user');


-- ---- within the transaction ----
SELECT dlent_observe('watched', '{"sample": 0.01, "unit": "customer", "key": "id", "features": true, "sketches": false}');
SELECT count(dlent_predict('watched', spot)) FROM spot WHERE id <= 3;
SELECT count(*) AS not_unless_asked FROM dlent.predictions WHERE model = 'watched';
SET dlent.prediction_log = synchronous;
BEGIN;
SELECT id, round(dlent_predict('watched', spot)::numeric, 5) = round(dlent_predict_version('watched', 1, x, y)::numeric, 5) AS same FROM spot WHERE id IN (11, 12) ORDER BY id;
SELECT version, rollout, arm, shadow, request = max(request) OVER (PARTITION BY key) AS last, unit, key, score BETWEEN 0 AND 1 AS score, label, input_digest IS NOT NULL AS digest,
       features, latency_us >= 0 AS latency, error
FROM dlent.predictions WHERE model = 'watched' ORDER BY unit, key, request;
SELECT count(*) = count(DISTINCT request) AS a_number_each, bool_and(predicted_at BETWEEN now() AND clock_timestamp()) AS now FROM dlent.predictions WHERE model = 'watched';
ROLLBACK;
SELECT count(*) AS rolled_back FROM dlent.predictions WHERE model = 'watched';
-- every way to give features; keys by name where there are names
SELECT count(dlent_predict('watched', to_jsonb(spot))), count(dlent_classify('watched', spot)), count(dlent_probabilities('watched', x, y)),
       count(dlent_predict('watched@1', ARRAY[x, y]::float8[])), count(dlent_predict('watched', NULL::spot))
FROM spot WHERE id = 5;
SELECT unit, key, count(*), count(DISTINCT round(score::numeric, 6)) FROM dlent.predictions WHERE model = 'watched' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT dlent_forget_predictions('watched');
-- a long key is known by its hash
CREATE TABLE long AS SELECT repeat('k', 600) AS id, 1.0 AS x, 2 AS y;
SELECT count(dlent_predict('watched', long)) FROM long;
SELECT key = 'sha256:' || encode(sha256(repeat('k', 600)::bytea), 'hex') AS hashed FROM dlent.predictions WHERE model = 'watched';
SELECT dlent_forget_predictions('watched', repeat('k', 600)), dlent_forget_predictions('watched', repeat('k', 600)) AS again;
-- several classes, numbers
SELECT version FROM dlent_train('shop', 'SELECT x, y, (ARRAY[''a'', ''b'', ''c''])[1 + (x / 34)::int] AS shop FROM spot', 'shop', '{"preset": "fast", "epochs": 5, "seed": 1}');
SELECT version FROM dlent_train('number', 'SELECT x, y, x * 2 AS twice FROM spot', 'twice', '{"preset": "fast", "epochs": 2, "seed": 1}');
SELECT dlent_observe(m, '{"key": "id", "sketches": false}') FROM unnest(ARRAY['shop', 'number']) AS m;
SELECT count(dlent_classify('shop', spot)), count(dlent_predict('number', spot)) FROM spot WHERE id <= 20;
SELECT p.model, count(*), bool_and(CASE p.model WHEN 'shop' THEN p.label = dlent_classify('shop', s) AND abs(p.score - (dlent_probabilities('shop', s) ->> p.label)::float8) < 1e-4
                                    ELSE p.label IS NULL AND abs(p.score - dlent_predict('number', s)) < 1e-4 END) AS right
FROM dlent.predictions AS p JOIN spot AS s ON s.id::text = p.key WHERE p.model IN ('shop', 'number') GROUP BY 1 ORDER BY 1;
-- a plan that was parallel is not while records are written
SET dlent.prediction_log = on;
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
ALTER TABLE spot SET (parallel_workers = 2);
SET plan_cache_mode = force_generic_plan;
PREPARE scores AS SELECT count(dlent_predict('watched', spot)) FROM spot;
EXPLAIN (COSTS OFF) EXECUTE scores;
SET dlent.prediction_log = synchronous;
EXECUTE scores;
SELECT count(*), count(DISTINCT key) FROM dlent.predictions WHERE model = 'watched';
EXPLAIN (COSTS OFF) SELECT count(dlent_predict('watched', spot)) FROM spot;
SELECT dlent_forget_predictions('watched', older_than => '1 hour'), dlent_forget_predictions('watched');
-- what only reads stays so; what nobody asked for is not recorded
BEGIN READ ONLY;
SELECT count(dlent_predict('watched', spot)) FROM spot;
COMMIT;
CREATE INDEX ON spot (dlent_predict_version('watched', 1, x, y));
ANALYZE spot;
SELECT dlent_expect('watched', 'probability', 'prediction BETWEEN 0 AND 1');
SELECT name, status FROM dlent_check('watched', 'spot');
-- nobody but a superuser ends it for a session; a check by anybody is none of the model's answers
SELECT dlent_grant('watched', 'manage', 'regress_observe_user');
GRANT SELECT ON spot TO regress_observe_user;
SET ROLE regress_observe_user;
SET dlent.prediction_log = off;
SET dlent.prediction_log = on;
SELECT set_config('dlent.prediction_log', 'off', false);
SHOW dlent.prediction_log;
SELECT dlent_expect('watched', 'own', 'prediction <= 1');
SELECT name, status FROM dlent_check('watched', 'spot', '{"names": ["own"]}');
SELECT count(*) AS none FROM dlent.predictions WHERE model = 'watched';
SELECT count(dlent_predict('watched', spot)) FROM spot WHERE id <= 2;
SELECT count(*) AS two FROM dlent.predictions WHERE model = 'watched';
RESET ROLE;
GRANT SET ON PARAMETER dlent.prediction_log TO regress_observe_user;
SET ROLE regress_observe_user;
SET dlent.prediction_log = off;
SELECT count(dlent_predict('watched', spot)) FROM spot WHERE id <= 2;
SELECT count(*) AS two FROM dlent.predictions WHERE model = 'watched';
RESET ROLE;
REVOKE SET ON PARAMETER dlent.prediction_log FROM regress_observe_user;
SET dlent.prediction_log = synchronous;
SELECT dlent_forget_predictions('watched');
SELECT dlent_drop_expectation('watched', 'own'), dlent_revoke('watched', 'all', 'regress_observe_user');
REVOKE SELECT ON spot FROM regress_observe_user;
SELECT dlent_observe('watched', NULL);
SELECT count(dlent_predict('watched', spot)) FROM spot;
SELECT count(*) AS none FROM dlent.predictions WHERE model = 'watched';
-- who sees what, and who may erase
SELECT dlent_grant('shop', 'predict', 'regress_observe_user');
SET ROLE regress_observe_user;
SELECT model, count(*) FROM dlent.predictions GROUP BY 1;
SELECT dlent_forget_predictions('shop');
SELECT count(*) FROM dlent.sketches;
SELECT count(*) FROM dlent.prediction;
RESET ROLE;
SELECT dlent_revoke('shop', 'all', 'regress_observe_user');
SELECT dlent_forget_predictions('nothing');
SELECT model, details FROM dlent.events WHERE action = 'forget_predictions' ORDER BY id;
SET dlent.prediction_log = always;
-- live distributions need preload
SELECT dlent_drift('watched', NULL, '{"live": "1 day"}');
SELECT dlent_drift('watched', 'spot', '{"live": "1 day"}');
SELECT dlent_drift('watched', NULL, '{"live": "0 s"}');
SELECT dlent_drift('watched', NULL, '{"live": "1 day", "concept": true}');
SELECT dlent_drift('watched', NULL);
RESET dlent.prediction_log;
DROP TABLE spot CASCADE;
SELECT dlent_drop_model(m) FROM unnest(ARRAY['shop', 'number']) AS m;
SELECT count(*) AS gone FROM dlent.prediction AS p WHERE NOT EXISTS (SELECT FROM dlent.model AS m WHERE m.id = p.model_id);

SELECT dlent_drop_model('watched');
DROP SCHEMA observe CASCADE;
DROP ROLE regress_observe_user;
