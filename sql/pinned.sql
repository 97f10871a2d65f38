-- Objects that call a version by constants keep it from being dropped.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS dlent CASCADE;
RESET client_min_messages;
CREATE EXTENSION dlent;
SET dlent.progress_messages = off;

CREATE TABLE point AS
SELECT i AS id, (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z
FROM generate_series(1, 500) AS i ORDER BY hashint4(i);
CREATE VIEW inputs AS SELECT x, y, z FROM point;
SELECT version FROM dlent_train('m', 'inputs', 'z', '{"preset": "fast", "epochs": 1, "seed": 1}');
SELECT version FROM dlent_train('m', 'inputs', 'z', '{"preset": "fast", "epochs": 1, "seed": 2}');
SELECT version FROM dlent_train('m', 'inputs', 'z', '{"preset": "fast", "epochs": 1, "seed": 3, "promote": true}');
SELECT version FROM dlent_train('other', 'inputs', 'z', '{"preset": "fast", "epochs": 1, "seed": 4}');
SELECT digest AS first FROM dlent.versions WHERE model = 'm' AND version = 1 \gset

-- each kind of object on its own
CREATE FUNCTION drop_first(what text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text;
    message text;
    detail text;
BEGIN
    PERFORM dlent_drop_model('m', 1);
    RAISE EXCEPTION USING ERRCODE = 'D0000';
EXCEPTION
    WHEN SQLSTATE 'D0000' THEN
        RETURN what || ': dropped';
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
        RETURN what || ': ' || code || ' ' || message || E'\n' || detail;
END$$;
\pset format unaligned
\pset tuples_only on
SELECT drop_first('nothing');

CREATE INDEX point_score ON point (dlent_predict_version('m', 1, x, y));
SELECT drop_first('index');
DROP INDEX point_score;
CREATE INDEX point_likely ON point (id) WHERE dlent_predict_version('m', 1, x, y) > 0.5;
SELECT drop_first('partial index');
DROP INDEX point_likely;
CREATE INDEX point_digest ON point (id) WHERE dlent_score(:'first', x, y) > 0.5;
SELECT drop_first('index by digest');
DROP INDEX point_digest;
ALTER TABLE point ADD COLUMN score float8 GENERATED ALWAYS AS (round(dlent_predict_version('m'::varchar COLLATE "C", 1, x, y)::numeric, 3)) STORED;
SELECT drop_first('generated column');
ALTER TABLE point DROP COLUMN score;
ALTER TABLE point ADD COLUMN score float8 DEFAULT dlent_predict_version('m', 1, 1, 2);
SELECT drop_first('default');
ALTER TABLE point DROP COLUMN score;
ALTER TABLE point ADD CONSTRAINT plausible CHECK (dlent_predict_version('m', 1, x, y) <= 1);
SELECT drop_first('constraint');
ALTER TABLE point DROP CONSTRAINT plausible;
CREATE DOMAIN likely AS float8 CHECK (dlent_predict_version('m', 1, VALUE, 2) <= 1);
SELECT drop_first('domain');
DROP DOMAIN likely;
CREATE VIEW scored AS SELECT id, (SELECT max(dlent_predict_version('m', 1, p)) FROM point AS p) AS score FROM point;
SELECT drop_first('view');
DROP VIEW scored;
CREATE MATERIALIZED VIEW scored AS SELECT id, dlent_score(:'first', p) AS score FROM point AS p;
SELECT drop_first('materialized view');
DROP MATERIALIZED VIEW scored;
CREATE VIEW scored AS SELECT id, dlent_predict_version(version => 1, model => 'm', VARIADIC features => ARRAY[x, y]) AS score FROM point;
SELECT drop_first('arguments by name');
DROP VIEW scored;
CREATE TABLE ledger (id int);
CREATE RULE keep AS ON DELETE TO ledger WHERE dlent_predict_version('m', 1, old.id, 2) > 0.5 DO INSTEAD NOTHING;
SELECT drop_first('rule');
DROP RULE keep ON ledger;
CREATE POLICY mild ON ledger USING (dlent_predict_version('m', 1, id, 2) < 0.5);
SELECT drop_first('policy');
DROP POLICY mild ON ledger;
CREATE TRIGGER noticed BEFORE UPDATE ON ledger FOR EACH ROW WHEN (dlent_predict_version('m', 1, new.id, 2) > 0.5)
EXECUTE FUNCTION suppress_redundant_updates_trigger();
SELECT drop_first('trigger');
DROP TRIGGER noticed ON ledger;
CREATE STATISTICS spread ON dlent_predict_version('m', 1, x, y), id FROM point;
SELECT drop_first('statistics');
DROP STATISTICS spread;
CREATE FUNCTION risk(x float8, y int) RETURNS float8 LANGUAGE sql IMMUTABLE RETURN dlent_predict_version('m', 1, x, y);
SELECT drop_first('function');
DROP FUNCTION risk;
CREATE TABLE parts (x float8, y int) PARTITION BY RANGE (dlent_predict_version('m', 1, x, y));
SELECT drop_first('partition key');
DROP TABLE parts;

-- what does not pin it: other versions and models, versions that are not constant, calls by name, text
CREATE INDEX point_second ON point (dlent_predict_version('m', 2, x, y));
CREATE INDEX point_other ON point (dlent_predict_version('other', 1, x, y));
CREATE VIEW any_version AS SELECT dlent_predict_version('m', y + 1, x, y) AS score, dlent_predict('m@1', x, y) AS by_name FROM point;
CREATE FUNCTION late(x float8, y int) RETURNS float8 LANGUAGE sql AS $$SELECT dlent_predict_version('m', 1, x, y)$$;
SELECT drop_first('unpinned');
DROP VIEW any_version;
DROP FUNCTION late;

-- a digest that another version has as well
SELECT version FROM dlent_train('m', 'inputs', 'z', '{"preset": "fast", "epochs": 1, "seed": 1}');
CREATE INDEX point_digest ON point (dlent_score(:'first', x, y));
SELECT drop_first('shared digest');
SELECT dlent_drop_model('m', 4);
SELECT drop_first('no longer shared');
DROP INDEX point_digest;

-- a version that other versions learnt from: their contracts name it
SELECT version FROM dlent_train('m', 'SELECT x, dlent_predict_version(''m'', 1, x, y) AS first, z FROM point', 'z', '{"preset": "fast", "epochs": 1}');
SELECT regexp_replace(drop_first('input of a version'), 'contract_\d+_', 'contract_N_');
SELECT dlent_drop_model('m', 5);

-- a whole model: everything is named, in the eyes of the user
CREATE VIEW scored AS SELECT id, dlent_predict_version('m', 1, x, y) AS first, dlent_predict_version('m', 3, x, y) AS third FROM point;
\pset tuples_only off
\pset format aligned
SELECT dlent_drop_model('m');
SELECT dlent_drop_model('m', 2);
DROP INDEX point_second;
SELECT dlent_drop_model('m', 2);
DROP VIEW scored;
SELECT dlent_drop_model('m');
SELECT model FROM dlent.models;
-- the model goes when the versions only know each other
SELECT version FROM dlent_train('m', 'inputs', 'z', '{"preset": "fast", "epochs": 1}');
SELECT version FROM dlent_train('m', 'SELECT x, dlent_predict_version(''m'', 1, x, y) AS first, z FROM point', 'z', '{"preset": "fast", "epochs": 1}');
SELECT dlent_drop_model('m');
-- one object too many to name them all
DO $$
BEGIN
    FOR i IN 1..105 LOOP
        EXECUTE format('CREATE VIEW many_%s AS SELECT dlent_predict_version(''other'', 1, 1, 2)', lpad(i::text, 3, '0'));
    END LOOP;
    PERFORM dlent_drop_model('other');
EXCEPTION WHEN dependent_objects_still_exist THEN
    DECLARE
        detail text;
    BEGIN
        GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
        RAISE NOTICE '% lines, the last "%"', cardinality(string_to_array(detail, E'\n')), split_part(detail, E'\n', -1);
    END;
END$$;

DROP EXTENSION dlent CASCADE;
DROP TABLE point, ledger CASCADE;
DROP FUNCTION drop_first;
