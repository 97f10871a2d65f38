-- Rollouts: versions that answer, or are tried out, beside the champion.
--
-- dlent.model.rollout names the one that is under way; scoring finds it in the row that it reads anyway. Rows of dlent.rollout_arm never
-- change; what a step changes is dlent.rollout.coverage, together with an invalidation of dlent.model.

CREATE SEQUENCE dlent.rollout_id_seq;
CREATE TABLE dlent.rollout (
    id              bigint PRIMARY KEY DEFAULT pg_catalog.nextval('dlent.rollout_id_seq'),
    model_id        bigint NOT NULL,
    mode            text NOT NULL CHECK (mode IN ('shadow', 'canary', 'experiment')),
    state           text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'held', 'promoted', 'rolled back', 'stopped')),
    unit            text COLLATE "C", -- column whose value decides which arm answers; NULL: only in shadow mode
    seed            text NOT NULL, -- of the hash of units
    coverage        float8 NOT NULL CHECK (coverage >= 0 AND coverage <= 1), -- share of units that take part
    step            int NOT NULL DEFAULT 1, -- in options: steps, from 1
    options         jsonb NOT NULL,
    started_by      name NOT NULL,
    started_at      timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    step_started_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    ended_at        timestamptz,
    reason          text -- of the last change of state
);
ALTER SEQUENCE dlent.rollout_id_seq OWNED BY dlent.rollout.id;
CREATE INDEX rollout_model_id_idx ON dlent.rollout (model_id, id);
COMMENT ON TABLE dlent.rollout IS 'Versions put to work beside a champion: how, on whose traffic, and how it ended';

CREATE TABLE dlent.rollout_arm (
    rollout_id bigint NOT NULL,
    arm        int NOT NULL CHECK (arm >= 0), -- 0: the champion
    name       text COLLATE "C" NOT NULL,
    version    int NOT NULL,
    weight     float8 NOT NULL CHECK (weight >= 0), -- share of the units that take part
    shadow     boolean NOT NULL,
    PRIMARY KEY (rollout_id, arm)
);
COMMENT ON TABLE dlent.rollout_arm IS 'Versions of a rollout and their shares; fixed when it begins';

