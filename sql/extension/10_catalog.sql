-- The catalog: private tables, written only by the extension's functions, read by people through the views.
--
-- Rows of dlent.version and dlent.weight_chunk never change once they are committed, so what is derived from them can be kept
-- for ever. The champion is a column of dlent.model; who changes that table's rows sends an invalidation of it.
--
-- There are no foreign keys: pg_restore --jobs loads the tables of an extension in any order. What writes here keeps the rows
-- together, under a lock on the model's row.

CREATE SEQUENCE dlent.model_id_seq;
CREATE TABLE dlent.model (
    id          bigint PRIMARY KEY DEFAULT pg_catalog.nextval('dlent.model_id_seq'),
    name        text COLLATE "C" NOT NULL UNIQUE,
    owner       regrole NOT NULL,
    versions    int NOT NULL DEFAULT 0, -- ever stored: numbers are not used twice
    champion    int,
    created_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
    rollout     bigint, -- the one that is under way
    observation jsonb  -- what is recorded of scores: src/pg/observe
);
ALTER SEQUENCE dlent.model_id_seq OWNED BY dlent.model.id;
COMMENT ON TABLE dlent.model IS 'A model: a name, its owner, and the version that answers when none is named';

CREATE SEQUENCE dlent.version_id_seq;
CREATE TABLE dlent.version (
    id                bigint PRIMARY KEY DEFAULT pg_catalog.nextval('dlent.version_id_seq'),
    model_id          bigint NOT NULL,
    number            int NOT NULL CHECK (number > 0),
    kind              text NOT NULL,
    task              text NOT NULL,
    target            text,
    specification     jsonb NOT NULL,
    pipeline          jsonb NOT NULL,
    weights_bytes     bigint NOT NULL,
    weights_sha256    bytea NOT NULL CHECK (pg_catalog.length(weights_sha256) OPERATOR(pg_catalog.=) 32),
    digest            uuid NOT NULL, -- of specification, pipeline and weights: src/pg/catalog/digest.h
    score_us_single   float8,
    score_us_batched  float8,
    score_precision   text NOT NULL GENERATED ALWAYS AS (CASE WHEN specification OPERATOR(pg_catalog.?) 'quantization' THEN 'int8' ELSE 'fp32' END) STORED,
    explainer         jsonb, -- what explanations need to know of the training rows
    metrics           jsonb NOT NULL,
    details           jsonb NOT NULL,
    findings          jsonb NOT NULL,
    reference         jsonb NOT NULL, -- what drift is measured against: src/core/drift/reference.h
    options           jsonb NOT NULL,
    device            text NOT NULL,
    seed              numeric(20, 0) NOT NULL,
    source            text NOT NULL,
    relations         jsonb NOT NULL,
    train_rows        bigint NOT NULL,
    validation_rows   bigint NOT NULL,
    epochs            int NOT NULL,
    snapshot          pg_snapshot NOT NULL,
    lsn               pg_lsn,
    data_fingerprint  text NOT NULL,
    library_version   text NOT NULL,
    extension_version text NOT NULL,
    server_version    text NOT NULL,
    trained_by        name NOT NULL,
    started_at        timestamptz NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    seconds           float8 NOT NULL,
    UNIQUE (model_id, number)
);
ALTER SEQUENCE dlent.version_id_seq OWNED BY dlent.version.id;
-- not unique: the same training twice gives the same bytes
CREATE INDEX version_digest_idx ON dlent.version (digest);
COMMENT ON TABLE dlent.version IS 'A trained version of a model: what it is, how good it is, and where it came from';

-- pg_dump knows contract views as views like any other. A restore creates them before it brings the rows of versions, and with
-- these they are tied to the extension again, so that DROP EXTENSION takes them along.
CREATE FUNCTION dlent.tie_contracts() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'dlent_tie_contracts';
COMMENT ON FUNCTION dlent.tie_contracts() IS 'Ties restored contract views to the extension';
REVOKE ALL ON FUNCTION dlent.tie_contracts() FROM PUBLIC;
CREATE TRIGGER tie_contracts AFTER INSERT ON dlent.version
    FOR EACH STATEMENT EXECUTE FUNCTION dlent.tie_contracts();

CREATE TABLE dlent.weight_chunk (
    version_id bigint NOT NULL,
    sequence   int NOT NULL CHECK (sequence >= 0),
    data       bytea NOT NULL,
    PRIMARY KEY (version_id, sequence)
);
-- Weights do not compress; stored apart and plain they are read in one go.
ALTER TABLE dlent.weight_chunk ALTER COLUMN data SET STORAGE EXTERNAL;
COMMENT ON TABLE dlent.weight_chunk IS 'The weights of a version: a safetensors file in pieces of at most 256 kB';

CREATE TABLE dlent.training_epoch (
    version_id      bigint NOT NULL,
    step            int NOT NULL,
    member          int NOT NULL,
    epoch           int NOT NULL,
    train_loss      float8 NOT NULL,
    validation_loss float8,
    learning_rate   float8 NOT NULL,
    seconds         float8 NOT NULL,
    PRIMARY KEY (version_id, step)
);
COMMENT ON TABLE dlent.training_epoch IS 'How the training of a version went, epoch by epoch';

CREATE TABLE dlent.model_grant (
    model_id   bigint NOT NULL,
    grantee    regrole NOT NULL,
    privilege  text NOT NULL CHECK (privilege IN ('predict', 'explain', 'manage')),
    grantor    name NOT NULL DEFAULT CURRENT_USER,
    granted_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (model_id, grantee, privilege)
);
COMMENT ON TABLE dlent.model_grant IS 'What roles other than the owner may do with a model; grantee 0 is everybody';

-- An audit trail outlives what it tells of.
CREATE SEQUENCE dlent.event_id_seq;
CREATE TABLE dlent.event (
    id           bigint PRIMARY KEY DEFAULT pg_catalog.nextval('dlent.event_id_seq'),
    occurred_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    action       text NOT NULL,
    model_id     bigint NOT NULL,
    model        text NOT NULL,
    version      int,
    champion     int,
    replaced     int,
    role         name NOT NULL,
    session_role name NOT NULL DEFAULT SESSION_USER,
    reason       text,
    details      jsonb NOT NULL DEFAULT '{}'
);
ALTER SEQUENCE dlent.event_id_seq OWNED BY dlent.event.id;
CREATE INDEX event_model_id_idx ON dlent.event (model_id, id);
COMMENT ON TABLE dlent.event IS 'Who did what to which model, when and why';

REVOKE ALL ON dlent.model, dlent.version, dlent.weight_chunk, dlent.training_epoch, dlent.model_grant, dlent.event FROM PUBLIC;
REVOKE ALL ON SEQUENCE dlent.model_id_seq, dlent.version_id_seq, dlent.event_id_seq FROM PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('dlent.model_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('dlent.model', '');
SELECT pg_catalog.pg_extension_config_dump('dlent.version_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('dlent.version', '');
SELECT pg_catalog.pg_extension_config_dump('dlent.weight_chunk', '');
SELECT pg_catalog.pg_extension_config_dump('dlent.training_epoch', '');
-- A grant to a role that is gone would be dumped as a number, which may be another role's where it is restored.
SELECT pg_catalog.pg_extension_config_dump(
    'dlent.model_grant',
    'WHERE grantee::pg_catalog.oid = 0 OR EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.oid = grantee)');
SELECT pg_catalog.pg_extension_config_dump('dlent.event_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('dlent.event', '');
