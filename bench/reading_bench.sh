#!/usr/bin/env bash
# What reading the rows of a training takes, with no parallel worker, one and two: 30 columns of float8 and a boolean target from a table that
# is in memory. Each in turn in one session, so that what else the machine does falls on all alike. Prints medians and their ratio to the first.
# usage: reading_bench.sh [ROWS [ROUNDS]]
set -euo pipefail
. "$(dirname "$0")/../scripts/server.sh"
rows=${1:-2000000}
rounds=${2:-7}

install_private_tree
start_cluster bench-reading
trap 'stop_cluster bench-reading' EXIT
export PGDATABASE=postgres PATH=$private_bin:$PATH
sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }

sql -c 'SET client_min_messages = error' -c 'DROP EXTENSION IF EXISTS dlent CASCADE' -c 'CREATE EXTENSION dlent'
sql -v rows="$rows" -f "$root/bench/sql/wide_table.sql"
sql -v rows="$rows" -v rounds="$rounds" <<'SQL'
SET client_min_messages = error;
SET dlent.progress_messages = off;
SELECT count(*) FROM dlent_bench.wide \g /dev/null
-- The network is of no interest, so the smallest: the version says how long reading took.
CREATE FUNCTION pg_temp.read_seconds(workers int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    reading jsonb;
BEGIN
    PERFORM set_config('max_parallel_workers_per_gather', workers::text, true);
    PERFORM dlent_train('bench_reading', 'dlent_bench.wide', 'y',
                        '{"kind": "mlp", "hidden": [], "numeric_embedding": "none", "members": 1, "epochs": 1}');
    SELECT details->'reading' INTO reading FROM dlent.versions WHERE model = 'bench_reading';
    PERFORM dlent_drop_model('bench_reading');
    RETURN reading;
END
$$;
CREATE TEMP TABLE runs (round int, workers int, seconds float8);
SELECT format('INSERT INTO runs SELECT %s, (r->>''workers'')::int, (r->>''seconds'')::float8 FROM pg_temp.read_seconds(%s) AS r', round, workers)
FROM generate_series(1, :rounds) AS round, generate_series(0, 2) AS workers ORDER BY round, workers \gexec
SELECT format('%s workers: median %s ms, %s us a row, ratio %s, %s runs', workers, round((median * 1e3)::numeric, 1), round((median * 1e6 / :rows)::numeric, 3),
              round((median / first_value(median) OVER (ORDER BY workers))::numeric, 3), runs)
FROM (SELECT workers, percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS median, count(*) AS runs FROM runs GROUP BY workers) AS medians ORDER BY workers;
SQL
