-- What a source holds, and what could be expected of it.

CREATE FUNCTION @extschema@.dlent_profile(
    source text, options jsonb DEFAULT '{}',
    OUT column_name text, OUT kind text, OUT rows bigint, OUT nulls bigint, OUT distinct_estimate bigint, OUT stats jsonb)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 20 COST 100000 AS 'MODULE_PATHNAME', 'dlent_profile';
COMMENT ON FUNCTION @extschema@.dlent_profile(text, jsonb) IS
    'Describes the columns of a table, view or SELECT in one pass: NULLs, distinct values, moments, quantiles, frequent values';

CREATE FUNCTION @extschema@.dlent_suggest(
    source text, options jsonb DEFAULT '{}',
    OUT column_name text, OUT rule text, OUT expectation jsonb, OUT observed text, OUT bound text, OUT ddl text)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 50 COST 100000 AS 'MODULE_PATHNAME', 'dlent_suggest';
COMMENT ON FUNCTION @extschema@.dlent_suggest(text, jsonb) IS
    'Suggests expectations of the rows of a table, view or SELECT, for dlent_expect or as constraints';
