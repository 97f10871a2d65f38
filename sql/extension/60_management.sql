-- Versions, roll-out and privileges. All of it is transactional and leaves a row in dlent.events.

CREATE FUNCTION @extschema@.dlent_promote(model text, version int, reason text DEFAULT NULL) RETURNS int
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_promote';
COMMENT ON FUNCTION @extschema@.dlent_promote(text, int, text) IS
    'Makes a version the champion of its model; returns the version it replaces';

CREATE FUNCTION @extschema@.dlent_rollback(model text, reason text DEFAULT NULL) RETURNS int
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_rollback';
COMMENT ON FUNCTION @extschema@.dlent_rollback(text, text) IS
    'Takes back the last promotion of a model; returns the version that is champion again';

CREATE FUNCTION @extschema@.dlent_drop_model(model text, version int DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_drop_model';
COMMENT ON FUNCTION @extschema@.dlent_drop_model(text, int) IS 'Drops a model, or one version of it';

CREATE FUNCTION @extschema@.dlent_grant(model text, privilege text, grantee regrole) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_grant';
COMMENT ON FUNCTION @extschema@.dlent_grant(text, text, regrole) IS
    'Allows a role, or everybody (''-''), to predict, explain or manage (or all) with a model';

CREATE FUNCTION @extschema@.dlent_revoke(model text, privilege text, grantee regrole) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_revoke';
COMMENT ON FUNCTION @extschema@.dlent_revoke(text, text, regrole) IS
    'Takes back what dlent_grant allowed';
