-- dlent_train: what its options do to the version that is stored, and what it returns.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS dlent CASCADE;
CREATE EXTENSION dlent;
SET dlent.progress_messages = off;
SET client_min_messages = error;

CREATE TABLE visit (id int, at timestamptz, shop int, spent float8, items int, city text, weight float8, again boolean, segment text);
INSERT INTO visit
SELECT i, timestamptz '2025-01-01 00:00+00' + i * interval '1 hour', i % 11, (i * 7919 % 1000) / 10.0, i % 9,
       (ARRAY['Bonn', 'Ulm', 'Kiel'])[1 + i % 3], 1 + i % 2, (i * 7919 % 1000) + (i * 104729 % 601) > 800,
       (ARRAY['a', 'b', 'c'])[1 + ((i * 7919 % 1000) + (i * 104729 % 601)) / 600]
FROM generate_series(1, 400) AS i ORDER BY hashint4(i);
CREATE VIEW inputs AS SELECT spent, items, city, again FROM visit;

-- what comes back: the version, what trained it and where, and metrics of rows that were held out
SELECT version, kind, device, train_rows, epochs > 0 AS epochs, seconds > 0 AS seconds, array_agg(m ORDER BY m) AS metrics
FROM dlent_train('again', 'inputs', 'again', '{"preset": "fast", "epochs": 3}'), LATERAL jsonb_object_keys(metrics) AS m
GROUP BY 1, 2, 3, 4, 5, 6;
SELECT version, kind, array_agg(m ORDER BY m) AS metrics
FROM dlent_train('spent', 'SELECT spent, items, city, again FROM visit', 'spent', '{"preset": "fast", "epochs": 3}'), LATERAL jsonb_object_keys(metrics) AS m
GROUP BY 1, 2;
SELECT version, kind, array_agg(m ORDER BY m) AS metrics
FROM dlent_train('segment', 'SELECT spent, items, city, segment FROM visit', 'segment', '{"preset": "fast", "epochs": 3}'), LATERAL jsonb_object_keys(metrics) AS m
GROUP BY 1, 2;

