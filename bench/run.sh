#!/usr/bin/env bash
# Every speed benchmark beside its peer, on a private server; what `make bench` runs.
set -uo pipefail
. "$(dirname "$0")/../scripts/server.sh"

install_private_tree
stop_cluster bench
start_cluster bench || exit 1
export PGDATABASE=postgres
export PATH=$private_bin:$PATH
psql -X -q -c 'DROP EXTENSION IF EXISTS dlent CASCADE' -c 'CREATE EXTENSION dlent'

failed=0
measure() {
    echo
    echo "== $1"
    shift
    "$@" || failed=$((failed + 1))
}
measure "training throughput against PyTorch" /usr/bin/python3 "$root/bench/train_vs_pytorch.py" "$build/train_bench"
measure "end to end against COPY, pandas and PyTorch" /usr/bin/python3 "$root/bench/end_to_end.py"
export PG_CONFIG=$pg_config
measure "scoring beside its peers and floors" /usr/bin/python3 "$root/bench/scoring/scoring.py" --build "$runtime/bench-scoring"
measure "explanations beside the reference implementation" /usr/bin/python3 "$root/bench/explain_bench.py" "$build/explain_bench"
measure "memory of training" /usr/bin/python3 "$root/bench/memory_bench.py"
stop_cluster bench
[ $failed -eq 0 ]
