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
