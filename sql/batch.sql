-- Custom Scan (DlentScore): where it stands in plans, and where it must not.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS dlent CASCADE;
RESET client_min_messages;
CREATE EXTENSION dlent;
SET dlent.progress_messages = off;

CREATE TABLE part (id int PRIMARY KEY, line int, heat float8, speed real, tool text, wear float8, broken boolean);
INSERT INTO part
SELECT i, i % 5, (i * 7919 % 1000) / 10.0, i % 37, (ARRAY['drill', 'lathe', 'mill'])[1 + i % 3], (i * 7919 % 1000) / 20.0 + i % 37,
       (i * 7919 % 1000) + (i * 104729 % 601) > 800
FROM generate_series(1, 600) AS i ORDER BY hashint4(i);
CREATE TABLE plant (id int, line int, heat float8, speed real, tool text, wear float8, broken boolean) PARTITION BY LIST (line);
CREATE TABLE plant_low PARTITION OF plant FOR VALUES IN (0, 1);
CREATE TABLE plant_high (broken boolean, tool text, heat float8, speed real, wear float8, line int, id int);
ALTER TABLE plant ATTACH PARTITION plant_high FOR VALUES IN (2, 3, 4);
INSERT INTO plant SELECT * FROM part;
ANALYZE part, plant;
SELECT version FROM dlent_train('wear', 'SELECT heat, speed, tool, wear FROM part', 'wear', '{"preset": "fast", "epochs": 2}');
SELECT version FROM dlent_train('fails', 'SELECT heat, speed, tool, broken FROM part', 'broken', '{"preset": "fast", "epochs": 2, "exclude": []}');

SET max_parallel_workers_per_gather = 0;
-- a plan without what depends on the server's version: decimals of row counts, memory, the text of a window
CREATE FUNCTION plan_of(query text, options text DEFAULT '') RETURNS TABLE (plan text) LANGUAGE plpgsql AS $$
BEGIN
    FOR plan IN EXECUTE format('EXPLAIN (COSTS OFF%s) %s', options, query) LOOP
        CONTINUE WHEN plan ~ '^ *Window: ';
        plan := regexp_replace(plan, '(?<=rows=\d+)\.\d+| +Memory: .*', '');
        RETURN NEXT;
    END LOOP;
END $$;
CREATE FUNCTION analyzed(query text) RETURNS TABLE (plan text) LANGUAGE sql
    AS $$SELECT plan_of(query, ', ANALYZE, TIMING OFF, SUMMARY OFF, BUFFERS OFF')$$;

-- targetlist: the scan below returns its stored rows, no composite is built
EXPLAIN (VERBOSE, COSTS OFF) SELECT id, dlent_predict('wear', part) FROM part;
-- filter: cheap conditions first; a score that is filtered on is not computed again
EXPLAIN (COSTS OFF) SELECT id, dlent_predict('wear', part) FROM part WHERE dlent_predict('wear', part) > 30 AND line = 1 ORDER BY 2 DESC;
-- all answers of one model on one row share a forward pass; two models are two
SELECT * FROM analyzed($$
SELECT dlent_predict('fails', part), dlent_classify('fails', part), dlent_probabilities('fails', part), dlent_predict('wear', part) FROM part$$);
-- the second filter scores what passes the first, which is the one that costs less by far
SELECT version FROM dlent_train('slow', 'SELECT heat, speed, tool, broken FROM part', 'broken', '{"preset": "fast", "epochs": 1, "hidden": [1024, 1024]}');
SELECT * FROM analyzed($$
SELECT id FROM part WHERE dlent_predict('slow', part) > 0.5 AND dlent_predict('wear', part) > 1e9$$);
-- above Limit, so that the sort below keeps its bound
SELECT * FROM analyzed($$SELECT id, dlent_predict('wear', part) FROM part ORDER BY heat, id LIMIT 3$$);
SELECT * FROM analyzed($$SELECT id FROM part ORDER BY dlent_predict('wear', part), id LIMIT 3$$);
-- aggregates, window functions, groups
EXPLAIN (COSTS OFF) SELECT line, avg(dlent_predict('wear', part)) FROM part GROUP BY line;
SELECT * FROM plan_of($$SELECT id, avg(dlent_predict('wear', part)) OVER (PARTITION BY line) FROM part$$);
EXPLAIN (COSTS OFF) SELECT dlent_classify('fails', part), count(*) FROM part GROUP BY 1;
EXPLAIN (COSTS OFF) SELECT line FROM part GROUP BY line HAVING dlent_predict('wear', avg(heat), 3, 'mill') > 20;
-- partitions, whatever their columns' order
EXPLAIN (VERBOSE, COSTS OFF) SELECT id, dlent_predict('wear', plant) FROM plant;
EXPLAIN (COSTS OFF) SELECT max(dlent_predict('wear', plant)) FROM plant;
-- joins, subqueries, common table expressions, INSERT ... SELECT
EXPLAIN (COSTS OFF) SELECT p.id, dlent_predict('wear', p) FROM part AS p JOIN plant_low AS l USING (id);
EXPLAIN (COSTS OFF) SELECT (SELECT max(dlent_predict('wear', l)) FROM plant_low AS l WHERE l.line = p.line) FROM part AS p;
EXPLAIN (COSTS OFF) WITH s AS MATERIALIZED (SELECT dlent_predict('wear', part) AS w FROM part) SELECT count(*) FROM s WHERE w > 3;
CREATE TABLE result (id int, score float8);
EXPLAIN (COSTS OFF) INSERT INTO result SELECT id, dlent_predict('wear', part) FROM part;

