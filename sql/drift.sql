-- Drift: against what a version learnt from, between two sources, by every profile; stored reports; wrong input.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS dlent;
SET dlent.progress_messages = off;
CREATE SCHEMA drift;
SET search_path = drift, public;

CREATE TABLE shop AS
SELECT i AS id, '2026-01-01 00:00+00'::timestamptz + i * interval '7 minutes' AS at,
       (abs(hashint4(i)) % 10000) / 100.0::float8 AS amount,
       CASE WHEN i % 20 <> 0 THEN abs(hashint4(i + 4000000)) % 50 END AS age,
       (ARRAY['web', 'shop', 'phone'])[abs(hashint4(i + 1000000)) % 3 + 1] AS channel,
       abs(hashint4(i + 2000000)) % 2 = 0 AS member,
       abs(hashint4(i + 3000000)) % 20 AS noise
FROM generate_series(1, 6000) AS i;
ALTER TABLE shop ADD returned boolean;
UPDATE shop SET returned = amount + CASE channel WHEN 'web' THEN 30 ELSE 0 END + noise > 80;
-- rows in the order of their numbers, whatever lies where
CREATE VIEW past AS SELECT at, amount, age, channel, member, returned FROM shop WHERE id <= 3000 ORDER BY id;
CREATE VIEW same AS SELECT at, amount, age, channel, member, returned FROM shop WHERE id > 3000 ORDER BY id;
CREATE VIEW shifted AS
SELECT at, amount + 25 AS amount, CASE WHEN amount < 70 THEN age END AS age,
       CASE WHEN member THEN 'app' ELSE channel END AS channel, member, returned
FROM shop WHERE id > 3000 ORDER BY id;
SELECT count(*) FROM dlent_train('returns', 'past', 'returned', '{"preset": "fast"}');

-- ---- the reference that training leaves ----
SELECT jsonb_array_length(reference -> 'features') AS features, reference -> 'format' AS format,
       (SELECT jsonb_agg(f -> 'of') FROM jsonb_array_elements(reference -> 'features') AS f) AS watched,
       reference -> 'features' -> 2 -> 'missing' AS missing, reference -> 'features' -> 3 -> 'levels' AS levels,
       (SELECT max(jsonb_array_length(f -> 'edges')) FROM jsonb_array_elements(reference -> 'features') AS f) AS edges,
       length((reference -> 'features' -> 1)::text) < 2500 AS small
FROM dlent.versions WHERE model = 'returns';

-- ---- against it ----
SELECT feature, details ->> 'kind' AS kind, statistic, drifted FROM dlent_drift('returns', 'same');
SELECT feature, details ->> 'kind' AS kind, statistic, drifted, value >= threshold AS large, p_value < 0.05 AS sure
FROM dlent_drift('returns', 'shifted', '{"performance": false}');
SELECT round((details ->> 'unseen_levels')::numeric, 2) AS unseen, details ->> 'test' AS test, details ->> 'correction' AS correction,
       details -> 'rows' AS rows, details -> 'reference_rows' AS reference_rows
FROM dlent_drift('returns', 'shifted', '{"features": ["channel"], "prediction": false, "target": false}');
-- what only the prediction needs may be absent
SELECT feature, drifted FROM dlent_drift('returns', 'SELECT amount FROM shifted', '{"features": ["amount"]}');
-- a level of one's own
SELECT bool_or(drifted) FROM dlent_drift('returns', 'same', '{"threshold": 0, "alpha": 1e-9}');
SELECT bool_or(drifted) FROM dlent_drift('returns', 'same', '{"threshold": 0.0001, "alpha": 0.999999, "correction": "none"}');
-- no rows: no verdict
SELECT feature, statistic, value, drifted, details ->> 'reason' AS reason FROM dlent_drift('returns', 'SELECT * FROM same LIMIT 0');
SELECT feature, details ->> 'kind' AS kind, drifted, details ->> 'reason' AS reason
FROM dlent_drift('returns', 'SELECT at, NULL::float8 AS amount, age, channel, member FROM same', '{"features": ["amount"]}');

