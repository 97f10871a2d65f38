-- Step 4: evaluate on the future.

\ir settings.psql

\echo
\echo '── 4. Evaluation on the future ─────────────────────────────────────────────────────────────────────────'
\echo 'Labels come a week late, so a week is skipped; then four weeks the model has never seen: 14 April to 11 May.'
\echo

SELECT dlent_evaluate('fraud', $$SELECT * FROM payments.features WHERE tx_time >= '2025-04-14'$$) AS evaluation \gset

SELECT to_char((e ->> 'rows')::bigint, 'FM999,999') AS payments,
       round((e ->> 'average_precision')::numeric, 3) AS "average precision",
       round((e ->> 'roc_auc')::numeric, 3) AS "ROC AUC",
       round((e ->> 'log_loss')::numeric, 4) AS "log loss",
       round((e ->> 'brier_score')::numeric, 4) AS "Brier score",
       round((e ->> 'ece')::numeric, 4) AS "calibration error"
FROM (SELECT :'evaluation'::jsonb AS e) AS evaluation;

\echo 'Where to put the alarm? Each threshold has its price:'
SELECT round(threshold::numeric, 2) AS "alert above",
       to_char(tp + fp, 'FM999,999') AS alerts,
       tp::bigint AS "frauds caught",
       round(100 * precision::numeric, 1) AS "precision, %",
       round(100 * recall::numeric, 1) AS "recall, %"
FROM jsonb_to_recordset(:'evaluation'::jsonb -> 'thresholds')
     AS t (threshold float8, tp numeric, fp numeric, precision float8, recall float8)
WHERE tp + fp > 0 AND round(threshold::numeric * 100)::int % 10 = 0
ORDER BY threshold;

\echo 'Is a probability of 0.8 really 0.8? What was predicted beside what happened:'
SELECT to_char(weight, 'FM999,999') AS payments,
       round(100 * mean_predicted::numeric, 1) AS "predicted, %",
       round(100 * observed_rate::numeric, 1) AS "observed, %",
       rpad(repeat('█', round(20 * observed_rate)::int), 20, '·') AS "observed"
FROM jsonb_to_recordset(:'evaluation'::jsonb -> 'calibration')
     AS c (mean_predicted float8, observed_rate float8, weight numeric)
ORDER BY mean_predicted;
