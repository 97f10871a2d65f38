-- Step 2: what a payment looks like beside its customer's and its terminal's history.
--
-- The features are those of the Fraud Detection Handbook's baseline. Everything a row says was known at its own time:
-- customer columns look back from the payment itself, terminal columns stop a week earlier, as a fraud is reported
-- about a week late. RANGE frames over time do that in one pass per window.

\ir settings.psql

\echo
\echo '── 2. The features ─────────────────────────────────────────────────────────────────────────────────────'
\echo 'Plain SQL: window functions put each payment beside the habits of its customer (last 1, 7 and 30 days) and'
\echo 'the record of its terminal (the same, ending a week ago, since frauds are reported a week late).'
\echo

DROP MATERIALIZED VIEW IF EXISTS payments.features;
CREATE MATERIALIZED VIEW payments.features AS
SELECT transaction_id, tx_time, customer_id, terminal_id,
       amount::float8 AS amount,
       extract(isodow FROM tx_time) >= 6 AS is_weekend,
       extract(hour FROM tx_time) <= 6 AS is_night,
       (count(*) OVER c1)::int AS customer_tx_1d, (avg(amount) OVER c1)::float8 AS customer_mean_1d,
       (count(*) OVER c7)::int AS customer_tx_7d, (avg(amount) OVER c7)::float8 AS customer_mean_7d,
       (count(*) OVER c30)::int AS customer_tx_30d, (avg(amount) OVER c30)::float8 AS customer_mean_30d,
       (count(*) OVER t1)::int AS terminal_tx_1d,
       coalesce(avg(is_fraud::int) OVER t1, 0)::float8 AS terminal_risk_1d,
       (count(*) OVER t7)::int AS terminal_tx_7d,
       coalesce(avg(is_fraud::int) OVER t7, 0)::float8 AS terminal_risk_7d,
       (count(*) OVER t30)::int AS terminal_tx_30d,
       coalesce(avg(is_fraud::int) OVER t30, 0)::float8 AS terminal_risk_30d,
       is_fraud
FROM payments.transactions
WINDOW c AS (PARTITION BY customer_id ORDER BY tx_time),
       c1 AS (c RANGE BETWEEN '1 day' PRECEDING AND CURRENT ROW),
       c7 AS (c RANGE BETWEEN '7 days' PRECEDING AND CURRENT ROW),
       c30 AS (c RANGE BETWEEN '30 days' PRECEDING AND CURRENT ROW),
       t AS (PARTITION BY terminal_id ORDER BY tx_time),
       t1 AS (t RANGE BETWEEN '8 days' PRECEDING AND '7 days' PRECEDING),
       t7 AS (t RANGE BETWEEN '14 days' PRECEDING AND '7 days' PRECEDING),
       t30 AS (t RANGE BETWEEN '37 days' PRECEDING AND '7 days' PRECEDING)
ORDER BY transaction_id;
COMMENT ON MATERIALIZED VIEW payments.features IS 'A payment with what was known about it at its time, and its outcome';

CREATE UNIQUE INDEX ON payments.features (transaction_id);
CREATE INDEX ON payments.features (tx_time);
ANALYZE payments.features;

\echo 'What a fraud looks like, on average:'
SELECT CASE WHEN is_fraud THEN 'fraud' ELSE 'genuine' END AS payment,
       to_char(count(*), 'FM999,999') AS n,
       round(avg(amount)::numeric, 2) AS amount,
       round(avg(amount / customer_mean_30d)::numeric, 2) AS "amount / customer's mean",
       round(avg(customer_tx_7d), 1) AS "customer's payments in 7 days",
       round(100 * avg(terminal_risk_7d)::numeric, 1) AS "terminal's frauds in 7 days, %"
FROM payments.features
GROUP BY is_fraud
ORDER BY is_fraud;
