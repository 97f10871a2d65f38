-- dlent_promote, dlent_rollback, dlent_drop_model and the audit trail.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS dlent CASCADE;
RESET client_min_messages;
CREATE EXTENSION dlent;
SET dlent.progress_messages = off;

CREATE TABLE point AS
SELECT (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z FROM generate_series(1, 400) AS i ORDER BY hashint4(i);
\set options '{"preset": "fast", "epochs": 1, "seed": '
SELECT version FROM dlent_train('m', 'point', 'z', (:'options' || '1}')::jsonb);
SELECT version FROM dlent_train('m', 'point', 'z', (:'options' || '2}')::jsonb);
SELECT version FROM dlent_train('m', 'point', 'z', (:'options' || '1}')::jsonb);
SELECT version FROM dlent_train('m', 'point', 'z', (:'options' || '2}')::jsonb);
SELECT version FROM dlent_train('m', 'point', 'z', (:'options' || '3, "promote": true}')::jsonb);
SELECT champion FROM dlent.models;
SELECT version, status FROM dlent.versions ORDER BY version;

-- the champion answers, at once and transactionally
CREATE VIEW answers AS
SELECT bool_and(dlent_predict('m', p) = dlent_predict('m@1', p)) AS one, bool_and(dlent_predict('m', p) = dlent_predict('m@2', p)) AS two,
       bool_and(dlent_predict('m', p) = dlent_predict('m@3', p)) AS three
FROM point AS p;
SELECT * FROM answers;
BEGIN;
SELECT dlent_promote('m', 2, 'a try');
SELECT * FROM answers;
SAVEPOINT before;
SELECT dlent_promote('m', 1);
SELECT * FROM answers;
ROLLBACK TO before;
SELECT * FROM answers;
ROLLBACK;
SELECT * FROM answers;
-- also within one call site that outlives its statements
DO $$
DECLARE
    first float8 := dlent_predict('m@1', 50.0, 3);
    second float8 := dlent_predict('m@2', 50.0, 3);
    got float8;
BEGIN
    FOR i IN 1..4 LOOP
        PERFORM dlent_promote('m', 1 + i % 2);
        got := dlent_predict('m', 50.0, 3);
        RAISE NOTICE 'version % answers: %', 1 + i % 2, got = CASE WHEN i % 2 = 0 THEN first ELSE second END AND first <> second;
    END LOOP;
    RAISE EXCEPTION 'undo';
EXCEPTION WHEN raise_exception THEN
    RAISE NOTICE 'undone';
END $$;
SELECT champion FROM dlent.models;

-- one rollback after another walks back; what was taken back is not returned to
SELECT dlent_promote('m', 2, 'better recall');
SELECT dlent_promote('m', 2);
SELECT dlent_promote('m', 3);
SELECT dlent_rollback('m', 'too many alerts');
SELECT dlent_rollback('m');
SELECT dlent_promote('m', 1);
SELECT dlent_rollback('m');
SELECT dlent_rollback('m');
SELECT dlent_rollback('m');
SELECT action, version, champion, replaced, reason FROM dlent.events ORDER BY id;
SELECT version, replaced, started_at < COALESCE(ended_at, 'infinity') AS times, ended_at IS NULL AS now, action, reason FROM dlent.deployments ORDER BY started_at;
SELECT version, status FROM dlent.versions ORDER BY version;

-- dropping a version: not the champion; a rollback passes over what is gone
SELECT dlent_promote('m', 2);
SELECT dlent_promote('m', 3);
SELECT dlent_drop_model('m', 3);
SELECT dlent_drop_model('m', 2);
SELECT dlent_drop_model('m', 2);
SELECT dlent_predict('m@2', 1.0, 2);
SELECT dlent_rollback('m');
SELECT version, status FROM dlent.versions ORDER BY version;
SELECT count(*) AS contracts FROM pg_class WHERE relnamespace = 'dlent'::regnamespace AND relname LIKE 'contract%';
SELECT (SELECT count(*) FROM dlent.version) AS versions, (SELECT count(DISTINCT version_id) FROM dlent.weight_chunk) AS weights,
       (SELECT count(DISTINCT version_id) FROM dlent.training_epoch) AS logs;
-- a number is not given twice
SELECT dlent_drop_model('m', 5);
SELECT version FROM dlent_train('m', 'point', 'z', (:'options' || '1}')::jsonb);

-- errors
SELECT dlent_promote('m', 9);
SELECT dlent_promote('none', 1);
SELECT dlent_promote('m@1', 1);
SELECT dlent_promote(NULL, 1);
SELECT dlent_promote('m', NULL);
SELECT dlent_rollback('none');
SELECT dlent_drop_model('none');
SELECT dlent_drop_model('m', 9);
BEGIN READ ONLY;
SELECT bool_and(dlent_predict('m', p) IS NOT NULL) AS scored FROM point AS p;
SELECT dlent_promote('m', 1);
ROLLBACK;

-- statements of ours see nothing that a search path could put between
CREATE SCHEMA evil;
CREATE FUNCTION evil.equals(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'evil'; END$$;
CREATE OPERATOR evil.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = evil.equals);
CREATE FUNCTION evil.nextval(regclass) RETURNS bigint LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'evil'; END$$;
SET search_path = evil, pg_catalog, public;
SELECT dlent_promote('m', 4);
SHOW search_path;
RESET search_path;
DROP SCHEMA evil CASCADE;

-- the whole model goes; its trail stays, and the name is free
SELECT dlent_drop_model('m');
SELECT (SELECT count(*) FROM dlent.model) AS models, (SELECT count(*) FROM dlent.version) AS versions, (SELECT count(*) FROM dlent.weight_chunk) AS weights,
       (SELECT count(*) FROM pg_class WHERE relnamespace = 'dlent'::regnamespace AND relname LIKE 'contract%') AS contracts;
SELECT action, model FROM dlent.events ORDER BY id DESC LIMIT 1;
SELECT * FROM answers;
DROP VIEW answers;
ALTER TABLE point DROP COLUMN y;
SELECT version FROM dlent_train('m', 'point', 'z', '{"preset": "fast", "epochs": 1}');
SELECT model, version, status FROM dlent.versions;

DROP EXTENSION dlent;
DROP TABLE point;
