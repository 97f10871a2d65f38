-- Jobs: work that background workers do as the role that asked for it, and what became of it.
--
-- A row of dlent.job is what was asked for, a row of dlent.job_run an attempt at it. Who works on a job holds an advisory lock of
-- the job (src/pg/workers/job_lock.h): a running row whose lock is free is an attempt that died. Jobs that have ended are history
-- and are dumped; what waits or runs belongs to the server that was asked and is not.

CREATE SEQUENCE dlent.job_id_seq;
CREATE TABLE dlent.job (
    id            bigint PRIMARY KEY DEFAULT pg_catalog.nextval('dlent.job_id_seq'),
    action        text NOT NULL,
    model         text COLLATE "C" NOT NULL,
    arguments     jsonb NOT NULL,
    policy        jsonb NOT NULL, -- src/pg/workers/job_policy.h
    settings      jsonb NOT NULL, -- of the session that asked
    owner         regrole NOT NULL,
    schedule_id   bigint,
    scheduled_for timestamptz,
    state         text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'canceled')),
    attempts      int NOT NULL DEFAULT 0,
    failures      int NOT NULL DEFAULT 0,
    interruptions int NOT NULL DEFAULT 0,
    next_start    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    created_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    finished_at   timestamptz,
    UNIQUE (schedule_id, scheduled_for)
);
ALTER SEQUENCE dlent.job_id_seq OWNED BY dlent.job.id;
CREATE INDEX job_open_idx ON dlent.job (next_start) WHERE state IN ('queued', 'running');
CREATE INDEX job_finished_idx ON dlent.job (finished_at) WHERE finished_at IS NOT NULL;
COMMENT ON TABLE dlent.job IS 'Work for background workers: what, for which model, on whose behalf, and how it stands';

CREATE SEQUENCE dlent.job_run_id_seq;
CREATE TABLE dlent.job_run (
    id                bigint PRIMARY KEY DEFAULT pg_catalog.nextval('dlent.job_run_id_seq'),
    job_id            bigint NOT NULL,
    attempt           int NOT NULL,
    state             text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'succeeded', 'failed', 'canceled', 'interrupted')),
    pid               int NOT NULL,
    server_started_at timestamptz NOT NULL, -- with the timeline: which life of the server it ran in
    timeline          bigint NOT NULL,
    started_at        timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    finished_at       timestamptz,
    progress          jsonb,
    sqlstate          text,
    message           text,
    detail            text,
    hint              text,
    context           text,
    result            jsonb,
    UNIQUE (job_id, attempt)
);
ALTER SEQUENCE dlent.job_run_id_seq OWNED BY dlent.job_run.id;
COMMENT ON TABLE dlent.job_run IS 'An attempt at a job: which process, when, and how it ended';

-- Networks that a training has finished, until the job ends: an attempt that was cut short goes on behind them.
CREATE TABLE dlent.job_checkpoint (
    job_id      bigint NOT NULL,
    key         text COLLATE "C" NOT NULL,
    description jsonb NOT NULL,
    tensors     bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (job_id, key)
);
ALTER TABLE dlent.job_checkpoint ALTER COLUMN tensors SET STORAGE EXTERNAL;
COMMENT ON TABLE dlent.job_checkpoint IS 'What running jobs have finished so far: a safetensors file each';

REVOKE ALL ON dlent.job, dlent.job_run, dlent.job_checkpoint FROM PUBLIC;
REVOKE ALL ON SEQUENCE dlent.job_id_seq, dlent.job_run_id_seq FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('dlent.job_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump(
    'dlent.job', 'WHERE finished_at IS NOT NULL AND EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.oid = owner)');
SELECT pg_catalog.pg_extension_config_dump('dlent.job_run_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump(
    'dlent.job_run', 'WHERE EXISTS (SELECT FROM dlent.job AS j WHERE j.id = job_id AND j.finished_at IS NOT NULL)');

CREATE FUNCTION @extschema@.dlent_start_job(
    action text, model text, arguments jsonb DEFAULT '{}', options jsonb DEFAULT '{}') RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_start_job';
