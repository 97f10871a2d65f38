-- Explanations: why a row got its answer, what is kept of that, and the dictionary of reasons.
--
-- What is kept outlives its version and its model, as the events do: a decision is asked about for years. It goes by retention, by
-- age and by key (dlent_forget_explanations).

CREATE TABLE dlent.explanation (
    id               uuid PRIMARY KEY,
    model_id         bigint NOT NULL,
    model            text NOT NULL,
    version          int NOT NULL,
    digest           uuid NOT NULL, -- of the version
    entity_key       text,
    class            text, -- NULL: a number is predicted
    predicted        text NOT NULL,
    probability      float8,
    threshold        float8,
    prediction       float8,
    baseline         float8,
    local_prediction float8,
    residual         float8,
    fidelity_r2      float8,
    min_rank_gap_z   float8,
    grade            text NOT NULL,
    probe_id         uuid,
    seed             bigint NOT NULL,
    method           jsonb NOT NULL, -- all options, as they were
    input            jsonb NOT NULL, -- of the model, in canonical form
    input_hash       text NOT NULL,
    codes            jsonb NOT NULL, -- entries of the dictionary that were used
    document         jsonb NOT NULL,
    at               timestamptz NOT NULL,
    by               name NOT NULL,
    session_role     name NOT NULL DEFAULT SESSION_USER,
    expires_at       timestamptz
);
CREATE INDEX explanation_model_id_entity_key_idx ON dlent.explanation (model_id, entity_key);
CREATE INDEX explanation_expires_at_idx ON dlent.explanation (expires_at) WHERE expires_at IS NOT NULL;
COMMENT ON TABLE dlent.explanation IS 'An explanation that was stored, with all that is needed to make it again';

CREATE TABLE dlent.explanation_feature (
    id           uuid NOT NULL,
    label        int NOT NULL, -- of the explained classes, from 1
    class        text,
    rank         int NOT NULL,
    feature      text NOT NULL,
    value_text   text,
    value_num    float8,
    condition    text,
    contribution float8,
    std_error    float8,
    direction    text,
    rank_tied    boolean,
    reason_code  text,
    reason_text  text,
    PRIMARY KEY (id, label, rank)
);
COMMENT ON TABLE dlent.explanation_feature IS 'The features of a stored explanation, a row each';

CREATE TABLE dlent.explanation_counterfactual (
    id        uuid NOT NULL,
    n         int NOT NULL,
    position  int NOT NULL,
    feature   text NOT NULL,
    "from"    text,
    "to"      text,
    new_value float8,
    class     text,
    value     float8,
    flips     boolean NOT NULL,
    PRIMARY KEY (id, n, position)
);
COMMENT ON TABLE dlent.explanation_counterfactual IS 'Changes that would have changed the answer, a row for each feature that changes';

CREATE TABLE dlent.reason_code (
    model_id   bigint NOT NULL,
    feature    text COLLATE "C" NOT NULL,
    direction  text NOT NULL CHECK (direction IN ('raises', 'lowers', 'any')),
    audience   text NOT NULL CHECK (audience IN ('analyst', 'customer')),
    locale     text COLLATE "C" NOT NULL,
    code       text NOT NULL,
    template   text NOT NULL, -- empty: our sentence
    actionable boolean NOT NULL,
    set_by     name NOT NULL,
    set_at     timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (model_id, feature, direction, audience, locale)
);
COMMENT ON TABLE dlent.reason_code IS 'What a model''s reasons are called, and what is said of them to whom';

REVOKE ALL ON dlent.explanation, dlent.explanation_feature, dlent.explanation_counterfactual, dlent.reason_code FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('dlent.explanation', '');
SELECT pg_catalog.pg_extension_config_dump('dlent.explanation_feature', '');
SELECT pg_catalog.pg_extension_config_dump('dlent.explanation_counterfactual', '');
SELECT pg_catalog.pg_extension_config_dump('dlent.reason_code', '');

