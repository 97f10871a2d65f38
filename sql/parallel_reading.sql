-- Parallel workers read a source to the same table as one process does: the same version, by its digest, with however many workers there
-- happen to be. What must not be read by workers is not. How many took part is test/tap/t/012_parallel_reading.pl's to see.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS dlent;
SET dlent.progress_messages = off;
CREATE SCHEMA parallel_reading;
SET search_path = parallel_reading, public;
SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;

-- The digest of a version, and all that training keeps of the rows.
CREATE FUNCTION trained(source text, workers int, options jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    PERFORM set_config('max_parallel_workers_per_gather', workers::text, true);
    PERFORM dlent_train('parallel_model', source, 'y', '{"preset": "fast", "epochs": 1, "hidden": [1], "members": 1}' || options);
    SELECT concat_ws(' ', train_rows, digest, data_fingerprint, md5(findings::text), md5(reference::text)) INTO result
    FROM dlent.versions WHERE model = 'parallel_model';
    PERFORM dlent_drop_model('parallel_model');
    RETURN result;
EXCEPTION WHEN others THEN
    DECLARE
        detail text;
        hint text;
    BEGIN
        GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
        RETURN concat_ws(' | ', sqlstate, sqlerrm, nullif(detail, ''), nullif(hint, ''));
    END;
END
$$;
-- How many rows were trained on, or the error; with every number of workers the same.
CREATE FUNCTION same(source text, options jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    alone text := trained(source, 0, options);
    together text;
BEGIN
    FOREACH together IN ARRAY ARRAY[trained(source, 1, options), trained(source, 2, options), trained(source, 5, options)] LOOP
        IF together <> alone THEN
            RETURN format('%s, but %s with workers', alone, together);
        END IF;
    END LOOP;
    RETURN CASE WHEN alone ~ '^\d+ [0-9a-f]{8}-' THEN split_part(alone, ' ', 1) || ' rows' ELSE alone END;
END
$$;

-- ---- rows of every kind, on pages that are full, empty and missing ----
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE rows AS
SELECT i, gone, y, x, mood, few, many, at, v
FROM (SELECT i, 'gone' AS gone, hashint4(i)::float8 / 2e9 AS y, CASE WHEN i % 17 <> 0 THEN hashint4(i + 1) / 1e6 END AS x,
             (ARRAY['sad', 'ok', 'happy', NULL])[abs(hashint4(i / 50)) % 4 + 1]::mood AS mood, 'level ' || abs(hashint4(i)) % 30 AS few,
             CASE WHEN i % 9 <> 0 THEN left(md5((i / 3)::text), 6) END AS many, timestamptz '2024-03-30 12:00+00' + i * interval '7 minutes' AS at,
             CASE WHEN i > 700 AND i % 13 <> 0 THEN ARRAY[i % 7, hashint4(i + 2) / 1e9, 0.5] END AS v
      FROM generate_series(1, 6000) AS i) AS s;
ALTER TABLE rows DROP COLUMN gone;
ALTER TABLE rows ADD COLUMN late int DEFAULT 3;
UPDATE rows SET late = i % 5 WHERE i % 3 = 0;
DELETE FROM rows WHERE i BETWEEN 2000 AND 3500;
ANALYZE rows;
SELECT same('rows');
SELECT same('SELECT x, mood, few, many, y FROM rows');
SELECT same('SELECT * FROM rows', '{"features": {"late": {"kind": "category"}, "x": {"kind": "category"}, "at": {"kind": "category"}}, "exclude": ["many"]}');
SELECT same('SELECT few AS y, x, v FROM rows', '{"validation": {"method": "random"}}');
SELECT same('SELECT x, at, y FROM rows', '{"validation": {"method": "time", "column": "at"}}');
-- values out of line, and compressed
CREATE TABLE long_values (y float8, apart text, packed text, v float8[]);
ALTER TABLE long_values ALTER COLUMN apart SET STORAGE EXTERNAL, ALTER COLUMN v SET STORAGE EXTERNAL;
INSERT INTO long_values SELECT y, s.apart, repeat(few, 400), s.v || ARRAY[x]
FROM rows, (SELECT string_agg(md5(k::text), '') AS apart, array_agg(k::float8) AS v FROM generate_series(1, 400) AS k) AS s WHERE i % 5 = 0;
SELECT pg_column_size(apart) > 10000 AS apart, pg_column_size(packed) < 400 AS packed FROM long_values LIMIT 1;
SELECT same('SELECT y, left(apart, 40) || packed AS c, packed, v FROM long_values');
-- where neighbours are alike, the order tells who is held out
CREATE TABLE ordered AS SELECT i, (hashint4(i) % 100)::float8 AS x, i / 100 + hashint4(i) % 100 / 1e3 AS y FROM generate_series(1, 20000) AS i;
SELECT same('SELECT x, y FROM ordered');
SELECT trained('SELECT x, y FROM ordered', 2, '{}') <> trained('SELECT x, y FROM ordered ORDER BY i % 200, i', 2, '{}') AS order_matters;
-- filters: of many, few and no rows, and what they compute
SELECT same('SELECT x, y, upper(few) AS few, extract(dow FROM at) AS day FROM rows WHERE i % 5 <> 2 AND at < ''2024-04-20 00:00+00''');
SELECT same('SELECT * FROM rows WHERE i = 1000 OR i BETWEEN 5900 AND 6100');
SELECT same('SELECT * FROM rows WHERE i > 10000');
-- the first vector comes late, or never
SELECT same('SELECT v, y FROM rows WHERE v IS NULL OR i > 5000');
SELECT same('SELECT x, y, v FROM rows WHERE v IS NULL');
CREATE TABLE no_rows (x float8, y float8, v float8[]);
SELECT same('no_rows');

-- ---- what else is a scan of heaps ----
CREATE VIEW seen AS SELECT x AS renamed, many, y FROM rows WHERE i % 2 = 0;
CREATE MATERIALIZED VIEW kept AS SELECT * FROM seen;
CREATE UNLOGGED TABLE unlogged AS SELECT * FROM seen;
SELECT same('seen'), same('kept'), same('unlogged');
CREATE TABLE parts (i int, x float8, c text, y float8) PARTITION BY RANGE (i);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (1500);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (1500) TO (3000);
CREATE TABLE parts_3 (y float8, c text, gone int, x float8, i int NOT NULL);
ALTER TABLE parts_3 DROP COLUMN gone;
ALTER TABLE parts ATTACH PARTITION parts_3 FOR VALUES FROM (3000) TO (9000);
INSERT INTO parts SELECT i, x, many, y FROM rows WHERE i NOT BETWEEN 1500 AND 2999 ORDER BY hashint4(i);
ANALYZE parts;
SELECT same('parts'), same('SELECT x, y, c FROM parts WHERE i > 1400 AND x IS NOT NULL');
SELECT same('SELECT x, y FROM parts_1 UNION ALL SELECT x, y FROM parts_3');

-- ---- the caller's rights, row security included ----
CREATE ROLE dlent_parallel_reader;
GRANT USAGE ON SCHEMA parallel_reading TO dlent_parallel_reader;
CREATE TABLE guarded AS SELECT x, y, i % 2 = 1 AS mine, few FROM rows;
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON guarded USING (mine AND current_user = 'dlent_parallel_reader');
GRANT SELECT ON guarded TO dlent_parallel_reader;
CREATE VIEW of_owner AS SELECT x, y FROM rows WHERE i < 4000;
GRANT SELECT ON of_owner TO dlent_parallel_reader;
SET ROLE dlent_parallel_reader;
SELECT same('guarded'), same('of_owner'), same('rows');
RESET ROLE;
SELECT same('guarded');

-- ---- the statement's snapshot: own rows and own deletions, and no one's after them ----
BEGIN;
INSERT INTO rows SELECT i, y, x, mood, few, many, at, v, 7 FROM rows WHERE i < 1000;
SAVEPOINT s;
DELETE FROM rows WHERE i < 200;
UPDATE rows SET few = 'own' WHERE i BETWEEN 200 AND 300;
SELECT same('rows');
ROLLBACK TO s;
SELECT same('rows');
CREATE TYPE shade AS ENUM ('light', 'dark');
CREATE TABLE of_now AS SELECT x, y, (ARRAY['light', 'dark'])[i % 2 + 1]::shade AS shade FROM rows;
SELECT same('of_now');
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT same('rows');
ROLLBACK;

-- ---- what this process must compute: temporary tables, functions that are not parallel safe, their output ----
CREATE FUNCTION only_here(value float8) RETURNS float8 LANGUAGE plpgsql PARALLEL RESTRICTED AS $$
BEGIN
    IF pg_backend_pid() <> current_setting('parallel_reading.pid')::int THEN
        RAISE 'called in a worker';
    END IF;
    RETURN value;
END
$$;
SELECT set_config('parallel_reading.pid', pg_backend_pid()::text, false) IS NOT NULL AS set;
SELECT same('SELECT only_here(x) AS x, y FROM rows'), same('SELECT x, y FROM rows WHERE only_here(x) > 0');
-- inlined, so the plan tells
CREATE FUNCTION within(value float8) RETURNS float8 LANGUAGE sql PARALLEL SAFE AS 'SELECT only_here(value) + 1';
SELECT same('SELECT within(x) AS x, y FROM rows');
CREATE TEMP TABLE of_session AS SELECT x, y, many FROM rows;
SELECT same('of_session'), same('SELECT x, y FROM of_session UNION ALL SELECT x, y FROM rows');
SELECT same('SELECT x, y FROM rows ORDER BY i LIMIT 1000'), same('SELECT x, y, (SELECT count(*) FROM parts) AS n, i FROM rows WHERE i < (SELECT 900)');
PREPARE numbers AS SELECT setseed(0.5);
EXECUTE numbers;
SELECT trained('SELECT random() AS x, y FROM rows', 2, '{"seed": 3}') AS first \gset
EXECUTE numbers;
SELECT trained('SELECT random() AS x, y FROM rows', 0, '{"seed": 3}') = :'first' AS same_numbers;

-- ---- errors are the same errors ----
SELECT same('SELECT x, y, CASE WHEN i = 5000 THEN ''{1,2}'' ELSE v END AS v FROM rows');
SELECT same('SELECT x, y, CASE WHEN i = 5000 THEN few ELSE ''1'' END AS c FROM rows', '{"features": {"c": {"kind": "numeric"}}}');
SELECT same('SELECT x, y FROM rows WHERE 1 / (i - 5000) < 2');
CREATE FUNCTION picky(value float8) RETURNS float8 LANGUAGE plpgsql PARALLEL SAFE AS $$
BEGIN
    IF value IS NULL THEN
        RAISE 'no value' USING ERRCODE = 'DL001', DETAIL = 'It is NULL.', HINT = 'Have one.';
    END IF;
    RETURN value;
END
$$;
SELECT same('SELECT picky(x) AS x, y FROM rows');
-- a limit is reached at the same row, by cells and by texts
CREATE TABLE long AS
SELECT hashint4(i)::float8 AS y, hashint4(i + 1) % 1000 AS x, md5(i::text) || repeat('x', 90) AS c FROM generate_series(1, 40000) AS i;
SET dlent.max_training_memory = '1MB';
SELECT same('SELECT y, x, x + 1 AS s, x + 2 AS t, x + 3 AS u, x + 4 AS v, x + 5 AS w FROM long');
SELECT same('SELECT y, c FROM long WHERE x % 3 = 0');
SELECT same('SELECT x, y FROM long');
RESET dlent.max_training_memory;

DROP SCHEMA parallel_reading CASCADE;
DROP ROLE dlent_parallel_reader;
