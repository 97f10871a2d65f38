-- Trainings of one transaction that has one snapshot read the same rows once. What the second one makes of them has the same bytes as if it had read them,
-- and whatever could make them others has it read.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS dlent;
SET dlent.progress_messages = off;
CREATE SCHEMA kept_rows;
SET search_path = kept_rows, public;
CREATE ROLE regress_dlent_reader;

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN share AS float8 CHECK (VALUE >= 0);
CREATE TABLE rows (i int, x float8, few text, mood mood, part share, at text, y float8);
INSERT INTO rows
SELECT i, hashint4(i) / 1e6, 'level ' || i % 5, (ARRAY['sad', 'ok', 'happy']::mood[])[i % 3 + 1], i % 7, '2024-01-' || 1 + i % 28 || ' 10:00', hashint4(i + 1) / 2e9
FROM generate_series(1, 400) AS i;
CREATE TABLE others AS SELECT i, x, few, y FROM rows;

-- Trains, and says how many rows were read, or taken from the training before.
CREATE FUNCTION train(source text, options jsonb DEFAULT '{}', model text DEFAULT 'm', target text DEFAULT 'y') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    trained int;
BEGIN
    SELECT version INTO trained FROM dlent_train(model, source, target, '{"preset": "fast", "epochs": 1, "hidden": [1], "members": 1}' || options);
    RETURN (SELECT CASE WHEN (details->'reading'->'reused')::bool THEN 'took ' ELSE 'read ' END || (details->'reading'->>'rows')
            FROM dlent.versions AS v WHERE v.model = train.model AND v.version = trained);
END
$$;
-- All that training keeps of its rows, of the newest versions of two models.
CREATE FUNCTION same(a text, b text) RETURNS bool LANGUAGE sql AS $$
    SELECT count(DISTINCT (digest, data_fingerprint, findings::text, reference::text, metrics)) = 1
    FROM (SELECT DISTINCT ON (model) * FROM dlent.versions WHERE model IN (a, b) ORDER BY model, version DESC) AS v
$$;

-- ---- the second takes what the first has read, in either level with one snapshot ----
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT train('rows', '{"kind": "mlp"}', 'first');
SELECT train('rows', '{"kind": "tabm", "members": 2}', 'second');
SELECT train('rows', '{"kind": "mlp", "seed": 7}', 'third');
COMMIT;
SELECT train('rows', '{"kind": "tabm", "members": 2}', 'second_alone');
SELECT train('rows', '{"kind": "mlp", "seed": 7}', 'third_alone');
SELECT same('second', 'second_alone') AS tabm, same('third', 'third_alone') AS mlp, same('first', 'third') AS differ;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT train('SELECT x, few, y FROM rows WHERE i % 4 > 0');
SELECT train('SELECT x, few, y FROM rows WHERE i % 4 > 0');
COMMIT;
-- nothing outlives its transaction
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT train('SELECT x, few, y FROM rows WHERE i % 4 > 0');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT train('SELECT x, few, y FROM rows WHERE i % 4 > 0');
COMMIT;
-- statements of READ COMMITTED have each their own
BEGIN;
SELECT train('rows');
SELECT train('rows');
COMMIT;

-- ---- other rows, columns, roles, or a reader in between ----
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT train('SELECT x, few, y FROM rows WHERE i > 100');
SELECT train('SELECT x, few, y FROM rows WHERE i > 200');
SELECT train('SELECT x, few, y FROM rows WHERE i > 100');
SELECT train('SELECT x, y FROM rows WHERE i > 100');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT train('rows');
SELECT train('rows', '{"exclude": ["few"]}');
SELECT train('rows', '{"exclude": ["few"]}');
SELECT train('rows', '{"exclude": ["few"], "weight_column": "i"}');
SELECT train('rows', '{"exclude": ["few"], "features": {"i": {"kind": "category"}}}');
SELECT train('rows', '{"exclude": ["few", "mood"], "task": "regression"}', 'm', 'x');
SELECT train('others');
SELECT train('rows');
COMMIT;

-- ---- a view is what it selects ----
CREATE VIEW looked AS SELECT x, few, y FROM rows WHERE i > 100;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT train('looked');
SELECT train('looked');
CREATE OR REPLACE VIEW looked AS SELECT x, few, y FROM rows WHERE i > 300;
SELECT train('looked');
SELECT train('looked');
COMMIT;

