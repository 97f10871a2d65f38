-- What scoring a row costs: a 30-128-64-1 network over a sequential scan of dlent_bench.wide in one backend, beside the
-- scan alone and a built-in function that takes the same 30 columns and does nothing. All in: nothing is subtracted.
--
-- Usage: see bench/score_bench.sh

\set ON_ERROR_STOP on
\set QUIET on
\pset footer off
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
SET jit = off;

SELECT count(dlent_drop_model(model)) AS dropped FROM dlent.models WHERE model = 'bench_score' \gset
SELECT train_rows AS trained
FROM dlent_train('bench_score', 'SELECT * FROM dlent_bench.wide LIMIT 20000', 'y',
                 '{"kind": "mlp", "hidden": [128, 64], "numeric_embedding": "none", "members": 1, "epochs": 1}') \gset

CREATE TEMP TABLE timings (what text, round int, seconds float8);

DO $$
DECLARE
    columns text := (SELECT string_agg('f' || i, ', ' ORDER BY i) FROM generate_series(1, 30) AS i);
    start   timestamptz;
    what    text;
    result  text;
BEGIN
    FOR round IN 0 .. 3 LOOP  -- round 0 warms the caches and is not counted
        FOR what, result IN
            VALUES ('scan: count(*)', 'count(*)'),
                   ('30 columns into a built-in', format('sum(num_nonnulls(%s))', columns)),
                   ('dlent_predict, columns in order', format('sum(dlent_predict(''bench_score'', %s))', columns)),
                   ('dlent_predict, array', format('sum(dlent_predict(''bench_score'', ARRAY[%s]))', columns)),
                   ('dlent_predict, record', 'sum(dlent_predict(''bench_score'', wide))')
        LOOP
            start := clock_timestamp();
            EXECUTE format('SELECT %s FROM dlent_bench.wide', result);
            INSERT INTO timings VALUES (what, round, extract(epoch FROM clock_timestamp() - start));
        END LOOP;
    END LOOP;
END $$;

SELECT what,
       round((1e6 * percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) / n)::numeric, 3) AS "µs a row, median",
       round((1e6 * min(seconds) / n)::numeric, 3) AS least
FROM timings, (SELECT count(*) AS n FROM dlent_bench.wide) AS size
WHERE round > 0
GROUP BY what, n
ORDER BY 2;
