-- What turned out to be true of what was predicted.

CREATE FUNCTION @extschema@.dlent_record_outcome(
    model text, key text, value float8, metric text DEFAULT 'outcome', occurred_at timestamptz DEFAULT pg_catalog.now())
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_record_outcome';
COMMENT ON FUNCTION @extschema@.dlent_record_outcome(text, text, float8, text, timestamptz) IS
    'Records what turned out to be true of the prediction with that key; replaces what was recorded before';

CREATE FUNCTION @extschema@.dlent_record_outcomes(model text, source text, options jsonb DEFAULT '{}') RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_record_outcomes';
COMMENT ON FUNCTION @extschema@.dlent_record_outcomes(text, text, jsonb) IS
    'Records the outcomes in the rows of a table, view or SELECT; returns how many keys and metrics have one';

CREATE FUNCTION @extschema@.dlent_forget_outcomes(model text, key text DEFAULT NULL, older_than interval DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_forget_outcomes';
COMMENT ON FUNCTION @extschema@.dlent_forget_outcomes(text, text, interval) IS
    'Erases recorded outcomes of a model, by key, by age, or all; returns how many';

CREATE VIEW dlent.outcomes WITH (security_barrier) AS
SELECT m.name AS model, o.key, o.metric, o.value, o.label, o.occurred_at, o.recorded_at, o.recorded_by
FROM dlent.visible_model AS m
JOIN dlent.outcome AS o ON o.model_id = m.id
WHERE pg_catalog.pg_has_role(m.owner, 'USAGE')
   OR pg_catalog.pg_has_role('pg_read_all_data', 'USAGE')
   OR EXISTS (SELECT FROM dlent.model_grant AS g
              WHERE g.model_id = m.id AND g.privilege = 'manage'
                AND (g.grantee::pg_catalog.oid = 0 OR pg_catalog.pg_has_role(g.grantee, 'USAGE')));
COMMENT ON VIEW dlent.outcomes IS 'What turned out to be true of the predictions of the models that you may manage';
COMMENT ON COLUMN dlent.outcomes.model IS 'Name of the model';
COMMENT ON COLUMN dlent.outcomes.key IS 'Key of the prediction';
COMMENT ON COLUMN dlent.outcomes.metric IS 'What was measured; outcome: the label itself, which log_loss and the like compare scores with';
COMMENT ON COLUMN dlent.outcomes.value IS 'How it turned out; yes is 1, no is 0';
COMMENT ON COLUMN dlent.outcomes.label IS 'The label, where that is a text';
COMMENT ON COLUMN dlent.outcomes.occurred_at IS 'When it came true';
COMMENT ON COLUMN dlent.outcomes.recorded_at IS 'When it was recorded last';
COMMENT ON COLUMN dlent.outcomes.recorded_by IS 'Role that recorded it';
GRANT SELECT ON dlent.outcomes TO PUBLIC;