-- Inputs of rows are in here, so seeing a model is not enough: it takes the privilege to explain. What expired is not shown, also
-- before it is removed.
CREATE VIEW dlent.visible_explanation WITH (security_barrier) AS
SELECT e.id, e.model_id, e.model, e.version, e.entity_key, e.class, e.predicted, e.probability, e.threshold, e.prediction, e.baseline,
       e.local_prediction, e.residual, e.fidelity_r2, e.min_rank_gap_z, e.grade, e.probe_id, e.seed, e.method, e.input, e.input_hash,
       e.document, e.at, e.by, e.session_role, e.expires_at
FROM dlent.explanation AS e
WHERE (e.expires_at IS NULL OR e.expires_at OPERATOR(pg_catalog.>) pg_catalog.now())
  AND (pg_catalog.pg_has_role('pg_read_all_data', 'USAGE')
       OR EXISTS (SELECT FROM dlent.model AS m
                  WHERE m.id OPERATOR(pg_catalog.=) e.model_id
                    AND (pg_catalog.pg_has_role(m.owner, 'USAGE')
                         OR EXISTS (SELECT FROM dlent.model_grant AS g
                                    WHERE g.model_id OPERATOR(pg_catalog.=) m.id
                                      AND g.privilege OPERATOR(pg_catalog.<>) 'predict'
                                      AND (g.grantee::pg_catalog.oid OPERATOR(pg_catalog.=) 0::pg_catalog.oid
                                           OR pg_catalog.pg_has_role(g.grantee, 'USAGE')))))
       OR (e.by OPERATOR(pg_catalog.=) CURRENT_USER
           AND NOT EXISTS (SELECT FROM dlent.model AS m WHERE m.id OPERATOR(pg_catalog.=) e.model_id)));
COMMENT ON VIEW dlent.visible_explanation IS 'Explanations that the current user may see; the other views build on it';

CREATE VIEW dlent.explanations WITH (security_barrier) AS
SELECT e.id, e.model, e.version, e.entity_key, e.class, e.predicted, e.probability, e.threshold, e.prediction, e.baseline,
       e.local_prediction, e.residual, e.fidelity_r2, e.min_rank_gap_z, e.grade, e.probe_id, e.seed, e.method, e.input, e.input_hash,
       e.document AS explanation, e.at, e.by, e.session_role, e.expires_at
FROM dlent.visible_explanation AS e;
COMMENT ON VIEW dlent.explanations IS 'Stored explanations of the models that you may explain';
COMMENT ON COLUMN dlent.explanations.id IS 'Identifier; dlent_verify_explanation takes it';
COMMENT ON COLUMN dlent.explanations.model IS 'Name of the model';
COMMENT ON COLUMN dlent.explanations.version IS 'Number of the version that was explained';
COMMENT ON COLUMN dlent.explanations.entity_key IS 'Key of the row, as given; NULL: none was';
COMMENT ON COLUMN dlent.explanations.class IS 'Class that is explained, the first if there are several; NULL: a number is predicted';
COMMENT ON COLUMN dlent.explanations.predicted IS 'What the model answered: the class, by the threshold where there is one, or the number';
COMMENT ON COLUMN dlent.explanations.probability IS 'Probability of the predicted class; NULL: a number is predicted';
COMMENT ON COLUMN dlent.explanations.threshold IS 'Threshold of the decision, in the terms of the predicted class';
COMMENT ON COLUMN dlent.explanations.prediction IS 'What is explained: probability of the class, its logit, or the number';
COMMENT ON COLUMN dlent.explanations.baseline IS 'Where the contributions start';
COMMENT ON COLUMN dlent.explanations.local_prediction IS 'Baseline and all contributions';
COMMENT ON COLUMN dlent.explanations.residual IS 'What is missing between local_prediction and prediction';
COMMENT ON COLUMN dlent.explanations.fidelity_r2 IS 'How much of the network''s variation the surrogate explains; NULL for integrated gradients';
COMMENT ON COLUMN dlent.explanations.min_rank_gap_z IS 'Smallest gap between neighbouring ranks, in standard errors';
COMMENT ON COLUMN dlent.explanations.grade IS 'ok, weak or unreliable: then no reasons are given';
COMMENT ON COLUMN dlent.explanations.probe_id IS 'Set of perturbed rows that was used; NULL: they were drawn for this row alone';
COMMENT ON COLUMN dlent.explanations.seed IS 'Seed of all that is random';
COMMENT ON COLUMN dlent.explanations.method IS 'All options, defaults included';
COMMENT ON COLUMN dlent.explanations.input IS 'What the model read, in canonical form';
COMMENT ON COLUMN dlent.explanations.input_hash IS 'SHA-256 of it, hex';
COMMENT ON COLUMN dlent.explanations.explanation IS 'The whole document, dlent.explanation/1';
COMMENT ON COLUMN dlent.explanations.at IS 'When it was made';
COMMENT ON COLUMN dlent.explanations.by IS 'Role that made it';
COMMENT ON COLUMN dlent.explanations.session_role IS 'Role that had logged in';
COMMENT ON COLUMN dlent.explanations.expires_at IS 'Not shown from then on; NULL: kept';