COMMENT ON FUNCTION @extschema@.dlent_start_job(text, text, jsonb, jsonb) IS
    'Has a background worker do something for a model (train, evaluate, ...) once this transaction commits; returns the job';

CREATE FUNCTION @extschema@.dlent_train_async(
    model text, source text, target text DEFAULT NULL, options jsonb DEFAULT '{}') RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_train_async';
COMMENT ON FUNCTION @extschema@.dlent_train_async(text, text, text, jsonb) IS
    'What dlent_train does, in a background worker that starts when this transaction commits; returns the job';

CREATE FUNCTION @extschema@.dlent_wait(job bigint, timeout interval DEFAULT NULL) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_wait';
COMMENT ON FUNCTION @extschema@.dlent_wait(bigint, interval) IS
    'Waits until a job has ended, or for so long, and returns its state: succeeded, failed or canceled; queued or running after the time';

CREATE FUNCTION @extschema@.dlent_cancel(job bigint) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_cancel';
COMMENT ON FUNCTION @extschema@.dlent_cancel(bigint) IS
    'Cancels a job that waits or runs; false when it has ended already';

CREATE FUNCTION dlent.job_worker(job bigint) RETURNS int
LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'dlent_job_worker';
COMMENT ON FUNCTION dlent.job_worker(bigint) IS 'Process that works on a job now; NULL: none';

-- A user sees its own jobs, those of models that it manages, and as a monitoring role all.
CREATE VIEW dlent.visible_job WITH (security_barrier) AS
SELECT j.*
FROM dlent.job AS j
WHERE pg_catalog.pg_has_role(j.owner, 'USAGE')
   OR pg_catalog.pg_has_role('pg_monitor', 'USAGE')
   OR pg_catalog.pg_has_role('pg_read_all_data', 'USAGE')
   OR EXISTS (SELECT FROM dlent.model AS m
              WHERE m.name = j.model
                AND (pg_catalog.pg_has_role(m.owner, 'USAGE')
                     OR EXISTS (SELECT FROM dlent.model_grant AS g
                                WHERE g.model_id = m.id AND g.privilege = 'manage'
                                  AND (g.grantee::pg_catalog.oid = 0 OR pg_catalog.pg_has_role(g.grantee, 'USAGE')))));
COMMENT ON VIEW dlent.visible_job IS 'Jobs that the current user may see; the other views build on it';

CREATE VIEW dlent.jobs WITH (security_barrier) AS
SELECT j.id AS job,
       j.action,
       j.model,
       j.state,
       pg_catalog.pg_get_userbyid(j.owner) AS owner,
       j.schedule_id AS schedule,
       j.scheduled_for,
       CASE WHEN j.state = 'running' THEN dlent.job_worker(j.id) END AS pid,
       CASE WHEN j.state = 'running' THEN r.progress END AS progress,
       j.attempts,
       CASE WHEN j.state = 'queued' THEN j.next_start END AS next_start,
       j.created_at,
       r.started_at,
       j.finished_at,
       r.sqlstate,
       r.message,
       r.result,
       j.arguments,
       j.policy
