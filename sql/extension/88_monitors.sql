-- Monitors: the loop from live rows to a new champion, declared once, and the alerts that it raises.
--
-- A row of dlent.monitor is what was declared and where its loop stands, a row of dlent.monitor_step something that a run did, with
-- what it measured. Both change in the transaction that also does the step (src/pg/monitor/run.cpp).

CREATE SEQUENCE dlent.monitor_id_seq;
CREATE TABLE dlent.monitor (
    id          bigint NOT NULL UNIQUE DEFAULT pg_catalog.nextval('dlent.monitor_id_seq'),
    model_id    bigint PRIMARY KEY,
    source      text NOT NULL, -- live rows
    schedule_id bigint,
    policy      jsonb NOT NULL, -- every key is there: src/pg/monitor/policy.h
    owner       regrole NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    state       text NOT NULL DEFAULT 'watching'
                CHECK (state IN ('watching', 'checking', 'training', 'judging', 'refitting', 'shadow', 'canary', 'promoting')),
    progress    jsonb NOT NULL DEFAULT '{}', -- of the retrain that is under way
    accepted    jsonb NOT NULL, -- what was counted of the training rows that were accepted last
    failures    int NOT NULL DEFAULT 0, -- retrains in a row that ended without a promotion
    retrains    int NOT NULL DEFAULT 0,
    not_before  timestamptz -- no retrain earlier, unless somebody asks for it
);
ALTER SEQUENCE dlent.monitor_id_seq OWNED BY dlent.monitor.id;
COMMENT ON TABLE dlent.monitor IS 'Which models are watched, by what policy, and where each loop stands';

CREATE SEQUENCE dlent.monitor_run_id_seq;
CREATE TABLE dlent.monitor_step (
    run          bigint NOT NULL, -- from dlent.monitor_run_id_seq
    step         int NOT NULL,
    monitor_id   bigint NOT NULL,
    model_id     bigint NOT NULL,
    name         text NOT NULL,
    decision     text NOT NULL,
    reason       text NOT NULL,
    champion     int,
    candidate    int,
    measurements jsonb NOT NULL,
    job_id       bigint, -- NULL: in a session
    role         name NOT NULL,
    started_at   timestamptz NOT NULL,
    finished_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (run, step)
);
CREATE INDEX monitor_step_model_id_idx ON dlent.monitor_step (model_id, run, step);
COMMENT ON TABLE dlent.monitor_step IS 'What the runs of monitors measured, decided and did';

CREATE SEQUENCE dlent.alert_id_seq;
CREATE TABLE dlent.alert (
    id              bigint PRIMARY KEY DEFAULT pg_catalog.nextval('dlent.alert_id_seq'),
    model_id        bigint NOT NULL,
    severity        text NOT NULL CHECK (severity IN ('info', 'warning', 'error')),
    kind            text COLLATE "C" NOT NULL,
    subject         text COLLATE "C" NOT NULL DEFAULT '', -- an expectation's name, ...
    message         text NOT NULL,
    details         jsonb NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    seen_at         timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    occurrences     int NOT NULL DEFAULT 1,
    resolved_at     timestamptz,
    acknowledged_at timestamptz,
    acknowledged_by name
);
ALTER SEQUENCE dlent.alert_id_seq OWNED BY dlent.alert.id;
-- one alert as long as what it is about lasts
CREATE UNIQUE INDEX alert_open_idx ON dlent.alert (model_id, kind, subject) WHERE resolved_at IS NULL;
CREATE INDEX alert_model_id_idx ON dlent.alert (model_id, id);
COMMENT ON TABLE dlent.alert IS 'What people should know of models that are watched';

REVOKE ALL ON dlent.monitor, dlent.monitor_step, dlent.alert FROM PUBLIC;
REVOKE ALL ON SEQUENCE dlent.monitor_id_seq, dlent.monitor_run_id_seq, dlent.alert_id_seq FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('dlent.monitor_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump(
    'dlent.monitor', 'WHERE EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.oid = owner)');
