-- dlent_evaluate: its metrics are those that plain SQL computes from dlent_predict, and are stored on request.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS dlent CASCADE;
CREATE EXTENSION dlent;
SET dlent.progress_messages = off;
SET client_min_messages = error;

CREATE TABLE visit (id int, spent float8, items int, city text, weight float8, again boolean, segment text);
INSERT INTO visit
SELECT i, (i * 7919 % 1000) / 10.0, i % 9, (ARRAY['Bonn', 'Ulm', 'Kiel'])[1 + i % 3], 1 + i % 2,
       (i * 7919 % 1000) + (i * 104729 % 601) > 800, (ARRAY['a', 'b', 'c'])[1 + ((i * 7919 % 1000) + (i * 104729 % 601)) / 600]
FROM generate_series(1, 400) AS i;
SELECT version FROM dlent_train('again', 'SELECT spent, items, city, again FROM visit', 'again', '{"preset": "fast", "epochs": 3}');
SELECT version FROM dlent_train('spent', 'SELECT spent, items, city, again FROM visit', 'spent', '{"preset": "fast", "epochs": 3}');
SELECT version FROM dlent_train('segment', 'SELECT spent, items, city, segment FROM visit', 'segment', '{"preset": "fast", "epochs": 3}');

CREATE FUNCTION near(a jsonb, b float8) RETURNS boolean LANGUAGE sql AS $$ SELECT abs(a::float8 - b) <= 1e-6 * greatest(1, abs(b)) $$;

-- two classes
WITH scored AS (SELECT v.*, dlent_predict('again', v) AS p FROM visit AS v), e AS (SELECT dlent_evaluate('again', 'visit') AS e)
SELECT near(e -> 'accuracy', avg(((p >= 0.5) = again)::int)) AS accuracy,
       near(e -> 'log_loss', avg(-ln(CASE WHEN again THEN p ELSE 1 - p END))) AS log_loss,
       near(e -> 'brier_score', avg((p - again::int) ^ 2)) AS brier_score,
       near(e -> 'positive_rate', avg(again::int)) AS positive_rate,
       (e ->> 'rows')::int AS rows
FROM scored, e GROUP BY e;
SELECT near(e -> 'roc_auc', auc) AS roc_auc
FROM dlent_evaluate('again', 'visit') AS e,
     (SELECT avg(CASE WHEN y.p > n.p THEN 1 WHEN y.p = n.p THEN 0.5 ELSE 0 END) AS auc
      FROM (SELECT dlent_predict('again', v) AS p FROM visit AS v WHERE again) AS y,
           (SELECT dlent_predict('again', v) AS p FROM visit AS v WHERE NOT again) AS n) AS pairs;
WITH scored AS (SELECT v.*, dlent_predict('again', v) AS p FROM visit AS v), e AS (SELECT dlent_evaluate('again', 'visit', '{"threshold": 0.3, "weight_column": "weight"}') AS e)
SELECT near(e -> 'accuracy', sum(weight * ((p >= 0.3) = again)::int) / sum(weight)) AS accuracy,
       near(e -> 'recall', sum(weight * (p >= 0.3 AND again)::int) / sum(weight * again::int)) AS recall,
       near(e -> 'precision', sum(weight * (p >= 0.3 AND again)::int) / sum(weight * (p >= 0.3)::int)) AS precision
FROM scored, e GROUP BY e;
-- numbers
WITH scored AS (SELECT v.*, dlent_predict('spent', v) AS p FROM visit AS v), e AS (SELECT dlent_evaluate('spent', 'visit') AS e)
SELECT near(e -> 'rmse', sqrt(avg((p - spent) ^ 2))) AS rmse, near(e -> 'mae', avg(abs(p - spent))) AS mae,
       near(e -> 'r2', 1 - sum((p - spent) ^ 2) / (var_pop(spent) * count(*))) AS r2
FROM scored, e GROUP BY e;
-- many classes
WITH scored AS (SELECT v.*, dlent_classify('segment', v) AS label, dlent_probabilities('segment', v) AS p FROM visit AS v), e AS (SELECT dlent_evaluate('segment', 'visit') AS e)
SELECT near(e -> 'accuracy', avg((label = segment)::int)) AS accuracy, near(e -> 'log_loss', avg(-ln((p ->> segment)::float8))) AS log_loss
FROM scored, e GROUP BY e;
-- rows that cannot be judged are counted
SELECT e ->> 'rows' AS rows, e ->> 'rows_without_target' AS without, e ->> 'rows_with_unknown_label' AS unknown
FROM dlent_evaluate('segment', $$SELECT spent, items, city, CASE WHEN id > 100 THEN segment WHEN id > 50 THEN 'z' END AS segment FROM visit$$) AS e;

-- stored
SELECT evaluation, model, version, rows FROM dlent.evaluations;
SELECT dlent_evaluate('again', 'visit', '{"store": false}') ? 'evaluation' AS stored;
SELECT dlent_evaluate('again', 'visit', '{"store": true, "threshold": 0.3}') ->> 'evaluation' AS evaluation;
SELECT dlent_evaluate('again', 'SELECT * FROM visit WHERE id <= 200', '{"store": true}') ->> 'evaluation' AS evaluation;
SELECT e.evaluation, e.model, e.version, e.source, e.rows, e.options, e.role = CURRENT_USER AS mine,
       e.metrics ->> 'roc_auc' = d ->> 'roc_auc' AS metrics, (SELECT array_agg(k) FROM jsonb_object_keys(e.details) AS k) AS details
FROM dlent.evaluations AS e, dlent_evaluate('again', 'visit') AS d ORDER BY 1;
SELECT bool_and(jsonb_typeof(value) = 'number') AS numbers FROM dlent.evaluations, jsonb_each(metrics);
-- what only computes runs where nothing can be written
BEGIN READ ONLY;
SELECT dlent_evaluate('again', 'visit') ->> 'rows' AS rows;
SELECT dlent_evaluate('again', 'visit', '{"store": true}');
ROLLBACK;
-- seen by who may see the model, and gone with the version
CREATE ROLE regress_dlent_evaluator;
GRANT SELECT ON visit TO regress_dlent_evaluator;
SET ROLE regress_dlent_evaluator;
SELECT count(*) FROM dlent.evaluations;
SELECT FROM dlent.evaluation;
RESET ROLE;
SELECT dlent_grant('again', 'predict', 'regress_dlent_evaluator');
SET ROLE regress_dlent_evaluator;
SELECT dlent_evaluate('again', 'visit', '{"store": true}') ->> 'evaluation' AS evaluation;
SELECT role FROM dlent.evaluations ORDER BY evaluation DESC LIMIT 1;
RESET ROLE;
SELECT dlent_drop_model('again');
SELECT count(*) FROM dlent.evaluations;
SELECT count(*) FROM dlent.evaluation;

DROP EXTENSION dlent CASCADE;
DROP TABLE visit;
DROP FUNCTION near;
DROP ROLE regress_dlent_evaluator;