CREATE VIEW dlent.explanation_features WITH (security_barrier) AS
SELECT f.id, e.model, e.version, e.entity_key, f.label, f.class, f.rank, f.feature, f.value_text, f.value_num, f.condition,
       f.contribution, f.std_error, f.direction, f.rank_tied, f.reason_code, f.reason_text
FROM dlent.visible_explanation AS e
JOIN dlent.explanation_feature AS f ON f.id OPERATOR(pg_catalog.=) e.id;
COMMENT ON VIEW dlent.explanation_features IS 'Features of stored explanations, a row each';
COMMENT ON COLUMN dlent.explanation_features.id IS 'The explanation';
COMMENT ON COLUMN dlent.explanation_features.model IS 'Name of the model';
COMMENT ON COLUMN dlent.explanation_features.version IS 'Number of the version';
COMMENT ON COLUMN dlent.explanation_features.entity_key IS 'Key of the row, as given';
COMMENT ON COLUMN dlent.explanation_features.label IS 'Of the classes that are explained, from 1';
COMMENT ON COLUMN dlent.explanation_features.class IS 'The class; NULL: a number is predicted';
COMMENT ON COLUMN dlent.explanation_features.rank IS 'By the size of the contribution, from 1';
COMMENT ON COLUMN dlent.explanation_features.feature IS 'Column, element of a vector, or group';
COMMENT ON COLUMN dlent.explanation_features.value_text IS 'Its value in the row, as text; NULL: missing, or a group';
COMMENT ON COLUMN dlent.explanation_features.value_num IS 'The same where it is a number';
COMMENT ON COLUMN dlent.explanation_features.condition IS 'What the contribution is about';
COMMENT ON COLUMN dlent.explanation_features.contribution IS 'What it adds to the answer';
COMMENT ON COLUMN dlent.explanation_features.std_error IS 'Standard error of the contribution; 0: exact';
COMMENT ON COLUMN dlent.explanation_features.direction IS 'raises or lowers the probability of the class, or the number';
COMMENT ON COLUMN dlent.explanation_features.rank_tied IS 'Whether it cannot be told from a neighbour (95 %)';
COMMENT ON COLUMN dlent.explanation_features.reason_code IS 'Code of the dictionary';
COMMENT ON COLUMN dlent.explanation_features.reason_text IS 'A sentence; NULL where no reliable reason exists';

