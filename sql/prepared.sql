-- The same calls by statement after statement: what a session remembers of models, versions, grants and calls never shows.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS dlent CASCADE;
DROP ROLE IF EXISTS regress_dlent_caller;
CREATE EXTENSION dlent;
SET dlent.progress_messages = off;
SET client_min_messages = error;
SET plan_cache_mode = force_generic_plan;
CREATE SCHEMA calls;
SET search_path = calls, public;

CREATE TYPE town AS ENUM ('Bonn', 'Ulm', 'Kiel');
CREATE TABLE guest AS
SELECT (i * 7919 % 1000) / 10.0 AS spent, (ARRAY['Bonn', 'Ulm', 'Kiel'])[1 + i % 3] AS city, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS again,
       (ARRAY['a', 'b', 'c'])[1 + ((i * 7919 % 1000) + (i * 104729 % 601)) / 600] AS segment
FROM generate_series(1, 600) AS i ORDER BY hashint4(i);
CREATE VIEW returns AS SELECT spent, city, again FROM guest;
CREATE VIEW segments AS SELECT spent, city, segment FROM guest;
CREATE FUNCTION train(model text, source text, target text, seed int, promote boolean) RETURNS int LANGUAGE sql AS $$
    SELECT version FROM dlent_train(model, source, target, jsonb_build_object('preset', 'fast', 'epochs', 1, 'hidden', '[16]'::jsonb, 'seed', seed, 'promote', promote))
$$;
SELECT train('m', 'returns', 'again', 1, true), train('m', 'returns', 'again', 2, false), train('other', 'returns', 'again', 3, true), train('s', 'segments', 'segment', 4, true);
CREATE TABLE answer AS
SELECT v AS version, spent, city, dlent_predict_version('m', v, spent, city) AS score FROM generate_series(1, 2) AS v, (VALUES (12.5::float8, 'Ulm'::text), (77, 'Kiel'), (3, NULL)) AS t (spent, city);
SELECT count(DISTINCT score) FROM answer;
-- the version whose answers these are
CREATE FUNCTION who(score float8, at float8, town text) RETURNS int LANGUAGE sql AS 'SELECT version FROM answer AS a WHERE a.score = $1 AND a.spent = $2 AND a.city IS NOT DISTINCT FROM $3';

-- every form, twice; arguments of other types are other calls
PREPARE by_place (float8, text) AS SELECT who(dlent_predict('m', $1, $2), $1, $2);
PREPARE by_integer (int, text) AS SELECT who(dlent_predict('m', $1, $2), $1, $2);
PREPARE by_text (text, text) AS SELECT who(dlent_predict('m', $1, $2), $1::float8, $2);
PREPARE by_label (float8, town) AS SELECT who(dlent_predict('m', $1, $2), $1, $2::text);
PREPARE by_array (text[]) AS SELECT who(dlent_predict('m', $1), $1[1]::float8, $1[2]);
PREPARE by_key (jsonb) AS SELECT who(dlent_predict('m', $1), ($1 ->> 'spent')::float8, $1 ->> 'city');
PREPARE by_record (float8, text) AS SELECT who(dlent_predict('m', r), $1, $2) FROM (SELECT $2 AS city, $1 AS spent OFFSET 0) AS r;
PREPARE by_version (int, float8, text) AS SELECT who(dlent_predict_version('m', $1, $2, $3), $2, $3);
CREATE PROCEDURE ask() LANGUAGE plpgsql AS $$
DECLARE
    call text;
    answer int;
    answers text := '';
BEGIN
    FOREACH call IN ARRAY ARRAY['by_place(12.5, ''Ulm'')', 'by_place(3, NULL)', 'by_integer(77, ''Kiel'')', 'by_text(''12.5'', ''Ulm'')', 'by_label(12.5, ''Ulm'')',
                                'by_array(''{77,Kiel}'')', 'by_key(''{"city": null, "spent": 3}'')', 'by_record(12.5, ''Ulm'')', 'by_version(2, 77, ''Kiel'')'] LOOP
        EXECUTE 'EXECUTE ' || call INTO answer;
        answers := answers || ' ' || coalesce(answer::text, 'nobody');
    END LOOP;
    RAISE INFO '%', answers;
END$$;
CALL ask();
CALL ask();
SELECT dlent_promote('m', 2);
CALL ask();
CALL ask();
SELECT dlent_rollback('m');
CALL ask();

-- call sites of one statement, of one model and of several, and answers of another kind
PREPARE several (float8, text) AS
SELECT who(dlent_predict('m', $1, $2), $1, $2), who(dlent_predict('m', 77::float8, 'Kiel'::text), 77, 'Kiel'), dlent_predict('other', $1, $2) = dlent_predict_version('other', 1, $1, $2),
       dlent_classify('m', $1, $2), dlent_classify('s', $1, $2) IN ('a', 'b', 'c'), (SELECT round(sum(value::numeric), 6) FROM jsonb_each_text(dlent_probabilities('s', $1, $2)));
