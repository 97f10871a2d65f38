#!/usr/bin/env bash
# How long a statement goes on after it is cancelled: statement_timeout at random moments of trainings (on the CPU, and in the process of the
# stand-in for a GPU), evaluations, scans, explanations and drift reports, and how much later the error is caught. Prints median and maximum.
# usage: cancel_bench.sh [ROWS [TRIALS]]
set -euo pipefail
. "$(dirname "$0")/../scripts/server.sh"
rows=${1:-1000000}
trials=${2:-15}

install_private_tree
start_cluster bench-cancel -o '-c dlent.gpu_plugin=dlent_fake_gpu'
trap 'stop_cluster bench-cancel' EXIT
export PGDATABASE=postgres PATH=$private_bin:$PATH
sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }

sql -c 'SET client_min_messages = error' -c 'DROP EXTENSION IF EXISTS dlent CASCADE' -c 'CREATE EXTENSION dlent'
sql -v rows="$rows" -f "$root/bench/sql/wide_table.sql"
sql -v trials="$trials" <<'SQL'
SET client_min_messages = error;
SET dlent.progress_messages = off;
SELECT setseed(0.25) \g /dev/null
SELECT version FROM dlent_train('bench_m', 'SELECT * FROM dlent_bench.wide LIMIT 20000', 'y', '{"epochs": 2}') \g /dev/null
CREATE TEMP TABLE statements (number serial, name text, statement text, longest_ms int);
INSERT INTO statements (name, statement, longest_ms) VALUES
('training, while it reads', $$SELECT dlent_train('bench_t', 'dlent_bench.wide', 'y')$$, 500),
('training', $$SELECT dlent_train('bench_t', 'dlent_bench.wide', 'y')$$, 8000),
('training, folds and members', $$SELECT dlent_train('bench_t', 'SELECT * FROM dlent_bench.wide LIMIT 20000', 'y', '{"preset": "best"}')$$, 4000),
('training, large batches', $$SELECT dlent_train('bench_t', 'dlent_bench.wide', 'y', '{"batch_size": 8192, "hidden": [512, 512, 512]}')$$, 6000),
('training by the stand-in for a GPU', $$SELECT dlent_train('bench_t', 'dlent_bench.wide', 'y', '{"device": "cuda"}')$$, 8000),
('evaluation', $$SELECT dlent_evaluate('bench_m', 'dlent_bench.wide')$$, 1500),
('scan', $$SELECT sum(dlent_predict('bench_m', t)) FROM dlent_bench.wide AS t$$, 500),
('scan, row by row', $$SELECT set_config('dlent.batch', 'off', true); SELECT sum(dlent_predict('bench_m', t)) FROM dlent_bench.wide AS t$$, 800),
('explanations', $$SELECT count(dlent_explain('bench_m', t)) FROM dlent_bench.wide AS t$$, 3000),
('permutation importance', $$SELECT count(*) FROM dlent_permutation_importance('bench_m', 'dlent_bench.wide')$$, 3000),
('drift', $$SELECT count(*) FROM dlent_drift('bench_m', 'dlent_bench.wide')$$, 1500);
-- Milliseconds from the moment at which a statement was to be cancelled to the handler of its error; null when it had ended before.
CREATE FUNCTION pg_temp.late(statement text) RETURNS float8 LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN NULL;
EXCEPTION WHEN query_canceled THEN
    RETURN extract(epoch FROM clock_timestamp() - statement_timestamp()) * 1e3 - extract(epoch FROM current_setting('statement_timeout')::interval) * 1e3;
END
$$;
CREATE TEMP TABLE cancels (number int, late float8);
SELECT format('SET statement_timeout = %s', 20 + (random() * longest_ms)::int), format('INSERT INTO cancels VALUES (%s, pg_temp.late(%L))', number, statement), 'SET statement_timeout = 0'
FROM statements, generate_series(1, :trials) AS trial ORDER BY trial, number \gexec
SELECT format('%s: median %s ms, longest %s ms, %s of %s cancelled', rpad(name, 35), round((percentile_cont(0.5) WITHIN GROUP (ORDER BY late))::numeric, 1),
              round(max(late)::numeric, 1), count(late), count(*))
FROM statements JOIN cancels USING (number) GROUP BY number, name ORDER BY number;
SQL
