-- Observation: what is recorded of models' answers. src/pg/observe

CREATE FUNCTION @extschema@.dlent_observe(model text, options jsonb) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'dlent_observe';
COMMENT ON FUNCTION @extschema@.dlent_observe(text, jsonb) IS
    'Says what is recorded of a model''s answers: which share of rows, by which unit and key, whether distributions are counted; NULL: nothing';

CREATE VIEW dlent.observations WITH (security_barrier) AS
SELECT v.name AS model,
       (m.observation OPERATOR(pg_catalog.->) 'sample')::float8 AS sample,
       (m.observation OPERATOR(pg_catalog.->) 'rollout_sample')::float8 AS rollout_sample,
       m.observation OPERATOR(pg_catalog.->>) 'unit' AS unit,
       m.observation OPERATOR(pg_catalog.->>) 'key' AS key,
       (m.observation OPERATOR(pg_catalog.->) 'features')::boolean AS features,
       (m.observation OPERATOR(pg_catalog.->) 'sketches')::boolean AS sketches
FROM dlent.visible_model AS v
JOIN dlent.model AS m ON m.id OPERATOR(pg_catalog.=) v.id
WHERE m.observation IS NOT NULL;
COMMENT ON VIEW dlent.observations IS 'What is recorded of the answers of the models you may see';
COMMENT ON COLUMN dlent.observations.model IS 'Name of the model';
COMMENT ON COLUMN dlent.observations.sample IS 'Share of rows that become rows of dlent.predictions';
COMMENT ON COLUMN dlent.observations.rollout_sample IS 'The same while a rollout is under way';
COMMENT ON COLUMN dlent.observations.unit IS 'Column whose value keeps rows together: all of them are recorded, or none';
COMMENT ON COLUMN dlent.observations.key IS 'Column by which outcomes are matched';
COMMENT ON COLUMN dlent.observations.features IS 'Whether the features are recorded as the version saw them';
COMMENT ON COLUMN dlent.observations.sketches IS 'Whether distributions of features and answers are counted';
GRANT SELECT ON dlent.observations TO PUBLIC;
