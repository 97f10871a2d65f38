-- Expectations: declared, checked, stored, enforced on training data; what predicates can and cannot do.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS dlent;
SET dlent.progress_messages = off;
CREATE SCHEMA expect;
SET search_path = expect, public;

CREATE TABLE loan AS
SELECT i AS id, '2026-01-01 00:00+00'::timestamptz + i * interval '1 hour' AS at,
       1 + (abs(hashint4(i)) % 10000) / 100.0::float8 AS amount,
       CASE WHEN i % 50 <> 0 THEN (ARRAY['web', 'shop', 'phone'])[abs(hashint4(i + 1000000)) % 3 + 1] END AS channel
FROM generate_series(1, 1000) AS i;
ALTER TABLE loan ADD approved boolean;
UPDATE loan SET approved = amount < 50;
CREATE FUNCTION small(amount float8) RETURNS boolean LANGUAGE sql AS 'SELECT amount < 90';

-- ---- before there is a version: the model is made, and its training data are judged ----
SELECT dlent_expect('credit', 'amount_is_positive', 'amount > 0');
SELECT dlent_expect('credit', 'channel_is_known', $$channel IN ('web', 'shop', 'phone')$$, '{"tolerance": 0.05, "description": "old tills send none"}');
SELECT dlent_expect('credit', 'enough_rows', 'count(*) >= 500');
SELECT dlent_expect('credit', 'ids_are_unique', 'count(DISTINCT id) = count(*)');
SELECT dlent_expect('credit', 'fresh', $$max(at) > '2026-02-01'$$, '{"severity": "warn"}');
SELECT dlent_expect('credit', 'approval_rate', 'avg(approved::int) BETWEEN 0.3 AND 0.6');
SELECT dlent_expect('credit', 'mostly_small', 'small(amount)', '{"tolerance": 0.2}');
SELECT dlent_expect('credit', 'score_is_a_probability', 'prediction BETWEEN 0 AND 1');
SELECT dlent_expect('credit', 'agrees_with_the_rule', '(predicted_label = ''true'') = (amount < 50)', '{"tolerance": 0.1}');
SELECT model, champion, versions FROM dlent.models;
SELECT name, predicate, severity, tolerance, nulls, description, search_path FROM dlent.expectations ORDER BY name;

SELECT name, status, severity, rows, failing, tolerance, message FROM dlent_check('credit', 'loan');
SELECT version FROM dlent_train('credit', 'loan', 'approved', '{"preset": "fast", "exclude": ["at"]}');
SELECT details -> 'expectations' -> 1 AS kept, jsonb_array_length(details -> 'expectations') AS of_data FROM dlent.versions WHERE model = 'credit';
-- with a version its answers are judged too; its own source is the default
SELECT name, status, failing <= 100 AS few, sample_query IS NOT NULL AS shows FROM dlent_check('credit');

-- ---- bad data are rejected before training, and leave no version ----
\set VERBOSITY default
SELECT version FROM dlent_train('credit', 'SELECT id, at, CASE WHEN id % 3 = 0 THEN -amount ELSE amount END AS amount, channel, approved FROM loan WHERE id <= 400', 'approved', '{"preset": "fast"}');
SET client_min_messages = warning;
SELECT version FROM dlent_train('credit', 'SELECT id, amount, channel, approved, at - interval ''1 year'' AS at FROM loan', 'approved', '{"preset": "fast", "epochs": 1, "exclude": ["at"]}');
SET client_min_messages = error;
SELECT champion, versions FROM dlent.models WHERE model = 'credit';

