-- Observation: what is recorded of models' answers. src/pg/observe

CREATE FUNCTION @extschema@.dlent_observe(model text, options jsonb) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_observe';
COMMENT ON FUNCTION @extschema@.dlent_observe(text, jsonb) IS
    'Says what is recorded of a model''s answers: which share of rows, by which unit and key, whether distributions are counted; NULL: nothing';

CREATE VIEW dlent.observations WITH (security_barrier) AS
SELECT v.name AS model,
       (m.observation OPERATOR(pg_catalog.->) 'sample')::float8 AS sample,
       (m.observation OPERATOR(pg_catalog.->) 'rollout_sample')::float8 AS rollout_sample,
       m.observation OPERATOR(pg_catalog.->>) 'unit' AS unit,
       m.observation OPERATOR(pg_catalog.->>) 'key' AS key,
       (m.observation OPERATOR(pg_catalog.->) 'features')::boolean AS features,
       (m.observation OPERATOR(pg_catalog.->) 'sketches')::boolean AS sketches
FROM dlent.visible_model AS v
JOIN dlent.model AS m ON m.id OPERATOR(pg_catalog.=) v.id
WHERE m.observation IS NOT NULL;
COMMENT ON VIEW dlent.observations IS 'What is said to be recorded of the answers of the models you may see; of the others rollouts are';
COMMENT ON COLUMN dlent.observations.model IS 'Name of the model';
COMMENT ON COLUMN dlent.observations.sample IS 'Share of rows that become rows of dlent.predictions';
COMMENT ON COLUMN dlent.observations.rollout_sample IS 'The same while a rollout is under way';
COMMENT ON COLUMN dlent.observations.unit IS 'Column whose value keeps rows together: all of them are recorded, or none';
COMMENT ON COLUMN dlent.observations.key IS 'Column by which outcomes are matched';
COMMENT ON COLUMN dlent.observations.features IS 'Whether the features are recorded as the version saw them';
COMMENT ON COLUMN dlent.observations.sketches IS 'Whether distributions of features and answers are counted';
GRANT SELECT ON dlent.observations TO PUBLIC;

CREATE VIEW dlent.predictions WITH (security_barrier) AS
SELECT p.id,
       p.predicted_at,
       m.name AS model,
       p.version,
       p.rollout_id AS rollout,
       a.name AS arm,
       p.shadow,
       p.request,
       p.unit,
       p.key,
       p.score,
       p.label,
       p.input_digest,
       p.features,
       p.latency_us,
       p.error,
       p.probabilities
FROM dlent.visible_model AS m
JOIN dlent.prediction AS p ON p.model_id OPERATOR(pg_catalog.=) m.id
LEFT JOIN dlent.rollout_arm AS a ON a.rollout_id OPERATOR(pg_catalog.=) p.rollout_id AND a.arm OPERATOR(pg_catalog.=) p.arm;
COMMENT ON VIEW dlent.predictions IS 'Recorded answers of the models you may see';
COMMENT ON COLUMN dlent.predictions.id IS 'Rising number';
COMMENT ON COLUMN dlent.predictions.predicted_at IS 'When';
COMMENT ON COLUMN dlent.predictions.model IS 'Name of the model';
COMMENT ON COLUMN dlent.predictions.version IS 'Version that answered';
COMMENT ON COLUMN dlent.predictions.rollout IS 'Rollout that was under way';
COMMENT ON COLUMN dlent.predictions.arm IS 'Its arm that answered; NULL: a row that takes no part';
COMMENT ON COLUMN dlent.predictions.shadow IS 'Whether this is what a shadow version would have answered';
COMMENT ON COLUMN dlent.predictions.request IS 'Number that the answer of a row and those of shadow versions share';
COMMENT ON COLUMN dlent.predictions.unit IS 'Unit that the row belongs to';
COMMENT ON COLUMN dlent.predictions.key IS 'By which an outcome is matched';
COMMENT ON COLUMN dlent.predictions.score IS 'The value, or the probability: of the positive class, or, of several, of the label';
COMMENT ON COLUMN dlent.predictions.label IS 'The most probable label';
COMMENT ON COLUMN dlent.predictions.input_digest IS 'Hash of the features as the version saw them';
COMMENT ON COLUMN dlent.predictions.features IS 'The features as the version saw them, where that is wanted';
COMMENT ON COLUMN dlent.predictions.latency_us IS 'Microseconds of the network a row, the mean of the rows scored with it';
COMMENT ON COLUMN dlent.predictions.error IS 'Why a shadow version has no answer';
COMMENT ON COLUMN dlent.predictions.probabilities IS 'Of several classes, by label, while a rollout is under way';
GRANT SELECT ON dlent.predictions TO PUBLIC;