REVOKE ALL ON dlent.rollout, dlent.rollout_arm FROM PUBLIC;
REVOKE ALL ON SEQUENCE dlent.rollout_id_seq FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('dlent.rollout_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('dlent.rollout', '');
SELECT pg_catalog.pg_extension_config_dump('dlent.rollout_arm', '');

CREATE FUNCTION @extschema@.dlent_deploy(model text, version int, options jsonb DEFAULT '{}') RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_deploy';
COMMENT ON FUNCTION @extschema@.dlent_deploy(text, int, jsonb) IS
    'Puts a version to work beside the champion, as shadow, canary or arm of an experiment; returns the rollout';

CREATE FUNCTION @extschema@.dlent_advance_rollout(model text, reason text DEFAULT NULL, expected_step int DEFAULT NULL) RETURNS float8
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_advance_rollout';
COMMENT ON FUNCTION @extschema@.dlent_advance_rollout(text, text, int) IS
    'Goes on to the next step of a model''s rollout, after the last by promotion; returns the new share of the traffic';

CREATE FUNCTION @extschema@.dlent_hold_rollout(model text, reason text DEFAULT NULL) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_hold_rollout';
COMMENT ON FUNCTION @extschema@.dlent_hold_rollout(text, text) IS
    'Keeps a model''s rollout at its step; false when it is held already';

CREATE FUNCTION @extschema@.dlent_resume_rollout(model text, reason text DEFAULT NULL) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_resume_rollout';
COMMENT ON FUNCTION @extschema@.dlent_resume_rollout(text, text) IS
    'Lets a rollout that was held go on; false when it is not held';

CREATE FUNCTION @extschema@.dlent_stop_rollout(model text, reason text DEFAULT NULL) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_stop_rollout';
COMMENT ON FUNCTION @extschema@.dlent_stop_rollout(text, text) IS
    'Ends a model''s rollout: only the champion answers from then on. False when none is under way';

CREATE VIEW dlent.rollouts WITH (security_barrier) AS
SELECT m.name AS model,
       r.id AS rollout,
       r.mode,
       r.state,
       r.unit,
       r.step,
       pg_catalog.jsonb_array_length(r.options -> 'steps') AS steps,
       CASE r.mode
           WHEN 'shadow' THEN r.coverage
           ELSE r.coverage * (SELECT pg_catalog.sum(a.weight) FROM dlent.rollout_arm AS a
                                                   WHERE a.rollout_id = r.id AND a.arm > 0)
       END AS share,
       r.coverage,
       r.options,
       r.started_by,
       r.started_at,
       r.step_started_at,
       r.ended_at,
       r.reason
FROM dlent.visible_model AS m
JOIN dlent.rollout AS r ON r.model_id = m.id;
COMMENT ON VIEW dlent.rollouts IS 'Versions that are, or were, put to work beside the champion of the models you may see';
COMMENT ON COLUMN dlent.rollouts.model IS 'Name of the model';
COMMENT ON COLUMN dlent.rollouts.rollout IS 'Number of the rollout';
COMMENT ON COLUMN dlent.rollouts.mode IS 'shadow: scored beside, never returned; canary: answers a growing share; experiment: several versions answer fixed shares';
COMMENT ON COLUMN dlent.rollouts.state IS 'running or held, and in the end promoted, rolled back or stopped';
COMMENT ON COLUMN dlent.rollouts.unit IS 'Column whose value decides which version answers; NULL: rows are taken one by one';
COMMENT ON COLUMN dlent.rollouts.step IS 'Step that it is at, or ended at, from 1';
COMMENT ON COLUMN dlent.rollouts.steps IS 'Number of steps, the last of which is promotion; NULL: not a canary';
COMMENT ON COLUMN dlent.rollouts.share IS 'Share of the traffic that versions other than the champion answer at that step (shadow: that is scored beside)';
COMMENT ON COLUMN dlent.rollouts.coverage IS 'Share of the units that take part, those that the champion answers as control included';
COMMENT ON COLUMN dlent.rollouts.options IS 'Options, with those that were left out';
COMMENT ON COLUMN dlent.rollouts.started_by IS 'Role that began it';
COMMENT ON COLUMN dlent.rollouts.started_at IS 'When it began';
COMMENT ON COLUMN dlent.rollouts.step_started_at IS 'When its step began';
COMMENT ON COLUMN dlent.rollouts.ended_at IS 'When it ended; NULL: it is under way';
COMMENT ON COLUMN dlent.rollouts.reason IS 'Reason of the last change, as given';

CREATE VIEW dlent.rollout_arms WITH (security_barrier) AS
SELECT m.name AS model, r.id AS rollout, a.arm, a.name, a.version, a.weight, a.shadow
FROM dlent.visible_model AS m
JOIN dlent.rollout AS r ON r.model_id = m.id
JOIN dlent.rollout_arm AS a ON a.rollout_id = r.id;
COMMENT ON VIEW dlent.rollout_arms IS 'Versions that take part in the rollouts of the models you may see';
COMMENT ON COLUMN dlent.rollout_arms.model IS 'Name of the model';
COMMENT ON COLUMN dlent.rollout_arms.rollout IS 'Number of the rollout';
COMMENT ON COLUMN dlent.rollout_arms.arm IS 'Number of the arm; 0 is the champion when the rollout began';
COMMENT ON COLUMN dlent.rollout_arms.name IS 'What it is called in reports';
COMMENT ON COLUMN dlent.rollout_arms.version IS 'Version that answers';
COMMENT ON COLUMN dlent.rollout_arms.weight IS 'Share of the units that take part';
COMMENT ON COLUMN dlent.rollout_arms.shadow IS 'Whether it is scored and never returned';
GRANT SELECT ON dlent.rollouts, dlent.rollout_arms TO PUBLIC;
