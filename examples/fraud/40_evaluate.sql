-- Step 4: evaluate on the future.

\ir settings.psql

\echo
\echo '── 4. Evaluation on the future ─────────────────────────────────────────────────────────────────────────'
\echo 'Labels come a week late, so a week is skipped; then four weeks the model has never seen: 14 April to 11 May.'
\echo

SELECT dlent_evaluate('fraud', $$SELECT * FROM payments.features WHERE tx_time >= '2025-04-14'$$) AS evaluation \gset

SELECT to_char((e ->> 'rows')::bigint, 'FM999,999') AS payments,
       round((m ->> 'average_precision')::numeric, 3) AS "average precision",
       round((m ->> 'roc_auc')::numeric, 3) AS "ROC AUC",
       round((m ->> 'log_loss')::numeric, 4) AS "log loss",
       round((m ->> 'brier_score')::numeric, 4) AS "Brier score",
       round((m ->> 'ece')::numeric, 4) AS "calibration error"
FROM (SELECT e, e -> 'metrics' AS m FROM (SELECT :'evaluation'::jsonb AS e) AS evaluation) AS x;

\echo 'Where to put the alarm? Each threshold has its price:'
SELECT round(threshold::numeric, 2) AS "alert above",
       to_char(true_positives + false_positives, 'FM999,999') AS alerts,
       true_positives AS "frauds caught",
       round(100 * precision::numeric, 1) AS "precision, %",
       round(100 * recall::numeric, 1) AS "recall, %"
FROM jsonb_to_recordset(:'evaluation'::jsonb -> 'thresholds')
     AS t (threshold float8, true_positives bigint, false_positives bigint, precision float8, recall float8)
WHERE true_positives + false_positives > 0
ORDER BY threshold;

\echo 'Is a probability of 0.8 really 0.8? What was predicted beside what happened:'
SELECT round(lower::numeric, 2) || ' to ' || round(upper::numeric, 2) AS probability,
       to_char(count, 'FM999,999') AS payments,
       round(100 * mean_predicted::numeric, 1) AS "predicted, %",
       round(100 * observed::numeric, 1) AS "observed, %",
       rpad(repeat('█', round(20 * observed)::int), 20, '·') AS "observed"
FROM jsonb_to_recordset(:'evaluation'::jsonb -> 'calibration')
     AS c (lower float8, upper float8, count bigint, mean_predicted float8, observed float8)
WHERE count > 0
ORDER BY lower;