-- not batched: conditional calls, rows that are locked or changed, volatile features, one row
EXPLAIN (COSTS OFF) SELECT CASE WHEN line = 1 THEN dlent_predict('wear', part) END FROM part;
EXPLAIN (COSTS OFF) SELECT id FROM part WHERE line = 1 OR dlent_predict('wear', part) > 3;
EXPLAIN (COSTS OFF) SELECT dlent_predict('wear', part) FROM part FOR UPDATE;
EXPLAIN (COSTS OFF) UPDATE result SET score = dlent_predict('wear', part) FROM part WHERE part.id = result.id;
EXPLAIN (COSTS OFF) SELECT dlent_predict('wear', random() * heat, speed, tool) FROM part;
EXPLAIN (COSTS OFF) SELECT dlent_predict('wear', 1, 2, 'mill');
SET dlent.batch = off;
EXPLAIN (COSTS OFF) SELECT dlent_predict('wear', part) FROM part;
RESET dlent.batch;

-- for tests: no plan without, or none with
SET dlent.debug_require_batch = 'require';
SELECT count(dlent_predict('wear', part)) FROM part;
SELECT CASE WHEN line = 1 THEN dlent_predict('wear', part) END FROM part;
SET dlent.debug_require_batch = 'forbid';
EXPLAIN (COSTS OFF) SELECT dlent_predict('wear', part) FROM part;
RESET dlent.debug_require_batch;

-- security barriers: the cheap condition of the view stays below, the user's function sees no row that it hides
CREATE FUNCTION leak(int) RETURNS boolean LANGUAGE plpgsql COST 0.1 AS $$
BEGIN
    IF (SELECT dlent_predict('wear', p) <= 45 FROM part AS p WHERE p.id = $1) THEN RAISE 'sees row %', $1; END IF;
    RETURN true;
END $$;
CREATE VIEW likely WITH (security_barrier) AS SELECT * FROM part WHERE dlent_predict('wear', part) > 45;
SELECT count(*) BETWEEN 1 AND 599 AS some FROM likely WHERE leak(id);

-- cursors: row by row, forwards; backwards with SCROLL
BEGIN;
DECLARE forwards CURSOR FOR SELECT id, dlent_predict('wear', part) IS NOT NULL FROM part;
FETCH 2 FROM forwards;
MOVE 300 FROM forwards;
FETCH 1 FROM forwards;
DECLARE both_ways SCROLL CURSOR FOR SELECT id, dlent_predict('wear', part) IS NOT NULL FROM part;
MOVE 20 FROM both_ways;
FETCH BACKWARD 2 FROM both_ways;
DECLARE held CURSOR WITH HOLD FOR SELECT id, dlent_predict('wear', part) IS NOT NULL FROM part;
FETCH 1 FROM held;
COMMIT;
FETCH 1 FROM held;
CLOSE held;

-- plans are kept until the champion changes
SELECT version FROM dlent_train('wear', 'SELECT heat, speed, tool, wear FROM part', 'wear', '{"preset": "fast", "epochs": 1, "seed": 5}');
SET plan_cache_mode = force_generic_plan;
PREPARE scored AS SELECT sum(dlent_predict('wear', part)) AS s FROM part;
EXPLAIN (COSTS OFF) EXECUTE scored;
EXECUTE scored \gset first_
SELECT dlent_promote('wear', 2);
EXPLAIN (COSTS OFF) EXECUTE scored;
EXECUTE scored \gset second_
SELECT :'first_s' <> :'second_s' AS another_model, :'first_s' = sum(dlent_predict('wear@1', part))::text AS first_was_version_1,
       :'second_s' = sum(dlent_predict('wear@2', part))::text AS second_is_version_2 FROM part;
