-- Pictures of explanations. They are made of the document alone, so anybody who may read it may draw it.

CREATE FUNCTION @extschema@.dlent_explain_svg(explanation jsonb) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dlent_explain_svg';
COMMENT ON FUNCTION @extschema@.dlent_explain_svg(jsonb) IS
    'Draws an explanation of dlent_explain() as a stand-alone SVG picture';

CREATE FUNCTION @extschema@.dlent_explain_text(explanation jsonb) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dlent_explain_text';
COMMENT ON FUNCTION @extschema@.dlent_explain_text(jsonb) IS
    'Draws an explanation of dlent_explain() with characters, for psql';
