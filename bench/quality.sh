#!/bin/sh
# Quality on the public data sets beside scikit-learn's peers; see quality.py for the options.
# The caller names a running server with dlent installed by PGHOST, PGPORT, PGDATABASE and PGUSER.
set -eu
exec python3 "$(dirname "$0")/quality.py" "$@"
