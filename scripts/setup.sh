#!/usr/bin/env bash
# Installs the Debian packages that a build, the demo and the tests need, when some are missing. Works as root or through
# sudo. With "bench" also what the benchmarks compare with.
set -euo pipefail

packages=(
    g++ cmake ninja-build ccache make git clang-format perl binutils
    libipc-run-perl
    nlohmann-json3-dev libgtest-dev
    python3 xz-utils
)
# The packages of the server that PG_CONFIG names; one that no package brought is there already.
if [[ ${PG_CONFIG:-pg_config} =~ ^/usr/lib/postgresql/([0-9]+)/ ]]; then
    packages+=("postgresql-${BASH_REMATCH[1]}" "postgresql-server-dev-${BASH_REMATCH[1]}")
elif [ ! -x "${PG_CONFIG:-}" ]; then
    packages+=(postgresql-15 postgresql-server-dev-15)
fi
if [ "${1:-}" = bench ]; then
    packages+=(libdnnl-dev libbenchmark-dev python3-torch python3-pandas libopenblas0-pthread)
    # PyTorch in the database is the peer there; a PostgreSQL built from source has it or not
    if [[ ${PG_CONFIG:-} =~ ^/usr/lib/postgresql/([0-9]+)/ ]]; then
        packages+=("postgresql-plpython3-${BASH_REMATCH[1]}")
    fi
fi

missing=()
for package in "${packages[@]}"; do
    if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed'; then
        missing+=("$package")
    fi
done
[ ${#missing[@]} -eq 0 ] && exit 0

run=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "These packages are missing, and neither root nor sudo is at hand: ${missing[*]}" >&2
        exit 1
    fi
    run=(sudo)
fi
echo "Installing: ${missing[*]}"
"${run[@]}" apt-get update -qq
"${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
