-- Scoring in int8: who asks for it, what the version says of it, and that every way to an answer gives the same bits.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS dlent CASCADE;
CREATE EXTENSION dlent;
SET dlent.progress_messages = off;
SET client_min_messages = error;

CREATE TABLE guest (id int, spent float8, items int, city text, again boolean, segment text);
INSERT INTO guest
SELECT i, (i * 7919 % 1000) / 10.0, CASE WHEN i % 17 > 0 THEN i % 9 END, (ARRAY['Bonn', 'Ulm', 'Kiel'])[1 + i % 3],
       (i * 7919 % 1000) + (i * 104729 % 601) > 800, (ARRAY['a', 'b', 'c'])[1 + ((i * 7919 % 1000) + (i * 104729 % 601)) / 600]
FROM generate_series(1, 1500) AS i ORDER BY hashint4(i);
ANALYZE guest;
CREATE FUNCTION train_guest(model text, target text, options jsonb) RETURNS TABLE (score_precision text, layers text, chosen text, reason text) LANGUAGE sql AS $$
    SELECT version FROM dlent_train(model, 'SELECT spent, items, city, again' || CASE target WHEN 'segment' THEN ', segment' ELSE '' END || ' FROM guest', target, '{"preset": "fast", "epochs": 3, "hidden": [40, 24]}'::jsonb || options);
    SELECT v.score_precision, v.details #>> '{score_precision,layers}', v.details #>> '{score_precision,chosen}', v.details #>> '{score_precision,reason}'
    FROM dlent.versions AS v WHERE v.model = $1 ORDER BY version DESC LIMIT 1
$$;

-- asked for, of every task and of an ensemble in folds; fp32 unless asked for
SELECT * FROM train_guest('again', 'again', '{"score_precision": "int8"}');
SELECT * FROM train_guest('spent', 'spent', '{"score_precision": "int8", "hidden": [40, 32, 24], "activation": "selu"}');
SELECT * FROM train_guest('segment', 'segment', '{"score_precision": "int8", "preset": "default"}');
SELECT * FROM train_guest('plain', 'again', '{}');
SELECT * FROM train_guest('plain', 'again', '{"score_precision": "fp32"}');

