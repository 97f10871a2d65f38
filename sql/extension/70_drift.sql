-- Drift: how far rows are from what a version learnt from.

CREATE FUNCTION @extschema@.dlent_drift(
    model text, source text, options jsonb DEFAULT '{}',
    OUT feature text, OUT statistic text, OUT value float8, OUT threshold float8, OUT p_value float8, OUT drifted boolean,
    OUT details jsonb)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 30 COST 1000000 AS 'MODULE_PATHNAME', 'dlent_drift';
COMMENT ON FUNCTION @extschema@.dlent_drift(text, text, jsonb) IS
    'Compares the rows of a table, view or SELECT with what a version of a model learnt from, or with other rows';

CREATE SEQUENCE dlent.drift_report_id_seq;
CREATE TABLE dlent.drift_report (
    report     bigint NOT NULL,
    line       int NOT NULL,
    model_id   bigint NOT NULL,
    version_id bigint NOT NULL,
    version    int NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    source     text NOT NULL,
    profile    text NOT NULL,
    feature    text NOT NULL,
    kind       text NOT NULL,
    statistic  text NOT NULL,
    value      float8,
    threshold  float8,
    p_value    float8,
    drifted    boolean,
    details    jsonb NOT NULL,
    role       name NOT NULL,
    PRIMARY KEY (report, line)
);
CREATE INDEX drift_report_model_id_idx ON dlent.drift_report (model_id, report);
CREATE INDEX drift_report_age_idx ON dlent.drift_report (created_at) WHERE line = 1;
COMMENT ON TABLE dlent.drift_report IS 'Stored drift reports, a row for each question that was asked';
REVOKE ALL ON dlent.drift_report FROM PUBLIC;
REVOKE ALL ON SEQUENCE dlent.drift_report_id_seq FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('dlent.drift_report_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('dlent.drift_report', '');

CREATE VIEW dlent.drift_reports WITH (security_barrier) AS
SELECT r.report,
       m.name AS model,
       r.version,
       r.created_at,
       r.source,
       r.profile,
       r.feature,
       r.kind,
       r.statistic,
       r.value,
       r.threshold,
       r.p_value,
       r.drifted,
       (r.details OPERATOR(pg_catalog.->>) 'reference_rows')::float8::bigint AS reference_rows,
       (r.details OPERATOR(pg_catalog.->>) 'rows')::float8::bigint AS rows,
       r.role,
       r.details
FROM dlent.visible_model AS m
JOIN dlent.drift_report AS r ON r.model_id = m.id;
COMMENT ON VIEW dlent.drift_reports IS 'Stored drift reports of the models you may see, a row for each question that was asked';
COMMENT ON COLUMN dlent.drift_reports.report IS 'Number of the report; its rows share it';
COMMENT ON COLUMN dlent.drift_reports.model IS 'Name of the model';
COMMENT ON COLUMN dlent.drift_reports.version IS 'Version whose features and reference were used';
COMMENT ON COLUMN dlent.drift_reports.created_at IS 'When';
COMMENT ON COLUMN dlent.drift_reports.source IS 'Rows that were judged, as given';
COMMENT ON COLUMN dlent.drift_reports.profile IS 'Profile that chose statistic, bins and threshold';
COMMENT ON COLUMN dlent.drift_reports.feature IS 'Column; (prediction), (rows) or (report) where it is about these';
COMMENT ON COLUMN dlent.drift_reports.kind IS 'feature, missing, prediction, target, performance, multivariate, concept or report';
COMMENT ON COLUMN dlent.drift_reports.statistic IS 'What the value is';
COMMENT ON COLUMN dlent.drift_reports.value IS 'How large it is';
COMMENT ON COLUMN dlent.drift_reports.threshold IS 'What it is compared with, where it is';
COMMENT ON COLUMN dlent.drift_reports.p_value IS 'Probability of as large a difference without drift, before correction';
COMMENT ON COLUMN dlent.drift_reports.drifted IS 'The verdict; NULL: the rows say too little';
COMMENT ON COLUMN dlent.drift_reports.reference_rows IS 'Values that it was compared with';
COMMENT ON COLUMN dlent.drift_reports.rows IS 'Values that were judged';
COMMENT ON COLUMN dlent.drift_reports.role IS 'Role that made the report';
COMMENT ON COLUMN dlent.drift_reports.details IS 'Bins, test, correction and more';
GRANT SELECT ON dlent.drift_reports TO PUBLIC;
