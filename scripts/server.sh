# Sourced by the scripts that need a PostgreSQL server of their own.
#
# The extension is not installed into the system. PostgreSQL looks for extensions below its own installation (only there,
# before version 18), but finds that installation relative to its program file; so a tree of links with real copies of the
# programs, laid out as the package has it, is a complete PostgreSQL to which files can be added freely. Servers,
# pg_regress, the isolation tester and TAP tests all run from it.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$(realpath -m "${BUILD_DIR:-$root/build}")

# The server is the one that the build folder was configured for: a library does not load into another's.
built_for=$(sed -n 's/^PG_CONFIG:[A-Z]*=//p' "$build/CMakeCache.txt" 2>/dev/null || true)
pg_config=${PG_CONFIG:-${built_for:-/usr/lib/postgresql/15/bin/pg_config}}
if [ "$pg_config" != "${built_for:-$pg_config}" ]; then
    echo "$build is built for $built_for, not for $pg_config: choose another BUILD_DIR" >&2
    exit 1
fi

# The server refuses to run as root; the packages bring an account for it.
server_user=$(id -un)
[ "$(id -u)" -eq 0 ] && server_user=postgres

as_server_user() {
    if [ "$(id -u)" -eq 0 ]; then
        runuser -u "$server_user" -- env HOME=/tmp "$@"
    else
        "$@"
    fi
}

# Where clusters and logs live: the build folder, unless the server's account cannot reach it (a checkout below /root).
choose_runtime() {
    runtime=$build/run
    mkdir -p "$runtime"
    if [ "$(id -u)" -eq 0 ]; then
        chown "$server_user" "$runtime"
        if ! as_server_user test -w "$runtime" 2>/dev/null; then
            runtime=/tmp/dlent-$(printf '%s' "$root" | sha256sum | cut -c1-12)
            mkdir -p "$runtime"
            chown "$server_user" "$runtime"
        fi
    fi
}

# Lays out the private tree and puts the built extension into it.
install_private_tree() {
    choose_runtime
    local bindir sharedir pkglibdir
    bindir=$("$pg_config" --bindir)
    sharedir=$("$pg_config" --sharedir)
    pkglibdir=$("$pg_config" --pkglibdir)
    private_bin=$runtime/pg$bindir
    private_share=$runtime/pg$sharedir
    private_lib=$runtime/pg$pkglibdir
    local stamp
    # its extensions too: one may be installed later
    stamp="$("$pg_config" --version) $(ls "$sharedir/extension" "$pkglibdir" | cksum)"
    if [ "$(cat "$runtime/pg/.version" 2>/dev/null)" != "$stamp" ]; then
        rm -rf "$runtime/pg"
        mkdir -p "$private_bin" "$private_share" "$private_lib"
        cp "$bindir"/* "$private_bin"/
        cp -as "$sharedir"/. "$private_share"/
        cp -as "$pkglibdir"/. "$private_lib"/
        echo "$stamp" >"$runtime/pg/.version"
    fi
    install -m 755 "$build/dlent.so" "$build/dlent-gpud" "$build/dlent_fake_gpu.so" "$build/dlent_fake_gpu_old.so" "$private_lib/"
    install -m 644 "$root/dlent.control" "$build"/dlent--*.sql "$private_share/extension/"
    local delta
    for delta in "$root"/sql/extension/upgrade/*.sql; do
        [ -e "$delta" ] && install -m 644 "$delta" "$private_share/extension/"
    done
    return 0
}

# start_cluster NAME: initialises (once) and starts a cluster; sets PGHOST and PGPORT. Sockets live below /tmp, whose path is
# short enough for any checkout; there is no TCP.
start_cluster() {
    local name=$1
    shift
    cluster=$runtime/$name
    socket_dir=/tmp/dlent-$(printf '%s' "$cluster" | sha256sum | cut -c1-12)
    mkdir -p -m 700 "$socket_dir"
    [ "$(id -u)" -eq 0 ] && chown "$server_user" "$socket_dir"
    chmod 755 "$socket_dir"
    if [ ! -e "$cluster/PG_VERSION" ]; then
        as_server_user "$private_bin/initdb" -D "$cluster" -U "$server_user" -A trust -E UTF8 --locale=C.UTF-8 -N \
            >"$runtime/$name-initdb.log" 2>&1 || { cat "$runtime/$name-initdb.log" >&2; return 1; }
        as_server_user tee -a "$cluster/postgresql.conf" >/dev/null <<CONF
listen_addresses = ''
unix_socket_directories = '$socket_dir'
shared_preload_libraries = 'dlent'
shared_buffers = 512MB
work_mem = 64MB
maintenance_work_mem = 256MB
fsync = off
max_wal_size = 4GB
CONF
    fi
    if ! as_server_user "$private_bin/pg_ctl" -D "$cluster" status >/dev/null 2>&1; then
        as_server_user "$private_bin/pg_ctl" -D "$cluster" -l "$cluster/server.log" -w -s "$@" start ||
            { tail -20 "$cluster/server.log" >&2; return 1; }
    fi
    export PGHOST=$socket_dir PGPORT=5432 PGUSER=$server_user
}

stop_cluster() {
    as_server_user "$private_bin/pg_ctl" -D "$runtime/$1" -m fast -s stop 2>/dev/null || true
}
