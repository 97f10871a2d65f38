#!/usr/bin/env bash
# The core and its devices know no PostgreSQL header, the core no device, and neither knows CUDA.
set -euo pipefail
cd "$(dirname "$0")/../.."
foreign='#include *[<"](postgres|fmgr|utils/|access/|catalog/|executor/|nodes/|storage/|miscadmin|libpq|pg/|cuda|cublas|cudnn|nccl)'
if grep -rnE "$foreign" src/core src/cpu; then
    echo "src/core and src/cpu must not include PostgreSQL or CUDA headers" >&2
    exit 1
fi
if grep -rnE '#include *"(cpu|gpu)/' src/core; then
    echo "src/core must not include a device's headers" >&2
    exit 1
fi