SELECT pg_catalog.pg_extension_config_dump('dlent.monitor_run_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('dlent.monitor_step', '');
SELECT pg_catalog.pg_extension_config_dump('dlent.alert_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('dlent.alert', '');

CREATE FUNCTION @extschema@.dlent_monitor(
    model text, source text, schedule text DEFAULT NULL, policy jsonb DEFAULT '{}') RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_monitor';
COMMENT ON FUNCTION @extschema@.dlent_monitor(text, text, text, jsonb) IS
    'Declares that a model is watched on live rows, retrained when the policy says so, and replaced by what is better; returns the monitor';

CREATE FUNCTION @extschema@.dlent_unmonitor(model text) RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_unmonitor';
COMMENT ON FUNCTION @extschema@.dlent_unmonitor(text) IS 'Ends the monitor of a model and its schedule; false when it has none';

CREATE FUNCTION @extschema@.dlent_run_monitor(model text, options jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_run_monitor';
COMMENT ON FUNCTION @extschema@.dlent_run_monitor(text, jsonb) IS
    'Runs the monitor of a model now, in this transaction; {"dry_run": true} says what it would do';

CREATE FUNCTION @extschema@.dlent_acknowledge(alert bigint) RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_acknowledge';
COMMENT ON FUNCTION @extschema@.dlent_acknowledge(bigint) IS
    'Notes that somebody has taken care of an alert; false when somebody has before';

CREATE VIEW dlent.monitors WITH (security_barrier) AS
SELECT o.id AS monitor,
       m.name AS model,
       pg_catalog.pg_get_userbyid(o.owner) AS owner,
       o.source,
       o.state,
       m.champion,
       (o.progress OPERATOR(pg_catalog.->>) 'candidate')::int AS candidate,
       l.finished_at AS last_run,
       l.decision AS last_verdict,
       l.reason AS last_reason,
       o.schedule_id AS schedule,
       s.schedule AS expression,
       CASE WHEN s.id IS NOT NULL THEN COALESCE(t.paused, true) END AS paused,
       CASE WHEN NOT t.paused THEN t.next_run END AS next_run,
       o.retrains,
       o.failures,
       CASE WHEN o.not_before > pg_catalog.now() THEN o.not_before END AS not_before,
       o.policy,
       o.created_at
FROM dlent.visible_model AS m
JOIN dlent.monitor AS o ON o.model_id = m.id
LEFT JOIN dlent.schedule AS s ON s.id = o.schedule_id
LEFT JOIN dlent.schedule_state AS t ON t.schedule_id = s.id
LEFT JOIN LATERAL (SELECT p.finished_at, p.decision, p.reason
                   FROM dlent.monitor_step AS p
                   WHERE p.model_id = m.id AND p.monitor_id = o.id
                   ORDER BY p.run DESC, p.step DESC LIMIT 1) AS l ON true;
COMMENT ON VIEW dlent.monitors IS 'How the models that you may see are watched';
COMMENT ON COLUMN dlent.monitors.monitor IS 'Number, as dlent_monitor returned it';
COMMENT ON COLUMN dlent.monitors.model IS 'Name of the model';
COMMENT ON COLUMN dlent.monitors.owner IS 'Role that declared it, and as which it runs';
COMMENT ON COLUMN dlent.monitors.source IS 'Live rows, as given';
COMMENT ON COLUMN dlent.monitors.state IS 'watching; or what its next run does: checking data, training, judging, training on all rows, looking at a shadow or canary, promoting';
COMMENT ON COLUMN dlent.monitors.champion IS 'Version that answers now';
COMMENT ON COLUMN dlent.monitors.candidate IS 'Version that was trained to take its place, and is on its way';
COMMENT ON COLUMN dlent.monitors.last_run IS 'When it did something last';
COMMENT ON COLUMN dlent.monitors.last_verdict IS 'What it decided then: quiet, waits, retrain, accepted, rejected, promoted, ...';
COMMENT ON COLUMN dlent.monitors.last_reason IS 'Why';
COMMENT ON COLUMN dlent.monitors.schedule IS 'Schedule of its runs; NULL: they are asked for';
COMMENT ON COLUMN dlent.monitors.expression IS 'Cron expression or interval of the schedule';
COMMENT ON COLUMN dlent.monitors.paused IS 'Whether its schedule asks for no runs';
COMMENT ON COLUMN dlent.monitors.next_run IS 'When it is due next';
COMMENT ON COLUMN dlent.monitors.retrains IS 'Retrains that it has begun';
COMMENT ON COLUMN dlent.monitors.failures IS 'Retrains in a row that ended without a promotion';
COMMENT ON COLUMN dlent.monitors.not_before IS 'It does not retrain before: cooldown, or backoff after failures';
COMMENT ON COLUMN dlent.monitors.policy IS 'Triggers, retraining and gates, with all defaults';
COMMENT ON COLUMN dlent.monitors.created_at IS 'When it was declared';

CREATE VIEW dlent.monitor_runs WITH (security_barrier) AS
SELECT p.run, p.step, m.name AS model, p.name, p.decision, p.reason, p.champion, p.candidate, p.measurements, p.job_id AS job, p.role,
       p.started_at, p.finished_at
FROM dlent.visible_model AS m
JOIN dlent.monitor_step AS p ON p.model_id = m.id;
COMMENT ON VIEW dlent.monitor_runs IS 'What the monitors of the models that you may see measured, decided and did, step by step';
COMMENT ON COLUMN dlent.monitor_runs.run IS 'Number of the run; its steps share it';
COMMENT ON COLUMN dlent.monitor_runs.step IS 'From 1';
COMMENT ON COLUMN dlent.monitor_runs.model IS 'Name of the model';
COMMENT ON COLUMN dlent.monitor_runs.name IS 'What was done: watch, check, train, judge, refit, shadow, canary, promote';
COMMENT ON COLUMN dlent.monitor_runs.decision IS 'What followed from it';
COMMENT ON COLUMN dlent.monitor_runs.reason IS 'Why, in a sentence';
COMMENT ON COLUMN dlent.monitor_runs.champion IS 'Version that answered then';
COMMENT ON COLUMN dlent.monitor_runs.candidate IS 'Version that it was about';
COMMENT ON COLUMN dlent.monitor_runs.measurements IS 'The numbers';
COMMENT ON COLUMN dlent.monitor_runs.job IS 'Job that did it; NULL: dlent_run_monitor';
COMMENT ON COLUMN dlent.monitor_runs.role IS 'Role that did it';
COMMENT ON COLUMN dlent.monitor_runs.started_at IS 'When the step began';
COMMENT ON COLUMN dlent.monitor_runs.finished_at IS 'When it was done';

CREATE VIEW dlent.alerts WITH (security_barrier) AS
SELECT a.id AS alert, a.severity, m.name AS model, a.kind, NULLIF(a.subject, '') AS subject, a.message, a.details, a.created_at,
       a.seen_at, a.occurrences, a.resolved_at, a.acknowledged_at, a.acknowledged_by
FROM dlent.visible_model AS m
JOIN dlent.alert AS a ON a.model_id = m.id;
COMMENT ON VIEW dlent.alerts IS 'What you should know of the models that you may see; NOTIFY dlent_alerts tells of each new one';
COMMENT ON COLUMN dlent.alerts.alert IS 'Number, for dlent_acknowledge';
COMMENT ON COLUMN dlent.alerts.severity IS 'info, warning or error';
COMMENT ON COLUMN dlent.alerts.model IS 'Name of the model';
COMMENT ON COLUMN dlent.alerts.kind IS 'drift, expectation, metric, data, training, candidate, rollout, promotion, run or budget';
COMMENT ON COLUMN dlent.alerts.subject IS 'What it is about, where there may be several: an expectation''s name';
COMMENT ON COLUMN dlent.alerts.message IS 'What happened';
COMMENT ON COLUMN dlent.alerts.details IS 'The numbers';
COMMENT ON COLUMN dlent.alerts.created_at IS 'When it was raised';
COMMENT ON COLUMN dlent.alerts.seen_at IS 'When what it is about was seen last';
COMMENT ON COLUMN dlent.alerts.occurrences IS 'How often that was seen';
COMMENT ON COLUMN dlent.alerts.resolved_at IS 'When it was over; NULL: it lasts';
COMMENT ON COLUMN dlent.alerts.acknowledged_at IS 'When somebody took care of it';
COMMENT ON COLUMN dlent.alerts.acknowledged_by IS 'Who did';
GRANT SELECT ON dlent.monitors, dlent.monitor_runs, dlent.alerts TO PUBLIC;
