#!/usr/bin/env bash
# Installation scripts create what is not there and adopt nothing that is (CVE-2022-2625), and no function of ours runs with
# another's rights.
set -euo pipefail
cd "$(dirname "$0")/../.."
if grep -rniE 'OR +REPLACE|IF +NOT +EXISTS|SECURITY +DEFINER' sql/extension; then
    echo "sql/extension must use plain CREATE and no SECURITY DEFINER" >&2
    exit 1
fi
