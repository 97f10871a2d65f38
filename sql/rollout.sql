-- Rollouts: versions that answer, or are scored, beside the champion.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS dlent CASCADE;
RESET client_min_messages;
CREATE EXTENSION dlent;
SET dlent.progress_messages = off;

CREATE TABLE point AS
SELECT i AS id, 'c' || i % 300 AS customer, (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, (i % 17)::float8 AS extra,
       (i * 7919 % 1000) / 5.0 + i % 13 AS amount, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS won,
       (ARRAY['low', 'mid', 'high'])[1 + i % 3] AS tier
FROM generate_series(1, 600) AS i ORDER BY hashint4(i);
INSERT INTO point SELECT 601, NULL, 10, 3, 1, 5, true, 'mid';
CREATE FUNCTION learn(model text, columns text, target text, seed int) RETURNS int LANGUAGE sql AS $$
    SELECT version FROM dlent_train(model, format('SELECT %s, %s FROM point WHERE customer IS NOT NULL', columns, target), target,
                                    jsonb_build_object('preset', 'fast', 'epochs', 1, 'seed', seed, 'task', CASE target WHEN 'amount' THEN 'regression' ELSE 'auto' END))
$$;
SET client_min_messages = error;
SELECT learn('m', 'x, y', 'amount', 1), learn('m', 'x, y', 'amount', 2), learn('m', 'y, extra', 'amount', 3), learn('m', 'x, y', 'won', 4);
SELECT learn('b', 'x, y', 'won', 1), learn('b', 'y, x, customer', 'won', 2), learn('t', 'x, y', 'tier', 1), learn('t', 'x, y', 'tier', 2), learn('t', 'x, y', 'won', 3);
RESET client_min_messages;
-- what a rollout may be
\set VERBOSITY default
SELECT dlent_deploy('nobody', 2);
SELECT dlent_deploy('m', 9, '{"unit": "customer"}');
SELECT dlent_deploy('m', 1, '{"unit": "customer"}');
SELECT dlent_deploy('m', 4, '{"unit": "customer"}');
SELECT dlent_deploy('t', 3, '{"unit": "customer"}');
SELECT dlent_deploy('m', 2);
SELECT dlent_deploy('m', NULL, '{"unit": "customer"}');
SELECT dlent_deploy('m', 2, '{"unit": "customer", "speed": 1}');
\set VERBOSITY terse
SELECT dlent_deploy('m', 2, '[]');
SELECT dlent_deploy('m', 2, NULL);
SELECT dlent_deploy('m', 2, '{"mode": "fast"}');
SELECT dlent_deploy('m', 2, '{"unit": 7}');
SELECT dlent_deploy('m', 2, '{"unit": "customer", "steps": [0.5, 0.1]}');
SELECT dlent_deploy('m', 2, '{"unit": "customer", "steps": [0.7]}');
SELECT dlent_deploy('m', 2, '{"unit": "customer", "steps": [1]}');
SELECT dlent_deploy('m', 2, '{"unit": "customer", "coverage": 0.5}');
SELECT dlent_deploy('m', 2, '{"mode": "shadow", "steps": [0.5]}');
SELECT dlent_deploy('m', 2, '{"mode": "shadow", "coverage": 0}');
SELECT dlent_deploy('m', 2, '{"mode": "experiment", "unit": "customer", "arms": {"2": 1}}');
SELECT dlent_deploy('m', 2, '{"mode": "experiment", "unit": "customer", "arms": {"two": 0.1}}');
SELECT dlent_deploy('m', 2, '{"mode": "experiment", "unit": "customer", "arms": {"3": 0.1}}');
SELECT dlent_deploy('m', 2, '{"unit": "customer", "goal": {"metric": "paid"}}');
SELECT dlent_deploy('m', 2, '{"unit": "customer", "guardrails": [{"metric": "paid", "direction": "up"}]}');
SELECT dlent_deploy('m', 2, '{"unit": "customer", "min_duration": "soon"}');
SELECT dlent_deploy('m', 2, '{"unit": "customer", "min_outcomes": 0}');
SELECT dlent_deploy('m', 2, '{"unit": "customer", "alpha": 1}');
SELECT dlent_deploy('m@1', 2, '{"unit": "customer"}');
SELECT dlent_advance_rollout('m');
SELECT dlent_hold_rollout('m');
SELECT dlent_stop_rollout('m');
SELECT count(*) FROM dlent.rollouts;

-- known buckets: seed, a -> 0.0505; seed, b -> 0.2696
CREATE FUNCTION who(p public.point) RETURNS text STABLE LANGUAGE sql AS $$
    SELECT string_agg(v::text, ' ' ORDER BY v) FROM generate_series(1, 3) AS v
    WHERE dlent_predict('m', p) = dlent_predict('m@' || v, p)
$$;
CREATE FUNCTION positional(unit text, x float8, y int) RETURNS text STABLE LANGUAGE sql AS $$
    SELECT string_agg(v::text, ' ' ORDER BY v) FROM generate_series(1, 3) AS v
    WHERE dlent_predict('m', jsonb_build_object('x', x, 'y', y, 'customer', unit)) = dlent_predict('m@' || v, x, y)
$$;
SELECT dlent_deploy('m', 2, '{"mode": "experiment", "unit": "customer", "arms": {"2": 0.75}, "seed": "seed", "reason": "known buckets"}') AS rollout;
SELECT unit, positional(unit, 30, 4) FROM unnest(ARRAY['a', 'b', NULL]) AS unit;
SELECT mode, state, unit, step, steps, share, coverage, options, ended_at, reason FROM dlent.rollouts;
SELECT * FROM dlent.rollout_arms;
SELECT dlent_deploy('m', 3, '{"unit": "customer"}');
SELECT dlent_drop_model('m', 2);
-- it is recorded, each row known by its unit, though nobody asked for that
SET dlent.prediction_log = synchronous;
SELECT count(dlent_predict('m', p)) FROM point AS p;
RESET dlent.prediction_log;
SELECT arm, count(*) > 0 AS rows, bool_and(key = unit) AS keys FROM dlent.predictions WHERE model = 'm' GROUP BY 1 ORDER BY 1;
SELECT dlent_forget_predictions('m') AS forgotten;
SELECT dlent_stop_rollout('m', 'seen enough'), dlent_stop_rollout('m');
SELECT unit, positional(unit, 30, 4) FROM unnest(ARRAY['a', 'b', NULL]) AS unit;
SELECT mode, state, ended_at IS NOT NULL AS ended, reason FROM dlent.rollouts;

-- a canary: the same customers at every step, and more
SELECT dlent_deploy('m', 2, '{"unit": "customer", "steps": [0.05, 0.2, 0.5], "seed": "canary"}') AS rollout;
CREATE TABLE answered (step int, id int, customer text, candidate boolean);
INSERT INTO answered SELECT 1, id, customer, dlent_predict('m', p) = dlent_predict('m@2', p) FROM point AS p;
SELECT dlent_advance_rollout('m', 'so far so good');
INSERT INTO answered SELECT 2, id, customer, dlent_predict('m', p) = dlent_predict('m@2', p) FROM point AS p;
SELECT dlent_hold_rollout('m', 'weekend'), dlent_hold_rollout('m');
SELECT dlent_advance_rollout('m');
SELECT state, step, steps, share, coverage, reason FROM dlent.rollouts WHERE ended_at IS NULL;
SELECT dlent_resume_rollout('m'), dlent_resume_rollout('m');
-- who has seen step 1 does not take a second step
\set VERBOSITY default
SELECT dlent_advance_rollout('m', 'so far so good', 1);
\set VERBOSITY terse
SELECT dlent_advance_rollout('m', expected_step => 0);
SELECT dlent_advance_rollout('m', expected_step => 2);
INSERT INTO answered SELECT 3, id, customer, dlent_predict('m', p) = dlent_predict('m@2', p) FROM point AS p;
SELECT step, count(DISTINCT customer) FILTER (WHERE candidate), count(*) FILTER (WHERE candidate AND customer IS NULL) AS nobody FROM answered GROUP BY step ORDER BY step;
SELECT count(*) AS moved FROM answered AS a JOIN answered AS b ON b.step = a.step + 1 AND b.id = a.id WHERE a.candidate AND NOT b.candidate;
SELECT count(*) AS torn FROM answered AS a JOIN answered AS b ON b.step = a.step AND b.customer = a.customer WHERE a.candidate <> b.candidate;
-- all forms of features, batched and not, give each unit its version
CREATE VIEW forms AS
SELECT p.id,
       dlent_predict('m', p) AS whole_row,
       dlent_predict('m', to_jsonb(p)) AS document,
       dlent_predict('m', s) AS subquery,
       dlent_predict('m', (SELECT r FROM (SELECT p.y, p.customer, p.x) AS r)) AS record,
       dlent_predict('m', p.x, p.y) AS in_order,
       dlent_predict('m', ARRAY[p.x, p.y]) AS list,
       CASE WHEN a.candidate THEN dlent_predict('m@2', p) ELSE dlent_predict('m@1', p) END AS expected,
       dlent_predict('m@1', p) AS champion
FROM point AS p JOIN answered AS a ON a.id = p.id AND a.step = 3
CROSS JOIN LATERAL (SELECT p.x + 0 AS x, p.customer, p.y) AS s;
SELECT count(*), count(*) FILTER (WHERE whole_row = expected) AS whole_row, count(*) FILTER (WHERE document = expected) AS document,
       count(*) FILTER (WHERE subquery = expected) AS subquery, count(*) FILTER (WHERE record = expected) AS record,
       count(*) FILTER (WHERE in_order = champion) AS in_order, count(*) FILTER (WHERE list = champion) AS list
FROM forms;
SET dlent.batch = off;
SELECT count(*), count(*) FILTER (WHERE whole_row = expected) AS whole_row, count(*) FILTER (WHERE document = expected) AS document,
       count(*) FILTER (WHERE subquery = expected) AS subquery, count(*) FILTER (WHERE record = expected) AS record,
       count(*) FILTER (WHERE in_order = champion) AS in_order, count(*) FILTER (WHERE list = champion) AS list
FROM forms;
RESET dlent.batch;
-- a version that is named takes no part
SELECT count(*) FROM point AS p WHERE dlent_predict('m@1', p) IS DISTINCT FROM dlent_predict_version('m', 1, p);
-- explanations are of the version that answers; one that is named is explained as ever
SELECT count(*), count(*) FILTER (WHERE (e #>> '{model,version}')::int <> CASE WHEN candidate THEN 2 ELSE 1 END) AS others,
       count(DISTINCT e #>> '{model,version}') AS versions, count(*) FILTER (WHERE abs((e #>> '{prediction,value}')::float8 - expected) > 1e-4 * abs(expected)) AS wrong
FROM (SELECT a.candidate, f.expected, dlent_explain('m', p, '{"num_samples": 200}') AS e
      FROM point AS p JOIN answered AS a ON a.id = p.id AND a.step = 3 JOIN forms AS f ON f.id = p.id WHERE p.id <= 40 OR p.id = 601) AS x;
SELECT count(*), count(*) FILTER (WHERE dlent_explain('m', to_jsonb(p), '{"num_samples": 200}') #> '{model,version}' = to_jsonb(CASE WHEN a.candidate THEN 2 ELSE 1 END)) AS as_answered,
       count(*) FILTER (WHERE dlent_explain('m@1', p, '{"num_samples": 200}') #>> '{model,version}' = '1') AS named,
       count(*) FILTER (WHERE dlent_explain('m', to_jsonb(p) - 'customer', '{"num_samples": 200}') #>> '{model,version}' = '1') AS without_unit
FROM point AS p JOIN answered AS a ON a.id = p.id AND a.step = 3 WHERE p.id <= 40;
-- expectations of answers are judged version by version, others once
SELECT dlent_expect('m', 'bounded', 'prediction < 1e9'), dlent_expect('m', 'alike', 'prediction = dlent_predict_version(''m'', 1, source)'),
       dlent_expect('m', 'known', 'x IS NOT NULL');
SELECT name, version, status, rows, failing > 0 AS fails FROM dlent_check('m', 'point', '{"store": true}');
SELECT "check" - min("check") OVER () AS "check", version, name, status FROM dlent.expectation_results WHERE model = 'm' ORDER BY 1, 3;
SELECT name, version, status FROM dlent_check('m@2', 'point', '{"names": ["alike"]}');
SELECT c ->> 'status' AS status, c -> 'broken' AS broken FROM jsonb_array_elements(dlent_check_rollout('m') -> 'checks') AS c WHERE c ->> 'check' = 'expectations';
SELECT dlent_drop_expectation('m', 'bounded'), dlent_drop_expectation('m', 'alike'), dlent_drop_expectation('m', 'known');
-- the plan: no row is built, the unit and the columns of both versions are read
EXPLAIN (VERBOSE, COSTS OFF) SELECT id, dlent_predict('m', p) FROM point AS p;
PREPARE by_name(text) AS SELECT count(*) FROM point AS p JOIN answered AS a USING (id)
WHERE a.step = 3 AND dlent_predict($1, p) = dlent_predict(CASE WHEN a.candidate THEN 'm@2' ELSE 'm@1' END, p);
EXECUTE by_name('m');
SET plan_cache_mode = force_generic_plan;
EXECUTE by_name('m');
RESET plan_cache_mode;
-- a statement that was planned before
PREPARE by_constant AS SELECT count(*) FROM point AS p WHERE dlent_predict('m', p) = dlent_predict_version('m', 2, p);
SET plan_cache_mode = force_generic_plan;
EXECUTE by_constant;
-- the last step is promotion
SELECT dlent_advance_rollout('m', 'it has won');
SELECT state, step, share, reason FROM dlent.rollouts ORDER BY rollout DESC LIMIT 1;
SELECT count(*) FROM point AS p WHERE dlent_predict('m', p) IS DISTINCT FROM dlent_predict('m@2', p);
EXECUTE by_name('m');
EXECUTE by_constant;
RESET plan_cache_mode;
SELECT version, action, reason FROM dlent.deployments WHERE model = 'm' ORDER BY started_at;

-- promotion and rollback by hand end a rollout
SELECT dlent_deploy('m', 1, '{"unit": "customer"}') AS rollout;
EXECUTE by_constant;
SELECT dlent_promote('m', 3);
SELECT dlent_deploy('m', 2, '{"unit": "customer"}') AS rollout;
SELECT dlent_promote('m', 2);
SELECT dlent_deploy('m', 1, '{"unit": "customer"}') AS rollout;
SELECT dlent_rollback('m');
SELECT dlent_deploy('m', 1, '{"unit": "customer"}') AS rollout;
SELECT dlent_promote('m', 1);
SELECT rollout, mode, state FROM dlent.rollouts ORDER BY rollout;
SELECT action, version, champion, replaced, reason, details FROM dlent.events WHERE model = 'm' AND action <> 'train' ORDER BY id;

-- several arms; labels and probabilities; candidates with another order of columns, and with the unit as a feature
SELECT dlent_deploy('m', NULL, '{"mode": "experiment", "unit": "customer", "arms": {"2": 0.25, "3": 0.25}, "coverage": 0.8, "seed": "three"}') AS rollout;
SELECT who(p), count(*) FROM point AS p GROUP BY 1 ORDER BY 1;
SELECT share, coverage FROM dlent.rollouts WHERE ended_at IS NULL;
SELECT dlent_advance_rollout('m');
SELECT version FROM dlent.deployments WHERE model = 'm' ORDER BY started_at DESC LIMIT 1;
SELECT dlent_promote('m', 1);
SELECT dlent_deploy('b', 2, '{"unit": "customer", "steps": [0.5], "seed": "labels"}') AS rollout;
SELECT dlent_classify('b', p) = dlent_classify('b@2', p) AND dlent_probabilities('b', p) = dlent_probabilities('b@2', p) AS candidate,
       dlent_classify('b', p) = dlent_classify('b@1', p) AND dlent_probabilities('b', p) = dlent_probabilities('b@1', p) AS champion, count(*) > 100 AS many
FROM point AS p GROUP BY 1, 2 ORDER BY 1, 2;
SELECT dlent_stop_rollout('b');

-- a unit is the same text whatever its type, the session's settings, and the form of the call
CREATE TYPE mood AS ENUM ('sad', 'happy', 'calm', 'cross');
CREATE DOMAIN number AS int;
CREATE TABLE unit AS
SELECT i::smallint AS s, i, i::bigint * 10000000000 AS l, i::number AS d, i / 7.0::real AS r, i / 7.0::float8 AS f, i / 8.0 AS n, i % 2 = 0 AS b, 'u' || i AS t, ('v' || i)::varchar AS v,
       md5(i::text)::uuid AS id, (ARRAY['sad', 'happy', 'calm', 'cross'])[1 + i % 4]::mood AS e, timestamptz '2025-01-31 23:00+00' + i * interval '1 hour' AS z,
       timestamp '2025-01-31 23:00' + i * interval '1 hour' AS at, date '2025-01-31' + i AS day, i % 10 AS x, i % 3 AS y
FROM generate_series(1, 40) AS i;
CREATE TABLE placed (u text, p text);
CREATE VIEW statements AS
SELECT format($q$SELECT dlent_deploy('m', 2, '{"mode": "experiment", "unit": "%s", "seed": "place"}')$q$, u) AS deploy,
       format(f, u, 'u') AS whole_row,
       format(f, u, CASE WHEN u IN ('r', 'f', 'z', 'at', 'day') THEN 'u' ELSE 'to_jsonb(u)' END) AS document, -- JSON has forms of its own for those
       format(f, u, 'ROW(u.*)::unit') AS record,
       'SELECT dlent_stop_rollout(''m'')' AS stop
FROM unnest(string_to_array('s i l d r f n b t v id e z at day', ' ')) AS u,
     (VALUES ($q$INSERT INTO placed SELECT '%1$s', string_agg(CASE WHEN dlent_predict('m', %2$s) = dlent_predict_version('m', 2, u.x, u.y) THEN '2' ELSE '1' END, '' ORDER BY u.i) FROM unit AS u$q$)) AS v (f);
\o /dev/null
SELECT * FROM statements \gexec
SET extra_float_digits = -3;
SET datestyle = 'SQL, DMY';
SET timezone = 'Asia/Kathmandu';
SET dlent.batch = off;
SELECT * FROM statements \gexec
\o
RESET extra_float_digits;
RESET datestyle;
RESET timezone;
RESET dlent.batch;
SELECT u, count(*) AS forms, count(DISTINCT p) AS places, bool_and(p LIKE '%1%' AND p LIKE '%2%') AS both FROM placed GROUP BY u ORDER BY u;
SELECT count(DISTINCT p) FROM placed WHERE u IN ('s', 'i', 'd');
-- a candidate that cannot read the call fails its own rows, as a champion would
SELECT dlent_deploy('m', 3, '{"unit": "customer", "steps": [0.5], "seed": "extra"}') AS rollout;
\set VERBOSITY default
SELECT count(dlent_predict('m', s)) FROM (SELECT customer, x, y FROM point OFFSET 0) AS s;
\set VERBOSITY terse
SELECT count(dlent_predict('m', s)) FROM (SELECT customer, x, y FROM point WHERE customer IS NULL OFFSET 0) AS s;
SELECT dlent_stop_rollout('m', 'reads too much');

-- a shadow answers nothing and disturbs nothing, even one that cannot work
SELECT dlent_deploy('m', 3, '{"mode": "shadow"}') AS rollout;
SELECT share, unit FROM dlent.rollouts WHERE ended_at IS NULL;
EXPLAIN (COSTS OFF) SELECT dlent_predict('m', p) FROM point AS p;
SELECT count(*) FROM point AS p WHERE dlent_predict('m', p) IS DISTINCT FROM dlent_predict('m@1', p);
SELECT count(dlent_predict('m', s)), count(*) FILTER (WHERE dlent_predict('m', s) = dlent_predict('m@1', s))
FROM (SELECT customer, x, y FROM point OFFSET 0) AS s;
SET dlent.batch = off;
SELECT count(dlent_predict('m', s)), count(*) FILTER (WHERE dlent_predict('m', s) = dlent_predict('m@1', s))
FROM (SELECT customer, x, y FROM point OFFSET 0) AS s;
-- what it says is for who listens
SET client_min_messages = debug1;
SELECT dlent_predict('m', s) IS NOT NULL FROM (SELECT customer, x, y FROM point ORDER BY id LIMIT 1) AS s;
RESET client_min_messages;
RESET dlent.batch;
-- and for the record: every row that it was to answer
SELECT dlent_observe('m', '{"sample": 1}');
SET dlent.prediction_log = synchronous;
SELECT count(dlent_predict('m', s)) FROM (SELECT customer, x, y FROM point OFFSET 0) AS s;
SELECT version, arm, shadow, count(*), count(score) AS scores, error FROM dlent.predictions WHERE model = 'm' GROUP BY 1, 2, 3, 6 ORDER BY 1;
SELECT dlent_forget_predictions('m');
SELECT count(dlent_predict('m', p)) FROM point AS p;
SELECT version, arm, shadow, count(*), count(score) AS scores, error FROM dlent.predictions WHERE model = 'm' GROUP BY 1, 2, 3, 6 ORDER BY 1;
-- where nothing was said a rollout is recorded all the same; where nothing is wanted it is not
SELECT dlent_forget_predictions('m') AS forgotten;
SELECT dlent_observe('m', NULL);
SELECT count(dlent_predict('m', p)) FROM point AS p;
SELECT arm, count(*) FROM dlent.predictions WHERE model = 'm' GROUP BY 1 ORDER BY 1;
SELECT dlent_forget_predictions('m') AS forgotten;
SELECT dlent_observe('m', '{"sample": 0, "sketches": false}');
SELECT count(dlent_predict('m', p)) FROM point AS p;
SELECT count(*) FROM dlent.predictions WHERE model = 'm';
SELECT dlent_observe('m', NULL);
RESET dlent.prediction_log;
-- an error of PostgreSQL's within the shadow's reading of a value
SELECT dlent_predict('m', '{"x": 1, "y": 2, "extra": "none"}') = dlent_predict('m@1', 1.0, 2) AS unmoved;
SELECT count(dlent_predict('m', jsonb_build_object('x', x, 'y', y, 'extra', 'none'))) FROM point;
-- and its answers can take the champion's place
SELECT dlent_stop_rollout('m');
SELECT dlent_deploy('m', 2, '{"mode": "shadow", "unit": "customer", "coverage": 0.5}') AS rollout;
SELECT count(*) FROM point AS p WHERE dlent_predict('m', p) IS DISTINCT FROM dlent_predict('m@1', p);
SELECT dlent_advance_rollout('m', 'as good');
SELECT state FROM dlent.rollouts ORDER BY rollout DESC LIMIT 1;

-- who may
CREATE ROLE regress_rollout_user;
CREATE ROLE regress_rollout_manager;
SELECT dlent_grant('m', 'predict', 'regress_rollout_user'), dlent_grant('m', 'manage', 'regress_rollout_manager');
GRANT SELECT ON point TO regress_rollout_user;
SET ROLE regress_rollout_user;
SELECT dlent_deploy('m', 1, '{"unit": "customer"}');
RESET ROLE;
SET ROLE regress_rollout_manager;
SELECT dlent_deploy('m', 1, '{"unit": "customer", "steps": [0.5], "reason": "mine"}') IS NOT NULL AS deployed;
RESET ROLE;
SET ROLE regress_rollout_user;
SELECT dlent_advance_rollout('m');
SELECT dlent_hold_rollout('m');
SELECT dlent_stop_rollout('m');
SELECT started_by, reason FROM dlent.rollouts WHERE ended_at IS NULL;
SELECT count(*) > 1 AS seen FROM dlent.rollout_arms;
SELECT count(DISTINCT dlent_predict('m', p) = dlent_predict('m@2', p)) AS versions FROM point AS p;
SELECT count(*) FROM dlent.rollout;
RESET ROLE;
SELECT dlent_revoke('m', 'predict', 'regress_rollout_user');
SET ROLE regress_rollout_user;
SELECT count(*) FROM dlent.rollouts;
SELECT dlent_predict('m', p) FROM point AS p LIMIT 1;
RESET ROLE;

-- in the next statement of a function too, which is planned under the snapshot of the statement that called it
CREATE FUNCTION stopped_meanwhile() RETURNS TABLE (before bigint, after bigint) LANGUAGE plpgsql AS $$
BEGIN
    SELECT count(*) INTO before FROM point AS p WHERE dlent_predict('m', p) IS DISTINCT FROM dlent_predict('m@2', p);
    PERFORM dlent_stop_rollout('m');
    SELECT count(*) INTO after FROM point AS p WHERE dlent_predict('m', p) IS DISTINCT FROM dlent_predict('m@2', p);
    RETURN NEXT;
END$$;
CREATE FUNCTION promoted_meanwhile() RETURNS TABLE (before bigint, after bigint) LANGUAGE plpgsql AS $$
BEGIN
    SELECT count(*) INTO before FROM point AS p WHERE dlent_predict('m', p) = dlent_predict('m@1', p);
    PERFORM dlent_promote('m', 1);
    SELECT count(*) INTO after FROM point AS p WHERE dlent_predict('m', p) = dlent_predict('m@1', p);
    RETURN NEXT;
END$$;
BEGIN;
SELECT * FROM stopped_meanwhile();
SELECT * FROM promoted_meanwhile();
ROLLBACK;
-- in one's own transaction at once, and not when it is rolled back
BEGIN;
SELECT dlent_stop_rollout('m');
SELECT count(*) FROM point AS p WHERE dlent_predict('m', p) IS DISTINCT FROM dlent_predict('m@2', p);
ROLLBACK;
SELECT count(*) > 100 AS under_way FROM point AS p WHERE dlent_predict('m', p) IS DISTINCT FROM dlent_predict('m@2', p);
BEGIN TRANSACTION READ ONLY;
SELECT count(*) > 100 AS read_only FROM point AS p WHERE dlent_predict('m', p) IS DISTINCT FROM dlent_predict('m@2', p);
SELECT dlent_stop_rollout('m');
ROLLBACK;
-- training a version that is promoted at once ends it too
SET client_min_messages = error;
SELECT version FROM dlent_train('m', 'SELECT x, y, amount FROM point', 'amount', '{"preset": "fast", "epochs": 1, "seed": 9, "task": "regression", "promote": true}');
RESET client_min_messages;
SELECT state, reason FROM dlent.rollouts ORDER BY rollout DESC LIMIT 1;

-- a column that was renamed since is still the unit of a row of the model's table
SELECT dlent_deploy('b', 2, '{"mode": "experiment", "unit": "customer", "seed": "renamed"}') AS rollout;
CREATE TABLE before_renaming AS SELECT id, dlent_predict('b', p) AS score FROM point AS p;
ALTER TABLE point RENAME COLUMN x TO easting;
SELECT count(*) FROM point AS p JOIN before_renaming AS b USING (id) WHERE dlent_predict('b', p) IS DISTINCT FROM b.score;
SET dlent.batch = off;
SELECT count(*) FROM point AS p JOIN before_renaming AS b USING (id) WHERE dlent_predict('b', p) IS DISTINCT FROM b.score;
RESET dlent.batch;
-- a shadow that knows other levels reads for itself; one that makes the same of a row is given what the champion made
CREATE TABLE levelled AS SELECT i AS id, (ARRAY['a', 'b', 'c'])[1 + i % 3] AS level, i % 5 AS x, i % 3 + i % 5 > 3 AS yes FROM generate_series(1, 300) AS i;
SELECT count(v) FROM (SELECT version AS v FROM dlent_train('levels', 'SELECT level, x, yes FROM levelled', 'yes', '{"preset": "fast", "epochs": 3, "seed": 1}')
    UNION ALL SELECT version FROM dlent_train('levels', 'SELECT level, x, yes FROM levelled', 'yes', '{"preset": "fast", "epochs": 3, "seed": 2}')
    UNION ALL SELECT version FROM dlent_train('levels', 'SELECT CASE level WHEN ''a'' THEN ''c'' WHEN ''c'' THEN ''d'' ELSE level END AS level, x, yes FROM levelled', 'yes', '{"preset": "fast", "epochs": 3, "seed": 3}')) AS versions;
SET dlent.prediction_log = synchronous;
CREATE FUNCTION as_shadow(v int) RETURNS TABLE (rows bigint, scores bigint, digests bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM dlent_deploy('levels', v, '{"mode": "shadow", "coverage": 0.8}');
    PERFORM count(dlent_predict('levels', l)) FROM levelled AS l;
    RETURN QUERY SELECT count(*), count(*) FILTER (WHERE s.score = dlent_predict_version('levels', v, l)), count(*) FILTER (WHERE s.input_digest = c.input_digest)
    FROM dlent.predictions AS s JOIN dlent.predictions AS c ON c.request = s.request AND NOT c.shadow JOIN levelled AS l ON l.id = s.key::int WHERE s.shadow AND s.model = 'levels';
    PERFORM dlent_forget_predictions('levels');
    PERFORM dlent_stop_rollout('levels');
END $$;
SELECT dlent_observe('levels', '{"key": "id"}');
SELECT rows BETWEEN 150 AND 299 AS some, scores = rows AS scores, digests = rows AS digests FROM as_shadow(2);
SELECT rows BETWEEN 150 AND 299 AS some, scores = rows AS scores, digests < rows AS digests FROM as_shadow(3);
RESET dlent.prediction_log;
SELECT dlent_drop_model('levels');
SELECT dlent_drop_model('b');
SELECT count(*) FROM dlent.rollouts WHERE model = 'b';
SELECT dlent_drop_model('m', 3), dlent_drop_model('m');
SELECT count(*) FROM dlent.rollout AS r JOIN dlent.rollout_arm AS a ON a.rollout_id = r.id;

DROP OWNED BY regress_rollout_user;
DROP ROLE regress_rollout_user;
DROP ROLE regress_rollout_manager;
SET client_min_messages = warning;
DROP EXTENSION dlent CASCADE;
DROP FUNCTION who, positional, learn, as_shadow, stopped_meanwhile, promoted_meanwhile;
DROP VIEW statements;
DROP TABLE point, answered, levelled, before_renaming, unit, placed;
DROP TYPE mood, number;
