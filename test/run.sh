#!/usr/bin/env bash
# Runs every suite and ends with one line "N passed, N failed, N skipped". Each suite's output is kept in the build folder's
# test-logs; a suite that fails shows the end of its own. SUITES="unit regress" runs those only, TAP="010* 02*" those TAP tests.
# Suites that need no server run beside the others, and TAP_JOBS (three for two processors, at most 6) TAP tests at once:
# most of their time is waiting.
# "--sanitized" is for a build under sanitizers: their runtime is preloaded into the server, and whatever they report there
# fails the run.
set -uo pipefail
. "$(dirname "$0")/../scripts/server.sh"

sanitized=false
[ "${1:-}" = --sanitized ] && sanitized=true
sanitizer_environment=()
logs=$build/test-logs
mkdir -p "$logs"
passed=0
failed=0
skipped=0

# count SUITE PASSED FAILED SKIPPED: adds up, and shows the log of a suite that failed.
count() {
    passed=$((passed + $2))
    failed=$((failed + $3))
    skipped=$((skipped + $4))
    printf '%-16s %5d passed %5d failed %5d skipped  %4d s\n' "$1" "$2" "$3" "$4" $((SECONDS - suite_started))
    if [ "$3" -gt 0 ]; then
        echo "--- $1: the end of $logs/$1.log"
        tail -n 60 "$logs/$1.log"
    fi
}

lines() { grep -cE "$1" "$2" || true; }

# A program that died without its summary is a failure, whatever it printed.
suite_checks() {
    local good=0 bad=0 check
    : >"$logs/checks.log"
    for check in "$root"/test/checks/*.sh; do
        if BUILD_DIR=$build "$check" >>"$logs/checks.log" 2>&1; then
            good=$((good + 1))
        else
            echo "FAILED: $(basename "$check")" >>"$logs/checks.log"
            bad=$((bad + 1))
        fi
    done
    count checks $good $bad 0
}

suite_unit() {
    DLENT_SHARED=${DLENT_SHARED:-$root/../shared} "$build/dlent_unit" >"$logs/unit.log" 2>&1
    local status=$? good bad skip
    good=$(lines '^\[       OK \]' "$logs/unit.log")
    bad=$(lines '^\[  FAILED  \] [^ ]+ \([0-9]+ ms\)' "$logs/unit.log")
    skip=$(lines '^\[  SKIPPED \] [^ ]+ \([0-9]+ ms\)' "$logs/unit.log")
    [ $status -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
    count unit "$good" "$bad" "$skip"
}

suite_fuzz() {
    local good=0 bad=0 source name
    : >"$logs/fuzz.log"
    for source in "$root"/test/fuzz/*_fuzz.cpp; do
        [ -e "$source" ] || continue
        name=$(basename "$source" .cpp)
        if "$build/$name" "$root/test/fuzz/corpus/${name%_fuzz}" "${FUZZ_SECONDS:-10}" >>"$logs/fuzz.log" 2>&1; then
            good=$((good + 1))
        else
            echo "FAILED: $name" >>"$logs/fuzz.log"
            bad=$((bad + 1))
        fi
    done
    count fuzz $good $bad 0
}

# What a server's account must read is copied to where it can.
prepare_inputs() {
    local inputs=$runtime/inputs
    rm -rf "$inputs"
    mkdir -p "$inputs"
    cp -r "$root/sql" "$root/expected" "$root/test/isolation" "$root/test/tap" "$root/examples" "$root/docs" "$root/README.md" "$inputs/"
    chmod -R a+rX "$inputs"
    [ "$(id -u)" -eq 0 ] && chown -R "$server_user" "$inputs"
    return 0
}

# regress NAME PROGRAM INPUTDIR TESTS...: pg_regress or its isolation sibling on a temporary instance.
regress() {
    local name=$1 program=$2 input=$3
    shift 3
    local output=$runtime/$name-out
    rm -rf "$output"
    as_server_user mkdir -p "$output"
    (cd "$output" && as_server_user env "${sanitizer_environment[@]}" "$program" --temp-instance="$output/tmp" --bindir="$private_bin" \
        --inputdir="$input" --outputdir="$output" --dlpath="$private_lib" --temp-config="$runtime/regress.conf" \
        --dbname=contrib_regression "$@") >"$logs/$name.log" 2>&1
    local status=$? good bad
    # PostgreSQL 15 says "test NAME ... ok", later ones speak TAP
    good=$(lines '^test .*\.\.\. +ok|^ok ' "$logs/$name.log")
    bad=$(lines '\.\.\. +FAILED|^not ok ' "$logs/$name.log")
    [ $status -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
    if [ "$bad" -gt 0 ] && [ -e "$output/regression.diffs" ]; then
        head -n 300 "$output/regression.diffs" >>"$logs/$name.log"
    fi
    count "$name" "$good" "$bad" 0
}

suite_regress() {
    local tests
    tests=$(cd "$root/sql" && ls ./*.sql | sed 's,^\./,,; s,\.sql$,,')
    regress regress "$pgxs/src/test/regress/pg_regress" "$runtime/inputs" $tests
}

suite_isolation() {
    local specs
    specs=$(cd "$root/test/isolation/specs" 2>/dev/null && ls ./*.spec | sed 's,^\./,,; s,\.spec$,,')
    [ -n "$specs" ] || return 0
    regress isolation "$pgxs/src/test/isolation/pg_isolation_regress" "$runtime/inputs/isolation" $specs
}

suite_tap() {
    local output=$runtime/tap-out
    rm -rf "$output"
    as_server_user mkdir -p "$output"
    local tests tap_jobs test
    tap_jobs=$(($(nproc) * 3 / 2))
    tap_jobs=$((tap_jobs < 6 ? tap_jobs : 6))
    tests=$(cd "$runtime/inputs/tap/t" && printf "$PWD/%s\n" ${TAP:-*.pl})
    (cd "$output" && as_server_user env PATH="$private_bin:$PATH" PERL5LIB="$pgxs/src/test/perl:$runtime/inputs/tap" \
        PG_REGRESS="$pgxs/src/test/regress/pg_regress" TESTDIR="$output" TESTDATADIR="$output/tmp_check" \
        TESTLOGDIR="$output/log" \
        DLENT_EXAMPLES="$runtime/inputs/examples" \
        prove --verbose --timer --jobs="${TAP_JOBS:-$tap_jobs}" $tests) >"$logs/tap.log" 2>&1
    local status=$? good bad skip
    skip=$(lines '^ok .*# [Ss][Kk][Ii][Pp]|^1\.\.0 # SKIP' "$logs/tap.log")
    good=$(($(lines '^ok [0-9]+( |$)' "$logs/tap.log") - $(lines '^ok [0-9]+ .*# [Ss][Kk][Ii][Pp]' "$logs/tap.log")))
    bad=$(lines '^not ok ' "$logs/tap.log")
    [ $status -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
    # what a test that failed said last, and why it died, is in a log of its own
    for test in $(sed -n 's,^/.*/\([^/ ]*\)\.pl *(Wstat: .*,\1,p' "$logs/tap.log"); do
        printf -- '--- %s\n' "$test"
        find "$output" -name "regress_log_$test" -exec grep -hvE '^(\[[^]]*\] *)?(\([^)]*\) *)?ok ' {} + | tail -n 20
    done >>"$logs/tap.log"
    count tap "$good" "$bad" "$skip"
}

suite_quality() {
    local data=${DLENT_DATA:-$root/../shared/data}
    if [ ! -e "$data/quality.json" ]; then
        echo "1..0 # SKIP no data sets at $data" >"$logs/quality.log"
        echo "quality: skipped, there are no data sets at $data"
        count quality 0 0 1
        return
    fi
    start_cluster quality || { echo "no server" >"$logs/quality.log"; count quality 0 1 0; return; }
    # the cluster outlives its build: an extension of earlier scripts must not meet this library
    "$private_bin/psql" -X -q -d postgres -c 'DROP EXTENSION IF EXISTS dlent CASCADE' >"$logs/quality.log" 2>&1
    PATH=$private_bin:$PATH DLENT_DATA=$data "$root/bench/quality.sh" --quick >>"$logs/quality.log" 2>&1
    local status=$? good bad
    stop_cluster quality
    good=$(lines '^ok ' "$logs/quality.log")
    bad=$(lines '^not ok ' "$logs/quality.log")
    [ $status -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
    count quality "$good" "$bad" 0
}

# beside SUITE...: runs them in the background; join adds up what they counted.
beside() {
    rm -f "$logs/beside.counts"
    (
        passed=0 failed=0 skipped=0
        for suite in "$@"; do run "$suite"; done
        echo "$passed $failed $skipped" >"$logs/beside.counts"
    ) &
    beside_process=$!
}

join() {
    local good=0 bad=1 skip=0
    wait "$beside_process"
    read -r good bad skip <"$logs/beside.counts"
    passed=$((passed + good))
    failed=$((failed + bad))
    skipped=$((skipped + skip))
}

run() {
    case " ${SUITES:-$1} " in *" $1 "*) ;; *) return 0 ;; esac
    suite_started=$SECONDS
    "suite_$1"
}

