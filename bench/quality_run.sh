#!/usr/bin/env bash
# quality.sh on a private server; what `make quality` runs. Arguments go to quality.sh.
set -euo pipefail
. "$(dirname "$0")/../scripts/server.sh"

install_private_tree
stop_cluster quality_suite
start_cluster quality_suite
export PGDATABASE=postgres
export DLENT_DATA=${DLENT_DATA:-$root/../shared/data}
PATH=$private_bin:$PATH "$root/bench/quality.sh" "$@"
stop_cluster quality_suite
