# Sourced by run.sh: what a card's process can do to a server, which is nothing. Prints "ok - …" and "not ok - …".

check() {
    local what=$1
    shift
    if "$@"; then echo "ok - $what"; else echo "not ok - $what"; fi
}
# within WHAT COMMAND...: until it succeeds, for a minute
within() {
    local what=$1 until=$((SECONDS + 60))
    shift
    while [ $SECONDS -lt $until ]; do
        "$@" && { echo "ok - $what"; return 0; }
        sleep 0.05
    done
    echo "not ok - $what"
    return 1
}
gone() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:	Z' "/proc/$1/status" 2>/dev/null; }
says() { [ "$(query "$1" 2>&1)" = "$2" ]; }

long="SELECT device FROM dlent_train('long', 'SELECT a, b, c FROM fault', 'c', '{\"preset\": \"fast\", \"epochs\": 100000, \"device\": \"cuda\"}')"
short="SELECT split_part(device, ':', 1) FROM dlent_train('short', 'SELECT a, b, c FROM fault', 'c', '{\"preset\": \"fast\", \"epochs\": 1, \"device\": \"cuda\"}')"
short_cpu=${short/\"cuda\"/\"cpu\"}

# in_background POLICY: a long training; its output is in $home/session
in_background() {
    query "SET dlent.gpu = $1; SET statement_timeout = '20s'; $long" >"$home/session" 2>&1 &
    session=$!
    within "$1: a job runs" says "SELECT sum(jobs) FROM dlent.gpus" 1
}

cancel_jobs() { query "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%epochs%' AND pid <> pg_backend_pid()" >/dev/null; }
has_not_restarted() { check "the server did not restart in all that" says 'SELECT pg_postmaster_start_time()' "$started"; }
# Settings are of processes that start from now on; those of a new server do not wait longer each time, as after many that died.
start_anew() {
    has_not_restarted
    stop_server fast
    start_server
    started=$(query 'SELECT pg_postmaster_start_time()')
}

faults() {
    local kind=cuda gpud started policy
    [ "$plugin" = dlent_cuda ] || kind=fake
    : >"$home/orders"
    chmod a+r "$home/orders"
    query "CREATE EXTENSION IF NOT EXISTS dlent;
           CREATE TABLE fault AS SELECT i % 100 / 7.0 AS a, i % 13 AS b, i * 7919 % 100 + i * 104729 % 60 > 80 AS c FROM generate_series(1, 2000) AS i"
    [ $kind = fake ] && echo slow=2000 >"$home/orders"
    started=$(query 'SELECT pg_postmaster_start_time()')
    within "the device is ready" says "SELECT state FROM dlent.gpus WHERE gpu = 0" ready

    in_background require
    gpud=$(query 'SELECT pid FROM dlent.gpus WHERE gpu = 0')
    kill -9 "$gpud"
    wait $session
    check "require: kill -9 is an error that says so" grep -q 'was not trained on a GPU: the GPU process ended' "$home/session"
    within "a new process comes" says "SELECT pid IS NOT NULL AND pid <> $gpud FROM dlent.gpus WHERE gpu = 0" t
    check "and trains" says "SET client_min_messages = error; $short" $kind

    in_background try
    kill -9 "$(query 'SELECT pid FROM dlent.gpus WHERE gpu = 0')"
    within "try: kill -9 is a warning that says so" grep -q 'WARNING:  the model is trained on the CPU: the GPU process ended' "$home/session"
    cancel_jobs
    wait $session
    within "it trains again" says "SET client_min_messages = error; $short" $kind

    # a process that does not run any more is what a hung driver looks like from outside
    in_background require
    gpud=$(query 'SELECT pid FROM dlent.gpus WHERE gpu = 0')
    kill -STOP "$gpud"
    cancel_jobs
    wait $session
    check "a session whose device stands still can be cancelled" grep -q 'canceling statement' "$home/session"
    kill -9 "$gpud"
    within "and the device comes back" says "SET client_min_messages = error; $short" $kind

    # the same, and nobody cancels: no sign of life for as long as may be
    query "ALTER SYSTEM SET dlent.gpu_hang_timeout = '5s'"
    start_anew
    within "a process with a short timeout trains" says "SET client_min_messages = error; $short" $kind
    for policy in require try; do
        in_background $policy
        gpud=$(query 'SELECT pid FROM dlent.gpus WHERE gpu = 0')
        kill -STOP "$gpud"
        within "$policy: a process that is stopped is one that ended" grep -q 'the GPU process ended while it trained' "$home/session"
        cancel_jobs
        wait $session
        within "$policy: and is gone" gone "$gpud"
        within "$policy: and the device comes back" says "SET client_min_messages = error; $short" $kind
    done

    # out of memory: no job may hold more
    query 'ALTER SYSTEM RESET dlent.gpu_hang_timeout'
    query "ALTER SYSTEM SET dlent.gpu_memory = '1MB'"
    start_anew
    within "memory: an error that says so" sh -c "$(declare -f query with_libraries); libraries='$libraries' pg_bin='$pg_bin'; query \"SET dlent.gpu = require; $(printf %s "$short" | sed 's/"/\\"/g')\" 2>&1 | grep -q 'out of memory on the GPU'"
    check "memory: try trains on the CPU" says "SET client_min_messages = error; $short" cpu
    query 'ALTER SYSTEM RESET dlent.gpu_memory'
    start_anew
    within "memory: with more it trains" says "SET client_min_messages = error; $short" $kind

    # two jobs at once
    in_background require
    local first=$session
    query "SET dlent.gpu = require; SET statement_timeout = '20s'; ${long/long/second}" >"$home/second" 2>&1 &
    session=$!
    within "two jobs run" says "SELECT sum(jobs) FROM dlent.gpus" 2
    cancel_jobs
    wait $first $session
    within "and their memory goes with them" says "SELECT sum(jobs) || ' ' || sum(memory_used) FROM dlent.gpus" "0 0"
    has_not_restarted

    # the server's ends
    local mode
    for mode in fast immediate; do
        in_background require
        gpud=$(query 'SELECT pid FROM dlent.gpus WHERE gpu = 0')
        stop_server $mode
        wait $session
        within "$mode: no process outlives the server" gone "$gpud"
        start_server
        within "$mode: it trains again" says "SET client_min_messages = error; $short" $kind
    done
    gpud=$(query 'SELECT pid FROM dlent.gpus WHERE gpu = 0')
    kill -9 "$(query "SELECT pid FROM pg_stat_activity WHERE backend_type = 'background writer'")"
    within "crash: the process goes" gone "$gpud"
    within "crash: it trains again" says "SET client_min_messages = error; $short" $kind
    check "crash: so does the CPU" says "SET client_min_messages = error; $short_cpu" cpu
}
