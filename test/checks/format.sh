#!/usr/bin/env bash
# Every C++ file is as clang-format leaves it.
set -euo pipefail
cd "$(dirname "$0")/../.."
find src test bench -name '*.h' -o -name '*.cpp' -o -name '*.inl' | xargs clang-format --dry-run -Werror