-- ---- NULL fails, unless it may pass ----
SELECT dlent_expect('credit', 'channel_is_known', $$channel IN ('web', 'shop', 'phone')$$);
SELECT status, failing FROM dlent_check('credit', 'loan', '{"names": ["channel_is_known"]}');
SELECT dlent_expect('credit', 'channel_is_known', $$channel IN ('web', 'shop', 'phone')$$, '{"nulls": "pass"}');
SELECT status, failing FROM dlent_check('credit', 'loan', '{"names": ["channel_is_known"]}');
-- so does an aggregate over nothing; rows that are not there say nothing
SELECT name, status, rows, message FROM dlent_check('credit', 'SELECT * FROM loan LIMIT 0');
-- the query for the rows that fail
SELECT dlent_expect('credit', 'not_large', 'amount <= 100.7 -- a comment');
SELECT failing, sample_query FROM dlent_check('credit', 'loan', '{"names": ["not_large"]}') \gset
SELECT :'sample_query';
SELECT count(*) = :failing AS same FROM (:sample_query) AS s;
SELECT dlent_drop_expectation('credit', 'not_large');
SELECT dlent_drop_expectation('credit', 'not_large');

-- ---- a predicate that fails is an error of its own ----
SELECT dlent_expect('credit', 'divides', '1 / (amount::int - 50) IS NOT NULL');
SELECT dlent_expect('credit', 'no_such_column', 'amonut > 0', '{"severity": "warn"}');
SELECT dlent_expect('credit', 'no_boolean', 'amount + 1', '{"severity": "warn"}');
SELECT dlent_expect('credit', 'window', 'row_number() OVER () > 0', '{"severity": "warn"}');
SELECT dlent_expect('credit', 'set', 'generate_series(1, 2) > 0', '{"severity": "warn"}');
SELECT dlent_expect('credit', 'writes', 'EXISTS (WITH gone AS (DELETE FROM expect.loan RETURNING 1) SELECT FROM gone)', '{"severity": "warn"}');
SELECT name, status, message FROM dlent_check('credit', 'loan', '{"names": ["divides", "no_such_column", "no_boolean", "window", "set", "writes"]}');
SELECT version FROM dlent_train('credit', 'loan', 'approved', '{"preset": "fast"}');
SELECT dlent_drop_expectation('credit', n) FROM unnest(ARRAY['divides', 'no_such_column', 'no_boolean', 'window', 'set', 'writes']) AS n;

-- ---- behaviour: the answer never rises with the amount, by more than a little ----
SELECT dlent_expect('credit', 'falls_with_amount', 'dlent_predict(''credit'', to_jsonb(source) || jsonb_build_object(''amount'', amount + 20)) <= prediction + 0.05');
SELECT status FROM dlent_check('credit', 'loan', '{"names": ["falls_with_amount"]}');
SELECT dlent_expect('credit', 'falls_with_amount', 'dlent_predict(''credit'', to_jsonb(source) || jsonb_build_object(''amount'', amount + 20)) >= prediction - 0.05');
SELECT status, failing > 50 AS many FROM dlent_check('credit', 'loan', '{"names": ["falls_with_amount"]}');
SELECT dlent_drop_expectation('credit', 'falls_with_amount');
-- facts of other tables
CREATE TABLE channels AS SELECT unnest(ARRAY['web', 'shop']) AS channel;
SELECT dlent_expect('credit', 'channel_exists', 'channel IS NULL OR EXISTS (SELECT FROM channels AS c WHERE c.channel = source.channel)');
SELECT status, failing > 200 AS many FROM dlent_check('credit', 'loan', '{"names": ["channel_exists"]}');
SELECT dlent_drop_expectation('credit', 'channel_exists');

-- cancel goes through
SELECT dlent_expect('credit', 'slow', 'pg_sleep(60) IS NOT NULL');
SET statement_timeout = '100ms';
SELECT * FROM dlent_check('credit', 'loan', '{"names": ["slow"]}');
RESET statement_timeout;
SELECT dlent_drop_expectation('credit', 'slow');

-- ---- names mean what they meant to the author ----
CREATE SCHEMA trap;
CREATE FUNCTION trap.small(amount float8) RETURNS boolean LANGUAGE sql AS 'SELECT false';
SET search_path = trap, public;
SELECT status FROM dlent_check('credit', 'expect.loan', '{"names": ["mostly_small"]}');
SET search_path = expect, public;