-- the model as a parameter is found when the plan runs
PREPARE any_model(text) AS SELECT sum(dlent_predict($1, part)) AS s FROM part;
EXPLAIN (COSTS OFF) EXECUTE any_model('wear');
EXECUTE any_model('wear@1') \gset third_
SELECT :'third_s' = :'first_s' AS same;
EXECUTE any_model('nothing');
EXECUTE any_model(NULL);
DEALLOCATE ALL;
RESET plan_cache_mode;

-- privileges are those of whoever runs the plan
CREATE ROLE regress_scan_reader;
GRANT SELECT ON part TO regress_scan_reader;
SET ROLE regress_scan_reader;
SELECT sum(dlent_predict('wear', part)) > 0 AS may FROM part;
RESET ROLE;
SELECT dlent_grant('wear', 'predict', 'regress_scan_reader');
SET ROLE regress_scan_reader;
SELECT sum(dlent_predict('wear', part)) > 0 AS may FROM part;
RESET ROLE;

-- errors are those of the call, and name the model
SELECT dlent_predict('wear', heat, speed) FROM part;
SELECT dlent_classify('wear', part) FROM part;
SELECT dlent_predict('wear', r) FROM (SELECT heat, speed FROM part) AS r;
SELECT dlent_predict('missing', part) FROM part;

-- rows are read where they lie: every fixed-width type with its padding, dropped and added columns, NULLs, short tuples,
-- columns behind texts, tables of several shapes in one scan
CREATE TABLE fixed (gone int8, b boolean, i2 int2, f8 float8, i4 int4, f4 real, i8 int8);
INSERT INTO fixed
SELECT i, i % 3 = 0, i % 11, (i * 7919 % 1000) / 7.0, -i * 1000, i / 3.0, i * 10000000000 FROM generate_series(1, 300) AS i ORDER BY hashint4(i);
ALTER TABLE fixed DROP COLUMN gone;
SELECT version FROM dlent_train('fixed', 'SELECT * FROM fixed', 'f8', '{"preset": "fast", "epochs": 1}');
ALTER TABLE fixed ADD COLUMN later int2 DEFAULT 7;
INSERT INTO fixed
SELECT nullif(i % 3, 1) = 0, nullif(i % 11, 4), nullif(i % 13, 6) * 'NaN'::float8, nullif(i, 27), 'infinity', -i, i FROM generate_series(1, 90) AS i;
CREATE TABLE behind (note text, b boolean, i2 int2, i4 int4, f4 real, i8 int8);
INSERT INTO behind SELECT repeat('x', i % 20), i % 3 = 0, i % 11, i, i / 3.0, i FROM generate_series(1, 50) AS i;
SELECT version FROM dlent_train('later', 'SELECT later, i2, i8 FROM fixed', 'i8', '{"preset": "fast", "epochs": 1, "exclude": []}');
CREATE FUNCTION scores() RETURNS TABLE (what text, rows bigint, digest text) LANGUAGE sql AS $$
    SELECT 'record', count(*), md5(string_agg(s::text, ',' ORDER BY at)) FROM (SELECT ctid AS at, dlent_predict('fixed', fixed) AS s FROM fixed) AS r
    UNION ALL
    SELECT 'columns', count(*), md5(string_agg(s::text, ',' ORDER BY at))
    FROM (SELECT ctid AS at, dlent_predict('fixed', b, i2, i4, f4, i8) AS s FROM fixed) AS r
    UNION ALL
    SELECT 'added column', count(*), md5(string_agg(s::text, ',' ORDER BY at)) FROM (SELECT ctid AS at, dlent_predict('later', fixed) AS s FROM fixed) AS r
    UNION ALL
    SELECT 'behind a text', count(*), md5(string_agg(s::text, ',' ORDER BY at)) FROM (SELECT ctid AS at, dlent_predict('fixed', behind) AS s FROM behind) AS r
    UNION ALL
    SELECT 'two shapes', count(*), md5(string_agg(s::text, ',' ORDER BY s))
    FROM (SELECT dlent_predict('fixed', b, i2, i4, f4, i8) AS s
          FROM (SELECT b, i2, i4, f4, i8 FROM fixed UNION ALL SELECT b, i2, i4, f4, i8 FROM behind) AS u) AS r
$$;
CREATE TEMP TABLE batched AS SELECT * FROM scores();
SET dlent.batch = off;
SELECT s.what, s.rows, s = b AS same FROM scores() AS s JOIN batched AS b USING (what);
RESET dlent.batch;

SET client_min_messages = warning;
DROP EXTENSION dlent CASCADE;
DROP FUNCTION scores(), plan_of(text, text), analyzed(text);
DROP TABLE fixed, behind;
DROP TABLE part, plant, result CASCADE;
DROP ROLE regress_scan_reader;
