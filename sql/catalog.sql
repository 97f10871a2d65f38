-- What is stored of a version, who sees it, the contract view, DROP EXTENSION.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS dlent CASCADE;
RESET client_min_messages;
SET dlent.progress_messages = off;

-- in a schema of its own choice; functions go there, tables and views to schema dlent
CREATE SCHEMA elsewhere;
CREATE EXTENSION dlent SCHEMA elsewhere;
SELECT p.pronamespace::regnamespace AS schema, count(*) > 5 AS functions
FROM pg_depend AS d JOIN pg_proc AS p ON p.oid = d.objid
WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e' AND p.proname NOT IN ('progress_entries', 'gpu_entries', 'score_support', 'cached_model', 'probe_files', 'tie_contracts', 'job_worker', 'wake_scheduler', 'prediction_log_entries', 'live_sketches')
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'dlent')
GROUP BY 1;
-- everything that users meet says what it is
SELECT c.relname, a.attname
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'dlent'::regnamespace AND c.relkind = 'v' AND c.relname NOT LIKE 'visible%' AND col_description(c.oid, a.attnum) IS NULL
ORDER BY 1, a.attnum;
SELECT d.classid::regclass, d.objid
FROM pg_depend AS d
WHERE d.deptype = 'e' AND d.classid IN ('pg_proc'::regclass, 'pg_class'::regclass) AND obj_description(d.objid, d.classid::regclass::text) IS NULL
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'dlent')
  AND NOT EXISTS (SELECT FROM pg_class WHERE oid = d.objid AND relkind <> 'v' AND relkind <> 'r');
DROP EXTENSION dlent;
SELECT count(*) AS left_behind FROM pg_namespace WHERE nspname = 'dlent';

-- an object that is there already is not adopted
CREATE SCHEMA dlent;
\set VERBOSITY terse
CREATE EXTENSION dlent;
\set VERBOSITY default
DROP SCHEMA dlent;
CREATE EXTENSION dlent;

CREATE TABLE payment (
    id     int PRIMARY KEY,
    amount float8,
    city   text,
    risky  boolean,
    note   text,
    fraud  boolean NOT NULL
);
INSERT INTO payment
SELECT i, (i * 7919 % 1000) / 10.0, (ARRAY['Bonn', 'Köln', 'Ulm'])[1 + i % 3], i % 7 = 0, 'note', (i * 7919 % 1000) + (i * 104729 % 701) > 900
FROM generate_series(1, 600) AS i ORDER BY hashint4(i);

SELECT version, kind, train_rows FROM dlent_train('card fraud', 'payment', 'fraud', '{"preset": "fast", "epochs": 3, "exclude": ["id", "note"]}');
SELECT version FROM dlent_train('card fraud', 'SELECT amount, city, note, fraud FROM payment ORDER BY id', 'fraud',
                                '{"preset": "fast", "epochs": 3, "exclude": ["note"], "seed": 18446744073709551615}');

SELECT model, owner = current_user AS mine, task, target, champion, versions, created_at <= now() AS created FROM dlent.models;
SELECT model, version, kind, status, task, target, train_rows + validation_rows >= 600 AS rows, epochs, device, seed,
       trained_by = current_user AS mine, metrics ? 'roc_auc' AS measured, source, relations -> 0 ->> 'name' AS relation,
       (relations -> 0 ->> 'oid')::oid = 'payment'::regclass AS relation_oid, options
FROM dlent.versions ORDER BY version;
SELECT version, pg_visible_in_snapshot(pg_current_xact_id(), snapshot) AS future_visible, lsn <= pg_current_wal_lsn() AS lsn,
       data_fingerprint ~ '^[0-9a-f]+$' AS fingerprint, weights_sha256 ~ '^[0-9a-f]{64}$' AS sha256, weights_bytes > 0 AS bytes,
       library_version, extension_version, server_version = current_setting('server_version') AS server,
       started_at <= created_at AS times, contract ~ '^dlent\.contract_[0-9]+_[12]$' AS contract
FROM dlent.versions ORDER BY version;
SELECT version, count(*) >= 3 AS epochs, min(step), bool_and(train_loss > 0 AND learning_rate > 0 AND seconds >= 0) AS filled
FROM dlent.training_log GROUP BY version ORDER BY version;
SELECT action, model, version, champion, replaced, role = current_user AS mine FROM dlent.events ORDER BY id;

-- what the digest is of
SELECT version, digest = encode(substr(sha256(convert_to(specification::text, 'UTF8') || '\x00' || convert_to(pipeline::text, 'UTF8') || '\x00' ||
                                              decode(weights_sha256, 'hex')), 1, 16), 'hex')::uuid AS digest
FROM dlent.versions ORDER BY version;
-- the weights are what their SHA-256 says, in chunks
SELECT v.number, sha256(string_agg(c.data, '' ORDER BY c.sequence)) = v.weights_sha256 AS digest,
       sum(length(c.data)) = v.weights_bytes AS size, max(length(c.data)) <= 262144 AS chunked
FROM dlent.version AS v JOIN dlent.weight_chunk AS c ON c.version_id = v.id GROUP BY v.id ORDER BY v.number;

-- names
SELECT dlent_train('', 'payment', 'fraud');
SELECT dlent_train('a@1', 'payment', 'fraud');
SELECT dlent_train(' a', 'payment', 'fraud');
SELECT dlent_train(repeat('a', 201), 'payment', 'fraud');
SELECT dlent_train(E'a\nb', 'payment', 'fraud');

