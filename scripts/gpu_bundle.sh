#!/usr/bin/env bash
# Makes gpu-bundle/: everything that test/gpu/run.sh needs on a Linux machine that has an NVIDIA driver and CUDA's libraries, and
# need have nothing else of ours: the extension, dlent-gpud and its plugins, the device tests and benchmarks, a PostgreSQL server
# with the libraries it links, and the scripts. Without CUDA's own libraries, which that machine has. Programs and libraries are
# packed one by one; run.sh unpacks a copy.
set -euo pipefail
. "$(dirname "$0")/server.sh"

bundle=${1:-$root/gpu-bundle}
most_megabytes=52  # a bundle travels with a checkout, through channels that take 64

[ -e "$build/dlent_cuda.so" ] || { echo "gpu-bundle needs a build with nvcc: there is no $build/dlent_cuda.so" >&2; exit 1; }
rm -rf "$bundle"
mkdir -p "$bundle/bin" "$bundle/lib" "$bundle/fallback" "$bundle/test" "$bundle/bench"

# The server, laid out as it expects to find itself (relative to its program file).
bindir=$("$pg_config" --bindir)
sharedir=$("$pg_config" --sharedir)
pkglibdir=$("$pg_config" --pkglibdir)
pg_bin=$bundle/pg$bindir
pg_lib=$bundle/pg$pkglibdir
pg_share=$bundle/pg$sharedir
mkdir -p "$pg_bin" "$pg_lib" "$pg_share/extension"
cp "$bindir"/{postgres,initdb,pg_ctl,psql} "$pg_bin/"
cp "$pkglibdir"/{plpgsql,dict_snowball}.so "$pg_lib/"
cp "$sharedir"/*.{bki,sql,txt} "$pg_share/" 2>/dev/null || true
cp "$sharedir"/*.sample "$pg_share/"
cp -rL "$sharedir"/{timezonesets,tsearch_data} "$pg_share/"
[ -d "$sharedir/timezone" ] && cp -rL "$sharedir/timezone" "$pg_share/"
cp "$sharedir"/extension/plpgsql* "$pg_share/extension/"
cp "$root/dlent.control" "$build"/dlent--*.sql "$pg_share/extension/"
cp "$build"/{dlent,dlent_cuda,dlent_fake_gpu}.so "$build/dlent-gpud" "$pg_lib/"

cp "$build"/{dlent_device_tests,dlent_device_bench} "$bundle/bin/"
cp "$root"/test/gpu/*.{sh,sql} "$bundle/test/"
cp "$root"/bench/gpu/*.py "$root"/bench/gpu/*.sql "$bundle/bench/" 2>/dev/null || true
find "$bundle/bin" "$pg_bin" "$pg_lib" -type f -exec strip --strip-unneeded {} +

# What all of it links, but for the C library, which is the machine's, CUDA's, and C++'s, which is a fallback.
programs() { find "$bundle/bin" "$pg_bin" "$pg_lib" -type f; }
for program in $(programs); do
    ldd "$program" 2>/dev/null | awk '/=> \//{print $3}'
done | sort -u | while read -r library; do
    case $(basename "$library") in
        libc.so.* | libm.so.* | libpthread.so.* | libdl.so.* | librt.so.* | libresolv.so.* | libutil.so.* | ld-linux* | libcu* | libnv*) ;;
        libstdc++.so.* | libgcc_s.so.*) cp -L "$library" "$bundle/fallback/" ;;
        *) cp -L "$library" "$bundle/lib/" ;;
    esac
done

glibc=$(for program in $(programs) "$bundle"/lib/*; do objdump -T "$program" 2>/dev/null; done | grep -o 'GLIBC_2\.[0-9.]*' | sort -uV | tail -1)
cublas=$(objdump -p "$pg_lib/dlent_cuda.so" | grep -o 'libcublasLt\.so\.[0-9]*' | sort -u)
find "$bundle/bin" "$bundle/lib" "$bundle/fallback" "$pg_bin" "$pg_lib" -type f -exec gzip -9 {} +
{
    echo "dlent $(sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" "$root/dlent.control"), commit $(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)"
    "$pg_config" --version
    echo "needs ${glibc/GLIBC_/glibc } or later, x86-64, an NVIDIA driver, $cublas"
} >"$bundle/MANIFEST"
cat "$bundle/MANIFEST"
megabytes=$(du -sm "$bundle" | cut -f1)
echo "$bundle: $megabytes MB"
[ "$megabytes" -le "$most_megabytes" ] || { echo "that is more than $most_megabytes MB" >&2; exit 1; }