-- what the version says: metrics both ways, how far answers differ, and what a row costs
SELECT model, details -> 'score_precision' -> 'metrics' -> 'fp32' ?& names AS fp32, details -> 'score_precision' -> 'metrics' -> 'int8' ?& names AS int8,
       (details #>> '{score_precision,rms_difference}')::float8 BETWEEN 1e-9 AND 0.05 * spread AS rms,
       (details #>> '{score_precision,largest_difference}')::float8 BETWEEN 1e-9 AND 0.5 * spread AS largest,
       (details #>> '{score_precision,loss_standard_error}')::float8 > 0 AS standard_error,
       (details #>> '{score_precision,score_us,fp32,batched}')::float8 > 0 AS fp32_us,
       (details #>> '{score_precision,score_us,int8,batched}')::float8 = score_us_batched AS int8_us,
       jsonb_array_length(specification #> '{quantization,inputs}') AS members,
       metrics -> names[1] = details #> ARRAY['score_precision', 'metrics', 'int8', names[1]] AS metrics
FROM dlent.versions, LATERAL (SELECT CASE model WHEN 'spent' THEN '{rmse,r2}' WHEN 'again' THEN '{log_loss,roc_auc}' ELSE '{log_loss,accuracy}' END::text[] AS names,
                                     CASE model WHEN 'spent' THEN 29.0 ELSE 1.0 END AS spread) AS of_task
WHERE score_precision = 'int8' ORDER BY model;

-- the same network in fp32 answers nearly the same, and is another version
SELECT count(*) > 1000 AS differ FROM guest WHERE dlent_predict('again', guest) IS DISTINCT FROM dlent_predict('plain', guest);
SELECT max(abs(dlent_predict('again', guest) - dlent_predict('plain', guest))) BETWEEN 1e-6 AND 0.05 AS near, (SELECT count(DISTINCT digest) FROM dlent.versions WHERE model IN ('again', 'plain')) AS digests FROM guest;
SELECT (SELECT weights_sha256 FROM dlent.versions WHERE model = 'again') = (SELECT weights_sha256 FROM dlent.versions WHERE model = 'plain' AND version = 1) AS same_weights;

-- one row's bits, whichever way: row by row, in batches, in workers, by version, by digest, as JSON, from an index, in an evaluation
CREATE TABLE guest_answer AS SELECT id, dlent_predict('again', guest) AS score, dlent_predict('spent', guest) AS number, dlent_probabilities('segment', guest) AS classes FROM guest;
SET dlent.batch = off;
SELECT count(*) FROM guest JOIN guest_answer USING (id) WHERE (score, number, classes) IS DISTINCT FROM (dlent_predict('again', guest), dlent_predict('spent', guest), dlent_probabilities('segment', guest));
SELECT count(*) FROM guest JOIN guest_answer USING (id) WHERE score IS DISTINCT FROM dlent_predict_version('again', 1, spent, items, city)
                                                    OR score IS DISTINCT FROM dlent_predict('again', to_jsonb(guest));
SELECT digest AS again_digest FROM dlent.versions WHERE model = 'again' \gset
SELECT count(*) FROM guest JOIN guest_answer USING (id) WHERE score IS DISTINCT FROM dlent_score(:'again_digest', spent, items, city);
RESET dlent.batch;
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2;
SELECT count(*) FROM (SELECT id, dlent_predict('again', guest) AS again FROM guest OFFSET 0) AS v JOIN guest_answer USING (id) WHERE again IS DISTINCT FROM score;
RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET min_parallel_table_scan_size; RESET max_parallel_workers_per_gather;
CREATE INDEX guest_by_score ON guest (dlent_predict_version('again', 1, spent, items, city));
SET enable_seqscan = off;
SELECT count(*) = (SELECT count(*) FROM guest_answer WHERE score > 0.6) AS indexed FROM guest WHERE dlent_predict_version('again', 1, spent, items, city) > 0.6;
RESET enable_seqscan;
SELECT abs((dlent_evaluate('again', 'guest') ->> 'accuracy')::float8 - (SELECT avg((again = (score > 0.5))::int) FROM guest JOIN guest_answer USING (id))) < 1e-9 AS evaluated;

-- left open: fp32 where no layer is for int8; else what held-out rows and the clock say
SELECT * FROM train_guest('open', 'again', '{"score_precision": "auto", "hidden": [16]}');
SELECT * FROM train_guest('open', 'again', '{"score_precision": "auto", "kind": "tabm", "members": 2}');
SELECT chosen = score_precision AS consistent, chosen IN ('fp32', 'int8') AND (chosen = 'int8') = (reason IS NULL) AS reasoned FROM train_guest('open', 'again', '{"score_precision": "auto"}');
SELECT * FROM train_guest('open', 'again', '{"score_precision": "auto", "validation": {"method": "none"}}');
SELECT * FROM train_guest('unchecked', 'again', '{"score_precision": "int8", "validation": {"method": "none"}}');
SELECT finding ->> 'code' AS code, finding ->> 'message' AS message FROM dlent.versions, jsonb_array_elements(findings) AS finding WHERE model = 'unchecked' AND finding ->> 'code' = 'INT8_UNCHECKED';

-- a student of a larger network, networks that are trained on, and a budget
SELECT * FROM train_guest('taught', 'again', '{"score_precision": "int8", "teacher": {"epochs": 2}}');
SELECT version FROM dlent_train('again', 'SELECT spent, items, city, again FROM guest', 'again', '{"epochs": 1, "score_precision": "int8", "warm_start": true}');
SELECT version, score_precision FROM dlent.versions WHERE model = 'again' ORDER BY version;
SELECT * FROM train_guest('budget', 'again', '{"score_precision": "int8", "max_score_us": 1000000}');

-- what cannot be
SELECT * FROM train_guest('wrong', 'again', '{"score_precision": "int4"}');
SELECT * FROM train_guest('wrong', 'again', '{"score_precision": 8}');
SELECT * FROM train_guest('wrong', 'again', '{"score_precision": "int8", "hidden": [16]}');
SELECT * FROM train_guest('wrong', 'again', '{"score_precision": "int8", "kind": "tabm", "members": 2}');
SELECT * FROM train_guest('wrong', 'again', '{"score_precision": "int8", "numeric_embedding": "periodic"}');
SELECT * FROM train_guest('wrong', 'again', '{"teacher": {"score_precision": "int8"}}');