-- a failed training leaves nothing
BEGIN;
SELECT version FROM dlent_train('card fraud', 'payment', 'fraud', '{"preset": "fast", "epochs": 1, "exclude": ["id", "note"]}');
SELECT version FROM dlent_train('other', 'payment', 'fraud', '{"preset": "fast", "epochs": 1, "exclude": ["id", "note"]}');
ROLLBACK;
SELECT model, versions FROM dlent.models;
SELECT count(*) FROM pg_class WHERE relnamespace = 'dlent'::regnamespace AND relname LIKE 'contract%';

-- the contract: input columns are kept, others are not
SELECT contract FROM dlent.versions WHERE version = 1 \gset
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = :'contract'::regclass AND attnum > 0 ORDER BY attnum;
\set VERBOSITY terse
ALTER TABLE payment DROP COLUMN city;
ALTER TABLE payment ALTER COLUMN amount TYPE numeric;
DROP TABLE payment;
\set VERBOSITY default
ALTER TABLE payment DROP COLUMN note;
-- a rename is followed for rows of the table itself, by number; a new column of the old name does not deceive
CREATE TABLE before AS SELECT dlent_predict_version('card fraud', 1, p) AS score, ctid AS row FROM payment AS p;
ALTER TABLE payment RENAME COLUMN amount TO price;
ALTER TABLE payment ADD COLUMN amount float8 DEFAULT 0;
SELECT count(*) AS rows, count(*) FILTER (WHERE dlent_predict_version('card fraud', 1, p) = b.score) AS equal
FROM payment AS p JOIN before AS b ON b.row = p.ctid;
ALTER TABLE payment DROP COLUMN amount;
SELECT count(dlent_predict_version('card fraud', 1, p)) FROM payment AS p;
SELECT dlent_predict_version('card fraud', 1, q) FROM (SELECT * FROM payment) AS q;
ALTER TABLE payment RENAME COLUMN price TO amount;
-- who insists loses the protection, not the model
CREATE TABLE insisted AS SELECT amount, fraud FROM payment;
SELECT version FROM dlent_train('insisted', 'insisted', 'fraud', '{"preset": "fast", "epochs": 1}');
\set VERBOSITY terse
DROP TABLE insisted CASCADE;
\set VERBOSITY default
SELECT dlent_predict('insisted', 10.0) IS NOT NULL AS scored;
SELECT dlent_drop_model('insisted');

-- a temporary source has nothing to keep
CREATE TEMP TABLE gone AS SELECT amount, fraud FROM payment;
SELECT version FROM dlent_train('temporary', 'gone', 'fraud', '{"preset": "fast", "epochs": 1}');
DROP TABLE gone;
SELECT dlent_predict('temporary', 10.0) IS NOT NULL AS scored;
-- sources that are more than a list of columns
SELECT version FROM dlent_train('union', 'SELECT amount, fraud FROM payment UNION SELECT amount + 1, NOT fraud FROM payment -- end',
                                'fraud', '{"preset": "fast", "epochs": 1}');
SELECT version FROM dlent_train('grouped', 'SELECT city, amount::int % 10 AS digit, avg(amount) AS mean, min(amount) > 3 AS fraud FROM payment GROUP BY 1, 2, id % 5 ORDER BY count(*), 1, 2 LIMIT 1000',
                                'fraud', '{"preset": "fast", "epochs": 1}');
-- (later servers leave out the table's name where it is the only one)
SELECT model, replace(pg_get_viewdef(contract::regclass), 'payment.', '') AS contract FROM dlent.versions WHERE model IN ('temporary', 'union', 'grouped') ORDER BY model;

-- what others have built on a contract is not torn away
SELECT contract FROM dlent.versions WHERE model = 'union' \gset
CREATE VIEW built_on AS SELECT * FROM :contract;
\set VERBOSITY terse
SELECT dlent_drop_model('union');
\set VERBOSITY default
DROP VIEW built_on;
SELECT dlent_drop_model('union');

-- damage is noticed, not scored
BEGIN;
UPDATE dlent.weight_chunk SET data = set_byte(data, length(data) - 1, (get_byte(data, length(data) - 1) + 1) % 256);
\set VERBOSITY sqlstate
SELECT dlent_predict('grouped', 'Bonn', 1, 1.0);
ROLLBACK;
BEGIN;
DELETE FROM dlent.weight_chunk;
SELECT dlent_predict('grouped', 'Bonn', 1, 1.0);
ROLLBACK;
BEGIN;
UPDATE dlent.version SET pipeline = '{"inputs": []}';
SELECT dlent_predict('grouped', 'Bonn', 1, 1.0);
ROLLBACK;
\set VERBOSITY default
SELECT dlent_predict('grouped', 'Bonn', 1, 1.0) IS NOT NULL AS scored;

-- every column that people see is explained
SELECT c.relname, a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'dlent'::regnamespace AND c.relkind = 'v' AND c.relname NOT LIKE 'contract%' AND c.relname NOT LIKE 'visible%' AND c.relname <> 'progress'
  AND col_description(c.oid, a.attnum) IS NULL;
SELECT c.relname FROM pg_class AS c
WHERE c.relnamespace = 'dlent'::regnamespace AND c.relkind IN ('r', 'v') AND obj_description(c.oid, 'pg_class') IS NULL;

-- and nothing stays when the extension goes
DROP EXTENSION dlent;
SELECT count(*) AS left_behind FROM pg_namespace WHERE nspname = 'dlent';
SELECT count(*) AS left_behind FROM pg_proc WHERE proname LIKE 'dlent%';
-- it may come back in the same session
CREATE EXTENSION dlent;
SELECT dlent_predict('grouped', 'Bonn', 1, 1.0);
SELECT version FROM dlent_train('grouped', 'payment', 'fraud', '{"preset": "fast", "epochs": 1}');
SELECT count(dlent_predict('grouped', p)) FROM payment AS p;
DROP EXTENSION dlent;
DROP TABLE payment, before;
DROP SCHEMA elsewhere;