-- ---- two sources ----
SELECT feature, statistic, drifted FROM dlent_drift('returns', 'shifted', '{"reference": "same"}');
SELECT feature, statistic, drifted, p_value < 0.05 AS sure FROM dlent_drift('returns', 'shifted', '{"reference": "same", "multivariate": true, "performance": false}')
WHERE feature = '(rows)';
SELECT bool_or(drifted) FROM dlent_drift('returns', 'SELECT * FROM same LIMIT 1500', '{"reference": "SELECT * FROM same OFFSET 1500", "multivariate": ["mmd"]}');

-- ---- by time ----
SELECT details ->> 'window' AS window, sum((details -> 'rows')::int) AS rows, bool_or(drifted) AS drifted
FROM dlent_drift('returns', 'SELECT at, amount + CASE WHEN at >= ''2026-01-25 00:00+00'' THEN 30 ELSE 0 END AS amount FROM same',
                 '{"features": ["amount"], "time_column": "at", "window": "3 days"}')
GROUP BY 1 ORDER BY 1;

-- ---- profiles ----
SELECT p AS profile, o.reference IS NOT NULL AS two_sources, string_agg(DISTINCT d.statistic, ',' ORDER BY d.statistic) AS statistics,
       string_agg(d.feature, ',' ORDER BY d.feature) FILTER (WHERE d.drifted) AS drifted
FROM unnest(ARRAY['dlent', 'evidently', 'nannyml', 'bigquery', 'alibi', 'deequ']) WITH ORDINALITY AS p (p, n)
CROSS JOIN (VALUES (NULL), ('past')) AS o (reference)
CROSS JOIN LATERAL dlent_drift('returns', 'shifted', jsonb_strip_nulls(jsonb_build_object('profile', p, 'reference', o.reference, 'performance', false))) AS d
GROUP BY p, n, o.reference ORDER BY n, o.reference NULLS FIRST;

-- ---- outcomes: what the features say of them turns around in the middle ----
SELECT feature, statistic, drifted, statistic = 'ddm' OR (details ->> 'first_alarm_row')::int BETWEEN 1500 AND 2200 AS soon
FROM dlent_drift('returns', 'SELECT at, amount, age, channel, member, CASE WHEN row_number() OVER () > 1500 THEN NOT returned ELSE returned END AS returned FROM same',
                 '{"concept": ["adwin", "ddm"], "features": ["amount"]}')
WHERE details ->> 'kind' = 'concept';
SELECT feature, statistic, drifted FROM dlent_drift('returns', 'same', '{"concept": ["adwin"], "features": ["amount"]}') WHERE details ->> 'kind' = 'concept';

-- ---- which feature moved the scores ----
SELECT feature, abs((details ->> 'score_shift')::float8) > 0.1 AS moved
FROM dlent_drift('returns', 'SELECT at, amount + 25 AS amount, age, channel, member FROM same', '{"attribution": true}')
WHERE details ->> 'kind' = 'feature';

-- ---- quality without outcomes: amounts where the model cannot tell ----
SELECT feature, statistic, drifted, value < threshold AS fell
FROM dlent_drift('returns', 'SELECT at, 68 + amount / 20 AS amount, age, ''shop''::text AS channel, member FROM same') WHERE statistic = 'estimated_accuracy';

-- ---- other tasks ----
SELECT count(*) FROM dlent_train('price', 'SELECT amount * 2 + coalesce(age, 25) AS price, amount, age FROM past', 'price', '{"preset": "fast", "epochs": 5}');
SELECT feature, details ->> 'kind' AS kind, drifted FROM dlent_drift('price', 'SELECT amount * 2 + coalesce(age, 25) AS price, amount, age FROM same');
SELECT count(*) FROM dlent_train('channel', 'SELECT amount, age, member, channel FROM past', 'channel', '{"preset": "fast", "epochs": 3}');
SELECT feature, details ->> 'kind' AS kind, drifted FROM dlent_drift('channel', 'SELECT amount, age, member, ''web''::text AS channel FROM same', '{"prediction": false}');

