#!/usr/bin/env bash
# What a report costs over a rollout with many predictions, each with an outcome: a canary, and a shadow with half as many requests.
# Prints the median milliseconds of each.
# usage: experiment_bench.sh [PREDICTIONS [ROUNDS]]
set -euo pipefail
. "$(dirname "$0")/../scripts/server.sh"
predictions=${1:-1000000}
rounds=${2:-5}

install_private_tree
start_cluster bench-experiment
trap 'stop_cluster bench-experiment' EXIT
export PGDATABASE=bench_experiment PATH=$private_bin:$PATH
psql -X -q -d postgres -c 'DROP DATABASE IF EXISTS bench_experiment' -c 'CREATE DATABASE bench_experiment' 2>/dev/null
sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 -v n="$predictions" "$@"; }

# The records are written as the recording of answers leaves them, four of each unit.
sql >/dev/null <<'SQL'
SET client_min_messages = error;
SET dlent.progress_messages = off;
CREATE EXTENSION dlent;
CREATE TABLE visit AS SELECT i % 7 AS x, i % 7 > 3 AS bought FROM generate_series(1, 200) AS i;
SELECT dlent_train('bench', 'visit', 'bought', '{"preset": "fast", "epochs": 1, "seed": 1}');
SELECT dlent_train('bench', 'visit', 'bought', '{"preset": "fast", "epochs": 1, "seed": 2}');
SELECT dlent_deploy('bench', 2, '{"unit": "id", "goal": {"metric": "bought", "direction": "increase"}, "guardrails": ["log_loss"]}') AS canary \gset
SELECT dlent_stop_rollout('bench');
SELECT dlent_deploy('bench', 2, '{"mode": "shadow", "goal": "log_loss"}') AS shadow \gset
INSERT INTO dlent.prediction (request, predicted_at, model_id, version, rollout_id, arm, shadow, unit, key, score, latency_us)
SELECT i, clock_timestamp(), m.id, 1 + i % 2, :canary, i % 2, false, i / 8 * 2 + i % 2, i, 0.1 + i % 80 * 0.01, 10 FROM dlent.model AS m, generate_series(1, :n) AS i;
INSERT INTO dlent.prediction (request, predicted_at, model_id, version, rollout_id, arm, shadow, key, score, latency_us)
SELECT i, clock_timestamp(), m.id, 1 + a, :shadow, a, a = 1, i, 0.1 + (i + a) % 80 * 0.01, 10 FROM dlent.model AS m, generate_series(1, :n / 2) AS i, generate_series(0, 1) AS a;
INSERT INTO dlent.outcome (model_id, key, metric, value, occurred_at, recorded_by) SELECT m.id, i, o, (i % 10 = 0)::int, now(), current_user FROM dlent.model AS m, generate_series(1, :n) AS i, (VALUES ('bought'), ('outcome')) AS v (o);
VACUUM ANALYZE dlent.prediction, dlent.outcome;
SQL

for way in canary shadow; do
    number=$([ $way = canary ] && echo 1 || echo 2)
    for ((round = 0; round < rounds; ++round)); do
        sql -c '\timing on' -c "SELECT count(*) FROM dlent_experiment_report('bench', '{\"rollout\": $number}')" | awk '/^Time/ { print $2 }'
    done | sort -n | awk -v way=$way '{ t[NR] = $1 } END { print way, t[int((NR + 1) / 2)], "ms" }'
done
