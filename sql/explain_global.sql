-- What a model does with its features: dlent_explain_global, dlent_explain_picks, dlent_permutation_importance,
-- dlent_partial_dependence.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS dlent CASCADE;
RESET client_min_messages;
CREATE EXTENSION dlent;
SET dlent.progress_messages = off;

CREATE TABLE loan (
    id      int PRIMARY KEY,
    income  float8,
    debts   int,
    region  text,
    since   date,
    owner   boolean,
    amount  float8,   -- regression
    refused boolean,  -- two classes
    product text      -- three
);
INSERT INTO loan
SELECT i, round(1000 + i * 7919 % 4000), i * 104729 % 7, CASE WHEN i % 9 > 0 THEN (ARRAY['north', 'south', 'west'])[1 + i % 3] END,
       date '2020-01-01' + i * 31 % 1500, CASE WHEN i % 11 > 0 THEN i % 2 = 0 END,
       (1000 + i * 7919 % 4000) * 2 - 300 * (i * 104729 % 7), (i * 104729 % 7) * 600 > 1000 + i * 7919 % 4000,
       CASE WHEN i * 7919 % 4000 < 1200 THEN 'small' WHEN i * 7919 % 4000 < 2800 THEN 'middle' ELSE 'large' END
FROM generate_series(1, 1500) AS i ORDER BY hashint4(i);

SET client_min_messages = error; -- warnings about columns that tell much are another test's
SELECT version FROM dlent_train('refusals', 'SELECT income, debts, region, since, owner, refused FROM loan', 'refused',
                                '{"preset": "fast", "seed": 1}');
SELECT version FROM dlent_train('amounts', 'SELECT income, debts, region, since, owner, amount FROM loan', 'amount',
                                '{"preset": "fast", "seed": 1}');
SELECT version FROM dlent_train('products', 'SELECT income, debts, region, since, owner, product FROM loan', 'product',
                                '{"preset": "fast", "seed": 1}');

RESET client_min_messages;

-- income and debts decide; the result has a row for each class and feature
SELECT class, feature, mean_abs_contribution > 0 AS contributes, rank FROM dlent_explain_global('refusals', 'loan') WHERE rank <= 2
ORDER BY rank;
SELECT class, count(*), min(rank), max(rank), min(mean_abs_contribution) >= 0 AS sizes FROM dlent_explain_global('refusals') GROUP BY class;
SELECT class, count(*), (array_agg(feature ORDER BY rank))[1] AS first FROM dlent_explain_global('products', 'loan', '{"rows": 200}')
GROUP BY class ORDER BY class;
SELECT class, (array_agg(feature ORDER BY rank))[1:2] AS first FROM dlent_explain_global('amounts', 'loan', '{"rows": 200}') GROUP BY class;
-- the same again, bit by bit; also in a transaction that may not write
BEGIN READ ONLY;
SELECT count(*) FROM (SELECT * FROM dlent_explain_global('refusals', 'loan', '{"rows": 50}')
                      EXCEPT SELECT * FROM dlent_explain_global('refusals@1', 'SELECT * FROM loan', '{"rows": 50}')) AS different;
SELECT count(*) FROM dlent_explain_global('refusals', NULL, '{"rows": 50}');
COMMIT;

-- stored in place of what was there
SELECT count(*) FROM dlent_explain_global('refusals', 'loan', '{"rows": 50, "store": true}');
SELECT count(*) FROM dlent_explain_global('refusals', 'SELECT * FROM loan WHERE id < 900', '{"rows": 60, "link": "logit", "store": true}');
SELECT model, version, class, feature, mean_abs > std_error AS certain, rank, source, rows, method
FROM dlent.explanation_globals WHERE rank <= 2 ORDER BY rank;
BEGIN READ ONLY;
SELECT count(*) FROM dlent_explain_global('refusals', 'loan', '{"rows": 50, "store": true}');
ROLLBACK;

-- rows to look at: no two for the same, more and more of the importance covered
SELECT count(*) BETWEEN 3 AND 6 AS some, count(DISTINCT row_number) = count(*) AS distinct_rows, bool_and(rising) AS rising,
       max(coverage) <= 1 AND min(coverage) > 0 AS shares, bool_and(l.id IS NOT NULL) AS of_the_source
FROM (SELECT *, coverage > lag(coverage, 1, 0) OVER (ORDER BY pick) AS rising
      FROM dlent_explain_picks('refusals', 'SELECT * FROM loan ORDER BY id', '{"rows": 300, "picks": 6, "num_features": 3}')) AS p
