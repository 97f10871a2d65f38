-- The product on a GPU: what was trained there is what would have been trained on the CPU, up to rounding. Run by run.sh.
CREATE EXTENSION IF NOT EXISTS dlent;
SET client_min_messages = error;
SET dlent.gpu = require;

SELECT 'device: ' || coalesce(name, '') || ' ' || state || ' ' || coalesce(driver, '') || ' ' || coalesce(detail, '') FROM dlent.gpus;
SELECT CASE WHEN count(*) > 0 THEN 'ok' ELSE 'not ok' END || ' - there is a GPU' FROM dlent.gpus WHERE state IN ('ready', 'stopped');

CREATE TABLE visit AS
SELECT i AS id, (i * 7919::bigint % 1000) / 10.0 AS spent, i % 13 AS items, 'city ' || i % 29 AS city, 1 + i % 3 AS weight,
       (i * 7919::bigint % 1000) + (i * 104729::bigint % 601) + i % 29 * 5 > 900 AS again,
       'segment ' || (((i * 7919::bigint % 1000) + (i * 104729::bigint % 601)) / 400)::int AS segment,
       sqrt((i * 7919::bigint % 1000) + (i * 104729::bigint % 601) + 1) AS value
FROM generate_series(1, 20000) AS i;

CREATE TABLE run (name text, device text, precision text, model text, metrics jsonb, seconds float8, trained_on text);
CREATE PROCEDURE train(name text, source text, target text, options jsonb, device text, VARIADIC precisions text[] DEFAULT '{fp32}')
LANGUAGE plpgsql AS $$
DECLARE
    wanted text;
    it record;
BEGIN
    FOREACH wanted IN ARRAY precisions LOOP
        SELECT * INTO it FROM dlent_train(name || '_' || device || '_' || wanted, source, target,
            options || jsonb_build_object('device', device, 'precision', wanted));
        INSERT INTO run VALUES (name, device, wanted, name || '_' || device || '_' || wanted, it.metrics, it.seconds, it.device);
    END LOOP;
END $$;

CALL train('binary', 'SELECT spent, items, city, again FROM visit', 'again', '{"epochs": 5}', 'cpu');
CALL train('binary', 'SELECT spent, items, city, again FROM visit', 'again', '{"epochs": 5}', 'cuda', 'fp32', 'tf32', 'bf16');
CALL train('classes', 'SELECT spent, items, city, segment FROM visit', 'segment', '{"preset": "fast", "epochs": 5, "class_weight": "balanced"}', 'cpu');
CALL train('classes', 'SELECT spent, items, city, segment FROM visit', 'segment', '{"preset": "fast", "epochs": 5, "class_weight": "balanced"}', 'cuda', 'fp32', 'tf32', 'bf16');
CALL train('regression', 'SELECT spent, items, city, weight, value FROM visit', 'value', '{"preset": "fast", "epochs": 5, "weight_column": "weight"}', 'cpu');
CALL train('regression', 'SELECT spent, items, city, weight, value FROM visit', 'value', '{"preset": "fast", "epochs": 5, "weight_column": "weight"}', 'cuda', 'fp32', 'tf32', 'bf16');
CALL train('tabm', 'SELECT spent, items, city, again FROM visit', 'again', '{"kind": "tabm", "members": 8, "hidden": [64], "epochs": 3}', 'cpu');
CALL train('tabm', 'SELECT spent, items, city, again FROM visit', 'again', '{"kind": "tabm", "members": 8, "hidden": [64], "epochs": 3}', 'cuda', 'fp32', 'tf32', 'bf16');

-- as good as on the CPU
SELECT CASE WHEN abs(g.value - c.value) <= 0.03 * greatest(abs(c.value), 0.1) THEN 'ok' ELSE 'not ok' END || ' - ' || g.name || ' ' || g.precision ||
       ': ' || g.metric || ' ' || round(g.value::numeric, 5) || ' on ' || g.trained_on || ', ' || round(c.value::numeric, 5) || ' on the CPU; ' ||
       round(g.seconds::numeric, 2) || ' s, ' || round(c.seconds::numeric, 2) || ' s'
