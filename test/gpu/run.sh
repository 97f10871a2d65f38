#!/usr/bin/env bash
# Everything that needs a card, from the folder that `make gpu-bundle` makes: test/run.sh there. Results go to $OUT, or to the folder
# "results" beside the bundle: summary.txt, with date and card, and logs.tgz, made anew after every part.
#
#   run.sh [--without-gpu] [PART ...]     parts: parity training sql faults bench torch load; all of them unless named
#
# --without-gpu runs what can be run with the stand-in instead (sql, faults, load), to try the bundle where there is no card. Ends with
# "N passed, N failed, N skipped". In the environment:
#   SECONDS_EACH  how long a benchmark measures (2)
#   TORCH_MODES   how PyTorch is run: eager, graph, compile ("eager graph", and compile once)
#   ROWS          of the table of part load (10,000,000; 10,000 with the stand-in)
# All parts take some nine minutes on an H100. Each is stopped after its time, so that one that hangs does not cost the others.
set -uo pipefail
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bundle=$(dirname "$here")
plugin=dlent_cuda
[ "${1:-}" = --without-gpu ] && { plugin=dlent_fake_gpu; shift; }
parts=${*:-parity training sql faults bench torch load}
seconds_each=${SECONDS_EACH:-2}
out=${OUT:-$bundle/results}
mkdir -p "$out"
out=$(cd "$out" && pwd)
passed=0
failed=0
skipped=0

# ---- what runs is a copy: it is unpacked, and the server's account may not be let into the bundle's folder
home=$(mktemp -d /tmp/dlent-gpu-XXXXXX)
chmod 755 "$home"
logs=$home/logs
mkdir "$logs"
cp -r "$bundle/pg" "$bundle/bin" "$bundle/lib" "$bundle/fallback" "$home/"
find "$home" -name '*.gz' -exec gunzip {} +
pg_bin=$(dirname "$(find "$home/pg" -name psql)")
pg_lib=$(dirname "$(find "$home/pg" -name dlent-gpud)")
chmod 755 "$pg_bin"/* "$pg_lib"/* "$home"/bin/*
ln -s "$pg_lib"/dlent_*.so "$home/bin/"  # tests and benchmarks load plugins from beside themselves

# ---- what the programs link: the bundle's libraries, CUDA's wherever it is, and the system's C++ library before ours
cublas=$(grep -o 'libcublasLt\.so\.[0-9]*' "$bundle/MANIFEST")
cuda_lib=
nccl_lib=
for folder in ${CUDA_HOME:+"$CUDA_HOME/lib64"} /usr/local/cuda/lib64 /usr/local/cuda-*/lib64 /usr/lib/x86_64-linux-gnu \
    $(python3 -c 'import glob, site, sys; [print(p) for s in sys.path + site.getsitepackages() for p in glob.glob(s + "/nvidia/*/lib")]' 2>/dev/null); do
    if [ -z "$cuda_lib" ] && [ -e "$folder/$cublas" ]; then cuda_lib=$folder; fi
    if [ -z "$nccl_lib" ] && [ -e "$folder/libnccl.so.2" ]; then nccl_lib=$folder; fi
done
libraries=$home/lib${cuda_lib:+:$cuda_lib}${nccl_lib:+:$nccl_lib}
[ -d /usr/local/nvidia/lib64 ] && libraries=$libraries:/usr/local/nvidia/lib64
/sbin/ldconfig -p 2>/dev/null | grep -q 'libstdc++\.so\.6' || libraries=$libraries:$home/fallback
libraries=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
with_libraries() { env LD_LIBRARY_PATH="$libraries" "$@"; }
# limited SECONDS PROGRAM...: one of ours
limited() { with_libraries timeout -k 5 "$@"; }

card=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | head -1)
[ "$plugin" = dlent_cuda ] || card="none (stand-in)"
{
    date -u +'%Y-%m-%d %H:%M UTC'
    echo "card: ${card:-none}"
    cat "$bundle/MANIFEST"
    echo "$cublas: ${cuda_lib:-not found}; NCCL: ${nccl_lib:-not found}; $(uname -sr); $(getconf GNU_LIBC_VERSION); $(nproc) cores"
} | tee "$out/summary.txt"

