-- What happens to wrong input: every case ends in one error with its class, a message that names the thing, and no trace.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS dlent;
SET dlent.progress_messages = off;
CREATE SCHEMA errors;
SET search_path = errors, public;

CREATE FUNCTION attempt(statement text, OUT state text, OUT message text, OUT hint text) LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    EXECUTE statement;
    state := '00000';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
        hint = PG_EXCEPTION_HINT;
    message := concat_ws(' / ', message, nullif(detail, ''));
END
$$;

CREATE TABLE pay AS
SELECT i AS id, (i * 7919 % 1000) / 10.0::float8 AS amount, i % 24 AS hour,
       (ARRAY['card', 'wire', 'cash'])[i % 3 + 1] AS method,
       (i * 7919 % 1000) > 700 AND i % 24 < 12 AS fraud,
       now() - i * interval '1 minute' AS at,
       NULL::float8 AS nothing, 1 AS one, '{}'::jsonb AS payload, ARRAY[1.0, i]::float8[] AS pair,
       (ARRAY['a', 'b', 'c', 'd'])[i % 4 + 1] AS letter
FROM generate_series(1, 300) AS i;
CREATE TABLE empty (LIKE pay);
CREATE VIEW broken AS SELECT amount / (hour - 5) AS ratio, fraud FROM pay;
CREATE TYPE point3 AS (x int, y int, z int);

\pset format unaligned
\pset fieldsep ' | '
\pset null ''
\pset footer off

-- ---- arguments and options of dlent_train ----
SELECT n, (attempt(format('SELECT * FROM dlent_train(%s)', arguments))).*
FROM (VALUES
    (1, $$NULL, 'pay', 'fraud'$$),
    (2, $$'m', NULL, 'fraud'$$),
    (3, $$'m', 'pay'$$),
    (4, $$'', 'pay', 'fraud'$$),
    (5, $$'m@2', 'pay', 'fraud'$$),
    (6, $$'m', 'pay', 'frod'$$),
    (7, $$'m', 'pay', 'fraud', '[]'$$),
    (8, $$'m', 'pay', 'fraud', '{"epoch": 3}'$$),
    (9, $$'m', 'pay', 'fraud', '{"epochs": "three"}'$$),
    (10, $$'m', 'pay', 'fraud', '{"epochs": 0}'$$),
    (11, $$'m', 'pay', 'fraud', '{"epochs": 1e300}'$$),
    (12, $$'m', 'pay', 'fraud', '{"learning_rate": -1}'$$),
    (13, $$'m', 'pay', 'fraud', '{"hidden": [0]}'$$),
    (14, $$'m', 'pay', 'fraud', '{"hidden": [100000000]}'$$),
    (15, $$'m', 'pay', 'fraud', '{"dropout": 1.5}'$$),
    (16, $$'m', 'pay', 'fraud', '{"activation": "relux"}'$$),
    (17, $$'m', 'pay', 'fraud', '{"kind": "forest"}'$$),
    (18, $$'m', 'pay', 'fraud', '{"kind": "cnn"}'$$),
    (19, $$'m', 'pay', 'fraud', '{"device": "cuda:one"}'$$),
    (20, $$'m', 'pay', 'fraud', '{"device": "abacus"}'$$),
    (21, $$'m', 'pay', 'fraud', '{"preset": "slow"}'$$),
    (22, $$'m', 'pay', 'fraud', '{"seed": -1}'$$),
    (23, $$'m', 'pay', 'fraud', '{"exclude": "id"}'$$),
    (24, $$'m', 'pay', 'fraud', '{"exclude": ["idd"]}'$$),
    (25, $$'m', 'pay', 'fraud', '{"exclude": ["fraud"]}'$$),
    (26, $$'m', 'pay', 'fraud', '{"exclude": ["id","amount","hour","method","at","nothing","one","payload","pair","letter"]}'$$),
    (27, $$'m', 'pay', 'fraud', '{"weight_column": "w"}'$$),
    (28, $$'m', 'pay', 'fraud', '{"weight_column": "fraud"}'$$),
    (29, $$'m', 'pay', 'fraud', '{"weight_column": "method"}'$$),
    (30, $$'m', 'pay', 'fraud', '{"weight_column": "nothing"}'$$),
    (31, $$'m', 'pay', 'fraud', '{"validation": {"method": "time"}}'$$),
    (32, $$'m', 'pay', 'fraud', '{"validation": {"method": "time", "column": "method"}}'$$),
    (33, $$'m', 'pay', 'fraud', '{"validation": {"method": "time", "column": "when"}}'$$),
    (34, $$'m', 'pay', 'fraud', '{"validation": {"fraction": 2}}'$$),
    (35, $$'m', 'pay', 'fraud', '{"features": {"method": {"kind": "timestamp"}}}'$$),
    (36, $$'m', 'pay', 'fraud', '{"features": {"method": {"kind": "numeric"}}}'$$),
    (37, $$'m', 'pay', 'fraud', '{"features": {"method": {"kind": "shape"}}}'$$),
    (38, $$'m', 'pay', 'fraud', '{"features": {"payload": {"kind": "category"}}}'$$),
    (39, $$'m', 'pay', 'fraud', '{"features": {"nobody": {"kind": "category"}}}'$$),
    (40, $$'m', 'pay', 'fraud', '{"features": {"amount": {"kind": "vector"}}}'$$),
    (41, $$'m', 'pay', 'fraud', '{"positive_class": "maybe"}'$$),
    (42, $$'m', 'pay', 'letter', '{"task": "binary"}'$$),
    (43, $$'m', 'pay', 'method', '{"task": "regression"}'$$),
    (44, $$'m', 'pay', 'one'$$),
    (45, $$'m', 'pay', 'nothing'$$),
    (46, $$'m', 'pay', 'payload'$$),
    (47, $$'m', 'pay', 'pair'$$),
    (48, $$'m', 'pay', 'at'$$),
    (49, $$'m', 'empty', 'fraud'$$),
    (50, $$'m', 'SELECT * FROM pay LIMIT 3', 'fraud'$$),
    (51, $$'m', 'pay', 'amount', '{"loss": "log_loss"}'$$),
    (52, $$'m', 'pay', 'fraud', '{"loss": "huber"}'$$),
    (53, $$'m', 'pay', 'fraud', '{"class_weight": {"maybe": "heavy"}}'$$),
    (54, $$'m', 'SELECT amount, NULL::float8 AS b, fraud FROM pay WHERE false', 'fraud'$$)
) AS cases (n, arguments) ORDER BY n;

