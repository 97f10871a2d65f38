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
LANGUAGE c IMMUTABLE PARALLEL SAFE COST 1000 AS 'MODULE_PATHNAME', 'dlent_score';
COMMENT ON FUNCTION @extschema@.dlent_score(uuid, "any") IS
    'What dlent_predict_version returns for the version with that digest: means the same on every server, or fails';
