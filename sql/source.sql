-- Rows in: what a source may be, and that a value means the same whatever its type. Trainings here are judged by their data
-- fingerprint, a hash of what the network was given.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS dlent;
SET dlent.progress_messages = off;
CREATE SCHEMA source;
SET search_path = source, public;

CREATE FUNCTION fingerprint(source text, options jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    PERFORM dlent_train('source_model', source, 'y', '{"preset": "fast", "epochs": 1, "hidden": [1]}' || options);
    SELECT data_fingerprint INTO result FROM dlent.versions WHERE model = 'source_model';
    PERFORM dlent_drop_model('source_model');
    RETURN result;
END
$$;
CREATE FUNCTION inputs(source text, options jsonb DEFAULT '{}')
RETURNS TABLE (name text, kind text, type text, code text, width int) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM dlent_train('source_model', source, 'y', '{"preset": "fast", "epochs": 1, "hidden": [1]}' || options);
    RETURN QUERY
    SELECT i->>'name', i->>'kind', i->>'type', NULL, coalesce((i->>'width')::int, 1)
    FROM dlent.versions AS v, jsonb_array_elements(v.pipeline->'inputs') AS i WHERE v.model = 'source_model'
    UNION ALL
    SELECT f->>'column', NULL, NULL, f->>'code', NULL
    FROM dlent.versions AS v, jsonb_array_elements(v.findings) AS f WHERE v.model = 'source_model' AND f->>'code' LIKE 'EXCLUDED%';
    PERFORM dlent_drop_model('source_model');
END
$$;

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN percent AS numeric(6, 2) CHECK (VALUE BETWEEN 0 AND 100);
CREATE DOMAIN label AS varchar(10);
CREATE TABLE n AS SELECT i, i * 7919 % 64 AS x, (i * 7919 % 64) > 30 AS y FROM generate_series(1, 240) AS i;

-- ---- every type has its kind ----
CREATE TABLE kinds AS
SELECT x > 30 AS y, x::int2 AS c_int2, x AS c_int4, x::int8 AS c_int8, x::float4 AS c_float4, x::float8 AS c_float8,
       (x / 3.0)::numeric(10, 4) AS c_numeric, x % 2 = 0 AS c_bool, (x % 5)::text AS c_text, (x % 5)::varchar(9) AS c_varchar,
       (x % 5)::char(9) AS c_char, (x % 5)::text::name AS c_name, (ARRAY['sad', 'ok', 'happy'])[x % 3 + 1]::mood AS c_enum,
       md5((x % 5)::text)::uuid AS c_uuid, (x + i / 240.0)::percent AS c_domain, (x % 5)::text::label AS c_label,
       ('10.0.0.' || x % 5)::inet AS c_inet, (x % 4)::bit(2) AS c_bit,
       date '2024-01-01' + x AS c_date, timestamp '2024-01-01 12:00' + x * interval '1 hour' AS c_timestamp,
       timestamptz '2024-01-01 12:00+00' + x * interval '1 hour' AS c_timestamptz, time '00:00' + x * interval '10 minutes' AS c_time,
       timetz '00:00+02' + x * interval '10 minutes' AS c_timetz, x * interval '1 day 1 hour' AS c_interval,
       ARRAY[x, i % 7, 3]::real[] AS c_real_array, ARRAY[x, i % 7]::numeric[] AS c_numeric_array, ARRAY[x]::int[] AS c_int_array,
       '{}'::json AS c_json, '{}'::jsonb AS c_jsonb, '\x00'::bytea AS c_bytea, '<a/>'::text::tsvector AS c_tsvector,
       point(x, x) AS c_point, int4range(x, x + 1) AS c_range, x::text::money AS c_money, x::oid AS c_oid,
       ARRAY['a', 'b'] AS c_text_array, i AS c_key, 1 AS c_one, NULL::int AS c_null
FROM n;
SELECT * FROM inputs('kinds');
SELECT * FROM inputs('SELECT x, i % 7 AS z, y FROM n', '{"features": {"x": {"kind": "category"}, "z": {"kind": "boolean"}}}');

-- ---- a number is a number ----
CREATE TABLE numbers AS
SELECT i, ((i * 7919 % 2001) - 1000) / 8.0 AS x, (i * 7919 % 2001) > 1000 AS y FROM generate_series(1, 240) AS i;
SELECT count(DISTINCT fingerprint(format('SELECT %s AS x, y FROM numbers', x), o::jsonb))
FROM (VALUES ('x::numeric', '{}'), ('x::numeric(12, 6)', '{}'), ('x::float4', '{}'), ('x::float8', '{}'),
             ('x::text', '{"features": {"x": {"kind": "numeric"}}}'),
             ('(x::float8)::varchar', '{"features": {"x": {"kind": "numeric"}}}')) AS t (x, o);
SELECT count(DISTINCT fingerprint(format('SELECT x::%s AS x, y FROM n', type)))
FROM unnest(ARRAY['int2', 'int4', 'int8', 'numeric', 'float4', 'float8']) AS type;
SELECT count(DISTINCT fingerprint(format('SELECT ARRAY[x, i %% 5]::%s[] AS x, y FROM n', type)))
FROM unnest(ARRAY['int2', 'int4', 'int8', 'numeric', 'float4', 'float8']) AS type;
-- rows as they are stored are read without deforming them where they have no NULL
CREATE TABLE stored AS
SELECT x::int2 AS a, x * 1000000007::int8 AS b, x * 10007 AS c, x % 2 = 0 AS d, (x / 3.0)::float4 AS e, (x / 7e300)::float8 AS f,
       CASE WHEN i % 5 > 0 THEN x / 7.0::float8 END AS g, y FROM n;
SELECT count(DISTINCT fingerprint(source))
FROM unnest(ARRAY['stored', 'SELECT * FROM stored ORDER BY c', 'SELECT a, b, c, d, e, f, g, y FROM stored WHERE a + 0 = a',
                  'SELECT a + 0 AS a, b + 0 AS b, c + 0 AS c, d AND d AS d, e + 0 AS e, f + 0 AS f, g + 0 AS g, y FROM stored']) AS source;
-- numeric takes a shortcut where that is exact; float8's own reading of the text is the yardstick
CREATE TABLE numerics AS
SELECT i, (CASE i % 6 WHEN 0 THEN h::numeric / 7 WHEN 1 THEN h * 10000.0 ^ (i % 11) WHEN 2 THEN h / 10000.0 ^ (i % 11)
                      WHEN 3 THEN trunc(h / 1000.0, i % 4) WHEN 4 THEN (h::text || repeat('0', i % 9) || '.5')::numeric
                      ELSE -h * 1e-20 END) AS x, h > 0 AS y
FROM (SELECT i, hashint4(i)::bigint AS h FROM generate_series(1, 3000) AS i) AS s;
SELECT fingerprint('SELECT x, y FROM numerics') = fingerprint('SELECT x::float8 AS x, y FROM numerics') AS same;
SELECT fingerprint($$SELECT CASE i % 4 WHEN 0 THEN 'NaN' WHEN 1 THEN 'Infinity' WHEN 2 THEN '-Infinity' ELSE x::numeric END AS x, x AS z, y FROM n$$) =
       fingerprint($$SELECT CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN 'Infinity' WHEN 2 THEN '-Infinity' ELSE x::float8 END AS x, x AS z, y FROM n$$) AS same;

-- ---- a category is its text ----
SELECT count(DISTINCT fingerprint(format('SELECT %s AS x, y FROM n', x), '{"features": {"x": {"kind": "category"}}}'))
FROM unnest(ARRAY['(x % 3)', '(x % 3)::int2', '(x % 3)::int8', '(x % 3)::float4', '(x % 3)::float8', '(x % 3)::numeric(9, 4)',
                  '(x % 3)::text', '(x % 3)::varchar(3)', '(x % 3)::char(9)', '(x % 3)::text::name', '(x % 3)::text::label']) AS x;
SELECT count(DISTINCT fingerprint(format('SELECT %s AS x, y FROM n', x), '{"features": {"x": {"kind": "category"}}}'))
FROM unnest(ARRAY['(ARRAY[''sad'', ''ok'', ''happy''])[x % 3 + 1]', '(ARRAY[''sad'', ''ok'', ''happy''])[x % 3 + 1]::mood']) AS x;
-- long values, out of line and compressed
CREATE TABLE long_texts AS
SELECT i, y, repeat(md5((x % 3)::text), 300) AS packed, (SELECT string_agg(md5((x % 3 * 1000 + k)::text), '') FROM generate_series(1, 200) AS k) AS apart
FROM n;
ALTER TABLE long_texts ALTER COLUMN apart SET STORAGE EXTERNAL;
SELECT count(DISTINCT fingerprint(format('SELECT %s AS x, y FROM %s', x, f)))
FROM (VALUES ('packed', 'long_texts'), ('repeat(md5((x % 3)::text), 300)', 'n')) AS t (x, f);
SELECT length(apart), pg_column_size(apart) > 2000 AS large FROM long_texts LIMIT 1;

-- ---- times do not depend on the session ----
CREATE TABLE times AS
SELECT timestamptz '2024-03-30 12:00+00' + x * interval '1 hour' AS at, date '2024-03-30' + x AS day, y FROM n;
CREATE TEMP TABLE prints AS SELECT fingerprint('times') AS p, fingerprint('times', '{"features": {"at": {"kind": "category"}, "day": {"kind": "category"}}}') AS c;
SET TimeZone = 'Asia/Kathmandu';
SET DateStyle = 'German';
SET extra_float_digits = 0;
SELECT fingerprint('times') = p AS cells, fingerprint('times', '{"features": {"at": {"kind": "category"}, "day": {"kind": "category"}}}') = c AS texts FROM prints;
SELECT fingerprint($$SELECT at AT TIME ZONE 'UTC' AS at, day, y FROM times$$) = p AS without_zone FROM prints;
RESET TimeZone;
RESET DateStyle;
RESET extra_float_digits;
SELECT count(DISTINCT fingerprint(format('SELECT %s AS d, y FROM times', d), '{"features": {"d": {"kind": "date"}}}'))
FROM unnest(ARRAY['day', 'day::timestamp', 'day::text']) AS d;
SELECT * FROM inputs($$SELECT CASE WHEN at < '2024-04-01' THEN '-infinity' ELSE at END AS at, CASE WHEN day < '2024-04-01' THEN 'infinity' ELSE day END AS day, y FROM times$$);

-- ---- vectors: the first rows may not tell the length ----
SELECT * FROM inputs('SELECT CASE WHEN i > 50 THEN ARRAY[x, i % 5, 1.5] END AS v, y FROM n ORDER BY i');
SELECT fingerprint('SELECT CASE WHEN i > 50 THEN ARRAY[x, i % 5] END AS v, y FROM n ORDER BY i') =
       fingerprint('SELECT CASE WHEN i > 50 THEN ARRAY[x, i % 5] END AS v, y FROM n ORDER BY i DESC') AS same;
SELECT * FROM inputs('SELECT NULL::float8[] AS v, x, y FROM n');

-- ---- what a source may be ----
CREATE VIEW seen AS SELECT x, y FROM n;
CREATE MATERIALIZED VIEW kept AS SELECT x, y FROM n;
CREATE TABLE parts (x int, y boolean) PARTITION BY RANGE (x);
CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (30);
CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (30) TO (100);
INSERT INTO parts SELECT x, y FROM n;
CREATE TABLE "Odd name; --" AS SELECT x, y FROM n;
CREATE TABLE with_prefix AS SELECT x, y FROM n;
CREATE TABLE "select" AS SELECT x, y FROM n;
CREATE FUNCTION rows_of_n() RETURNS TABLE (x int, y boolean) LANGUAGE sql STABLE AS 'SELECT x, y FROM n';
SELECT count(DISTINCT fingerprint(source)), count(*)
FROM unnest(ARRAY['seen', 'source.seen', ' source . "seen" ', 'kept', 'parts', '"Odd name; --"', 'with_prefix', '"select"',
                  'SELECT x, y FROM n', 'select x, y from n', E'\n\t-- a comment\n/* and another */ SELECT x, y FROM n', '(SELECT x, y FROM n)',
                  'SELECT x, y FROM n WHERE x < 30 UNION ALL SELECT x, y FROM n WHERE x >= 30', 'TABLE seen',
                  'WITH w AS (SELECT x, y FROM n) SELECT * FROM w', 'SELECT x, y FROM n ORDER BY i DESC', 'SELECT * FROM rows_of_n()']) AS source;
SELECT fingerprint($$SELECT column1 AS x, column2 AS y FROM (VALUES (1, true), (2, false)) v, generate_series(1, 20)$$) IS NOT NULL AS values_work;

-- ---- parallel plans give the same rows ----
CREATE TABLE big AS SELECT i, i * 7919 % 1000 AS x, (i * 7919 % 1000) > 300 AS y, (i % 7)::text AS t FROM generate_series(1, 30000) AS i;
ANALYZE big;
CREATE TEMP TABLE serial AS SELECT fingerprint('SELECT x, y, t FROM big') AS p;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS off) SELECT x, y, t FROM big;
SELECT fingerprint('SELECT x, y, t FROM big') = p AS same FROM serial;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

-- ---- the caller's privileges and row security ----
CREATE ROLE dlent_source_user;
GRANT USAGE ON SCHEMA source TO dlent_source_user;
CREATE TABLE guarded AS SELECT x, y, i % 2 AS tenant FROM n;
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenants ON guarded USING (tenant = 1);
GRANT SELECT ON guarded TO dlent_source_user;
SET ROLE dlent_source_user;
SELECT train_rows FROM dlent_train('source_guarded', 'guarded', 'y', '{"preset": "fast", "epochs": 1}');
RESET ROLE;
SELECT train_rows FROM dlent_train('source_all', 'guarded', 'y', '{"preset": "fast", "epochs": 1}');
SELECT dlent_drop_model('source_guarded'), dlent_drop_model('source_all');

-- ---- the statement's snapshot, own changes included ----
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO n SELECT i, 1, true FROM generate_series(1, 60) AS i;
SELECT train_rows FROM dlent_train('source_model', 'SELECT x, y FROM n', 'y', '{"preset": "fast", "epochs": 1}');
ROLLBACK;
SELECT count(*) FROM dlent.models WHERE model = 'source_model';

DROP SCHEMA source CASCADE;
DROP ROLE dlent_source_user;
