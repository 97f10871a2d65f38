-- Step 8: the world changes, and the loop that notices runs by itself.

\ir settings.psql

\echo
\echo '── 8. The thieves change their ways ────────────────────────────────────────────────────────────────────'
\echo 'Four more weeks. Customers go on as they did; the thieves have learnt that large payments are declined, and test'
\echo 'stolen cards with many small ones, at night.'
\echo

-- A second run of this step starts anew.
SELECT count(dlent_unmonitor(model)) AS ended FROM dlent.monitors WHERE model = 'fraud' \gset

-- The last four weeks once more, 28 days later. What was stolen by a large payment is now taken in small ones.
DROP TABLE IF EXISTS payments.later CASCADE;
CREATE TABLE payments.later AS
SELECT transaction_id + 1000000000 AS transaction_id, tx_time + interval '28 days' AS tx_time, customer_id,
       CASE WHEN adapted THEN round((1 + 14 * payments.uniform(20, transaction_id))::numeric, 2)::float8 ELSE amount END AS amount,
       is_weekend, is_night OR adapted AS is_night,
       customer_tx_1d + CASE WHEN adapted THEN 6 + (8 * payments.uniform(21, transaction_id))::int ELSE 0 END AS customer_tx_1d,
       CASE WHEN adapted THEN customer_mean_1d / 3 ELSE customer_mean_1d END AS customer_mean_1d,
       customer_tx_7d + CASE WHEN adapted THEN 10 + (10 * payments.uniform(22, transaction_id))::int ELSE 0 END AS customer_tx_7d,
       customer_mean_7d, customer_tx_30d, customer_mean_30d, terminal_tx_1d, terminal_risk_1d, terminal_tx_7d,
       terminal_risk_7d, terminal_tx_30d, terminal_risk_30d, is_fraud
FROM payments.features
CROSS JOIN LATERAL (SELECT is_fraud AND (amount > 220 OR payments.uniform(23, transaction_id) < 0.6) AS adapted) AS thieves
WHERE tx_time >= '2025-04-14';
CREATE INDEX ON payments.later (tx_time);
ANALYZE payments.later;

-- What the bank knows on 26 May: payments whose outcome is known, and the newest of them.
CREATE VIEW payments.known AS
SELECT transaction_id, tx_time, customer_id, amount, is_weekend, is_night, customer_tx_1d, customer_mean_1d, customer_tx_7d, customer_mean_7d,
       customer_tx_30d, customer_mean_30d, terminal_tx_1d, terminal_risk_1d, terminal_tx_7d, terminal_risk_7d, terminal_tx_30d, terminal_risk_30d, is_fraud
FROM payments.features WHERE tx_time >= '2025-04-28'
UNION ALL
SELECT * FROM payments.later WHERE tx_time < '2025-05-26';
CREATE VIEW payments.live AS SELECT * FROM payments.known WHERE tx_time >= '2025-05-12';

\echo 'The bank declares one loop: watch the payments whose outcome is known; when the model finds clearly fewer of the frauds than'
\echo 'when it was trained, train it anew; when the new version is better, let it shadow the old one; when it proves itself, promote it.'
SELECT dlent_observe('fraud', '{"sample": 1, "unit": "customer_id", "key": "transaction_id"}') \g /dev/null
SELECT dlent_monitor('fraud', 'payments.live', '1 second', '{
    "train_source": "payments.known",
    "triggers": {"metric": {"name": "average_precision", "drop": 0.1}},
    "retrain": {"epochs": 8, "exclude": ["transaction_id", "tx_time", "customer_id"]},
    "gates": {"metric": "average_precision", "margin": 0.05},
    "rollout": {"shadow": {"unit": "customer_id", "min_duration": 0, "min_outcomes": 100,
                           "goal": {"metric": "log_loss", "direction": "decrease", "margin": 0.02}}}}') AS monitor;

-- A scheduler and its workers do the rest. Waits until the monitor has come to a decision, for two minutes at most.
CREATE OR REPLACE FUNCTION payments.wait_for(wanted text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found text;
BEGIN
    FOR i IN 1 .. 1200 LOOP
        found := (SELECT r.decision FROM dlent.monitor_runs AS r JOIN dlent.monitors AS m USING (model)
                  WHERE model = 'fraud' AND r.started_at >= m.created_at
                    AND r.decision IN (wanted, 'rejected', 'rejected_data', 'failed', 'rolled back', 'stopped')
                  ORDER BY r.run DESC, r.step DESC LIMIT 1);
        EXIT WHEN found IS NOT NULL;
        PERFORM pg_sleep(0.1);
    END LOOP;
    RETURN found;
END $$;
SELECT payments.wait_for('deployed') AS "the monitor's verdict";

\echo 'The challenger answers nobody yet. A week of payments is scored by both; the till gets the champion''s answers:'
SET dlent.prediction_log = synchronous;
SELECT count(*) AS payments, count(*) FILTER (WHERE dlent_predict('fraud', l) >= 0.5) AS declined
FROM payments.later AS l
WHERE tx_time >= '2025-05-26' AND tx_time < '2025-06-02';
RESET dlent.prediction_log;
\echo 'A week later their outcomes are known:'
SELECT dlent_record_outcomes('fraud', $$SELECT transaction_id::text AS key, is_fraud AS value FROM payments.later
                                        WHERE tx_time >= '2025-05-26' AND tx_time < '2025-06-02'$$) AS outcomes;
SELECT payments.wait_for('promoted') AS "the monitor's verdict";
SELECT dlent_pause_schedule(schedule) AS paused FROM dlent.monitors WHERE model = 'fraud' \g /dev/null

\echo 'What happened, and why:'
SELECT to_char(occurred_at, 'HH24:MI:SS') AS at, action, version, reason
FROM dlent.events
WHERE model = 'fraud' AND action LIKE 'monitor\_%' AND occurred_at >= (SELECT created_at FROM dlent.monitors WHERE model = 'fraud')
ORDER BY occurred_at;

\echo 'Old and new champion on the last week, which neither has seen:'
SELECT v.version, v.status, round((e ->> 'average_precision')::numeric, 3) AS "average precision", round((e ->> 'roc_auc')::numeric, 3) AS "ROC AUC"
FROM dlent.versions AS v
CROSS JOIN LATERAL dlent_evaluate(v.model || '@' || v.version, $$SELECT * FROM payments.later WHERE tx_time >= '2025-06-02'$$) AS e
WHERE v.model = 'fraud' AND v.version <> 2
ORDER BY v.version;
SELECT severity, kind, message FROM dlent.alerts WHERE model = 'fraud' ORDER BY alert;
