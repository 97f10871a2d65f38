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
SELECT dlent_observe('watched', '{"sketches": null}');
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

SELECT dlent_drop_model('watched');
DROP SCHEMA observe CASCADE;
DROP ROLE regress_observe_user;
