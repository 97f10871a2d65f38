-- What a model does with its features, over many rows.

-- Volatile for option store; without it nothing is written.
CREATE FUNCTION @extschema@.dlent_explain_global(
    model text, source text DEFAULT NULL, options jsonb DEFAULT '{}',
    OUT class text, OUT feature text, OUT mean_abs_contribution float8, OUT rank int)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 30 COST 1000000 AS 'MODULE_PATHNAME', 'dlent_explain_global';
COMMENT ON FUNCTION @extschema@.dlent_explain_global(text, text, jsonb) IS
    'How much each feature contributes to the answers: the mean size of its contributions over many explained rows';

CREATE FUNCTION @extschema@.dlent_explain_picks(
    model text, source text DEFAULT NULL, options jsonb DEFAULT '{}',
    OUT class text, OUT pick int, OUT row_number bigint, OUT coverage float8, OUT prediction float8, OUT "row" jsonb, OUT reasons jsonb)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 10 COST 1000000 AS 'MODULE_PATHNAME', 'dlent_explain_picks';
COMMENT ON FUNCTION @extschema@.dlent_explain_picks(text, text, jsonb) IS
    'The few rows whose explanations together show most of what a model looks at (SP-LIME)';

CREATE FUNCTION @extschema@.dlent_permutation_importance(
    model text, source text, options jsonb DEFAULT '{}',
    OUT feature text, OUT importance float8, OUT std_error float8, OUT rank int, OUT metric text, OUT baseline float8)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 30 COST 1000000 AS 'MODULE_PATHNAME', 'dlent_permutation_importance';
COMMENT ON FUNCTION @extschema@.dlent_permutation_importance(text, text, jsonb) IS
    'How much worse a model becomes when a feature is shuffled among rows with known outcomes';

CREATE FUNCTION @extschema@.dlent_partial_dependence(
    model text, feature text, source text DEFAULT NULL, options jsonb DEFAULT '{}',
    OUT class text, OUT value text, OUT value_num float8, OUT mean float8, OUT std_error float8,
    OUT p05 float8, OUT p25 float8, OUT p50 float8, OUT p75 float8, OUT p95 float8)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 30 COST 1000000 AS 'MODULE_PATHNAME', 'dlent_partial_dependence';
COMMENT ON FUNCTION @extschema@.dlent_partial_dependence(text, text, text, jsonb) IS
    'What a model answers on average, and between which rows, when a feature has this value or that';

CREATE TABLE dlent.explanation_global (
    version_id bigint NOT NULL,
    class      text, -- NULL: a number is predicted
    feature    text NOT NULL,
    mean_abs   float8 NOT NULL,
    std_error  float8 NOT NULL,
    rank       int NOT NULL,
    source     text, -- NULL: rows as the shared probe draws them
    rows       bigint NOT NULL,
    method     jsonb NOT NULL,
    by         name NOT NULL,
    at         timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE INDEX explanation_global_version_id_idx ON dlent.explanation_global (version_id);
COMMENT ON TABLE dlent.explanation_global IS 'How much each feature of a version contributes, as it was stored last';
REVOKE ALL ON dlent.explanation_global FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('dlent.explanation_global', '');

CREATE VIEW dlent.explanation_globals WITH (security_barrier) AS
SELECT m.name AS model, v.number AS version, g.class, g.feature, g.mean_abs, g.std_error, g.rank, g.source, g.rows, g.method, g.by, g.at
FROM dlent.visible_model AS m
JOIN dlent.version AS v ON v.model_id OPERATOR(pg_catalog.=) m.id
JOIN dlent.explanation_global AS g ON g.version_id OPERATOR(pg_catalog.=) v.id;
COMMENT ON VIEW dlent.explanation_globals IS 'How much each feature of a version contributes: what dlent_explain_global stored last';
COMMENT ON COLUMN dlent.explanation_globals.model IS 'Name of the model';
COMMENT ON COLUMN dlent.explanation_globals.version IS 'Number of the version';
COMMENT ON COLUMN dlent.explanation_globals.class IS 'The class; NULL: a number is predicted';
COMMENT ON COLUMN dlent.explanation_globals.feature IS 'Column, or element of a vector';
COMMENT ON COLUMN dlent.explanation_globals.mean_abs IS 'Mean size of its contributions';
COMMENT ON COLUMN dlent.explanation_globals.std_error IS 'Standard error of that mean, from the scatter between the rows';
COMMENT ON COLUMN dlent.explanation_globals.rank IS 'By that mean, from 1, within the class';
COMMENT ON COLUMN dlent.explanation_globals.source IS 'Where the rows came from; NULL: they were drawn as the shared probe is';
COMMENT ON COLUMN dlent.explanation_globals.rows IS 'How many rows were explained';
COMMENT ON COLUMN dlent.explanation_globals.method IS 'Options that were given';
COMMENT ON COLUMN dlent.explanation_globals.by IS 'Role that made it';
COMMENT ON COLUMN dlent.explanation_globals.at IS 'When';
GRANT SELECT ON dlent.explanation_globals TO PUBLIC;