FROM (SELECT r.*, m.key AS metric, m.value::float8 AS value FROM run AS r, jsonb_each(r.metrics) AS m WHERE device = 'cuda') AS g
JOIN (SELECT r.*, m.key AS metric, m.value::float8 AS value FROM run AS r, jsonb_each(r.metrics) AS m WHERE device = 'cpu') AS c USING (name, metric)
WHERE metric IN ('roc_auc', 'accuracy', 'log_loss', 'rmse', 'r2')
ORDER BY g.name, g.precision, metric;
SELECT CASE WHEN bool_and(trained_on LIKE '%:%') THEN 'ok' ELSE 'not ok' END || ' - all of it ran on the device' FROM run WHERE device = 'cuda';

-- the same again gives the same bytes
CALL train('again', 'SELECT spent, items, city, again FROM visit', 'again', '{"preset": "fast", "epochs": 3}', 'cuda');
SELECT version AS first FROM dlent.versions WHERE model = 'again_cuda_fp32' \gset
CALL train('again', 'SELECT spent, items, city, again FROM visit', 'again', '{"preset": "fast", "epochs": 3}', 'cuda');
SELECT CASE WHEN count(DISTINCT digest) = 1 AND count(*) = 2 THEN 'ok' ELSE 'not ok' END || ' - the same seed gives the same bytes'
FROM dlent.versions WHERE model = 'again_cuda_fp32';

-- what was trained on the device scores here
SELECT CASE WHEN avg(((dlent_predict('binary_cuda_fp32', spent, items, city) > 0.5) = again)::int) > 0.75 THEN 'ok' ELSE 'not ok' END || ' - its model scores on the CPU'
FROM visit;
SELECT CASE WHEN count(*) = 0 THEN 'ok' ELSE 'not ok' END || ' - no job is left' FROM dlent.gpus WHERE jobs > 0 OR memory_used > 0;

-- scored there: the CPU's answers but for rounding, by weights that stay on the card
CREATE TABLE on_cpu AS SELECT id, dlent_predict('binary_cuda_fp32', spent, items, city) AS p, dlent_predict('tabm_cuda_fp32', spent, items, city) AS q,
       dlent_predict('regression_cuda_fp32', spent, items, city) AS r FROM visit;
SET dlent.scoring_device = cuda;
CREATE TABLE on_gpu AS SELECT id, dlent_predict('binary_cuda_fp32', spent, items, city) AS p, dlent_predict('tabm_cuda_fp32', spent, items, city) AS q,
       dlent_predict('regression_cuda_fp32', spent, items, city) AS r FROM visit;
SELECT CASE WHEN max(abs(g.p - c.p)) <= 1e-4 AND max(abs(g.q - c.q)) <= 1e-4 AND max(abs(g.r - c.r) / (1 + abs(c.r))) <= 1e-4 THEN 'ok' ELSE 'not ok' END ||
       ' - rows scored on the device: at most ' || max(abs(g.p - c.p)) || ', ' || max(abs(g.q - c.q)) || ', ' || max(abs(g.r - c.r)) || ' from the CPU'
FROM on_gpu AS g JOIN on_cpu AS c USING (id);
SELECT CASE WHEN models = 3 AND rows_scored = 60000 THEN 'ok' ELSE 'not ok' END || ' - by ' || models || ' versions, ' || rows_scored || ' rows'
FROM dlent.gpus ORDER BY rows_scored DESC LIMIT 1;
SELECT CASE WHEN dlent_evaluate('classes_cuda_fp32', 'visit') ->> 'device' LIKE '%:%' THEN 'ok' ELSE 'not ok' END || ' - evaluated on the device';
RESET dlent.scoring_device;

SELECT name || ' ' || device || ' ' || precision || ': ' || round(seconds::numeric, 2) || ' s' FROM run ORDER BY 1;
