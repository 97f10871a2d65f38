-- dlent_predict, dlent_classify, dlent_probabilities, dlent_predict_version: every form of the features, NULLs, errors.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS dlent CASCADE;
RESET client_min_messages;
CREATE EXTENSION dlent;
SET dlent.progress_messages = off;

CREATE TYPE size AS ENUM ('small', 'large');
CREATE TABLE sale (
    id      int PRIMARY KEY,
    at      timestamptz,
    amount  numeric(10, 2),
    items   smallint,
    weight  real,
    "Städt" text,
    member  boolean,
    size    size,
    profile float8[],
    day     date,
    spent   float8,   -- regression
    buys    boolean,  -- two classes
    segment text      -- three
);
INSERT INTO sale
SELECT i, timestamptz '2025-01-01 00:00+00' + i * interval '7 hours', (i * 7919 % 1000) / 10.0, i % 9, (i * 31 % 97) / 7.0,
       CASE WHEN i % 13 <> 0 THEN (ARRAY['Bonn', 'Köln', 'Ulm'])[1 + i % 3] END, CASE WHEN i % 11 <> 0 THEN i % 2 = 0 END,
       (CASE WHEN i % 4 = 0 THEN 'small' ELSE 'large' END)::size, ARRAY[i % 5, i % 6 + 0.5, i % 7], date '2025-01-01' + i % 100,
       (i * 7919 % 1000) / 10.0 * (1 + i % 3) + i * 104729 % 37, (i * 7919 % 1000) + (i * 104729 % 601) > 800,
       (ARRAY['a', 'b', 'c'])[1 + ((i * 7919 % 1000) + (i * 104729 % 601)) / 600]
FROM generate_series(1, 800) AS i ORDER BY hashint4(i);

\set features 'at, amount, items, weight, "Städt", member, size, profile, day'
SELECT version FROM dlent_train('spent', 'SELECT ' || :'features' || ', spent FROM sale', 'spent', '{"preset": "fast", "epochs": 2}');
SELECT version FROM dlent_train('buys', 'SELECT ' || :'features' || ', buys FROM sale', 'buys', '{"preset": "fast", "epochs": 2}');
SELECT version FROM dlent_train('segment', 'SELECT ' || :'features' || ', segment FROM sale', 'segment', '{"preset": "fast", "epochs": 2}');
SELECT version FROM dlent_train('numbers', 'SELECT amount, items, weight, buys FROM sale', 'buys', '{"preset": "fast", "epochs": 2}');
SELECT version FROM dlent_train('one', 'SELECT weight, buys FROM sale', 'buys', '{"preset": "fast", "epochs": 2}');
SELECT version FROM dlent_train('vector', 'SELECT profile, buys FROM sale', 'buys', '{"preset": "fast", "epochs": 2}');
SELECT model, task FROM dlent.models ORDER BY model;

-- all forms agree, to the last bit
CREATE VIEW forms AS
SELECT s.id, m.model,
       dlent_predict(m.model, s) AS by_table_row,
       dlent_predict(m.model, r) AS by_record,
       dlent_predict(m.model, to_jsonb(s)) AS by_jsonb,
       dlent_predict(m.model, s.at, s.amount, s.items, s.weight, s."Städt", s.member, s.size, s.profile, s.day) AS by_position,
       dlent_predict(m.model, s.at, s.amount::float8, s.items::bigint, s.weight::float8, s."Städt"::varchar, s.member::text,
                     s.size::text, s.profile::numeric[], s.day::text) AS by_other_types,
       dlent_predict_version(m.model, 1, s) AS by_version,
       dlent_predict(m.model || '@1', s) AS by_name_and_version
FROM sale AS s,
     LATERAL (SELECT s.day, s.profile, 'unused' AS extra, s.size, s.member, s."Städt", s.weight, s.items, s.amount, s.at) AS r,
     (VALUES ('spent'), ('buys')) AS m (model);
SELECT model, count(*), count(DISTINCT by_table_row) > 100 AS varied,
       bool_and(by_table_row = by_record) AS record, bool_and(by_table_row = by_jsonb) AS jsonb,
       bool_and(by_table_row = by_position) AS position, bool_and(by_table_row = by_other_types) AS types,
       bool_and(by_table_row = by_version AND by_version = by_name_and_version) AS version
