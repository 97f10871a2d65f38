-- Step 5: score inside ordinary queries, and roll a second version out and back.

\ir settings.psql

\echo
\echo '── 5. Scoring in SQL ───────────────────────────────────────────────────────────────────────────────────'
\echo 'dlent_predict() takes the row itself and finds its columns by name. The riskiest payments of 11 May:'

SELECT f.transaction_id AS payment, to_char(f.tx_time, 'HH24:MI') AS at, f.customer_id AS customer,
       f.terminal_id AS terminal, round(f.amount::numeric, 2) AS amount, round(c.mean_amount::numeric, 2) AS "usually",
       round(dlent_predict('fraud', f)::numeric, 3) AS risk,
       CASE WHEN f.is_fraud THEN 'fraud' ELSE '' END AS "later known"
FROM payments.features AS f
JOIN payments.customers AS c USING (customer_id)
WHERE f.tx_time >= '2025-05-11'
ORDER BY dlent_predict('fraud', f) DESC, f.transaction_id
LIMIT 12;

\echo 'A team looks at the 25 (or 100) riskiest payments of each day. The last week:'
WITH scored AS (
    SELECT tx_time::date AS day, amount, is_fraud,
           row_number() OVER (PARTITION BY tx_time::date ORDER BY dlent_predict('fraud', f) DESC, transaction_id) AS place
    FROM payments.features AS f
    WHERE tx_time >= '2025-05-05'
)
SELECT to_char(day, 'Dy DD Mon') AS day,
       to_char(count(*), 'FM9,999') AS payments,
       count(*) FILTER (WHERE is_fraud) AS frauds,
       count(*) FILTER (WHERE is_fraud AND place <= 25) AS "caught in 25",
       round(100.0 * count(*) FILTER (WHERE is_fraud AND place <= 25) / 25) AS "precision, %",
       count(*) FILTER (WHERE is_fraud AND place <= 100) AS "caught in 100",
       round((100 * sum(amount) FILTER (WHERE is_fraud AND place <= 100) / sum(amount) FILTER (WHERE is_fraud))::numeric)
           AS "of the money, %"
FROM scored
GROUP BY scored.day
ORDER BY scored.day;

\echo 'Which terminals should be visited? dlent_classify() gives the label:'
SELECT f.terminal_id AS terminal, count(*) AS payments,
       count(*) FILTER (WHERE dlent_classify('fraud', f) = 'true') AS alerts,
       round(100 * avg(dlent_predict('fraud', f))::numeric, 1) AS "mean risk, %",
       CASE WHEN EXISTS (SELECT FROM payments.compromised_terminals AS t
                         WHERE t.terminal_id = f.terminal_id AND t.during && '[2025-05-05,2025-05-12)')
            THEN 'compromised' ELSE 'fine' END AS "in truth"
FROM payments.features AS f
WHERE f.tx_time >= '2025-05-05'
GROUP BY f.terminal_id
HAVING count(*) >= 5
ORDER BY avg(dlent_predict('fraud', f)) DESC, f.terminal_id
LIMIT 8;

\echo 'At the till: a prepared statement scores one payment, here beside the same payment for 300:'
PREPARE risk (bigint) AS
    SELECT amount, round(dlent_predict('fraud', f)::numeric, 4) AS risk,
           round(dlent_predict('fraud', to_jsonb(f) || '{"amount": 300}')::numeric, 4) AS "risk if it were 300"
    FROM payments.features AS f
    WHERE transaction_id = $1;
EXECUTE risk (400000);

\echo
\echo '── 6. A second version ─────────────────────────────────────────────────────────────────────────────────'
\echo 'Retrained on the four weeks before 28 April. It waits as a challenger until someone promotes it:'
SELECT version, to_char(train_rows, 'FM999,999') AS train_rows, epochs, round(seconds::numeric, 1) AS seconds
FROM dlent_train(
    'fraud',
    $$SELECT amount, is_weekend, is_night,
             customer_tx_1d, customer_mean_1d, customer_tx_7d, customer_mean_7d, customer_tx_30d, customer_mean_30d,
             terminal_tx_1d, terminal_risk_1d, terminal_tx_7d, terminal_risk_7d, terminal_tx_30d, terminal_risk_30d,
             is_fraud
      FROM payments.features
      WHERE tx_time >= '2025-03-31' AND tx_time < '2025-04-28'$$,
    'is_fraud',
    '{"preset": "fast", "seed": 42}');

\echo 'Both on the last week, which neither has seen:'
SELECT v.model, v.version, v.status,
       round((e ->> 'average_precision')::numeric, 3) AS "average precision",
       round((e ->> 'roc_auc')::numeric, 3) AS "ROC AUC"
FROM dlent.versions AS v
CROSS JOIN LATERAL dlent_evaluate(v.model || '@' || v.version,
                                  $$SELECT * FROM payments.features WHERE tx_time >= '2025-05-05'$$) AS e
WHERE v.model = 'fraud'
ORDER BY v.version;

\echo 'Promotion and rollback are transactional, and audited with their reasons:'
SELECT dlent_promote('fraud', 2, 'trained on fresher weeks') AS "version replaced";
SELECT model, champion FROM dlent.models WHERE model = 'fraud';
SELECT dlent_rollback('fraud', 'end of the demonstration') AS "version in use again";
SELECT * FROM dlent.deployments WHERE model = 'fraud';