-- ---- sources ----
SELECT n, (attempt(format('SELECT * FROM dlent_train(%L, %L, %L)', 'm', source, 'fraud'))).*
FROM (VALUES
    (1, ''),
    (2, '  -- nothing'),
    (3, 'nosuch'),
    (4, 'nowhere.pay'),
    (5, 'a.b.c.d'),
    (6, 'pay; DROP TABLE pay'),
    (7, 'SELECT * FROM pay;'),
    (8, 'SELECT * FROM pay; DROP TABLE pay'),
    (9, 'SELEC * FROM pay'),
    (10, 'SELECT nosuch FROM pay'),
    (11, 'SELECT FROM pay'),
    (12, 'SELECT * INTO copied FROM pay'),
    (13, 'SELECT * FROM pay FOR UPDATE'),
    (14, 'SELECT * FROM (SELECT * FROM pay FOR SHARE) s'),
    (15, 'WITH gone AS (DELETE FROM pay RETURNING *) SELECT * FROM gone'),
    (16, 'DELETE FROM pay RETURNING *'),
    (17, 'DROP TABLE pay'),
    (18, 'EXPLAIN SELECT * FROM pay'),
    (19, 'SELECT * FROM pay WHERE id = $1'),
    (20, 'SELECT amount, amount, fraud FROM pay'),
    (21, 'SELECT a.*, b.* FROM pay a JOIN pay b USING (id)'),
    (22, 'SELECT 1 / (id - 100) AS x, fraud FROM pay'),
    (23, 'broken'),
    (24, 'SELECT (1, 2, 3)::point3 AS p, fraud FROM pay'),
    (25, 'SELECT int4range(id, id + 1) AS r, point(id, id) AS q, fraud FROM pay'),
    (26, $$SELECT ARRAY(SELECT generate_series(1, id % 3 + 1))::float8[] AS v, fraud FROM pay$$),
    (27, $$SELECT '\x00'::bytea AS b, fraud FROM pay$$),
    (28, 'SELECT pg_sleep(NULL) AS nothing, fraud FROM pay')
) AS cases (n, source) ORDER BY n;