FROM dlent.visible_job AS j
LEFT JOIN dlent.job_run AS r ON r.job_id = j.id AND r.attempt = j.attempts;
COMMENT ON VIEW dlent.jobs IS 'Jobs that wait, run or have ended: yours, those of models that you manage';
COMMENT ON COLUMN dlent.jobs.job IS 'Number, as dlent_train_async returned it';
COMMENT ON COLUMN dlent.jobs.action IS 'What is done: train, evaluate, ...';
COMMENT ON COLUMN dlent.jobs.model IS 'Name of the model';
COMMENT ON COLUMN dlent.jobs.state IS 'queued, running, succeeded, failed or canceled';
COMMENT ON COLUMN dlent.jobs.owner IS 'Role that asked for it, and as which it runs';
COMMENT ON COLUMN dlent.jobs.schedule IS 'Schedule that asked for it';
COMMENT ON COLUMN dlent.jobs.scheduled_for IS 'When the schedule was due';
COMMENT ON COLUMN dlent.jobs.pid IS 'Process that works on it; NULL while running: it died, and will be noticed';
COMMENT ON COLUMN dlent.jobs.progress IS 'How far it is, a few seconds old: phase, fraction, epoch, seconds_left';
COMMENT ON COLUMN dlent.jobs.attempts IS 'Attempts begun';
COMMENT ON COLUMN dlent.jobs.next_start IS 'When it starts at the earliest: later than asked for after a failure';
COMMENT ON COLUMN dlent.jobs.created_at IS 'When it was asked for';
COMMENT ON COLUMN dlent.jobs.started_at IS 'When the last attempt began';
COMMENT ON COLUMN dlent.jobs.finished_at IS 'When it ended for good';
COMMENT ON COLUMN dlent.jobs.sqlstate IS 'SQLSTATE of the last attempt''s error';
COMMENT ON COLUMN dlent.jobs.message IS 'Message of that error';
COMMENT ON COLUMN dlent.jobs.result IS 'What the last attempt returned';
COMMENT ON COLUMN dlent.jobs.arguments IS 'Arguments of the action';
COMMENT ON COLUMN dlent.jobs.policy IS 'Limits of time, retries';

CREATE VIEW dlent.job_runs WITH (security_barrier) AS
SELECT r.job_id AS job, r.attempt, j.action, j.model, j.schedule_id AS schedule, r.state, r.pid, r.started_at, r.finished_at,
       pg_catalog.date_part('epoch', COALESCE(r.finished_at, CASE WHEN r.state = 'running' THEN pg_catalog.clock_timestamp() END) - r.started_at) AS seconds,
       r.progress, r.sqlstate, r.message, r.detail, r.hint, r.context, r.result, r.server_started_at, r.timeline
FROM dlent.visible_job AS j
JOIN dlent.job_run AS r ON r.job_id = j.id;
COMMENT ON VIEW dlent.job_runs IS 'Every attempt at the jobs that you may see';
COMMENT ON COLUMN dlent.job_runs.job IS 'Number of the job';
COMMENT ON COLUMN dlent.job_runs.attempt IS 'From 1';
COMMENT ON COLUMN dlent.job_runs.action IS 'What was done: train, evaluate, ...';
COMMENT ON COLUMN dlent.job_runs.model IS 'Name of the model';
COMMENT ON COLUMN dlent.job_runs.schedule IS 'Schedule that asked for it';
COMMENT ON COLUMN dlent.job_runs.state IS 'running, succeeded, failed, canceled, or interrupted: its process or its server ended before it';
COMMENT ON COLUMN dlent.job_runs.pid IS 'Process that did it';
COMMENT ON COLUMN dlent.job_runs.started_at IS 'When it began';
COMMENT ON COLUMN dlent.job_runs.finished_at IS 'When it ended, or was found dead';
COMMENT ON COLUMN dlent.job_runs.seconds IS 'How long it took, or takes';
COMMENT ON COLUMN dlent.job_runs.progress IS 'How far it came';
COMMENT ON COLUMN dlent.job_runs.sqlstate IS 'SQLSTATE of its error';
COMMENT ON COLUMN dlent.job_runs.message IS 'Message of its error';
COMMENT ON COLUMN dlent.job_runs.detail IS 'DETAIL of its error';
COMMENT ON COLUMN dlent.job_runs.hint IS 'HINT of its error';
COMMENT ON COLUMN dlent.job_runs.context IS 'CONTEXT of its error';
COMMENT ON COLUMN dlent.job_runs.result IS 'What it returned';
COMMENT ON COLUMN dlent.job_runs.server_started_at IS 'Start of the server that it ran in';
COMMENT ON COLUMN dlent.job_runs.timeline IS 'Timeline that it ran on';

REVOKE ALL ON dlent.visible_job FROM PUBLIC;
GRANT SELECT ON dlent.jobs, dlent.job_runs TO PUBLIC;