-- ---- what the transaction itself writes ----
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT train('rows');
SELECT train('rows');
INSERT INTO rows (i, x, y) VALUES (1000, 0, 0);
SELECT train('rows');
SELECT train('rows');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT train('rows', '{}', 'before');
UPDATE rows SET x = 0;
SELECT train('rows', '{}', 'after');
SELECT NOT same('before', 'after') AS updated;
DELETE FROM rows WHERE i <= 100;
SELECT train('rows');
COPY rows (i, x, y) FROM STDIN;
1001	0	0
\.
SELECT train('rows');
TRUNCATE rows;
SELECT count(*) FROM rows;
INSERT INTO rows (i, x, y) SELECT i, i, -i FROM generate_series(1, 150) AS i;
SELECT train('rows');
ROLLBACK;
-- within the statement that trains
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT train('others');
WITH written AS (INSERT INTO others (x, y) VALUES (0, 0) RETURNING 1)
SELECT train('others') FROM written;
SELECT train('others');
ROLLBACK;
-- other tables may be written
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT train('rows');
DELETE FROM others;
SELECT train('rows');
ROLLBACK;
-- in a savepoint, which gives up its locks with what it wrote
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT train('rows');
SAVEPOINT s;
DELETE FROM rows WHERE i <= 100;
SELECT train('rows');
ROLLBACK TO s;
SELECT train('rows');
SELECT train('rows');
RELEASE s;
SELECT train('rows');
SAVEPOINT s;
DELETE FROM rows WHERE i <= 200;
RELEASE s;
SELECT train('rows');
SELECT train('rows');
ROLLBACK;
-- made in a savepoint
BEGIN ISOLATION LEVEL REPEATABLE READ;
SAVEPOINT s;
SELECT train('rows');
ROLLBACK TO s;
SELECT train('rows');
SAVEPOINT t;
SELECT train('others');
RELEASE t;
SELECT train('others');
COMMIT;

-- ---- definitions ----
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT train('others');
ALTER TABLE others ALTER COLUMN i TYPE text USING 'n' || i % 3;
SELECT train('others');
ALTER TABLE others ADD COLUMN z int DEFAULT 3;
SELECT train('others');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT train('SELECT x, mood, y FROM rows', '{}', 'before');
ALTER TYPE mood RENAME VALUE 'sad' TO 'gloomy';
SELECT train('SELECT x, mood, y FROM rows', '{}', 'after');
SELECT same('before', 'after') AS same_names;
ROLLBACK;
CREATE INDEX ON others (i);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT train('others');
CLUSTER others USING others_i_idx;
SELECT train('others');
ROLLBACK;

-- ---- partitions ----
CREATE TABLE parts (i int, x float8, y float8) PARTITION BY RANGE (i);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (100) TO (200);
CREATE TABLE parts_3 (i int, x float8, y float8);
INSERT INTO parts SELECT i, hashint4(i) / 1e6, hashint4(i + 1) / 2e9 FROM generate_series(1, 199) AS i;
INSERT INTO parts_3 SELECT i, hashint4(i) / 1e6, hashint4(i + 1) / 2e9 FROM generate_series(200, 299) AS i;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT train('parts');
SELECT train('parts');
ALTER TABLE parts ATTACH PARTITION parts_3 FOR VALUES FROM (200) TO (300);
SELECT train('parts');
ALTER TABLE parts DETACH PARTITION parts_1;
SELECT train('parts');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT train('parts');
INSERT INTO parts VALUES (50, 0, 0);
SELECT train('parts');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT train('SELECT x, y FROM parts WHERE i >= 100');
INSERT INTO parts VALUES (50, 0, 0);
SELECT train('SELECT x, y FROM parts WHERE i >= 100');
COMMIT;

-- ---- temporary tables and materialized views ----
CREATE TEMPORARY TABLE passing AS SELECT * FROM others;
CREATE MATERIALIZED VIEW stored AS SELECT * FROM others;
CREATE UNIQUE INDEX ON stored (i);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT train('passing');
SELECT train('passing');
DELETE FROM passing WHERE i <= 100;
SELECT train('passing');
SELECT train('stored');
SELECT train('stored');
DELETE FROM others WHERE i <= 100;
SELECT train('stored');
REFRESH MATERIALIZED VIEW CONCURRENTLY stored;
SELECT train('stored');
ROLLBACK;

