#!/usr/bin/env bash
# What a rollout costs a scan: the champion alone, a canary of 5 %, a shadow, and the shadow's version alone. A shadow is to cost no more than
# its own network would; where the writer of predictions shares the processor it costs more, so a shadow that records nothing is measured too. Medians of alternated runs on a private server; ROWS, RUNS and WIDTH (columns) may be set.
set -euo pipefail
. "$(dirname "$0")/../scripts/server.sh"
rows=${ROWS:-500000}
runs=${RUNS:-9}
columns=${WIDTH:-30}
install_private_tree
start_cluster rollout_bench
trap 'stop_cluster rollout_bench' EXIT
export PGDATABASE=postgres PATH=$private_bin:$PATH

names=$(seq -f 'x%g' -s ', ' "$columns")
values=$(seq "$columns" | awk '{printf "%s((i * %d %% 1009)::real / 100) AS x%d", (NR > 1 ? ", " : ""), 7919 + 2 * $1, $1}')
psql -X -q -v ON_ERROR_STOP=1 <<SQL
SET client_min_messages = error;
DROP EXTENSION IF EXISTS dlent CASCADE;
DROP TABLE IF EXISTS wide;
CREATE EXTENSION dlent;
CREATE TABLE wide AS SELECT i AS id, $values FROM generate_series(1, $rows::bigint) AS i;
VACUUM ANALYZE wide;
SET dlent.progress_messages = off;
SELECT version, seconds FROM dlent_train('m', 'SELECT $names, x1 + x2 > x3 AS y FROM wide LIMIT 20000', 'y', '{"preset": "fast", "epochs": 2, "seed": 1}');
SELECT version, seconds FROM dlent_train('m', 'SELECT $names, x1 + x2 > x3 AS y FROM wide LIMIT 20000', 'y', '{"preset": "fast", "epochs": 2, "seed": 2}');
SQL

# Milliseconds of a scan, with what is cached before it.
scan() {
    psql -X -q -At -v ON_ERROR_STOP=1 <<SQL | awk '/^Time/ {t = $2} END {print t}'
SET max_parallel_workers_per_gather = 0;
SET dlent.prediction_log = $2;
SELECT count(dlent_predict('$1', wide)) FROM wide WHERE id <= 1000;
\timing on
SELECT count(dlent_predict('$1', wide)) FROM wide;
SQL
}

measure() {
    case $1 in
        champion) scan m on ;;
        version) scan m@2 on ;;
        canary)
            psql -X -q -c "SELECT dlent_deploy('m', 2, '{\"unit\": \"id\", \"steps\": [0.05]}')" >/dev/null
            scan m on
            ;;
        shadow | unrecorded)
            psql -X -q -c "SELECT dlent_deploy('m', 2, '{\"mode\": \"shadow\"}')" >/dev/null
            scan m "$([ "$1" = shadow ] && echo on || echo off)"
            ;;
    esac
    psql -X -q -c "SELECT dlent_stop_rollout('m')" >/dev/null
}

median() { sort -n "$1" | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

results=$(mktemp -d)
for ((run = 0; run < runs; run++)); do
    for case in champion version canary shadow unrecorded; do
        measure $case >>"$results/$case"
    done
done
echo "$rows rows of $columns columns, medians of $runs runs:"
for case in champion version canary shadow unrecorded; do
    awk -v name=$case -v ms="$(median "$results/$case")" -v rows="$rows" 'BEGIN {printf "%-10s %9.1f ms  %6.3f us a row\n", name, ms, ms * 1000 / rows}'
done
awk -v c="$(median "$results/champion")" -v v="$(median "$results/version")" -v s="$(median "$results/shadow")" -v a="$(median "$results/canary")" -v u="$(median "$results/unrecorded")" \
    'BEGIN {printf "shadow costs %.2f times a scan by its version alone, %.2f without records; canary costs %.1f %%\n", (s - c) / v, (u - c) / v, 100 * (a - c) / c}'
rm -r "$results"
