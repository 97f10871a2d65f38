-- What models answered, as far as it was asked to be recorded, and what turned out to be true.

CREATE SEQUENCE dlent.prediction_id_seq;
CREATE TABLE dlent.prediction (
    id           bigint PRIMARY KEY DEFAULT pg_catalog.nextval('dlent.prediction_id_seq'),
    request      bigint NOT NULL, -- the answer of a row and those that shadow arms would have given share it
    predicted_at timestamptz NOT NULL,
    model_id     bigint NOT NULL,
    version      int NOT NULL,
    rollout_id   bigint,
    arm          int, -- of dlent.rollout_arm; NULL: outside of a rollout, or a row that takes no part
    shadow       boolean NOT NULL,
    unit         text COLLATE "C",
    key          text COLLATE "C", -- by which an outcome is matched
    input_digest bigint, -- hash of the features as the version saw them
    features     jsonb,
    score        float8,
    label        text,
    latency_us   float4, -- of the network, the mean of the row's block
    error        text,   -- why a shadow arm has no score
    probabilities jsonb  -- of several classes, by label, while a rollout is under way
);
ALTER SEQUENCE dlent.prediction_id_seq OWNED BY dlent.prediction.id;
-- those without a key, too: they go with their model. Their entries are equal, so they are packed, and cost little
CREATE INDEX prediction_key_idx ON dlent.prediction (model_id, key);
CREATE INDEX prediction_rollout_idx ON dlent.prediction (rollout_id, predicted_at) WHERE rollout_id IS NOT NULL;
CREATE INDEX prediction_time_idx ON dlent.prediction USING brin (predicted_at);
COMMENT ON TABLE dlent.prediction IS 'Recorded answers of models';

CREATE TABLE dlent.outcome (
    model_id    bigint NOT NULL,
    key         text COLLATE "C" NOT NULL,
    metric      text COLLATE "C" NOT NULL,
    value       float8,
    label       text COLLATE "C", -- in place of a value, of models of several classes
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    recorded_by name NOT NULL,
    PRIMARY KEY (model_id, key, metric),
    CHECK ((value IS NULL) <> (label IS NULL))
);
COMMENT ON TABLE dlent.outcome IS 'What turned out to be true of what was predicted, by key';

REVOKE ALL ON dlent.prediction, dlent.outcome FROM PUBLIC;
REVOKE ALL ON SEQUENCE dlent.prediction_id_seq FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('dlent.prediction_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('dlent.prediction', '');
SELECT pg_catalog.pg_extension_config_dump('dlent.outcome', '');
