-- Schedules: jobs that are asked for again and again.
--
-- A row of dlent.schedule is what somebody wants, a row of dlent.schedule_state where it stands on this server: only the first is
-- dumped, and a schedule without the second is paused. So nothing runs by itself where a dump is restored.

CREATE SEQUENCE dlent.schedule_id_seq;
CREATE TABLE dlent.schedule (
    id               bigint PRIMARY KEY DEFAULT pg_catalog.nextval('dlent.schedule_id_seq'),
    model            text COLLATE "C" NOT NULL,
    schedule         text NOT NULL,
    time_zone        text NOT NULL,
    action           text NOT NULL,
    arguments        jsonb NOT NULL,
    policy           jsonb NOT NULL, -- of its jobs
    settings         jsonb NOT NULL,
    overlap          text NOT NULL CHECK (overlap IN ('skip', 'queue')),
    catch_up         float8 NOT NULL, -- seconds
    quarantine_after int NOT NULL,
    owner            regrole NOT NULL,
    created_at       timestamptz NOT NULL
);
ALTER SEQUENCE dlent.schedule_id_seq OWNED BY dlent.schedule.id;
COMMENT ON TABLE dlent.schedule IS 'Jobs to be asked for by the clock: when, what, for which model, on whose behalf';

CREATE TABLE dlent.schedule_state (
    schedule_id  bigint PRIMARY KEY,
    next_run     timestamptz,
    paused       boolean NOT NULL DEFAULT false,
    reason       text,
    failures     int NOT NULL DEFAULT 0,
    skipped      bigint NOT NULL DEFAULT 0,
    missed       bigint NOT NULL DEFAULT 0,
    last_run     timestamptz
);
COMMENT ON TABLE dlent.schedule_state IS 'How the schedules of this server stand';

REVOKE ALL ON dlent.schedule, dlent.schedule_state FROM PUBLIC;
REVOKE ALL ON SEQUENCE dlent.schedule_id_seq FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('dlent.schedule_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump(
    'dlent.schedule', 'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.oid = owner)');

CREATE FUNCTION @extschema@.dlent_schedule(
    model text, schedule text, action text DEFAULT 'train', options jsonb DEFAULT '{}') RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_schedule';
COMMENT ON FUNCTION @extschema@.dlent_schedule(text, text, text, jsonb) IS
    'Has a job done whenever a cron expression or an interval says so; returns the schedule';

CREATE FUNCTION @extschema@.dlent_unschedule(schedule bigint) RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_unschedule';
COMMENT ON FUNCTION @extschema@.dlent_unschedule(bigint) IS 'Ends a schedule; jobs that it has asked for stay. False when there is none';

CREATE FUNCTION @extschema@.dlent_pause_schedule(schedule bigint, reason text DEFAULT NULL) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_pause_schedule';
COMMENT ON FUNCTION @extschema@.dlent_pause_schedule(bigint, text) IS 'Keeps a schedule from asking for jobs; false when it is paused already';

CREATE FUNCTION @extschema@.dlent_resume_schedule(schedule bigint) RETURNS timestamptz
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_resume_schedule';
COMMENT ON FUNCTION @extschema@.dlent_resume_schedule(bigint) IS
    'Lets a schedule that was paused, quarantined or restored go on; returns when it is due next';

CREATE FUNCTION @extschema@.dlent_run_schedule(schedule bigint) RETURNS bigint
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_run_schedule';
COMMENT ON FUNCTION @extschema@.dlent_run_schedule(bigint) IS 'Asks for a schedule''s job now, whatever the time; returns the job';

CREATE FUNCTION dlent.wake_scheduler() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_wake_scheduler';
COMMENT ON FUNCTION dlent.wake_scheduler() IS 'Has the database''s scheduler, or the launcher when there is none, look at what is there once this transaction commits';

CREATE VIEW dlent.schedules WITH (security_barrier) AS
SELECT s.id AS schedule,
       s.model,
       s.action,
       s.schedule AS expression,
       s.time_zone,
       pg_catalog.pg_get_userbyid(s.owner) AS owner,
       COALESCE(t.paused, true) AS paused,
       CASE WHEN t.schedule_id IS NULL THEN 'restored from a dump' ELSE t.reason END AS reason,
       CASE WHEN NOT t.paused THEN t.next_run END AS next_run,
       t.last_run,
       t.failures,
       t.skipped,
       t.missed,
       s.arguments,
       s.policy || pg_catalog.jsonb_build_object('overlap', s.overlap, 'catch_up', s.catch_up, 'quarantine_after', s.quarantine_after) AS policy,
       s.created_at
FROM dlent.schedule AS s
LEFT JOIN dlent.schedule_state AS t ON t.schedule_id = s.id
WHERE pg_catalog.pg_has_role(s.owner, 'USAGE')
   OR pg_catalog.pg_has_role('pg_monitor', 'USAGE')
   OR pg_catalog.pg_has_role('pg_read_all_data', 'USAGE')
   OR EXISTS (SELECT FROM dlent.model AS m
              WHERE m.name = s.model
                AND (pg_catalog.pg_has_role(m.owner, 'USAGE')
                     OR EXISTS (SELECT FROM dlent.model_grant AS g
                                WHERE g.model_id = m.id AND g.privilege = 'manage'
                                  AND (g.grantee::pg_catalog.oid = 0 OR pg_catalog.pg_has_role(g.grantee, 'USAGE')))));
COMMENT ON VIEW dlent.schedules IS 'Schedules that are yours, or of models that you manage';
COMMENT ON COLUMN dlent.schedules.schedule IS 'Number, as dlent_schedule returned it';
COMMENT ON COLUMN dlent.schedules.model IS 'Name of the model';
COMMENT ON COLUMN dlent.schedules.action IS 'What its jobs do';
COMMENT ON COLUMN dlent.schedules.expression IS 'Cron expression or interval';
COMMENT ON COLUMN dlent.schedules.time_zone IS 'Time zone of the expression';
COMMENT ON COLUMN dlent.schedules.owner IS 'Role as which its jobs run';
COMMENT ON COLUMN dlent.schedules.paused IS 'Whether it asks for no jobs';
COMMENT ON COLUMN dlent.schedules.reason IS 'Why it is paused';
COMMENT ON COLUMN dlent.schedules.next_run IS 'When it is due next';
COMMENT ON COLUMN dlent.schedules.last_run IS 'When it has asked for a job last';
COMMENT ON COLUMN dlent.schedules.failures IS 'Jobs that failed since the last that succeeded';
COMMENT ON COLUMN dlent.schedules.skipped IS 'Times that it was due while its last job was not done';
COMMENT ON COLUMN dlent.schedules.missed IS 'Times that it was due and nobody looked until it was too late';
COMMENT ON COLUMN dlent.schedules.arguments IS 'Arguments of its jobs';
COMMENT ON COLUMN dlent.schedules.policy IS 'Limits, retries, overlap, catching up, quarantine';
COMMENT ON COLUMN dlent.schedules.created_at IS 'When it was made: intervals are counted from then';
GRANT SELECT ON dlent.schedules TO PUBLIC;

SELECT dlent.wake_scheduler();