LEFT JOIN loan AS l ON l.id = p.row_number AND l.income = (p.row ->> 'income')::float8 AND l.debts = (p.row ->> 'debts')::int
                   AND l.region IS NOT DISTINCT FROM p.row ->> 'region' AND l.since = (p.row ->> 'since')::date
                   AND l.owner IS NOT DISTINCT FROM (p.row ->> 'owner')::boolean;
SELECT class, count(*), bool_and(row_number IS NULL) AS drawn, bool_and(jsonb_array_length(reasons) = 2) AS reasons
FROM dlent_explain_picks('products', NULL, '{"rows": 100, "picks": 2, "num_features": 2, "labels": ["small", "large"]}')
GROUP BY class ORDER BY class;

-- shuffled among rows with outcomes
SELECT feature, importance > 3 * std_error AS matters, rank, metric, baseline > 0.9 AS good
FROM dlent_permutation_importance('refusals', 'loan') WHERE rank <= 2 ORDER BY rank;
SELECT count(*), max(abs(importance)) FILTER (WHERE feature IN ('since', 'region', 'owner')) < 0.05 AS others_do_not
FROM dlent_permutation_importance('refusals', 'loan', '{"metric": "accuracy", "repeats": 3, "rows": 500}');
SELECT feature, metric FROM dlent_permutation_importance('amounts', 'loan', '{"metric": "r2"}') WHERE rank = 1;
SELECT feature, metric FROM dlent_permutation_importance('products', 'loan') WHERE rank = 1;

-- curves
SELECT count(*), bool_and(class = 'true') AS class, bool_and(value::float4 = value_num::float4) AS numbers,
       corr(value_num, mean) < -0.8 AS more_income_less_risk, bool_and(p05 <= p25 AND p25 <= p50 AND p50 <= p75 AND p75 <= p95) AS quantiles
FROM dlent_partial_dependence('refusals', 'income', 'loan', '{"points": 15}');
SELECT value, value_num IS NULL AS no_number FROM dlent_partial_dependence('refusals', 'region') ORDER BY value NULLS LAST;
SELECT value, class, mean > 0 AS some FROM dlent_partial_dependence('products', 'owner', 'loan', '{"rows": 100}') ORDER BY 1 NULLS LAST, 2;
SELECT count(*), min(value) FROM dlent_partial_dependence('amounts', 'since', 'loan', '{"rows": 100, "points": 5}');

-- errors
SELECT * FROM dlent_explain_global('nobody');
SELECT * FROM dlent_explain_global(NULL);
SELECT * FROM dlent_explain_global('refusals', 'loan', '{"row": 5}');
SELECT * FROM dlent_explain_global('refusals', 'loan', '{"rows": 0}');
SELECT * FROM dlent_explain_global('refusals', 'loan', '{"labels": ["perhaps"]}');
SELECT * FROM dlent_explain_global('amounts', 'loan', '{"labels": ["true"]}');
SELECT * FROM dlent_explain_global('refusals', 'SELECT income FROM loan');
SELECT * FROM dlent_explain_global('refusals', 'SELECT * FROM loan WHERE false');
SELECT * FROM dlent_explain_picks('refusals', 'loan', '{"store": true}');
SELECT * FROM dlent_permutation_importance('refusals', NULL);
SELECT * FROM dlent_permutation_importance('refusals', 'SELECT income, debts, region, since, owner FROM loan');
SELECT * FROM dlent_permutation_importance('refusals', 'loan', '{"metric": "rmse"}');
SELECT * FROM dlent_permutation_importance('refusals', 'SELECT * FROM loan WHERE refused');
SELECT * FROM dlent_partial_dependence('refusals', 'outcome');

-- the privilege to explain, not to predict
CREATE ROLE regress_dlent_reader;
GRANT SELECT ON loan TO regress_dlent_reader;
SELECT dlent_grant('refusals', 'predict', 'regress_dlent_reader');
SET ROLE regress_dlent_reader;
SELECT * FROM dlent_explain_global('refusals');
SELECT * FROM dlent_permutation_importance('refusals', 'loan');
SELECT * FROM dlent_partial_dependence('refusals', 'income');
RESET ROLE;
SELECT dlent_grant('refusals', 'explain', 'regress_dlent_reader');
SET ROLE regress_dlent_reader;
SELECT count(*) FROM dlent_explain_global('refusals', 'loan', '{"rows": 20, "store": true}');
SELECT DISTINCT by, rows FROM dlent.explanation_globals;
RESET ROLE;

-- it goes with its version
SELECT dlent_drop_model('refusals');
SELECT count(*) FROM dlent.explanation_global;
REVOKE ALL ON loan FROM regress_dlent_reader;
DROP ROLE regress_dlent_reader;
SET client_min_messages = warning;
DROP TABLE loan CASCADE;
DROP EXTENSION dlent;
