-- Training, evaluation and the progress of trainings that run now.

CREATE FUNCTION @extschema@.dlent_train(
    model text, source text, target text DEFAULT NULL, options jsonb DEFAULT '{}',
    OUT version int, OUT kind text, OUT device text, OUT train_rows bigint, OUT epochs int, OUT seconds float8,
    OUT metrics jsonb)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1 COST 1000000 AS 'MODULE_PATHNAME', 'dlent_train';
COMMENT ON FUNCTION @extschema@.dlent_train(text, text, text, jsonb) IS
    'Trains a network on the rows of a table, view or SELECT and stores it as the next version of a model';

CREATE FUNCTION @extschema@.dlent_evaluate(model text, source text, options jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000000 AS 'MODULE_PATHNAME', 'dlent_evaluate';
COMMENT ON FUNCTION @extschema@.dlent_evaluate(text, text, jsonb) IS
    'Scores the rows of a table, view or SELECT that has the target column and returns every metric that fits the task';

CREATE SEQUENCE dlent.evaluation_id_seq;
CREATE TABLE dlent.evaluation (
    id         bigint PRIMARY KEY DEFAULT pg_catalog.nextval('dlent.evaluation_id_seq'),
    model_id   bigint NOT NULL,
    version_id bigint NOT NULL,
    version    int NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    source     text NOT NULL,
    metrics    jsonb NOT NULL,
    details    jsonb NOT NULL,
    options    jsonb NOT NULL,
    role       name NOT NULL
);
ALTER SEQUENCE dlent.evaluation_id_seq OWNED BY dlent.evaluation.id;
CREATE INDEX evaluation_model_id_idx ON dlent.evaluation (model_id, id);
COMMENT ON TABLE dlent.evaluation IS 'Stored evaluations: how good a version was on which rows';
REVOKE ALL ON dlent.evaluation FROM PUBLIC;
REVOKE ALL ON SEQUENCE dlent.evaluation_id_seq FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('dlent.evaluation_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('dlent.evaluation', '');

CREATE VIEW dlent.evaluations WITH (security_barrier) AS
SELECT e.id AS evaluation,
       m.name AS model,
       e.version,
       e.created_at,
       e.source,
       (e.metrics OPERATOR(pg_catalog.->>) 'rows')::bigint AS rows,
       e.metrics,
       e.details,
       e.options,
       e.role
FROM dlent.visible_model AS m
JOIN dlent.evaluation AS e ON e.model_id = m.id;
COMMENT ON VIEW dlent.evaluations IS 'Stored evaluations of the models you may see';
COMMENT ON COLUMN dlent.evaluations.evaluation IS 'Number, as dlent_evaluate returned it';
COMMENT ON COLUMN dlent.evaluations.model IS 'Name of the model';
COMMENT ON COLUMN dlent.evaluations.version IS 'Version that was evaluated';
COMMENT ON COLUMN dlent.evaluations.created_at IS 'When';
COMMENT ON COLUMN dlent.evaluations.source IS 'Rows that it was evaluated on, as given';
COMMENT ON COLUMN dlent.evaluations.rows IS 'Rows whose outcome was known';
COMMENT ON COLUMN dlent.evaluations.metrics IS 'Metrics that are one number, by scikit-learn''s names';
COMMENT ON COLUMN dlent.evaluations.details IS 'Confusion matrix, calibration, thresholds, curves';
COMMENT ON COLUMN dlent.evaluations.options IS 'Options as given';
COMMENT ON COLUMN dlent.evaluations.role IS 'Role that evaluated';
GRANT SELECT ON dlent.evaluations TO PUBLIC;

CREATE FUNCTION dlent.progress_entries(
    OUT pid int, OUT database oid, OUT role oid, OUT model text, OUT phase text, OUT rows_read bigint,
    OUT member int, OUT members int, OUT epoch int, OUT epochs int, OUT train_loss float8, OUT validation_loss float8,
    OUT rows_per_second float8, OUT started_at timestamptz, OUT seconds_left float8)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 10 AS 'MODULE_PATHNAME', 'dlent_progress_entries';
COMMENT ON FUNCTION dlent.progress_entries() IS
    'Trainings that run now in any database; of other roles'' trainings only what pg_stat_activity would show';

CREATE VIEW dlent.progress AS
SELECT p.pid,
       d.datname AS database,
       pg_catalog.pg_get_userbyid(p.role) AS role,
       p.model, p.phase, p.rows_read, p.member, p.members, p.epoch, p.epochs, p.train_loss, p.validation_loss,
       p.rows_per_second, p.started_at, p.seconds_left
FROM dlent.progress_entries() AS p
LEFT JOIN pg_catalog.pg_database AS d ON d.oid OPERATOR(pg_catalog.=) p.database;
COMMENT ON VIEW dlent.progress IS
    'Trainings that run now, a row each; empty unless shared_preload_libraries has dlent';
COMMENT ON COLUMN dlent.progress.pid IS 'Process of the session that trains';
COMMENT ON COLUMN dlent.progress.database IS 'Database it is connected to';
COMMENT ON COLUMN dlent.progress.role IS 'Role that trains';
COMMENT ON COLUMN dlent.progress.model IS 'Name that the version will have';
COMMENT ON COLUMN dlent.progress.phase IS 'reading, preparing, training, evaluating, refitting or storing';
COMMENT ON COLUMN dlent.progress.rows_read IS 'Rows of the source read so far';
COMMENT ON COLUMN dlent.progress.member IS 'Network of the ensemble that was heard of last, from 1';
COMMENT ON COLUMN dlent.progress.members IS 'Networks that are trained in all';
COMMENT ON COLUMN dlent.progress.epoch IS 'Passes over the training rows that the network has ended';
COMMENT ON COLUMN dlent.progress.epochs IS 'Passes it has at most';
COMMENT ON COLUMN dlent.progress.train_loss IS 'Loss of the training rows in the last epoch';
COMMENT ON COLUMN dlent.progress.validation_loss IS 'Loss of the held-out rows after it';
COMMENT ON COLUMN dlent.progress.rows_per_second IS 'Row visits a second';
COMMENT ON COLUMN dlent.progress.started_at IS 'When dlent_train was called';
COMMENT ON COLUMN dlent.progress.seconds_left IS 'Estimate; early stopping may end sooner';
GRANT SELECT ON dlent.progress TO PUBLIC;
