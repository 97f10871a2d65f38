-- Step 3: train on the past.

\ir settings.psql

\echo
\echo '── 3. Training ─────────────────────────────────────────────────────────────────────────────────────────'
\echo 'One call. Eight weeks of payments up to 6 April are read, encoded and learnt inside the database, as the'
\echo 'caller and in the caller''s transaction; nothing is exported. Identifiers and the time itself are no features.'
\echo

SELECT version, kind, device, to_char(train_rows, 'FM999,999') AS train_rows, epochs,
       round(seconds::numeric, 1) AS seconds,
       round((metrics ->> 'average_precision')::numeric, 3) AS "average precision",
       round((metrics ->> 'roc_auc')::numeric, 3) AS "ROC AUC"
FROM dlent_train(
    'fraud',
    $$SELECT amount, is_weekend, is_night,
             customer_tx_1d, customer_mean_1d, customer_tx_7d, customer_mean_7d, customer_tx_30d, customer_mean_30d,
             terminal_tx_1d, terminal_risk_1d, terminal_tx_7d, terminal_risk_7d, terminal_tx_30d, terminal_risk_30d,
             is_fraud
      FROM payments.features
      WHERE tx_time >= '2025-02-10' AND tx_time < '2025-04-07'$$,
    'is_fraud',
    '{"preset": "fast", "seed": 42}');

\echo
\echo 'The model is a row in the catalog, transactional like any other: owner, task, target, champion version,'
SELECT model, owner, task, target, champion FROM dlent.models WHERE model = 'fraud';

\echo 'and its version keeps where it came from:'
\pset expanded on
SELECT model, version, kind, status, train_rows, round(seconds::numeric, 1) AS seconds
FROM dlent.versions
WHERE model = 'fraud';
\pset expanded off