FROM forms GROUP BY model ORDER BY model;
SELECT bool_and(dlent_predict('numbers', amount, items, weight) = dlent_predict('numbers', ARRAY[amount::float8, items, weight])) AS array,
       bool_and(dlent_predict('numbers', amount, items, weight) = dlent_predict('numbers', VARIADIC ARRAY[amount::float8, items, weight])) AS variadic,
       bool_and(dlent_predict('numbers', amount, items, round(weight)) = dlent_predict('numbers', VARIADIC ARRAY[amount, items, round(weight::float8)::numeric])) AS numeric,
       bool_and(dlent_predict('vector', profile) = dlent_predict('vector', s)) AS vector,
       bool_and(dlent_predict('one', weight) = dlent_predict('one', s)) AS one
FROM sale AS s;

-- labels and probabilities
SELECT count(*) FILTER (WHERE dlent_classify('buys', s) = (dlent_predict('buys', s) >= 0.5)::text) AS classified,
       count(*) FILTER (WHERE (dlent_probabilities('buys', s) ->> 'true')::float8 = dlent_predict('buys', s)) AS probabilities,
       bool_and(abs((dlent_probabilities('buys', s) ->> 'true')::float8 + (dlent_probabilities('buys', s) ->> 'false')::float8 - 1) < 1e-9) AS one
FROM sale AS s;
SELECT bool_and(abs((SELECT sum(value::float8) FROM jsonb_each_text(p)) - 1) < 1e-5) AS one,
       bool_and(label = (SELECT key FROM jsonb_each_text(p) ORDER BY value::float8 DESC LIMIT 1)) AS best,
       bool_and((SELECT array_agg(key ORDER BY key) FROM jsonb_each_text(p)) = ARRAY['a', 'b', 'c']) AS labels
FROM (SELECT dlent_probabilities('segment', s) AS p, dlent_classify('segment', s) AS label FROM sale AS s) AS x;
SELECT dlent_predict('segment', s) FROM sale AS s;
SELECT dlent_classify('spent', s) FROM sale AS s;
SELECT dlent_probabilities('spent', s) FROM sale AS s;

-- NULLs: a NULL feature is a value, a NULL record or model makes a NULL answer
SELECT dlent_predict('buys', NULL::sale) IS NULL AS record, dlent_predict('buys', NULL::jsonb) IS NULL AS jsonb,
       dlent_predict('numbers', NULL::float8[]) IS NULL AS array, dlent_predict(NULL, 1, 2) IS NULL AS model,
       dlent_predict_version('numbers', NULL, 1, 2, 3) IS NULL AS version, dlent_predict('buys', NULL) IS NULL AS untyped,
       dlent_classify('buys', NULL::sale) IS NULL AS label, dlent_probabilities('buys', NULL::sale) IS NULL AS probabilities;
SELECT dlent_predict('numbers', NULL, NULL, NULL) = dlent_predict('numbers', '{"amount": null, "items": null, "weight": null}'::jsonb) AS jsonb,
       dlent_predict('numbers', NULL::numeric, NULL::int, NULL::float8) = dlent_predict('numbers', ARRAY[NULL, NULL, NULL]::float8[]) AS array,
       dlent_predict('one', NULL::float8) IS NOT NULL AS one, dlent_predict('one', 'NaN'::float8) = dlent_predict('one', NULL::float8) AS nan,
       dlent_predict('one', 'Infinity'::float8) IS NOT NULL AS infinity;
-- what was never seen, and untyped literals
SELECT dlent_predict('buys', '2025-03-01 12:00+00', 12.5, 3, 4.5, 'Aachen', true, 'large', ARRAY[1, 2, 3], '2025-02-01') IS NOT NULL AS scored,
       dlent_predict('buys', '2025-03-01 12:00+00', 12.5, 3, 4.5, 'Aachen', true, 'large', ARRAY[1, 2, 3], '2025-02-01')
     = dlent_predict('buys', '{"at": "2025-03-01 12:00+00", "amount": 12.5, "items": 3, "weight": 4.5, "Städt": "Aachen", "member": true,
                               "size": "large", "profile": [1, 2, 3], "day": "2025-02-01", "more": {}}') AS json;

