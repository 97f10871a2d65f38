-- What CREATE EXTENSION dlent installs; the pieces are joined in the order of their names.
\echo Use "CREATE EXTENSION dlent" to load this file. \quit

-- Every name below is qualified, or PostgreSQL's own: what a search path might bring in between is never seen.
SET LOCAL search_path TO pg_catalog, pg_temp;

CREATE SCHEMA dlent;
COMMENT ON SCHEMA dlent IS 'Models of the dlent extension: what was trained, from what, how good it is, which version is in use';
GRANT USAGE ON SCHEMA dlent TO PUBLIC;