-- ---- limits and settings ----
SET dlent.max_training_memory = '1MB';
SELECT (attempt($$SELECT * FROM dlent_train('m', 'SELECT random() AS a, random() AS b, i % 2 AS y FROM generate_series(1, 500000) i', 'y')$$)).*;
SELECT (attempt($$SELECT * FROM dlent_train('m', 'SELECT repeat(md5(i::text), 20) AS a, i % 2 AS y FROM generate_series(1, 5000) i', 'y')$$)).*;
SELECT (attempt($$SELECT * FROM dlent_train('m', 'SELECT array_fill(1.0, ARRAY[100000])::float8[] AS a, i % 2 AS y FROM generate_series(1, 50) i', 'y')$$)).*;
RESET dlent.max_training_memory;
-- (later servers tell the range with its unit)
SELECT state, regexp_replace(message, ' kB( [.][.]|[)])', '\1', 'g') AS message, hint FROM attempt('SET dlent.max_training_memory = 1');
SELECT (attempt('SET dlent.no_such_setting = 1')).*;

-- ---- sessions that may not write ----
BEGIN READ ONLY;
SELECT * FROM dlent_train('m', 'pay', 'fraud');
ROLLBACK;

-- ---- privileges: the source is read as the caller ----
CREATE ROLE dlent_errors_user;
GRANT USAGE ON SCHEMA errors TO dlent_errors_user;
SET ROLE dlent_errors_user;
SELECT (attempt($$SELECT * FROM dlent_train('m', 'pay', 'fraud')$$)).*;
SELECT (attempt($$SELECT * FROM dlent_train('m', 'SELECT id, fraud FROM pay', 'fraud')$$)).*;
RESET ROLE;

-- ---- evaluation ----
SELECT version, kind, device, train_rows FROM dlent_train('errors_model', 'SELECT amount, hour, method, fraud FROM pay', 'fraud',
    '{"preset": "fast", "epochs": 2}');
SELECT n, (attempt(format('SELECT dlent_evaluate(%s)', arguments))).*
FROM (VALUES
    (1, $$NULL, 'pay'$$),
    (2, $$'errors_model', NULL$$),
    (3, $$'nosuch', 'pay'$$),
    (4, $$'errors_model@7', 'pay'$$),
    (5, $$'errors_model@x', 'pay'$$),
    (6, $$'errors_model', 'nosuch'$$),
    (7, $$'errors_model', 'SELECT amount, hour, fraud FROM pay'$$),
    (8, $$'errors_model', 'SELECT amount, hour, method FROM pay'$$),
    (9, $$'errors_model', 'SELECT amount, pair AS hour, method, fraud FROM pay'$$),
    (10, $$'errors_model', 'SELECT amount, method AS hour, method, fraud FROM pay'$$),
    (11, $$'errors_model', 'pay', '{"treshold": 1}'$$),
    (12, $$'errors_model', 'pay', '{"threshold": 2}'$$),
    (13, $$'errors_model', 'pay', '{"store": 1}'$$),
    (14, $$'errors_model', 'pay', '{"weight_column": "nosuch"}'$$),
    (15, $$'errors_model', 'pay', '{"weight_column": "nothing"}'$$),
    (16, $$'errors_model', 'pay', '[1]'$$)
) AS cases (n, arguments) ORDER BY n;
SET ROLE dlent_errors_user;
SELECT (attempt($$SELECT dlent_evaluate('errors_model', 'pay')$$)).*;
RESET ROLE;

-- ---- nothing is left behind ----
SELECT count(*) FROM dlent.models WHERE model = 'm';
SELECT count(*) FROM dlent.progress;
SELECT count(*), to_regclass('copied') FROM pay;
SHOW synchronize_seqscans;
SELECT dlent_drop_model('errors_model');
DROP SCHEMA errors CASCADE;
DROP ROLE dlent_errors_user;
