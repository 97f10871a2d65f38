-- The shared files of packed models: made by the first score, gone with the version; and view dlent.model_cache.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS dlent CASCADE;
RESET client_min_messages;
CREATE EXTENSION dlent;
SET dlent.progress_messages = off;
SET timezone = 'UTC';

CREATE TABLE point AS
SELECT (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z
FROM generate_series(1, 300) AS i ORDER BY hashint4(i);
CREATE VIEW files AS
SELECT name, size, modification FROM pg_ls_tmpdir()
WHERE name ~ ('^pgsql_tmp_dlent_' || (SELECT oid FROM pg_database WHERE datname = current_database()) || '_');
CREATE VIEW cache AS
SELECT c.model, c.version, v.digest = c.digest AS digest, f.size = c.bytes AS bytes, f.modification = c.created_at AS created_at, c.mapped,
       c.private_bytes > 0 AS private
FROM dlent.model_cache AS c JOIN dlent.versions AS v USING (model, version)
LEFT JOIN files AS f ON split_part(f.name, '_', 5) = replace(v.digest::text, '-', '') ORDER BY model, version;

-- who makes a file sweeps what an earlier extension left
SELECT count(*) FROM dlent_train('m', 'point', 'z', '{"preset": "fast", "epochs": 1}');
SELECT dlent_predict('m', 1.0, 2) IS NOT NULL AS scored;
SELECT dlent_drop_model('m');
SELECT count(*) AS files FROM files;

SELECT count(*) FROM (SELECT dlent_train('m', 'point', 'z', format('{"preset": "fast", "epochs": 1, "seed": %s}', s)::jsonb) FROM generate_series(1, 3) AS s) AS t;
SELECT count(*) FROM dlent_train('twin', 'point', 'z', '{"preset": "fast", "epochs": 1, "seed": 1}');
SELECT count(*) FROM dlent_train('private', 'point', 'z', '{"preset": "fast", "epochs": 1, "seed": 5}');
SELECT * FROM cache;
SELECT dlent_predict('m@1', 1.0, 2) = dlent_predict('twin', 1.0, 2) AS same, dlent_predict('m@2', 1.0, 2) <> dlent_predict('private', 1.0, 2) AS different;
SELECT * FROM cache;
SELECT count(*) AS files FROM files;
-- another session finds the files, and has mapped none of them
\c
SELECT * FROM cache;
SELECT dlent_predict('m@2', 1.0, 2) = dlent_predict_version('m', 2, 1.0, 2) AS scored;
SELECT * FROM cache;
SELECT dlent.cached_model('00000000-0000-0000-0000-000000000000');
-- with no room to keep models, the one in use is kept
SET dlent.model_cache_size = 0;
SELECT dlent_predict('m@1', 1.0, 2) IS NOT NULL AS scored;
SELECT model, version, mapped FROM cache ORDER BY model, version;
RESET dlent.model_cache_size;

-- everybody sees what it may see
CREATE ROLE cache_reader;
SELECT dlent_grant('m', 'predict', 'cache_reader');
SET ROLE cache_reader;
SELECT model, version, mapped, private_bytes > 0 AS private FROM dlent.model_cache ORDER BY model, version;
RESET ROLE;
SELECT dlent_revoke('m', 'all', 'cache_reader');
DROP ROLE cache_reader;

-- a file goes when the drop of its version commits, and nobody else has its digest
SELECT dlent_predict('m@3', 1.0, 2) IS NOT NULL AS scored;
SELECT count(*) AS files FROM files;
BEGIN;
SELECT dlent_drop_model('m', 2);
ROLLBACK;
SELECT count(*) AS rolled_back FROM files;
BEGIN;
SAVEPOINT a;
SELECT dlent_drop_model('m', 2);
ROLLBACK TO a;
SELECT dlent_drop_model('m', 3);
COMMIT;
SELECT count(*) AS savepoint_rolled_back FROM files;
BEGIN;
SAVEPOINT a;
SAVEPOINT b;
SELECT dlent_drop_model('m', 2);
RELEASE b;
RELEASE a;
SELECT count(*) AS not_yet FROM files;
COMMIT;
SELECT count(*) AS savepoint_released FROM files;
SELECT dlent_drop_model('m');
SELECT count(*) AS shared_digest FROM files;
SELECT dlent_drop_model('twin');
SELECT count(*) AS no_longer_shared FROM files;
SELECT * FROM cache;
-- what is left is swept when the next file is made
DROP EXTENSION dlent CASCADE;
CREATE EXTENSION dlent;
\c
SET dlent.progress_messages = off;
SELECT dlent_predict('m', 1.0, 2);
SELECT count(*) FROM dlent_train('m', 'point', 'z', '{"preset": "fast", "epochs": 1, "seed": 9}');
SELECT dlent_predict('m', 1.0, 2) IS NOT NULL AS scored;
SELECT count(*) AS files FROM files;

DROP EXTENSION dlent CASCADE;
DROP TABLE point CASCADE;
DROP VIEW files CASCADE;
