-- Scoring. "features" is one record (columns are matched by name), one jsonb object, one array, or the features in the order of
-- training. What a call costs follows from the model (dlent.score_support); without a known one it is that of a large network, in
-- units of a plain operator. Filters that cost less go first.

CREATE FUNCTION dlent.score_support(internal) RETURNS internal
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'dlent_score_support';
COMMENT ON FUNCTION dlent.score_support(internal) IS 'Tells the planner what a scoring call costs';

CREATE FUNCTION @extschema@.dlent_predict(model text, VARIADIC features "any") RETURNS float8
LANGUAGE c STABLE PARALLEL SAFE COST 1000 SUPPORT dlent.score_support AS 'MODULE_PATHNAME', 'dlent_predict';
COMMENT ON FUNCTION @extschema@.dlent_predict(text, "any") IS
    'The value that a regression model predicts, or the probability of the positive class';

CREATE FUNCTION @extschema@.dlent_classify(model text, VARIADIC features "any") RETURNS text
LANGUAGE c STABLE PARALLEL SAFE COST 1000 SUPPORT dlent.score_support AS 'MODULE_PATHNAME', 'dlent_classify';
COMMENT ON FUNCTION @extschema@.dlent_classify(text, "any") IS 'The label that a classification model finds most probable';

CREATE FUNCTION @extschema@.dlent_probabilities(model text, VARIADIC features "any") RETURNS jsonb
LANGUAGE c STABLE PARALLEL SAFE COST 1000 SUPPORT dlent.score_support AS 'MODULE_PATHNAME', 'dlent_probabilities';
COMMENT ON FUNCTION @extschema@.dlent_probabilities(text, "any") IS 'The probability of every label of a classification model';

-- A version never changes, so the score of a row by it may be indexed or stored in a generated column.
CREATE FUNCTION @extschema@.dlent_predict_version(model text, version int, VARIADIC features "any") RETURNS float8
LANGUAGE c IMMUTABLE PARALLEL SAFE COST 1000 SUPPORT dlent.score_support AS 'MODULE_PATHNAME', 'dlent_predict_version';
COMMENT ON FUNCTION @extschema@.dlent_predict_version(text, int, "any") IS
    'What dlent_predict returns for one version of a model: immutable, so it can be indexed';

-- Not STRICT: a feature may be NULL. Without a text argument there is no collation that would keep postgres_fdw from shipping it.
CREATE FUNCTION @extschema@.dlent_score(digest uuid, VARIADIC features "any") RETURNS float8
LANGUAGE c IMMUTABLE PARALLEL SAFE COST 1000 SUPPORT dlent.score_support AS 'MODULE_PATHNAME', 'dlent_score';
COMMENT ON FUNCTION @extschema@.dlent_score(uuid, "any") IS
    'What dlent_predict_version returns for the version with that digest: means the same on every server, or fails';

-- Packed models are shared by the sessions of a machine: one file each, which vanishes when the server stops.

CREATE FUNCTION dlent.cached_model(digest uuid, OUT bytes bigint, OUT created_at timestamptz, OUT mapped boolean, OUT private_bytes bigint)
RETURNS record
LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'dlent_cached_model';
COMMENT ON FUNCTION dlent.cached_model(uuid) IS 'What is cached of the versions with that digest, on this machine and in this session';

CREATE VIEW dlent.model_cache WITH (security_barrier) AS
SELECT m.name AS model, v.number AS version, v.digest, c.bytes, c.created_at, c.mapped, c.private_bytes
FROM dlent.visible_model AS m
JOIN dlent.version AS v ON v.model_id = m.id
CROSS JOIN LATERAL dlent.cached_model(v.digest) AS c
WHERE c.bytes IS NOT NULL OR c.private_bytes IS NOT NULL;
COMMENT ON VIEW dlent.model_cache IS 'Versions of the models you may see that are packed for scoring, on this machine or in this session';
COMMENT ON COLUMN dlent.model_cache.model IS 'Name of the model';
COMMENT ON COLUMN dlent.model_cache.version IS 'Number of the version';
COMMENT ON COLUMN dlent.model_cache.digest IS 'Content address: versions that share it share the file';
COMMENT ON COLUMN dlent.model_cache.bytes IS 'Size of the file that all sessions of this machine map; NULL: there is none';
COMMENT ON COLUMN dlent.model_cache.created_at IS 'When the file was made';
COMMENT ON COLUMN dlent.model_cache.mapped IS 'Whether this session has mapped it';
COMMENT ON COLUMN dlent.model_cache.private_bytes IS 'Memory of its own that this session holds for the version; NULL: it has not used it lately';
GRANT SELECT ON dlent.model_cache TO PUBLIC;