-- ---- only one expression ----
SELECT dlent_expect('credit', 'x', p) FROM (VALUES ('true; DROP TABLE loan')) AS v (p);
SELECT dlent_expect('credit', 'x', 'true FROM loan');
SELECT dlent_expect('credit', 'x', 'true) OR (true');
SELECT dlent_expect('credit', 'x', 'true, false');
SELECT dlent_expect('credit', 'x', 'true UNION SELECT false');
SELECT dlent_expect('credit', 'x', 'true AS y');
SELECT dlent_expect('credit', 'x', '*');
SELECT dlent_expect('credit', 'x', 'true ORDER BY 1');
SELECT dlent_expect('credit', 'x', 'DISTINCT true');
SELECT dlent_expect('credit', 'x', 'true /* open');
SELECT dlent_expect('credit', 'x', '');
SELECT dlent_expect('credit', 'x', 'amount >');

-- ---- wrong input ----
SELECT dlent_expect('credit@1', 'x', 'true');
SELECT dlent_expect('credit', '', 'true');
SELECT dlent_expect('credit', 'x', NULL);
SELECT dlent_expect('credit', 'x', 'true', '{"severity": "fatal"}');
SELECT dlent_expect('credit', 'x', 'true', '{"tolerance": 1}');
SELECT dlent_expect('credit', 'x', 'true', '{"nulls": "skip"}');
SELECT dlent_expect('credit', 'x', 'true', '{"mostly": 0.9}');
SELECT * FROM dlent_check('nobody', 'loan');
SELECT * FROM dlent_check('credit', 'nowhere');
SELECT * FROM dlent_check('credit', 'loan', '{"names": ["nothing"]}');
SELECT * FROM dlent_check('credit', 'loan', '{"save": true}');
SELECT dlent_expect('new', 'x', 'true');
SELECT * FROM dlent_check('new');
SELECT dlent_drop_model('new');

-- ---- privileges: a predicate runs as who checks, so its author must be trusted ----
CREATE ROLE expect_owner;
CREATE ROLE expect_helper;
CREATE ROLE expect_member;
GRANT expect_owner TO expect_member;
GRANT USAGE ON SCHEMA expect TO expect_owner, expect_helper, expect_member;
GRANT SELECT ON loan TO expect_owner, expect_helper, expect_member;
SET ROLE expect_owner;
SELECT dlent_expect('theirs', 'spy', 'current_user = ''expect_owner''');
SELECT status FROM dlent_check('theirs', 'loan');
SELECT dlent_grant('theirs', 'predict', 'expect_helper');
SET ROLE expect_helper;
SELECT dlent_expect('theirs', 'mine', 'true');
SELECT * FROM dlent_check('theirs', 'loan');
SELECT name, author FROM dlent.expectations;
SET ROLE expect_member;
SELECT name, status FROM dlent_check('theirs', 'loan');
RESET ROLE;
-- a superuser trusts only superusers
SELECT * FROM dlent_check('theirs', 'loan');
SELECT count(*) FROM dlent_train('theirs', 'loan', 'approved', '{"preset": "fast"}');

-- ---- stored ----
SELECT count(*) FROM dlent_check('credit', 'loan', '{"store": true}');
SELECT "check" - min("check") OVER () AS "check", model, version, source, name, status, rows, failing IS NOT NULL AS by_row FROM dlent.expectation_results ORDER BY "check", name LIMIT 3;
BEGIN READ ONLY;
SELECT count(*) FROM dlent_check('credit', 'loan');
SELECT count(*) FROM dlent_check('credit', 'loan', '{"store": true}');
ROLLBACK;

SELECT dlent_drop_model('credit');
SELECT dlent_drop_model('theirs');
SELECT (SELECT count(*) FROM dlent.expectation) AS expectations, (SELECT count(*) FROM dlent.expectation_result) AS results;
DROP OWNED BY expect_owner, expect_helper, expect_member;
DROP ROLE expect_owner, expect_helper, expect_member;
DROP SCHEMA expect CASCADE;
DROP SCHEMA trap CASCADE;
