#!/usr/bin/env bash
# Runs the fraud story on a private cluster and leaves the cluster running. "demo.sh stop" stops it.
set -euo pipefail
. "$(dirname "$0")/server.sh"

if [ "${1:-}" = stop ]; then
    choose_runtime
    private_bin=$runtime/pg$("$pg_config" --bindir)
    stop_cluster demo
    echo "The demo's server is stopped."
    exit 0
fi

install_private_tree
# a library that was replaced must be loaded anew
stop_cluster demo
start_cluster demo
psql=("$private_bin/psql" -X -q -v ON_ERROR_STOP=1)
"${psql[@]}" -d postgres -c 'DROP DATABASE IF EXISTS demo' -c 'CREATE DATABASE demo'
cd "$root/examples/fraud"
started=$SECONDS
for step in [0-9]*.sql; do
    "${psql[@]}" -d demo -f "$step"
done
cat <<END

The story took $((SECONDS - started)) seconds. Its database is still there; have a look:

    psql -h $PGHOST -U $PGUSER demo

Stop the server with:  make demo-stop
END
