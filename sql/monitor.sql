-- Monitors: what is accepted of a policy, what a run says, alerts. The loop itself is under test/tap.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS dlent CASCADE;
CREATE EXTENSION dlent;
SET dlent.progress_messages = off;

CREATE TABLE parcel AS
SELECT (i * 7919 % 1000) / 100.0 AS weight, i % 7 AS weekday, (ARRAY['post', 'van', 'bike'])[1 + i % 3] AS carrier,
       (i * 7919 % 1000) / 100.0 + (i * 104729 % 601) / 150.0 > 8 AS late,
       (i * 7919 % 1000) / 50.0 + i % 7 AS days
FROM generate_series(1, 1200) AS i;
CREATE TABLE underway AS SELECT * FROM parcel WHERE weekday < 7 LIMIT 300;
SELECT version FROM dlent_train('late', 'parcel', 'late', '{"preset": "fast", "epochs": 8, "exclude": ["days"], "validation": {"method": "random"}}');
SELECT version FROM dlent_train('days', 'parcel', 'days', '{"preset": "fast", "epochs": 2, "exclude": ["late"], "validation": {"method": "random"}}');

-- mistakes
\set SHOW_CONTEXT never
SELECT dlent_monitor('nothing', 'underway');
SELECT dlent_monitor('late', 'nowhere');
SELECT dlent_monitor('late', 'SELECT weight FROM underway');
SELECT dlent_monitor('late', NULL);
SELECT dlent_monitor('late', 'underway', 'sometimes');
SELECT dlent_monitor('late', 'underway', NULL, '[]');
SELECT dlent_monitor('late', 'underway', NULL, '{"trigger": {}}');
SELECT dlent_monitor('late', 'underway', NULL, '{"triggers": {"drift": {"alarms": 4, "windows": 3}}}');
SELECT dlent_monitor('late', 'underway', NULL, '{"triggers": {"drift": {"profile": "mine"}}}');
SELECT dlent_monitor('late', 'underway', NULL, '{"triggers": {"metric": {"name": "rmse", "max": 1}}}');
SELECT dlent_monitor('late', 'underway', NULL, '{"triggers": {"metric": {"name": "roc_auc"}}}');
SELECT dlent_monitor('late', 'underway', NULL, '{"triggers": {"age": "-1 day"}}');
SELECT dlent_monitor('late', 'underway', NULL, '{"retrain": {"epoch": 3}}');
SELECT dlent_monitor('late', 'underway', NULL, '{"retrain": []}');
SELECT dlent_monitor('late', 'underway', NULL, '{"gates": {"holdout": {"newest": "1 day"}}}');
SELECT dlent_monitor('late', 'underway', NULL, '{"gates": {"holdout": {"time_column": "at"}}}');
SELECT dlent_monitor('late', 'underway', NULL, '{"gates": {"data": {"max_outside": 2}}}');
SELECT dlent_monitor('late', 'underway', NULL, '{"gates": {"fairness": {}}}');
SELECT dlent_monitor('days', 'underway', NULL, '{"gates": {"fairness": {"column": "carrier"}}}');
SELECT dlent_monitor('late', 'underway', NULL, '{"refit": true, "gates": {"holdout": {"source": "underway"}}}');
SELECT dlent_monitor('late', 'underway', NULL, '{"target": "lost"}');
SELECT dlent_monitor('late', 'underway', NULL, '{"job": {"retries": 1}}');
SELECT dlent_run_monitor('late');
SELECT dlent_unmonitor('late');
SELECT dlent_unmonitor('nothing');
SELECT dlent_run_monitor('late', '{"force": "all"}');
SELECT dlent_acknowledge(1);
SELECT dlent_start_job('monitor', 'late');

-- defaults are resolved
SELECT dlent_monitor('late', 'underway') > 0 AS declared;
SELECT jsonb_pretty(policy) FROM dlent.monitors;
SELECT dlent_monitor('days', 'SELECT * FROM underway', NULL, '{"retrain": [{}, {"epochs": null, "hidden": [32]}], "cooldown": "2 days", "triggers": {"drift": {"share": 0.5, "windows": 1}, "new_labels": 100}}') > 0 AS declared;
SELECT policy -> 'retrain' AS recipes, policy -> 'cooldown' AS cooldown, policy -> 'triggers' AS triggers, policy #> '{gates,metric}' AS metric
FROM dlent.monitors WHERE model = 'days';

