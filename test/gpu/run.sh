#!/usr/bin/env bash
# Everything that needs a card, from the folder that `make gpu-bundle` makes: test/run.sh there. Results go to $OUT, or to the folder
# "results" beside the bundle: a log a part and summary.txt, with date and card.
#
#   run.sh [--without-gpu] [PART ...]     parts: parity training sql faults bench torch load; all of them unless named
#
# --without-gpu runs what can be run with the stand-in instead (sql, faults), to try the bundle where there is no card. Ends with
# "N passed, N failed, N skipped". SECONDS_EACH (3) is how long a benchmark measures.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bundle=$(dirname "$here")
plugin=dlent_cuda
[ "${1:-}" = --without-gpu ] && { plugin=dlent_fake_gpu; shift; }
parts=${*:-parity training sql faults bench torch load}
out=${OUT:-$bundle/results}
mkdir -p "$out"
passed=0
failed=0
skipped=0

# ---- what the programs link: the bundle's libraries, CUDA's wherever it is, and the system's C++ library before ours
pg_bin=$(dirname "$(find "$bundle/pg" -name postgres -type f | head -1)")
cuda_lib=
nccl_lib=
for folder in ${CUDA_HOME:+"$CUDA_HOME/lib64"} /usr/local/cuda/lib64 /usr/local/cuda-*/lib64 /usr/lib/x86_64-linux-gnu \
    $(python3 -c 'import glob, site, sys; [print(p) for s in sys.path + site.getsitepackages() for p in glob.glob(s + "/nvidia/*/lib")]' 2>/dev/null); do
    if [ -z "$cuda_lib" ] && compgen -G "$folder/libcublasLt.so.*" >/dev/null; then cuda_lib=$folder; fi
    if [ -z "$nccl_lib" ] && [ -e "$folder/libnccl.so.2" ]; then nccl_lib=$folder; fi
