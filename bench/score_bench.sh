#!/bin/sh
# What dlent_predict costs a row, per row and in one backend, on 30 columns and a 30-128-64-1 network.
# Usage: score_bench.sh [rows]. The caller names a running server with dlent by PGHOST, PGPORT, PGDATABASE and PGUSER.
set -eu
here=$(dirname "$0")
psql -X -v rows="${1:-1000000}" -f "$here/sql/wide_table.sql"
psql -X -f "$here/sql/score.sql"