CREATE VIEW dlent.explanation_counterfactuals WITH (security_barrier) AS
SELECT c.id, e.model, e.version, e.entity_key, c.n, c.position, c.feature, c."from", c."to", c.new_value, c.class, c.value, c.flips
FROM dlent.visible_explanation AS e
JOIN dlent.explanation_counterfactual AS c ON c.id OPERATOR(pg_catalog.=) e.id;
COMMENT ON VIEW dlent.explanation_counterfactuals IS 'Changes that would have changed the answer of stored explanations';
COMMENT ON COLUMN dlent.explanation_counterfactuals.id IS 'The explanation';
COMMENT ON COLUMN dlent.explanation_counterfactuals.model IS 'Name of the model';
COMMENT ON COLUMN dlent.explanation_counterfactuals.version IS 'Number of the version';
COMMENT ON COLUMN dlent.explanation_counterfactuals.entity_key IS 'Key of the row, as given';
COMMENT ON COLUMN dlent.explanation_counterfactuals.n IS 'Alternative, from 1';
COMMENT ON COLUMN dlent.explanation_counterfactuals.position IS 'Change within the alternative, from 1: all of them together change the answer';
COMMENT ON COLUMN dlent.explanation_counterfactuals.feature IS 'What changes';
COMMENT ON COLUMN dlent.explanation_counterfactuals."from" IS 'Value in the row; NULL: missing';
COMMENT ON COLUMN dlent.explanation_counterfactuals."to" IS 'Value that it would have';
COMMENT ON COLUMN dlent.explanation_counterfactuals.new_value IS 'The same where it is a number';
COMMENT ON COLUMN dlent.explanation_counterfactuals.class IS 'What the model would answer';
COMMENT ON COLUMN dlent.explanation_counterfactuals.value IS 'Probability of that class, or the number';
COMMENT ON COLUMN dlent.explanation_counterfactuals.flips IS 'Whether that is another answer';

CREATE VIEW dlent.reason_codes WITH (security_barrier) AS
SELECT m.name AS model, r.feature, r.direction, r.audience, r.locale, r.code, NULLIF(r.template, '') AS template, r.actionable,
       r.set_by, r.set_at
FROM dlent.visible_model AS m
JOIN dlent.reason_code AS r ON r.model_id OPERATOR(pg_catalog.=) m.id;
COMMENT ON VIEW dlent.reason_codes IS 'Dictionary of reasons of the models you may see';
COMMENT ON COLUMN dlent.reason_codes.model IS 'Name of the model';
COMMENT ON COLUMN dlent.reason_codes.feature IS 'Column, element of a vector, or group';
COMMENT ON COLUMN dlent.reason_codes.direction IS 'Whether it raises or lowers what the model predicts; any';
COMMENT ON COLUMN dlent.reason_codes.audience IS 'analyst, or customer: analysts see those too';
COMMENT ON COLUMN dlent.reason_codes.locale IS 'Language of the template';
COMMENT ON COLUMN dlent.reason_codes.code IS 'What the reason is called; features that share a code are one reason';
COMMENT ON COLUMN dlent.reason_codes.template IS 'Sentence, with {feature}, {value}, {condition} and {threshold}; NULL: one is made';
COMMENT ON COLUMN dlent.reason_codes.actionable IS 'Whether the person concerned can do something about it';
COMMENT ON COLUMN dlent.reason_codes.set_by IS 'Role that set it';
COMMENT ON COLUMN dlent.reason_codes.set_at IS 'When';

REVOKE ALL ON dlent.visible_explanation FROM PUBLIC;
GRANT SELECT ON dlent.explanations, dlent.explanation_features, dlent.explanation_counterfactuals, dlent.reason_codes TO PUBLIC;