-- a run
SELECT r - 'run' AS run FROM dlent_run_monitor('late') AS r;
INSERT INTO parcel SELECT weight, weekday, carrier, late, days FROM parcel WHERE weekday = 0;
SELECT r ->> 'decision' AS decision, r ->> 'reason' AS reason, r #> '{measurements,new_labels}' AS labels, r -> 'data' ->> 'reason' AS data
FROM dlent_run_monitor('days', '{"dry_run": true}') AS r;
SELECT r ->> 'decision' AS decision, r ->> 'reason' AS reason FROM dlent_run_monitor('days') AS r;
SELECT severity, model, kind, subject, message, occurrences, resolved_at IS NULL AS lasts FROM dlent.alerts ORDER BY alert;
SELECT dlent_acknowledge(alert) AS first, dlent_acknowledge(alert) AS second FROM dlent.alerts;
SELECT action, model, version, reason FROM dlent.events WHERE action LIKE 'monitor%' ORDER BY occurred_at;
SELECT step, name, decision, champion, candidate FROM dlent.monitor_runs ORDER BY run, step;
SELECT model, state, champion, candidate, last_verdict, schedule, paused, retrains, failures, not_before IS NULL AS now FROM dlent.monitors ORDER BY model;
SELECT dlent_unmonitor('days');
SELECT kind, resolved_at IS NULL AS lasts FROM dlent.alerts ORDER BY alert;
-- held-out rows weigh what they weigh in the training: half of these are worth nothing, and say the opposite
CREATE TABLE weighed AS SELECT i AS id, i * 7919 % 400 / 4.0 AS x, i % 5 AS y, (i * 7919 % 400 > 200) = (i / 400 % 2 = 1) AS yes, i / 400 % 2 AS worth FROM generate_series(0, 1599) AS i;
SELECT version FROM dlent_train('w', 'SELECT x, y, i % 3 = 0 AS yes, 1 AS worth FROM (SELECT *, row_number() OVER (ORDER BY id) AS i FROM weighed) AS s', 'yes',
    '{"preset": "fast", "epochs": 1, "weight_column": "worth", "validation": {"method": "random"}}');
SELECT dlent_monitor('w', 'weighed', NULL, '{"train_source": "weighed", "retrain": {"epochs": 10, "exclude": ["id"]}, "gates": {"data": false, "leaks": false, "weight_column": "", "slices": ["y"]}}') > 0 AS declared;
SELECT r ->> 'decision' AS decision FROM dlent_run_monitor('w', '{"force": "retrain"}') AS r;
SELECT g ->> 'gate' AS gate, g -> 'passed' AS passed FROM dlent.monitor_runs, jsonb_array_elements(measurements -> 'gates') AS g WHERE model = 'w';
-- and what has passed is trained on all of them
SELECT dlent_monitor('w', 'weighed', NULL, '{"train_source": "weighed", "retrain": {"epochs": 10, "exclude": ["id"]}, "gates": {"data": false, "leaks": false, "slices": ["y"]}, "refit": true}') > 0 AS declared;
SELECT policy #>> '{gates,weight_column}' AS weight_column, policy -> 'refit' AS refit FROM dlent.monitors WHERE model = 'w';
SELECT r ->> 'decision' AS decision, r -> 'champion' AS champion FROM dlent_run_monitor('w', '{"force": "retrain"}') AS r;
SELECT step, name, decision, candidate, measurements -> 'weight_column' AS weighed, measurements -> 'train_rows' AS rows, measurements -> 'judged' AS judged, measurements -> 'refitted' AS refitted
FROM dlent.monitor_runs WHERE model = 'w' AND run = (SELECT max(run) FROM dlent.monitor_runs) ORDER BY step;
SELECT count(*) > 0 AS parts, bool_and((p ->> 'candidate')::float8 > 0.9) AS good
FROM dlent.monitor_runs AS r, jsonb_array_elements(measurements -> 'gates') AS g, jsonb_array_elements(g -> 'parts') AS p
WHERE r.model = 'w' AND r.run = (SELECT max(run) FROM dlent.monitor_runs) AND g ->> 'gate' = 'slices';
SELECT version, reason LIKE '%those that version 3 was judged by among them%' AS says_so FROM dlent.events WHERE model = 'w' AND action = 'monitor_refitted';
SELECT dlent_drop_model('late'), dlent_drop_model('days'), dlent_drop_model('w');
DROP TABLE weighed;
DROP TABLE parcel, underway;