CREATE FUNCTION @extschema@.dlent_forget_predictions(model text, key text DEFAULT NULL, older_than interval DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_forget_predictions';
COMMENT ON FUNCTION @extschema@.dlent_forget_predictions(text, text, interval) IS
    'Erases recorded answers of a model, of one key or of an age; returns how many';

-- What waits to be written.
CREATE FUNCTION dlent.prediction_log_entries(
    OUT database oid, OUT writer_pid int, OUT size bigint, OUT written bigint, OUT dropped bigint, OUT waiting bigint)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 4 AS 'MODULE_PATHNAME', 'dlent_prediction_log_entries';
COMMENT ON FUNCTION dlent.prediction_log_entries() IS 'Shared memory of recorded answers on their way';

CREATE VIEW dlent.prediction_log AS
SELECT d.datname AS database, e.writer_pid, e.size, e.written, e.dropped, e.waiting
FROM dlent.prediction_log_entries() AS e
LEFT JOIN pg_catalog.pg_database AS d ON d.oid OPERATOR(pg_catalog.=) e.database;
COMMENT ON VIEW dlent.prediction_log IS 'Recorded answers on their way from sessions to dlent.predictions, since the server started';
COMMENT ON COLUMN dlent.prediction_log.database IS 'Database that they are of; NULL: databases beyond dlent.prediction_log_databases';
COMMENT ON COLUMN dlent.prediction_log.writer_pid IS 'Process that writes them; NULL: none runs now';
COMMENT ON COLUMN dlent.prediction_log.size IS 'Bytes of shared memory for those that wait';
COMMENT ON COLUMN dlent.prediction_log.written IS 'Handed over by sessions';
COMMENT ON COLUMN dlent.prediction_log.dropped IS 'Lost because there was no room, or because they could not be written';
COMMENT ON COLUMN dlent.prediction_log.waiting IS 'Not yet in dlent.predictions';
GRANT SELECT ON dlent.prediction_log TO PUBLIC;

-- Distributions, in windows of time.
CREATE TABLE dlent.sketch (
    version_id   bigint NOT NULL,
    window_start timestamptz NOT NULL,
    window_end   timestamptz NOT NULL,
    rows         bigint NOT NULL,
    sketch       jsonb NOT NULL -- src/core/drift/live_sketch.h
);
CREATE INDEX sketch_version_id_idx ON dlent.sketch (version_id, window_start);
COMMENT ON TABLE dlent.sketch IS 'Distributions of what versions saw and answered, in windows of time';
REVOKE ALL ON dlent.sketch FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('dlent.sketch', '');

CREATE FUNCTION dlent.live_sketches(
    OUT version_id bigint, OUT window_start timestamptz, OUT window_end timestamptz, OUT rows bigint, OUT sketch jsonb)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 10 AS 'MODULE_PATHNAME', 'dlent_live_sketches';
COMMENT ON FUNCTION dlent.live_sketches() IS 'Distributions that are being counted in memory, of versions that you may use';

CREATE VIEW dlent.sketches WITH (security_barrier) AS
SELECT m.name AS model, v.number AS version, s.window_start, s.window_end, s.stored, s.rows, s.sketch
FROM dlent.visible_model AS m
JOIN dlent.version AS v ON v.model_id OPERATOR(pg_catalog.=) m.id
JOIN (SELECT w.version_id, w.window_start, w.window_end, w.rows, w.sketch, true AS stored FROM dlent.sketch AS w
      UNION ALL
      SELECT l.version_id, l.window_start, l.window_end, l.rows, l.sketch, false FROM dlent.live_sketches() AS l) AS s
    ON s.version_id OPERATOR(pg_catalog.=) v.id;
COMMENT ON VIEW dlent.sketches IS 'Distributions of what the versions of models that you may see saw and answered, in windows of time';
COMMENT ON COLUMN dlent.sketches.model IS 'Name of the model';
COMMENT ON COLUMN dlent.sketches.version IS 'Version that answered';
COMMENT ON COLUMN dlent.sketches.window_start IS 'Since when it was counted';
COMMENT ON COLUMN dlent.sketches.window_end IS 'Until when; of what is not stored, now';
COMMENT ON COLUMN dlent.sketches.stored IS 'false: in memory, being counted';
COMMENT ON COLUMN dlent.sketches.rows IS 'Rows that the counts stand for';
COMMENT ON COLUMN dlent.sketches.sketch IS 'Counts over the bins and levels of the version''s reference (dlent.versions.reference), feature by feature, and of the answer';
GRANT SELECT ON dlent.sketches TO PUBLIC;