-- what cannot be scored is said so
SELECT dlent_predict('nothing', 1);
SELECT dlent_predict('numbers@7', 1, 2, 3);
SELECT dlent_predict('numbers@x', 1, 2, 3);
SELECT dlent_predict('numbers@0', 1, 2, 3);
SELECT dlent_predict_version('numbers@1', 1, 1, 2, 3);
SELECT dlent_predict_version('numbers', 0, 1, 2, 3);
SELECT dlent_predict('numbers', 1, 2);
SELECT dlent_predict('numbers', ARRAY[1, 2, 3, 4]);
SELECT dlent_predict('numbers', ARRAY[[1, 2, 3]]);
SELECT dlent_predict('numbers', r) FROM (SELECT 1 AS amount, 2 AS weight) AS r;
SELECT dlent_predict('numbers', ROW(1, 2, 3));
SELECT dlent_predict('numbers', '{"amount": 1}'::jsonb);
SELECT dlent_predict('numbers', '[1, 2, 3]'::jsonb);
SELECT dlent_predict('numbers', '{"amount": 1, "items": {}, "weight": 2}'::jsonb);
SELECT dlent_predict('numbers', '{"amount": "x", "items": 1, "weight": 2}'::jsonb);
SELECT dlent_predict('numbers', 'nonsense');
SELECT dlent_predict('numbers', 1, 2, '{}'::jsonb);
SELECT dlent_predict('vector', ARRAY[1.0, 2.0]);
SELECT dlent_predict('buys');

-- in queries of every shape
SELECT count(*) AS filtered FROM sale AS s WHERE dlent_predict('buys', s) >= 0;
SELECT bool_and(score >= next) AS ordered FROM
    (SELECT score, lead(score) OVER (ORDER BY score DESC) AS next FROM (SELECT dlent_predict('buys', s) AS score FROM sale AS s) AS x) AS y;
PREPARE score (int) AS SELECT dlent_predict('buys', s) IS NOT NULL AS prepared FROM sale AS s WHERE id = $1;
EXECUTE score (1);
SELECT count(*) FROM (SELECT dlent_predict('buys', s) FROM sale AS s JOIN (VALUES (1), (2)) AS v (id) USING (id)) AS joined;
SELECT name AS parallel FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query') \gset
SET :parallel = on;
SELECT count(*), bool_and(dlent_predict('buys', s) = b.by_table_row) AS equal FROM sale AS s JOIN forms AS b USING (id) WHERE b.model = 'buys';
RESET :parallel;
-- the model's name may differ from row to row
SELECT m, count(dlent_predict(m, s)) FROM sale AS s, unnest(ARRAY['buys', 'spent', 'one@1']) AS m GROUP BY m ORDER BY m;
-- cached models give way to others
SET dlent.model_cache_size = 0;
SELECT bool_and(dlent_predict('buys', s) = f.by_table_row AND dlent_predict('one', s) IS NOT NULL) AS equal
FROM sale AS s JOIN forms AS f USING (id) WHERE f.model = 'buys';
RESET dlent.model_cache_size;
-- an immutable score can be indexed, and stored
CREATE INDEX sale_score ON sale (dlent_predict_version('numbers', 1, amount, items, weight));
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM sale ORDER BY dlent_predict_version('numbers', 1, amount, items, weight) DESC LIMIT 1;
RESET enable_seqscan;
ALTER TABLE sale ADD COLUMN score float8 GENERATED ALWAYS AS (dlent_predict_version('one', 1, weight)) STORED;
SELECT bool_and(score = dlent_predict('one', weight)) AS stored FROM sale;
-- a digest names a version wherever it is
SELECT digest AS spent FROM dlent.versions WHERE model = 'spent' \gset
SELECT digest AS buys FROM dlent.versions WHERE model = 'buys' \gset
SELECT digest AS numbers FROM dlent.versions WHERE model = 'numbers' \gset
SELECT digest AS segment FROM dlent.versions WHERE model = 'segment' \gset
SELECT count(*), bool_and(dlent_score(:'spent', s) = f.by_table_row) AS record, bool_and(dlent_score(:'spent', to_jsonb(s)) = f.by_table_row) AS jsonb,
       bool_and(dlent_score(:'spent', s.at, amount, items, weight, "Städt", member, size, profile, day) = f.by_table_row) AS position
FROM sale AS s JOIN forms AS f USING (id) WHERE model = 'spent';
SELECT count(DISTINCT by_digest) > 50 AS varied, bool_and(by_digest = by_name) AS row_by_row
FROM (SELECT dlent_score(v.digest, s) AS by_digest, dlent_predict(v.model, s) AS by_name
      FROM sale AS s, dlent.versions AS v WHERE model IN ('spent', 'buys')) AS x;
