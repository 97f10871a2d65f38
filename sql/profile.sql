-- Profiles of sources, and the expectations they suggest.
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS dlent;
SET dlent.progress_messages = off;
CREATE SCHEMA profile;
SET search_path = profile, public;
SET timezone = 'UTC';

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE visit AS
SELECT i AS id, i % 7 - 2 AS balance, (i % 100)::numeric / 4 AS amount,
       CASE WHEN i % 10 = 0 THEN NULL WHEN i % 25 = 1 THEN 'NaN' ELSE (i % 50)::float8 END AS reading,
       CASE WHEN i % 20 <> 3 THEN (ARRAY['web', 'shop', 'it''s'])[i % 3 + 1] END AS "Channel",
       'user ' || i AS name, i % 3 = 0 AS member, (ARRAY['sad', 'ok', 'happy'])[i % 3 + 1]::mood AS mood,
       '2026-01-01 00:00+00'::timestamptz + i * interval '1 hour' AS at, date '2026-01-01' + i % 30 AS day,
       ARRAY[i % 2, 1] AS pair, '{"a": 1}'::jsonb AS payload, i::text AS digits, NULL::int AS nothing
FROM generate_series(1, 1000) AS i;

SELECT column_name, kind, rows, nulls, distinct_estimate FROM dlent_profile('visit');
SELECT stats - 'top' - 'quantiles' - 'entropy' - 'skewness' - 'kurtosis' AS stats, stats -> 'quantiles' AS quantiles, stats -> 'top' -> 0 AS top
FROM dlent_profile('visit', '{"columns": ["balance", "reading"]}');
SELECT column_name, stats - 'entropy' AS stats FROM dlent_profile('visit', '{"columns": ["Channel", "at", "day", "nothing"]}');
SELECT column_name, stats -> 'look_like_integers' AS integers, stats -> 'unique_value_ratio' AS singletons FROM dlent_profile('SELECT digits, name, "Channel" FROM visit');
SELECT column_name, rows, nulls, distinct_estimate, stats FROM dlent_profile('SELECT id, name FROM visit LIMIT 0');
-- many distinct values: nearly right
SELECT distinct_estimate BETWEEN 52500 AND 55500 AS near, (stats ->> 'top_exact')::boolean AS exact, stats -> 'top' -> 0 ->> 'value' AS top
FROM dlent_profile('SELECT CASE WHEN i % 10 = 0 THEN 7 ELSE i % 60000 END AS x FROM generate_series(1, 300000) AS i');

-- ---- suggestions ----
SELECT column_name, rule, expectation ->> 'predicate' AS predicate, expectation -> 'options' AS options, observed, bound FROM dlent_suggest('visit')
WHERE column_name NOT IN ('payload', 'pair', 'mood', 'digits');
SELECT ddl FROM dlent_suggest('visit', '{"columns": ["id", "amount", "Channel"]}');
SELECT count(ddl) AS none FROM dlent_suggest('SELECT * FROM visit');
-- they hold where they come from, as expectations and as constraints
SELECT count(dlent_expect('visits', expectation ->> 'name', expectation ->> 'predicate', expectation -> 'options')) > 20 AS declared FROM dlent_suggest('visit');
SELECT name, status, failing, message FROM dlent_check('visits', 'visit') WHERE status <> 'pass';
DO $$
DECLARE
    statement text;
BEGIN
    FOR statement IN SELECT ddl FROM dlent_suggest('visit') WHERE ddl IS NOT NULL LOOP
        EXECUTE statement;
    END LOOP;
END
$$;
SELECT count(*) > 10 AS constraints FROM pg_constraint WHERE conrelid = 'visit'::regclass;
INSERT INTO visit (id) VALUES (1);
-- unique is verified, not guessed
SELECT rule FROM dlent_suggest('SELECT CASE WHEN i = 2 THEN 1 ELSE i END AS nearly FROM generate_series(1, 500) AS i') WHERE rule = 'unique';

-- ---- wrong input ----
SELECT * FROM dlent_profile(NULL);
SELECT * FROM dlent_profile('nowhere');
SELECT * FROM dlent_profile('visit', '{"columns": ["nix"]}');
SELECT * FROM dlent_profile('visit', '{"columns": []}');
SELECT * FROM dlent_suggest('visit', '{"rows": 5}');
SELECT * FROM dlent_suggest('DELETE FROM visit RETURNING *');
SELECT dlent_drop_model('visits');
DROP SCHEMA profile CASCADE;
