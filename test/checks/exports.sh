#!/usr/bin/env bash
# dlent.so exports what the server looks up by name, and nothing else.
set -euo pipefail
library=${BUILD_DIR:-build}/dlent.so
allowed=$(dirname "$0")/exports.allow
unexpected=$(nm -D --defined-only "$library" | awk '{print $3}' | grep -vxEf "$allowed" || true)
if [ -n "$unexpected" ]; then
    echo "dlent.so exports symbols that $allowed does not allow:" >&2
    echo "$unexpected" >&2
    exit 1
fi
nm -D --defined-only "$library" | grep ' Pg_magic_func$' >/dev/null