-- one option each, and where the version says so
CREATE FUNCTION told(options jsonb, VARIADIC path text[]) RETURNS text LANGUAGE sql AS $$
    SELECT version FROM dlent_train('told', 'SELECT * FROM visit', 'again', '{"preset": "fast", "epochs": 2, "exclude": ["segment"]}'::jsonb || options);
    SELECT left((details #> path)::text, 200) FROM dlent.versions WHERE model = 'told' ORDER BY version DESC LIMIT 1
$$;
SELECT told('{}', 'recipe', 'epochs') AS epochs, told('{"epochs": 4}', 'recipe', 'epochs') AS four;
SELECT told('{"hidden": [8, 4]}', 'recipe', 'hidden') AS hidden, told('{"hidden": []}', 'recipe', 'hidden') AS linear;
SELECT told('{"activation": "selu"}', 'recipe', 'activation') AS activation, told('{"dropout": 0.5}', 'recipe', 'dropout') AS dropout;
SELECT told('{"learning_rate": 0.01}', 'recipe', 'learning_rate') AS learning_rate, told('{"weight_decay": 0}', 'recipe', 'weight_decay') AS weight_decay;
SELECT told('{"batch_size": 32}', 'recipe', 'batch_size') AS batch_size, told('{"optimizer": "sgd"}', 'recipe', 'optimizer') AS optimizer;
SELECT told('{"schedule": "cosine"}', 'recipe', 'schedule') AS schedule, told('{"patience": 2}', 'recipe', 'patience') AS patience;
SELECT told('{"loss": "focal"}', 'recipe', 'loss') AS loss, told('{"label_smoothing": 0.1}', 'recipe', 'label_smoothing') AS label_smoothing;
SELECT told('{"numeric_embedding": "periodic"}', 'recipe', 'numeric_embedding') AS periodic, told('{"numeric_embedding": "none"}', 'recipe', 'numeric_embedding') AS none;
SELECT told('{"members": 3}', 'recipe', 'members') AS members, told('{"kind": "tabm", "members": 4}', 'recipe', 'ensemble_width') AS tabm;
SELECT told('{"preset": "default"}', 'recipe', 'plan') AS default_plan, told('{"preset": "best", "epochs": 1}', 'recipe', 'members') AS best_members;
SELECT told('{"seed": 12}', 'seed') AS seed, told('{"max_seconds": 0.05, "epochs": 100000}', 'stop_reasons') AS stopped_by;
SELECT told('{"validation": {"method": "random", "fraction": 0.25}}', 'validation', 'rows') AS random,
       told('{"validation": {"method": "group", "column": "shop"}}', 'validation', 'column') AS "group",
       told('{"validation": {"method": "time", "column": "at", "fraction": 0.1}}', 'validation', 'rows') AS "time",
       told('{"validation": {"method": "none"}}', 'validation', 'method') AS none;
-- a budget for scores: met, met by a smaller network, met by none; what a row costs is kept with every version
SELECT told('{"max_score_us": 1000000}', 'latency_budget') IS NULL AS met,
       told('{"preset": "default", "members": 12, "hidden": [1024, 1024], "epochs": 1, "max_score_us": 20}', 'latency_budget', 'chosen', 'members') AS smaller;
SELECT metrics ? 'roc_auc' AS measured, details -> 'latency_budget' -> 'without_budget' -> 'metrics' ? 'roc_auc' AS beside,
       score_us_batched BETWEEN 0 AND 20 AS within, jsonb_path_query_array(findings, '$[*].code') ? 'SHRUNK_FOR_LATENCY' AS said
FROM dlent.versions WHERE model = 'told' ORDER BY version DESC LIMIT 1;
SELECT bool_and(score_us_single > 0 AND score_us_batched > 0) AS every_version FROM dlent.versions;
\set VERBOSITY sqlstate
SELECT told('{"max_score_us": 0.001}', 'latency_budget');
\set VERBOSITY default
-- training goes on from the champion's networks, or those of a version; what does not fit is refused
SELECT told('{"warm_start": true}', 'warm_start') AS champion, told('{"warm_start": 4}', 'warm_start') AS fourth, told('{"warm_start": 4}', 'recipe', 'hidden') AS hidden;
SELECT jsonb_path_query_array(findings, '$[*].code') ? 'WARM_START' AS said, (SELECT pipeline FROM dlent.versions WHERE model = 'told' AND version = 4) = pipeline AS pipeline
FROM dlent.versions WHERE model = 'told' ORDER BY version DESC LIMIT 1;
SELECT told('{"warm_start": true, "hidden": [4]}', 'warm_start');
SELECT told('{"warm_start": 999}', 'warm_start');
SELECT version FROM dlent_train('begun', 'inputs', 'again', '{"warm_start": true}');
SELECT version FROM dlent_train('told', 'SELECT spent, items, city, again FROM visit', 'again', '{"warm_start": true}');
SELECT version FROM dlent_train('told', 'SELECT id, at, shop, spent, items, city, weight, segment FROM visit', 'segment', '{"warm_start": true}');
-- a network learns from another
SELECT told('{"hidden": [4], "teacher": {"hidden": [16], "epochs": 2}}', 'teacher', 'recipe', 'hidden') AS teacher,
       told('{"hidden": [4], "teacher": {"hidden": [16], "epochs": 2}}', 'recipe', 'hidden') AS student;
SELECT told('{"teacher": {"seed": 1}}', 'teacher');
SELECT told('{"teacher": {}, "loss": "focal"}', 'teacher');
-- columns: excluded, weighing rows, read as something else
SELECT told('{"exclude": ["segment", "city", "at"], "weight_column": "weight", "features": {"shop": {"kind": "category"}}}', 'recipe', 'kind') AS kind;
SELECT jsonb_path_query_array(pipeline, '$.inputs[*].name') AS inputs, jsonb_path_query_array(pipeline, '$.inputs[*].kind') AS kinds
FROM dlent.versions WHERE model = 'told' ORDER BY version DESC LIMIT 1;
-- classes: which is positive is said, weights move the answers
SELECT told('{"positive_class": false}', 'task') AS task;
SELECT specification -> 'target' -> 'labels' AS labels FROM dlent.versions WHERE model = 'told' ORDER BY version DESC LIMIT 1;
SELECT version AS plain FROM dlent_train('weighed', 'inputs', 'again', '{"preset": "fast", "epochs": 20}');
SELECT version AS heavy FROM dlent_train('weighed', 'inputs', 'again', '{"preset": "fast", "epochs": 20, "class_weight": {"true": 20, "false": 1}}');
SELECT version AS balanced FROM dlent_train('weighed', 'inputs', 'again', '{"preset": "fast", "epochs": 20, "class_weight": "balanced"}');
SELECT avg(dlent_predict('weighed@2', inputs)) > avg(dlent_predict('weighed@1', inputs)) AS heavier_class_is_likelier FROM inputs;
SELECT dlent_train('wrong', 'visit', 'spent', '{"positive_class": "1"}');
SELECT dlent_train('wrong', 'visit', 'segment', '{"positive_class": "a"}');
SELECT dlent_train('wrong', 'visit', 'spent', '{"class_weight": "balanced"}');
SELECT dlent_train('wrong', 'visit', 'again', '{"class_weight": {"perhaps": 2}}');
-- quantiles: the higher one lies above
SELECT version AS low FROM dlent_train('quantile', 'inputs', 'spent', '{"preset": "fast", "epochs": 30, "loss": "pinball", "quantile": 0.1}');
SELECT version AS high FROM dlent_train('quantile', 'inputs', 'spent', '{"preset": "fast", "epochs": 30, "loss": "pinball", "quantile": 0.9}');
SELECT avg(dlent_predict('quantile@1', inputs)) < avg(dlent_predict('quantile@2', inputs)) AS in_order FROM inputs;

-- the same data, options and seed give the same bytes, whatever the physical order of the rows
CREATE TABLE shuffled AS SELECT * FROM inputs ORDER BY md5(spent::text || items);
SELECT version FROM dlent_train('twice', 'inputs', 'again', '{"preset": "fast", "epochs": 2, "seed": 7, "validation": {"method": "random"}}');
SELECT version FROM dlent_train('twice', 'shuffled', 'again', '{"preset": "fast", "epochs": 2, "seed": 7, "validation": {"method": "random"}}');
SELECT version FROM dlent_train('twice', 'inputs', 'again', '{"preset": "fast", "epochs": 2, "seed": 8, "validation": {"method": "random"}}');
SELECT a.number, b.number, a.weights_sha256 = b.weights_sha256 AS same_bytes, v.data_fingerprint = w.data_fingerprint AS same_data
FROM dlent.version AS a JOIN dlent.version AS b ON b.model_id = a.model_id AND b.number > a.number
JOIN dlent.model AS m ON m.id = a.model_id
JOIN dlent.versions AS v ON v.model = m.name AND v.version = a.number
JOIN dlent.versions AS w ON w.model = m.name AND w.version = b.number
WHERE m.name = 'twice' ORDER BY 1, 2;

-- the first version answers at once, later ones when they are promoted; numbers are not used twice
SELECT version FROM dlent_train('turns', 'inputs', 'again', '{"preset": "fast", "epochs": 1}');
SELECT version FROM dlent_train('turns', 'inputs', 'again', '{"preset": "fast", "epochs": 1}');
SELECT version FROM dlent_train('turns', 'inputs', 'again', '{"preset": "fast", "epochs": 1, "promote": true}');
SELECT version, status FROM dlent.versions WHERE model = 'turns' ORDER BY 1;
SELECT dlent_drop_model('turns', 2);
SELECT version FROM dlent_train('turns', 'inputs', 'again', '{"preset": "fast", "epochs": 1}');

-- a training is part of its transaction, and of its subtransaction
BEGIN;
SELECT version FROM dlent_train('undone', 'inputs', 'again', '{"preset": "fast", "epochs": 1}');
SAVEPOINT s;
SELECT version FROM dlent_train('undone', 'inputs', 'again', '{"preset": "fast", "epochs": 1}');
ROLLBACK TO s;
SELECT count(*) FROM dlent.versions WHERE model = 'undone';
SELECT version FROM dlent_train('undone', 'inputs', 'again', '{"preset": "fast", "epochs": 1}');
ROLLBACK;
SELECT count(*) FROM dlent.versions WHERE model = 'undone';

-- a row for each epoch
SELECT count(*), min(epoch), max(epoch), bool_and(train_loss > 0) AS losses FROM dlent.training_log WHERE model = 'again' AND version = 1 AND member = 0;

SET client_min_messages = warning;
DROP EXTENSION dlent CASCADE;
DROP TABLE visit, shuffled CASCADE;
DROP FUNCTION told;