-- ---- stored ----
SELECT count(*) FROM dlent_drift('returns', 'shifted', '{"store": true, "features": ["amount", "channel"]}');
SELECT report, model, version, source, profile, feature, kind, drifted, rows, reference_rows, created_at <= now() AS dated
FROM dlent.drift_reports ORDER BY report, feature COLLATE "C", kind;
CREATE ROLE drift_reader;
GRANT USAGE ON SCHEMA drift TO drift_reader;
GRANT SELECT ON same TO drift_reader;
SET ROLE drift_reader;
SELECT count(*) AS hidden FROM dlent.drift_reports;
SELECT feature FROM dlent_drift('returns', 'same');
RESET ROLE;
SELECT dlent_grant('returns', 'predict', 'drift_reader');
SET ROLE drift_reader;
SELECT count(*) FROM dlent.drift_reports;
SELECT count(*) FROM dlent_drift('returns', 'same', '{"store": true}');
SELECT feature FROM dlent_drift('returns', 'shifted');
RESET ROLE;
-- computing writes nothing
BEGIN READ ONLY;
SELECT count(*) FROM dlent_drift('returns', 'same');
SELECT count(*) FROM dlent_drift('returns', 'same', '{"store": true}');
ROLLBACK;

-- ---- wrong input ----
\set VERBOSITY default
SELECT * FROM dlent_drift('nobody', 'same');
SELECT * FROM dlent_drift('returns', 'nowhere');
SELECT * FROM dlent_drift(NULL, 'same');
SELECT * FROM dlent_drift('returns', 'SELECT age FROM same');
SELECT * FROM dlent_drift('returns', 'SELECT at, ''x''::text AS amount, age, channel, member FROM same');
SELECT * FROM dlent_drift('returns', 'same', '[]');
SELECT * FROM dlent_drift('returns', 'same', '{"profiles": "dlent"}');
SELECT * FROM dlent_drift('returns', 'same', '{"profile": "deep"}');
SELECT * FROM dlent_drift('returns', 'same', '{"correction": "holm"}');
SELECT * FROM dlent_drift('returns', 'same', '{"alpha": 1}');
SELECT * FROM dlent_drift('returns', 'same', '{"threshold": "high"}');
SELECT * FROM dlent_drift('returns', 'same', '{"features": ["amonut"]}');
SELECT * FROM dlent_drift('returns', 'same', '{"multivariate": true}');
SELECT * FROM dlent_drift('returns', 'same', '{"multivariate": ["pca"], "reference": "past"}');
SELECT * FROM dlent_drift('returns', 'SELECT at, amount, age, channel, member FROM same', '{"concept": true}');
SELECT * FROM dlent_drift('returns', 'SELECT at, amount, age, channel, member FROM same', '{"target": true}');
SELECT * FROM dlent_drift('price', 'same', '{"performance": true}');
SELECT * FROM dlent_drift('returns', 'same', '{"store": 1}');
SELECT * FROM dlent_drift('returns', 'same', '{"window": "1 day"}');
SELECT * FROM dlent_drift('returns', 'same', '{"window": "1 month", "time_column": "at"}');
SELECT * FROM dlent_drift('returns', 'same', '{"window": "soon", "time_column": "at"}');
SELECT * FROM dlent_drift('returns', 'same', '{"window": "1 day", "time_column": "amount"}');
SELECT * FROM dlent_drift('returns', 'same', '{"window": "1 day", "time_column": "at", "concept": true}');

-- a version goes with its reports
SELECT dlent_drop_model('returns');
SELECT count(*) FROM dlent.drift_report;
SELECT dlent_drop_model('price');
SELECT dlent_drop_model('channel');
DROP OWNED BY drift_reader;
DROP ROLE drift_reader;
DROP SCHEMA drift CASCADE;