SELECT bool_and(dlent_score(:'numbers', ARRAY[amount::float8, items, weight]) = dlent_predict('numbers', amount, items, weight)) AS array,
       dlent_score(:'numbers', NULL, NULL, NULL) = dlent_predict('numbers', NULL, NULL, NULL) AS nulls,
       dlent_score(NULL, 1, 2, 3) IS NULL AS digest, dlent_score(:'buys', NULL::sale) IS NULL AS record FROM sale;
SELECT dlent_score('00000000-0000-0000-0000-000000000000', 1, 2, 3);
SELECT dlent_score('numbers', 1, 2, 3);
SELECT dlent_score(:'numbers', 1, 2);
SELECT dlent_score(:'segment', s) FROM sale AS s LIMIT 1;
SET :parallel = on;
SELECT bool_and(dlent_score(:'buys', s) = dlent_predict('buys', s)) AS parallel FROM sale AS s;
RESET :parallel;
CREATE INDEX sale_digest ON sale (dlent_score(:'numbers', amount, items, weight));
SET enable_seqscan = off;
SELECT count(*) AS indexed FROM sale WHERE dlent_score(:'numbers', amount, items, weight) >= 0;
RESET enable_seqscan;
-- who may use the model may use its digest
CREATE ROLE digest_user;
SET ROLE digest_user;
\set VERBOSITY sqlstate
SELECT dlent_score(:'numbers', 1, 2, 3);
\set VERBOSITY default
RESET ROLE;
SELECT dlent_grant('numbers', 'predict', 'digest_user');
SET ROLE digest_user;
SELECT dlent_score(:'numbers', 1, 2, 3) IS NOT NULL AS granted;
RESET ROLE;
SELECT dlent_revoke('numbers', 'all', 'digest_user');
-- the same training under another name has the same digest; the oldest version that one may use answers
SELECT version FROM dlent_train('same', 'SELECT amount, items, weight, buys FROM sale', 'buys', '{"preset": "fast", "epochs": 2}');
SELECT model, digest = :'numbers' AS same FROM dlent.versions WHERE model IN ('numbers', 'same') ORDER BY model;
SELECT dlent_grant('same', 'predict', 'digest_user');
SET ROLE digest_user;
SELECT dlent_score(:'numbers', 1, 2, 3) IS NOT NULL AS through_the_other;
SELECT dlent_score(:'numbers', 1, 2);
RESET ROLE;
SELECT dlent_drop_model('same');
DROP ROLE digest_user;
DROP INDEX sale_digest;
-- inlined functions
CREATE FUNCTION risk(s sale) RETURNS float8 LANGUAGE sql STABLE RETURN dlent_predict('buys', s);
SELECT bool_and(risk(s) = dlent_predict('buys', s)) AS inlined FROM sale AS s;
-- a call site that sees several row types, and one whose type changes
DO $$
DECLARE
    one record;
    scores float8[] := '{}';
BEGIN
    FOR one IN SELECT 1.5 AS amount, 2 AS items, 3::real AS weight LOOP
        scores := scores || dlent_predict('numbers', one);
    END LOOP;
    FOR i IN 1..2 LOOP
        IF i = 1 THEN
            SELECT 3::float8 AS weight, 'x' AS other, 1.5::float4 AS amount, 2::bigint AS items INTO one;
        ELSE
            SELECT 1.5::text AS amount, '2' AS items, 3 AS weight INTO one;
        END IF;
        scores := scores || dlent_predict('numbers', one);
    END LOOP;
    RAISE NOTICE 'equal: %', scores[1] = scores[2] AND scores[2] = scores[3];
END $$;
CREATE TABLE narrow AS SELECT 1.5::float8 AS amount, 2 AS items, 3::float8 AS weight;
DO $$
DECLARE
    n narrow;
    first float8;
BEGIN
    SELECT * INTO n FROM narrow;
    first := dlent_predict('numbers', n);
    ALTER TABLE narrow ALTER COLUMN items TYPE text;
    SELECT * INTO n FROM narrow;
    RAISE NOTICE 'equal: %', first = dlent_predict('numbers', n);
END $$;

DROP EXTENSION dlent CASCADE;
DROP TABLE sale, narrow CASCADE;
DROP TYPE size;