done
home=$(mktemp -d /tmp/dlent-gpu-XXXXXX)
chmod 755 "$home"
# the server's account may not be let into the bundle's folder: it works on a copy
cp -r "$bundle/pg" "$bundle/lib" "$bundle/fallback" "$home/"
gunzip "$home"/lib/*.gz
pg_bin=$home/pg${pg_bin#"$bundle/pg"}
libraries=$home/lib${cuda_lib:+:$cuda_lib}${nccl_lib:+:$nccl_lib}
[ -d /usr/local/nvidia/lib64 ] && libraries=$libraries:/usr/local/nvidia/lib64
/sbin/ldconfig -p 2>/dev/null | grep -q 'libstdc++\.so\.6' || libraries=$libraries:$home/fallback
with_libraries() { env LD_LIBRARY_PATH="$libraries" "$@"; }

card=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | head -1)
[ "$plugin" = dlent_cuda ] || card="none (stand-in)"
{
    date -u +'%Y-%m-%d %H:%M UTC'
    echo "card: ${card:-none}"
    cat "$bundle/MANIFEST"
    echo "cuBLASLt: ${cuda_lib:-not found}; NCCL: ${nccl_lib:-not found}; $(uname -sr); $(getconf GNU_LIBC_VERSION); $(nproc) cores"
} | tee "$out/summary.txt"

say() { echo "$*" | tee -a "$out/summary.txt"; }
# count PART PASSED FAILED SKIPPED
count() {
    passed=$((passed + $2))
    failed=$((failed + $3))
    skipped=$((skipped + $4))
    say "$(printf '%-10s %5d passed %5d failed %5d skipped  %4d s' "$1" "$2" "$3" "$4" $((SECONDS - part_started)))"
    [ "$3" -eq 0 ] || tail -n 40 "$out/$1.log"
}

# ---- the server, which never runs as root
account=()
if [ "$(id -u)" -eq 0 ]; then
    if command -v setpriv >/dev/null; then
        account=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    else
        account=(python3 -c 'import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534); os.execvp(sys.argv[1], sys.argv[1:])')
    fi
fi
[ ${#account[@]} -eq 0 ] || chown 65534:65534 "$home"
as_server() { "${account[@]}" env HOME="$home" LD_LIBRARY_PATH="$libraries" DLENT_FAKE_GPU="$home/orders" TZ=UTC "$@"; }
export PGHOST=$home PGPORT=5432 PGUSER=dlent PGDATABASE=postgres

start_server() {
    if [ ! -e "$home/data/PG_VERSION" ]; then
        as_server "$pg_bin/initdb" -D "$home/data" -U dlent -A trust -E UTF8 --locale=C -N >"$out/initdb.log" 2>&1 || { cat "$out/initdb.log"; return 1; }
        as_server tee -a "$home/data/postgresql.conf" >/dev/null <<CONF
listen_addresses = ''
unix_socket_directories = '$home'
shared_preload_libraries = 'dlent'
dlent.gpu_plugin = '$plugin'
dlent.max_training_memory = '16GB'
dlent.progress_messages = off
shared_buffers = 1GB
work_mem = 64MB
maintenance_work_mem = 512MB
fsync = off
max_wal_size = 16GB
CONF
    fi
    as_server "$pg_bin/pg_ctl" -D "$home/data" status >/dev/null 2>&1 ||
        as_server "$pg_bin/pg_ctl" -D "$home/data" -l "$home/server.log" -w -s start
}
stop_server() { as_server "$pg_bin/pg_ctl" -D "$home/data" -m "${1:-fast}" -s stop 2>/dev/null; }
query() { with_libraries "$pg_bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -c "$1"; }
finish() {
    stop_server immediate
    cp "$home/server.log" "$out/server.log" 2>/dev/null
    rm -rf "$home"
}
trap finish EXIT

# ---- parts

# google PART FILTER
google() {
    with_libraries env DLENT_DEVICE_PLUGIN="$plugin" "$bundle/bin/dlent_device_tests" --gtest_filter="$2" >"$out/$1.log" 2>&1
    local status=$? good bad
    if [ $status -eq 77 ]; then
        tail -n 1 "$out/$1.log"
        count "$1" 0 0 1
        return
    fi
    good=$(grep -cE '^\[       OK \]' "$out/$1.log")
    bad=$(grep -cE '^\[  FAILED  \] .* \([0-9]+ ms\)' "$out/$1.log")
    [ $status -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
    count "$1" "$good" "$bad" 0
}
part_parity() { google parity '*BackendParity*:DeviceScoring.*:DeviceGroup.*'; }
part_training() { google training '*DeviceTraining*'; }

# Scripts print "ok - …" and "not ok - …".
# script PART COMMAND...
script() {
    local part=$1 status good bad
    shift
    "$@" >"$out/$part.log" 2>&1
    status=$?
    good=$(grep -c '^ok ' "$out/$part.log")
    bad=$(grep -c '^not ok ' "$out/$part.log")
    [ $status -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
    count "$part" "$good" "$bad" 0
}
part_sql() {
    start_server || { count sql 0 1 0; return; }
    script sql with_libraries "$pg_bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -f "$here/story.sql"
}
part_faults() {
    start_server || { count faults 0 1 0; return; }
    script faults faults
}
. "$here/faults.sh"

# bench PART COMMAND...: measurements are no tests; their lines are kept.
bench() {
    local part=$1 status
    shift
    "$@" >"$out/$part.jsonl" 2>"$out/$part.log"
    status=$?
    cat "$out/$part.jsonl" >>"$out/summary.txt"
    cat "$out/$part.jsonl"
    case $status in
        0) count "$part" 1 0 0 ;;
        77) tail -n 1 "$out/$part.log"; count "$part" 0 0 1 ;;
        *) count "$part" 0 1 0 ;;
    esac
}
part_bench() { bench bench with_libraries env DLENT_DEVICE_PLUGIN="$plugin" "$bundle/bin/dlent_device_bench" "${SECONDS_EACH:-3}"; }
part_torch() {
    if ! python3 -c 'import torch' 2>/dev/null; then
        echo "no PyTorch" >"$out/torch.log"
        count torch 0 0 1
        return
    fi
    bench torch python3 "$bundle/bench/torch_peer.py" "${SECONDS_EACH:-3}"
}
# 10 million rows, from the table to the model, beside COPY, pandas and PyTorch.
part_load() {
    if [ "$plugin" != dlent_cuda ] || [ -z "$card" ]; then
        echo "no card" >"$out/load.log"
        count load 0 0 1
        return
    fi
    start_server || { count load 0 1 0; return; }
    bench load with_libraries "$pg_bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -v rows="${ROWS:-10000000}" -f "$bundle/bench/load.sql"
    if python3 -c 'import torch, pandas' 2>/dev/null; then
        PSQL="env LD_LIBRARY_PATH=$libraries $pg_bin/psql" bench load_torch python3 "$bundle/bench/load_torch.py"
    fi
}

for part in $parts; do
    part_started=$SECONDS
    "part_$part"
done
say "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