say() { echo "$*" | tee -a "$out/summary.txt"; }
# count PART PASSED FAILED SKIPPED
count() {
    passed=$((passed + $2))
    failed=$((failed + $3))
    skipped=$((skipped + $4))
    say "$(printf '%-10s %5d passed %5d failed %5d skipped  %4d s' "$1" "$2" "$3" "$4" $((SECONDS - part_started)))"
    [ "$3" -eq 0 ] || tail -n 40 "$logs/$1.log" 2>/dev/null
}
# skip PART REASON
skip() {
    say "$1: $2"
    count "$1" 0 0 1
}
# judge PART STATUS PASSED FAILED: what a program's end says beside what is counted of it
judge() {
    local bad=$4
    case $2 in
        0) ;;
        77)
            skip "$1" "$(tail -n 1 "$logs/$1.log")"
            return
            ;;
        124 | 137)
            say "$1: stopped after its time, unfinished"
            bad=$((bad + 1))
            ;;
        *) [ "$bad" -gt 0 ] || bad=1 ;;
    esac
    count "$1" "$3" "$bad" 0
}
# Whole at any time, should the next part be the last one. A log that grows meanwhile (1) is kept as it is.
keep_logs() {
    tar czf "$out/logs.tgz.new" -C "$home" logs 2>/dev/null
    [ $? -le 1 ] && mv -f "$out/logs.tgz.new" "$out/logs.tgz"
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
[ ${#account[@]} -eq 0 ] || chown 65534:65534 "$home" "$logs"
as_server() { "${account[@]}" env HOME="$home" LD_LIBRARY_PATH="$libraries" DLENT_FAKE_GPU="$home/orders" TZ=UTC "$@"; }
export PGHOST=$home PGPORT=5432 PGUSER=dlent PGDATABASE=postgres

start_server() {
    if [ ! -e "$home/data/PG_VERSION" ]; then
        as_server "$pg_bin/initdb" -D "$home/data" -U dlent -A trust -E UTF8 --locale=C -N >"$logs/initdb.log" 2>&1 || { cat "$logs/initdb.log"; return 1; }
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
        as_server "$pg_bin/pg_ctl" -D "$home/data" -l "$logs/server.log" -w -s start
}
stop_server() { as_server "$pg_bin/pg_ctl" -D "$home/data" -m "${1:-fast}" -s stop 2>/dev/null; }
query() { with_libraries timeout -k 5 60 "$pg_bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -c "$1"; }
# serve PART: whether there is a server; else the part has failed
serve() {
    start_server && return
    tail -n 20 "$logs/server.log" 2>/dev/null
    count "$1" 0 1 0
    return 1
}
finish() {
    stop_server immediate
    keep_logs
    rm -rf "$home"
}
trap finish EXIT

# ---- parts

# google PART SECONDS FILTER
google() {
    local part=$1
    limited "$2" env DLENT_DEVICE_PLUGIN="$plugin" "$home/bin/dlent_device_tests" --gtest_filter="$3" >"$logs/$part.log" 2>&1
    judge "$part" $? "$(grep -cE '^\[       OK \]' "$logs/$part.log")" "$(grep -cE '^\[  FAILED  \] .* \([0-9]+ ms\)' "$logs/$part.log")"
}
part_parity() { google parity 240 '*BackendParity*:*Transfers*:DeviceScoring.*:DeviceGroup.*'; }
part_training() { google training 240 '*DeviceTraining*'; }

# Scripts print "ok - …" and "not ok - …".
# script PART COMMAND...
script() {
    local part=$1
    shift
    "$@" >"$logs/$part.log" 2>&1
    judge "$part" $? "$(grep -c '^ok ' "$logs/$part.log")" "$(grep -c '^not ok ' "$logs/$part.log")"
}
part_sql() {
    serve sql || return
    script sql limited 180 "$pg_bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -f "$here/story.sql"
}
# in a shell of its own, which can be stopped
part_faults() {
    serve faults || return
    script faults timeout -k 5 240 bash -uc "$(declare -p account home logs libraries pg_bin plugin); $(declare -f with_libraries as_server start_server stop_server query)
        . '$here/faults.sh'; faults"
}

# bench PART COMMAND...: measurements are no tests; their lines are kept and counted.
bench() {
    local part=$1 status
    shift
    "$@" >"$logs/$part.jsonl" 2>"$logs/$part.log"
    status=$?
    tee -a "$out/summary.txt" <"$logs/$part.jsonl"
    judge "$part" $status "$(grep -c '^{' "$logs/$part.jsonl")" 0
}
part_bench() { bench bench limited 150 env DLENT_DEVICE_PLUGIN="$plugin" "$home/bin/dlent_device_bench" "$seconds_each"; }
part_torch() {
    if ! python3 -c 'import torch' 2>/dev/null; then
        skip torch "no PyTorch"
        return
    fi
    bench torch timeout -k 5 300 python3 "$bundle/bench/torch_peer.py" "$seconds_each"
}
# 10 million rows, from the table to the model, beside COPY, pandas and PyTorch.
part_load() {
    local rows=10000000
    if [ "$plugin" != dlent_cuda ]; then
        rows=10000
    elif [ -z "$card" ]; then
        skip load "no card"
        return
    fi
    serve load || return
    bench load limited 240 "$pg_bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 -v rows="${ROWS:-$rows}" -f "$bundle/bench/load.sql"
    part_started=$SECONDS
    if ! python3 -c 'import torch, pandas' 2>/dev/null; then
        skip load_torch "no PyTorch or no pandas"
        return
    fi
    bench load_torch timeout -k 5 240 env PSQL="env LD_LIBRARY_PATH=$libraries $pg_bin/psql" python3 "$bundle/bench/load_torch.py"
}

for part in $parts; do
    part_started=$SECONDS
    "part_$part"
    keep_logs
done
if compgen -G "$logs/*.jsonl" >/dev/null && command -v python3 >/dev/null; then
    python3 "$bundle/bench/ratios.py" "$card" "$logs"/*.jsonl | tee -a "$out/summary.txt"
fi
say "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
