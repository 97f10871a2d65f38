#!/usr/bin/env bash
# What observation costs a scan that scores: nothing observed, distributions, 1 % of the rows, 1 % of the units, each in turn, so that what
# else the machine does falls on all alike. Prints medians and their ratio to the first; docs/operations.md promises at most 1.05.
# usage: observe_bench.sh [ROWS [ROUNDS]]
set -euo pipefail
. "$(dirname "$0")/../scripts/server.sh"
rows=${1:-1000000}
rounds=${2:-15}

install_private_tree
start_cluster bench-observe
trap 'stop_cluster bench-observe' EXIT
export PGDATABASE=postgres PATH=$private_bin:$PATH
sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }

sql -c 'SET client_min_messages = error' -c 'DROP EXTENSION IF EXISTS dlent CASCADE' -c 'CREATE EXTENSION dlent'
sql -v rows="$rows" -f "$root/bench/sql/wide_table.sql"
sql >/dev/null <<'SQL'
SET client_min_messages = error;
SET dlent.progress_messages = off;
SELECT count(dlent_drop_model(model)) FROM dlent.models WHERE model = 'bench_seen';
DROP TABLE IF EXISTS dlent_bench.seen;
CREATE UNLOGGED TABLE dlent_bench.seen AS SELECT i AS id, i % 50000 AS customer, w.* FROM (SELECT row_number() OVER () AS i, * FROM dlent_bench.wide) AS w;
ALTER TABLE dlent_bench.seen DROP COLUMN i;
VACUUM (FREEZE, ANALYZE) dlent_bench.seen;
SELECT dlent_train('bench_seen', 'SELECT * FROM dlent_bench.wide LIMIT 20000', 'y', '{"kind": "mlp", "hidden": [128, 64], "numeric_embedding": "none", "members": 1, "epochs": 1}');
SQL

observe() {
    case $1 in
        nothing) sql -c "SELECT dlent_observe('bench_seen', NULL)" ;;
        sketches) sql -c "SELECT dlent_observe('bench_seen', '{\"sample\": 0}')" ;;
        sample) sql -c "SELECT dlent_observe('bench_seen', '{\"sample\": 0.01, \"key\": \"id\", \"sketches\": false}')" ;;
        units) sql -c "SELECT dlent_observe('bench_seen', '{\"sample\": 0.01, \"unit\": \"customer\", \"key\": \"id\", \"sketches\": false}')" ;;
        both) sql -c "SELECT dlent_observe('bench_seen', '{\"sample\": 0.01, \"key\": \"id\"}')" ;;
    esac >/dev/null
}

# Milliseconds of one scan, in a session that has scored before.
scan() {
    sql <<'SQL' | awk '/Execution Time/ { print $3 }'
SET max_parallel_workers_per_gather = 0;
SELECT count(dlent_predict('bench_seen', seen)) FROM dlent_bench.seen WHERE id <= 1000 \g /dev/null
EXPLAIN (ANALYZE, TIMING OFF) SELECT count(dlent_predict('bench_seen', seen)) FROM dlent_bench.seen;
SQL
}

ways=(nothing sketches sample units both)
declare -A times
for ((round = 0; round < rounds; ++round)); do
    for way in "${ways[@]}"; do
        observe "$way"
        times[$way]+="$(scan) "
    done
done
sql -c "SELECT score_us_batched FROM dlent.versions WHERE model = 'bench_seen'" | awk '{ print "network, microseconds a row:", $1 }'
sql -c "SELECT 'records written ' || written || ', dropped ' || dropped FROM dlent.prediction_log WHERE database = current_database()"
for way in "${ways[@]}"; do
    echo "$way ${times[$way]}"
done | python3 -c '
import statistics, sys
base = None
for line in sys.stdin:
    name, *times = line.split()
    times = sorted(map(float, times))
    median = statistics.median(times)
    base = base or median
    print(f"{name:10s} median {median:9.1f} ms   fastest {times[0]:9.1f} ms   ratio {median / base:6.3f}")
'
