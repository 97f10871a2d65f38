#!/usr/bin/env bash
# The core and its devices know no PostgreSQL header, the core no device, and neither knows CUDA; PostgreSQL's version is
# known to two headers.
set -euo pipefail
cd "$(dirname "$0")/../.."
foreign='#include *[<"](postgres|fmgr|utils/|access/|catalog/|executor/|nodes/|storage/|miscadmin|libpq|pg/|cuda|cublas|cudnn|nccl)'
if grep -rnE "$foreign" src/core src/cpu; then
    echo "src/core and src/cpu must not include PostgreSQL or CUDA headers" >&2
    exit 1
fi
foreign_to_gpu='#include *[<"](postgres|fmgr|utils/|access/|catalog/|executor/|nodes/|storage/|miscadmin|libpq|pg/)'
if grep -rnE "$foreign_to_gpu" src/gpu; then
    echo "src/gpu must not include PostgreSQL headers" >&2
    exit 1
fi
if grep -rnE '#include *[<"](cuda|cublas|cudnn|nccl|gpu/cuda)' src/pg src/gpu/protocol src/gpu/daemon; then
    echo "CUDA belongs to the plugin, src/gpu/cuda" >&2
    exit 1
fi
if grep -rnE '#include *"(cpu|gpu)/' src/core; then
    echo "src/core must not include a device's headers" >&2
    exit 1
fi
if grep -rnE 'PG_VERSION_NUM|PG_MAJORVERSION' src | grep -vE '^src/pg/bridge/compat(_rare)?\.h:'; then
    echo "what depends on PostgreSQL's version belongs to src/pg/bridge/compat.h or compat_rare.h" >&2
    exit 1
fi
