-- Who may do what with a model, and who sees it.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS dlent CASCADE;
RESET client_min_messages;
CREATE EXTENSION dlent;
CREATE ROLE regress_dlent_owner;
CREATE ROLE regress_dlent_team;
CREATE ROLE regress_dlent_member IN ROLE regress_dlent_team;
CREATE ROLE regress_dlent_other;
CREATE ROLE regress_dlent_auditor IN ROLE pg_read_all_data;
CREATE TABLE point AS
SELECT (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z FROM generate_series(1, 400) AS i ORDER BY hashint4(i);
GRANT SELECT ON point TO PUBLIC;
SET dlent.progress_messages = off;

SET ROLE regress_dlent_owner;
SELECT version FROM dlent_train('private', 'point', 'z', '{"preset": "fast", "epochs": 1}');
SELECT version FROM dlent_train('private', 'SELECT x, z FROM point', 'z', '{"preset": "fast", "epochs": 1}');
SELECT model, owner FROM dlent.models;
SELECT dlent_predict('private', 1.0, 2) IS NOT NULL AS scored;

-- nobody else
SET ROLE regress_dlent_other;
SELECT (SELECT count(*) FROM dlent.models) AS models, (SELECT count(*) FROM dlent.versions) AS versions, (SELECT count(*) FROM dlent.training_log) AS log,
       (SELECT count(*) FROM dlent.events) AS events, (SELECT count(*) FROM dlent.deployments) AS deployments, (SELECT count(*) FROM dlent.grants) AS grants;
SELECT dlent_predict('private', 1.0, 2);
SELECT dlent_classify('private', 1.0, 2);
SELECT dlent_probabilities('private', 1.0, 2);
SELECT dlent_predict_version('private', 1, 1.0, 2);
SELECT dlent_evaluate('private', 'point');
SELECT dlent_train('private', 'point', 'z', '{"preset": "fast", "epochs": 1}');
SELECT dlent_promote('private', 2);
SELECT dlent_rollback('private');
SELECT dlent_drop_model('private');
SELECT dlent_drop_model('private', 2);
SELECT dlent_grant('private', 'manage', 'regress_dlent_other');
SELECT dlent_revoke('private', 'manage', 'regress_dlent_owner');
-- nor the tables, by whatever way
SELECT FROM dlent.model;
SELECT FROM dlent.version;
SELECT FROM dlent.weight_chunk;
SELECT FROM dlent.model_grant;
SELECT FROM dlent.visible_model;
INSERT INTO dlent.event (action, model_id, model, role) VALUES ('promote', 1, 'private', 'regress_dlent_other');
UPDATE dlent.models SET champion = 2;
SELECT nextval('dlent.model_id_seq');
CREATE TABLE dlent.mine ();
-- a function in a filter does not see what the view hides
CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$BEGIN RAISE NOTICE 'leaked %', $1; RETURN true; END$$;
SELECT model FROM dlent.models WHERE pg_temp.leak(model);
DROP FUNCTION pg_temp.leak;

-- readers of everything see, but do not score
SET ROLE regress_dlent_auditor;
SELECT model, owner FROM dlent.models;
SELECT dlent_predict('private', 1.0, 2);

-- predict, to a role and so to its members
SET ROLE regress_dlent_owner;
SELECT dlent_grant('private', 'predict', 'regress_dlent_team');
SELECT dlent_grant('private', 'predict', 'regress_dlent_team');
SELECT * , granted_at <= now() AS granted FROM (SELECT model, grantee, privilege, grantor, granted_at FROM dlent.grants) AS g \gset
\echo :model :grantee :privilege :grantor
SET ROLE regress_dlent_member;
SELECT dlent_predict('private', 1.0, 2) IS NOT NULL AS scored, dlent_predict_version('private', 2, 1.0) IS NOT NULL AS version;
SELECT model, owner FROM dlent.models;
SELECT dlent_promote('private', 2);
SELECT dlent_train('private', 'point', 'z', '{"preset": "fast", "epochs": 1}');
SELECT dlent_grant('private', 'predict', 'regress_dlent_other');
-- the role at the time of the call counts
PREPARE score AS SELECT dlent_predict('private', 1.0, 2) IS NOT NULL AS scored;
EXECUTE score;
SET ROLE regress_dlent_other;
EXECUTE score;

-- manage
SET ROLE regress_dlent_owner;
SELECT dlent_grant('private', 'manage', 'regress_dlent_member');
SET ROLE regress_dlent_member;
SELECT version FROM dlent_train('private', 'SELECT y, z FROM point', 'z', '{"preset": "fast", "epochs": 1}');
SELECT dlent_promote('private', 3, 'mine');
SELECT dlent_rollback('private');
SELECT dlent_drop_model('private', 3);
SELECT dlent_grant('private', 'predict', 'regress_dlent_other');
SELECT model, owner FROM dlent.models;
SELECT action, role, session_role = session_user AS session FROM dlent.events ORDER BY id DESC LIMIT 4;

-- taken back; to everybody
SET ROLE regress_dlent_owner;
SELECT dlent_revoke('private', 'all', 'regress_dlent_member');
SELECT dlent_revoke('private', 'predict', 'regress_dlent_team');
SELECT dlent_revoke('private', 'predict', 'regress_dlent_team');
SET ROLE regress_dlent_member;
SELECT dlent_predict('private', 1.0, 2);
SET ROLE regress_dlent_owner;
SELECT dlent_grant('private', 'predict', '-');
SELECT grantee, privilege FROM dlent.grants;
SET ROLE regress_dlent_other;
SELECT dlent_predict('private', 1.0, 2) IS NOT NULL AS scored;
SET ROLE regress_dlent_owner;
SELECT dlent_revoke('private', 'all', '-');
SELECT dlent_grant('private', 'all', 'regress_dlent_other');
SELECT grantee, privilege FROM dlent.grants ORDER BY privilege;
SELECT action, details FROM dlent.events WHERE action IN ('grant', 'revoke') ORDER BY id;

-- errors
SELECT dlent_grant('private', 'select', 'regress_dlent_team');
SELECT dlent_grant('private', 'predict', 'regress_dlent_nobody');
SELECT dlent_grant('private', 'predict', 4294967295::oid::regrole);
SELECT dlent_grant('none', 'predict', 'regress_dlent_team');
SELECT dlent_grant('private', NULL, 'regress_dlent_team');

-- the contract keeps its owner from vanishing; reassigned, the model follows
RESET ROLE;
\set VERBOSITY terse
DROP ROLE regress_dlent_owner;
\set VERBOSITY default
REASSIGN OWNED BY regress_dlent_owner TO regress_dlent_team;
SET ROLE regress_dlent_team;
SELECT dlent_promote('private', 2);
SELECT model, owner FROM dlent.models;
RESET ROLE;
DROP ROLE regress_dlent_owner;
-- a grant to a role that is gone harms nobody
SELECT dlent_revoke('private', 'all', 'regress_dlent_other');
SELECT dlent_grant('private', 'predict', 'regress_dlent_member');
DROP ROLE regress_dlent_member;
SELECT grantee LIKE 'unknown%' AS gone, privilege FROM dlent.grants;

DROP EXTENSION dlent;
DROP TABLE point;
DROP ROLE regress_dlent_team, regress_dlent_other, regress_dlent_auditor;