# A report of the sanitizers, from whichever process, is a failure.
suite_sanitizers() {
    local reports
    reports=$(find "$runtime/sanitizers" -type f | wc -l)
    find "$runtime/sanitizers" -type f -exec cat {} + >"$logs/sanitizers.log"
    count sanitizers $((reports == 0)) "$reports" 0
}

beside unit fuzz
if $sanitized; then
    choose_runtime
    rm -rf "$runtime/sanitizers"
    mkdir -p -m 777 "$runtime/sanitizers"
    chmod 777 "$runtime/sanitizers"
    sanitizer_environment=(
        LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libubsan.so)"
        ASAN_OPTIONS="detect_leaks=0:log_path=$runtime/sanitizers/asan"
        UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:log_path=$runtime/sanitizers/ubsan"
    )
fi
$sanitized || run checks
install_private_tree
pgxs=$(dirname "$("$pg_config" --pgxs)")/../..
pgxs=$(cd "$pgxs" && pwd)
printf "listen_addresses = ''\nfsync = off\nmax_prepared_transactions = 2\n" >"$runtime/regress.conf"
chmod a+r "$runtime/regress.conf"
prepare_inputs
# On some systems the preloaded runtime and the libraries that the server brings along lock each other up at start.
if $sanitized && ! timeout -s KILL 20 env "${sanitizer_environment[@]}" "$private_bin/postgres" -V >"$logs/sanitizers.log" 2>&1; then
    echo "the server does not start with the sanitizers' runtime preloaded: its suites are skipped"
    suite_started=$SECONDS
    count sanitizers 0 0 1
    join
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
    exit
fi
run regress
run isolation
if $sanitized; then
    run sanitizers
else
    run tap
    run quality
fi
join

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