-- ---- settings that values are read by ----
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT train('SELECT at, x, y FROM rows', '{"features": {"at": {"kind": "timestamp"}}}', 'before');
SELECT train('SELECT at, x, y FROM rows', '{"features": {"at": {"kind": "timestamp"}}}', 'same');
SELECT same('before', 'same');
SET LOCAL TimeZone = 'Asia/Tokyo';
SELECT train('SELECT at, x, y FROM rows', '{"features": {"at": {"kind": "timestamp"}}}', 'after');
SELECT train('SELECT x, ((i % 7) / 3.0::float8)::text AS t, y FROM rows', '{}', 'before');
SELECT train('SELECT x, ((i % 7) / 3.0::float8)::text AS t, y FROM rows', '{}', 'same');
SELECT same('before', 'same');
SET LOCAL extra_float_digits = -12;
SELECT train('SELECT x, ((i % 7) / 3.0::float8)::text AS t, y FROM rows', '{}', 'after');
SELECT same('before', 'after');
SET LOCAL dlent.max_training_memory = '1MB';
SELECT train('SELECT x, ((i % 7) / 3.0::float8)::text AS t, y FROM rows');
ROLLBACK;

-- ---- what may be other rows the next time is read again ----
CREATE SEQUENCE counter;
CREATE FUNCTION mine(float8) RETURNS float8 IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE FUNCTION again(source text, options jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS 'SELECT train(source, options) || '', '' || train(source, options)';
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT again('SELECT x, y FROM rows WHERE i <> 3');
SELECT again('SELECT x, y FROM rows WHERE mood = ''ok'' OR mood <> ''ok''');
SELECT again('SELECT x, y FROM rows UNION ALL SELECT x, y FROM others');
SELECT again('SELECT mine(x) AS x, y FROM rows');
SELECT again('SELECT x, y FROM rows WHERE random() >= 0');
SELECT again('SELECT x, y FROM rows WHERE now() > ''2000-01-01''');
SELECT again('SELECT x, y FROM rows WHERE current_user <> ''nobody''');
SELECT again('SELECT x, mood::text AS mood, y FROM rows');
SELECT again('SELECT x, xmax::text AS locker, y FROM rows');
SELECT again('SELECT x, i::float8::share AS part, y FROM rows');
SELECT again('SELECT x, part, y FROM rows');
SELECT again('SELECT x, y FROM rows WHERE to_tsvector(''simple'', few) @@ to_tsquery(''simple'', ''level'')');
SELECT again('SELECT x, y FROM rows WHERE i IN (SELECT i FROM others)');
SELECT again('SELECT x, y FROM rows ORDER BY i');
SELECT again('SELECT x, y FROM rows LIMIT 300');
SELECT again('SELECT x, y FROM rows TABLESAMPLE SYSTEM (100) REPEATABLE (1)');
SELECT again('SELECT i % 7 AS x, hashint4(i) / 1e9 AS y FROM generate_series(1, 300) AS i');
SELECT again('SELECT x, y FROM rows UNION ALL SELECT log_cnt, last_value FROM counter');
SELECT again('SELECT reltuples AS x, length(relname) AS y FROM pg_class') LIKE '%took%' AS of_the_catalog;
COMMIT;

-- ---- row security and privileges are those of who trains ----
GRANT ALL ON SCHEMA kept_rows TO regress_dlent_reader;
GRANT SELECT ON others TO regress_dlent_reader;
ALTER TABLE others ENABLE ROW LEVEL SECURITY;
CREATE POLICY half ON others USING (i > 200);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT train('others');
SET LOCAL ROLE regress_dlent_reader;
SELECT train('others', '{}', 'readers');
SELECT train('others', '{}', 'readers');
RESET ROLE;
REVOKE SELECT ON others FROM regress_dlent_reader;
SET LOCAL ROLE regress_dlent_reader;
SELECT train('others', '{}', 'readers');
ROLLBACK;
ALTER POLICY half ON others USING (i > 200 AND current_user = 'regress_dlent_reader');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SET LOCAL ROLE regress_dlent_reader;
SELECT train('others', '{}', 'readers');
SELECT train('others', '{}', 'readers');
ROLLBACK;

-- ---- memory ----
SHOW dlent.kept_rows_memory;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SET LOCAL dlent.kept_rows_memory = '64kB';
SELECT again('rows');
SET LOCAL dlent.kept_rows_memory = 0;
SELECT again('rows');
RESET dlent.kept_rows_memory;
SELECT again('rows');
SET LOCAL dlent.kept_rows_memory = 0;
SELECT train('rows');
COMMIT;
-- other readers of whole tables take its place, so that there is one at a time
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT train('rows');
SELECT dlent_drift('m', 'rows') IS NOT NULL AS compared;
SELECT train('rows');
COMMIT;

SET client_min_messages = warning;
RESET search_path;
SELECT count(dlent_drop_model(name)) FROM unnest(ARRAY['m', 'first', 'second', 'second_alone', 'third', 'third_alone']) AS name;
DROP SCHEMA kept_rows CASCADE;
DROP ROLE regress_dlent_reader;