EXECUTE several (12.5, 'Ulm');
EXECUTE several (12.5, 'Ulm');

-- an error, and the same call again
EXECUTE by_text ('abc', 'Ulm');
EXECUTE by_text ('12.5', 'Ulm');
EXECUTE by_key ('{"spent": 1}');
EXECUTE by_key ('{"spent": 12.5, "city": "Ulm"}');
PREPARE too_few (float8) AS SELECT dlent_predict('m', $1);
EXECUTE too_few (1);
EXECUTE too_few (1);
PREPARE no_number (float8, text) AS SELECT dlent_predict('s', $1, $2);
EXECUTE no_number (1, 'Ulm');
EXECUTE no_number (1, 'Ulm');

-- a label that changes its name
EXECUTE by_label (12.5, 'Ulm');
ALTER TYPE town RENAME VALUE 'Ulm' TO 'Kehl';
ALTER TYPE town RENAME VALUE 'Kiel' TO 'Ulm';
EXECUTE by_label (12.5, 'Ulm');

-- a query that began before a promote, row by row
SET dlent.batch = off;
BEGIN;
DECLARE early CURSOR FOR SELECT who(dlent_predict('m', spent, city), spent, city) FROM answer WHERE version = 1;
FETCH 1 FROM early;
SELECT dlent_promote('m', 2);
EXECUTE by_place (12.5, 'Ulm');
FETCH 1 FROM early;
EXECUTE by_place (12.5, 'Ulm');
FETCH 1 FROM early;
SAVEPOINT s;
SELECT dlent_promote('m', 1);
EXECUTE by_place (12.5, 'Ulm');
ROLLBACK TO s;
EXECUTE by_place (12.5, 'Ulm');
ROLLBACK;
EXECUTE by_place (12.5, 'Ulm');
RESET dlent.batch;

-- rows of the catalog that move, and places that others take
DO $$BEGIN
    FOR i IN 1 .. 20 LOOP
        PERFORM dlent_promote('m', 1 + i % 2);
    END LOOP;
END$$;
EXECUTE by_place (12.5, 'Ulm');
VACUUM dlent.model, dlent.version;
EXECUTE by_place (12.5, 'Ulm');
SELECT dlent_promote('m', 2);
EXECUTE by_place (12.5, 'Ulm');
VACUUM FULL dlent.model;
VACUUM FULL dlent.version;
EXECUTE by_place (12.5, 'Ulm');
EXECUTE by_version (1, 12.5, 'Ulm');
SELECT dlent_drop_model('m'), dlent_drop_model('other'), dlent_drop_model('s');
EXECUTE by_place (12.5, 'Ulm');
VACUUM dlent.model, dlent.version;
EXECUTE by_place (12.5, 'Ulm');
SELECT train('other', 'returns', 'again', 3, true), train('m', 'returns', 'again', 2, true), train('m', 'returns', 'again', 1, false);
SELECT dlent_predict('m', spent, city) = score FROM answer WHERE version = 2 ORDER BY spent;
EXECUTE by_place (12.5, 'Ulm');

-- privileges that come and go, directly and through another role
CREATE ROLE regress_dlent_caller;
GRANT USAGE ON SCHEMA calls TO regress_dlent_caller;
GRANT SELECT ON answer TO regress_dlent_caller;
SET ROLE regress_dlent_caller;
EXECUTE by_place (12.5, 'Ulm');
RESET ROLE;
SELECT dlent_grant('m', 'predict', 'regress_dlent_caller');
SET ROLE regress_dlent_caller;
EXECUTE by_place (12.5, 'Ulm');
EXECUTE by_place (12.5, 'Ulm');
RESET ROLE;
SELECT dlent_grant('m', 'predict', '-'), dlent_revoke('m', 'predict', 'regress_dlent_caller');
SET ROLE regress_dlent_caller;
EXECUTE by_place (12.5, 'Ulm');
RESET ROLE;
SELECT dlent_revoke('m', 'predict', '-');
SET ROLE regress_dlent_caller;
EXECUTE by_place (12.5, 'Ulm');
RESET ROLE;

-- the extension anew
SET client_min_messages = error;
DROP EXTENSION dlent CASCADE;
EXECUTE by_place (12.5, 'Ulm');
CREATE EXTENSION dlent SCHEMA public;
SELECT train('m', 'returns', 'again', 1, true);
SELECT who(dlent_predict('m', 12.5::float8, 'Ulm'::text), 12.5, 'Ulm');
DROP SCHEMA calls CASCADE;
DROP ROLE regress_dlent_caller;
