-- Expectations: what a model's rows, answers and outcomes should be, as SQL. Predicates run with the privileges of who checks.

CREATE FUNCTION @extschema@.dlent_expect(model text, name text, predicate text, options jsonb DEFAULT '{}') RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_expect';
COMMENT ON FUNCTION @extschema@.dlent_expect(text, text, text, jsonb) IS
    'Declares what is expected of a model''s rows, answers or outcomes: a boolean SQL expression';

CREATE FUNCTION @extschema@.dlent_drop_expectation(model text, name text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_drop_expectation';
COMMENT ON FUNCTION @extschema@.dlent_drop_expectation(text, text) IS
    'Drops an expectation of a model; false when it has none of that name';

CREATE FUNCTION @extschema@.dlent_check(
    model text, source text DEFAULT NULL, options jsonb DEFAULT '{}',
    OUT name text, OUT status text, OUT severity text, OUT rows bigint, OUT failing bigint, OUT tolerance float8,
    OUT predicate text, OUT message text, OUT sample_query text, OUT version int)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 10 COST 100000 AS 'MODULE_PATHNAME', 'dlent_check';
COMMENT ON FUNCTION @extschema@.dlent_check(text, text, jsonb) IS
    'Judges the rows of a source, by default those that the model learnt from, by the expectations of a model';

CREATE TABLE dlent.expectation (
    model_id    bigint NOT NULL,
    name        text COLLATE "C" NOT NULL,
    predicate   text NOT NULL,
    severity    text NOT NULL CHECK (severity IN ('error', 'warn')),
    tolerance   float8 NOT NULL,
    nulls_pass  boolean NOT NULL,
    description text,
    search_path text NOT NULL,
    author      name NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (model_id, name)
);
COMMENT ON TABLE dlent.expectation IS 'What is expected of the rows, answers and outcomes of a model';

CREATE SEQUENCE dlent.expectation_result_id_seq;
CREATE TABLE dlent.expectation_result (
    "check"    bigint NOT NULL,
    model_id   bigint NOT NULL,
    version    int,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    source     text NOT NULL,
    name       text COLLATE "C" NOT NULL,
    predicate  text NOT NULL,
    status     text NOT NULL,
    severity   text NOT NULL,
    rows       bigint NOT NULL,
    failing    bigint,
    tolerance  float8 NOT NULL,
    message    text,
    role       name NOT NULL,
    PRIMARY KEY ("check", name)
);
CREATE INDEX expectation_result_model_id_idx ON dlent.expectation_result (model_id, name, "check");
CREATE INDEX expectation_result_age_idx ON dlent.expectation_result (created_at);
COMMENT ON TABLE dlent.expectation_result IS 'What stored checks of expectations have found';
REVOKE ALL ON dlent.expectation, dlent.expectation_result FROM PUBLIC;
REVOKE ALL ON SEQUENCE dlent.expectation_result_id_seq FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('dlent.expectation', '');
SELECT pg_catalog.pg_extension_config_dump('dlent.expectation_result_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('dlent.expectation_result', '');

CREATE VIEW dlent.expectations WITH (security_barrier) AS
SELECT m.name AS model, e.name, e.predicate, e.severity, e.tolerance,
       CASE WHEN e.nulls_pass THEN 'pass' ELSE 'fail' END AS nulls,
       e.description, e.search_path, e.author, e.created_at
FROM dlent.visible_model AS m
JOIN dlent.expectation AS e ON e.model_id = m.id;
COMMENT ON VIEW dlent.expectations IS 'What is expected of the models you may see';
COMMENT ON COLUMN dlent.expectations.model IS 'Name of the model';
COMMENT ON COLUMN dlent.expectations.name IS 'Name of the expectation, unique within the model';
COMMENT ON COLUMN dlent.expectations.predicate IS 'What should be true of each row, or with aggregates of all rows';
COMMENT ON COLUMN dlent.expectations.severity IS 'error: training data that break it are rejected; warn: a warning';
COMMENT ON COLUMN dlent.expectations.tolerance IS 'Share of rows that may fail';
COMMENT ON COLUMN dlent.expectations.nulls IS 'Whether a row whose predicate is NULL passes or fails';
COMMENT ON COLUMN dlent.expectations.description IS 'Why, as given';
COMMENT ON COLUMN dlent.expectations.search_path IS 'Schemas in which the predicate''s names are looked up';
COMMENT ON COLUMN dlent.expectations.author IS 'Role that declared it; it runs for roles that trust that one';
COMMENT ON COLUMN dlent.expectations.created_at IS 'When it was declared';

CREATE VIEW dlent.expectation_results WITH (security_barrier) AS
SELECT r."check", m.name AS model, r.version, r.created_at, r.source, r.name, r.predicate, r.status, r.severity, r.rows,
       r.failing, r.tolerance, r.message, r.role
FROM dlent.visible_model AS m
JOIN dlent.expectation_result AS r ON r.model_id = m.id;
COMMENT ON VIEW dlent.expectation_results IS 'What stored checks of the models you may see have found, a row for each expectation';
COMMENT ON COLUMN dlent.expectation_results."check" IS 'Number of the check; its rows share it';
COMMENT ON COLUMN dlent.expectation_results.model IS 'Name of the model';
COMMENT ON COLUMN dlent.expectation_results.version IS 'Version that gave the predictions; NULL: there was none';
COMMENT ON COLUMN dlent.expectation_results.created_at IS 'When';
COMMENT ON COLUMN dlent.expectation_results.source IS 'Rows that were judged, as given';
COMMENT ON COLUMN dlent.expectation_results.name IS 'Name of the expectation';
COMMENT ON COLUMN dlent.expectation_results.predicate IS 'Its predicate at that time';
COMMENT ON COLUMN dlent.expectation_results.status IS 'pass, fail, inconclusive (no rows) or error (the predicate raised one)';
COMMENT ON COLUMN dlent.expectation_results.severity IS 'error or warn';
COMMENT ON COLUMN dlent.expectation_results.rows IS 'Rows of the source';
COMMENT ON COLUMN dlent.expectation_results.failing IS 'Rows that failed; NULL: it was judged over all rows';
COMMENT ON COLUMN dlent.expectation_results.tolerance IS 'Share of rows that might fail';
COMMENT ON COLUMN dlent.expectation_results.message IS 'Why it is an error or inconclusive';
COMMENT ON COLUMN dlent.expectation_results.role IS 'Role that checked';
GRANT SELECT ON dlent.expectations, dlent.expectation_results TO PUBLIC;
