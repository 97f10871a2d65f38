-- How a rollout fares, and what should become of it.

CREATE FUNCTION @extschema@.dlent_experiment_report(
    model text, options jsonb DEFAULT '{}',
    OUT rollout bigint, OUT arm text, OUT version int, OUT metric text, OUT role text, OUT units bigint, OUT outcomes bigint,
    OUT mean float8, OUT difference float8, OUT low float8, OUT high float8, OUT p_value float8, OUT status text, OUT details jsonb)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL UNSAFE ROWS 30 COST 1000000 AS 'MODULE_PATHNAME', 'dlent_experiment_report';
COMMENT ON FUNCTION @extschema@.dlent_experiment_report(text, jsonb) IS
    'Metrics of the arms of a rollout beside the champion''s, with intervals that hold whenever one looks';

CREATE FUNCTION @extschema@.dlent_check_rollout(model text, options jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000000 AS 'MODULE_PATHNAME', 'dlent_check_rollout';
COMMENT ON FUNCTION @extschema@.dlent_check_rollout(text, jsonb) IS
    'What should become of a model''s rollout, by its rule, with every check; {"apply": true} acts on it';