-- Volatile: every explanation has an identifier of its own, and option store writes.
CREATE FUNCTION @extschema@.dlent_explain(model text, features anyelement, options jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100000 AS 'MODULE_PATHNAME', 'dlent_explain';
COMMENT ON FUNCTION @extschema@.dlent_explain(text, anyelement, jsonb) IS
    'Why a row, given as record or jsonb, gets its answer: a document of form dlent.explanation/1';

CREATE FUNCTION @extschema@.dlent_explain_table(model text, source text, key text, options jsonb DEFAULT '{}') RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000000 AS 'MODULE_PATHNAME', 'dlent_explain_table';
COMMENT ON FUNCTION @extschema@.dlent_explain_table(text, text, text, jsonb) IS
    'Explains the rows of a table, view or SELECT and stores the explanations under a key; returns how many were made';

CREATE FUNCTION @extschema@.dlent_verify_explanation(id uuid) RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE COST 100000 AS 'MODULE_PATHNAME', 'dlent_verify_explanation';
COMMENT ON FUNCTION @extschema@.dlent_verify_explanation(uuid) IS
    'Makes a stored explanation again from the version, the perturbed rows and the inputs, and compares every byte';

CREATE FUNCTION @extschema@.dlent_forget_explanations(model text, key text DEFAULT NULL, older_than interval DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_forget_explanations';
COMMENT ON FUNCTION @extschema@.dlent_forget_explanations(text, text, interval) IS
    'Erases stored explanations of a model: of one key, of an age, or without both those that have expired; returns how many';

CREATE FUNCTION @extschema@.dlent_set_reason_code(
    model text, feature text, code text, template text DEFAULT NULL, direction text DEFAULT 'any', audience text DEFAULT 'analyst',
    locale text DEFAULT 'en', actionable boolean DEFAULT true) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_set_reason_code';
COMMENT ON FUNCTION @extschema@.dlent_set_reason_code(text, text, text, text, text, text, text, boolean) IS
    'Says what a reason of a model is called, and what is said of it to analysts or customers';

CREATE FUNCTION @extschema@.dlent_remove_reason_code(
    model text, feature text, direction text DEFAULT NULL, audience text DEFAULT NULL, locale text DEFAULT NULL) RETURNS int
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_remove_reason_code';
COMMENT ON FUNCTION @extschema@.dlent_remove_reason_code(text, text, text, text, text) IS
    'Takes entries out of a model''s dictionary of reasons; returns how many';

CREATE FUNCTION @extschema@.dlent_create_explanation_view(model text, view text) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_create_explanation_view';
COMMENT ON FUNCTION @extschema@.dlent_create_explanation_view(text, text) IS
    'Creates a view with a row for each stored explanation of a model and a column <feature>_explanation for each feature';

CREATE FUNCTION dlent.probe_files(
    OUT digest uuid, OUT probe_id uuid, OUT bytes bigint, OUT created_at timestamptz, OUT mapped boolean, OUT private_bytes bigint)
RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED ROWS 10 AS 'MODULE_PATHNAME', 'dlent_probe_files';
COMMENT ON FUNCTION dlent.probe_files() IS 'Probes that are cached on this machine or in this session';

CREATE VIEW dlent.probe_cache WITH (security_barrier) AS
SELECT m.name AS model, v.number AS version, p.digest, p.probe_id, p.bytes, p.created_at, p.mapped, p.private_bytes
FROM dlent.probe_files() AS p
JOIN dlent.version AS v ON v.digest OPERATOR(pg_catalog.=) p.digest
JOIN dlent.visible_model AS m ON m.id OPERATOR(pg_catalog.=) v.model_id;
COMMENT ON VIEW dlent.probe_cache IS 'Sets of perturbed rows that explanations of the models you may see share, on this machine or in this session';
COMMENT ON COLUMN dlent.probe_cache.model IS 'Name of the model';
COMMENT ON COLUMN dlent.probe_cache.version IS 'Number of the version';
COMMENT ON COLUMN dlent.probe_cache.digest IS 'Content address of the version';
COMMENT ON COLUMN dlent.probe_cache.probe_id IS 'Content address of the probe: version, statistics, options and format';
COMMENT ON COLUMN dlent.probe_cache.bytes IS 'Size of the file that all sessions of this machine map; NULL: there is none';
COMMENT ON COLUMN dlent.probe_cache.created_at IS 'When the file was made';
COMMENT ON COLUMN dlent.probe_cache.mapped IS 'Whether this session has mapped it';
COMMENT ON COLUMN dlent.probe_cache.private_bytes IS 'Memory of its own that this session holds for the probe; NULL: it has not used it lately';
GRANT SELECT ON dlent.probe_cache TO PUBLIC;
