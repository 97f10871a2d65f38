#include "cpu/row_kernels.h"

namespace dlent {

const RowKernels& SelectRowKernels() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return Avx512RowKernels();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return Avx2RowKernels();
#endif
    return GenericRowKernels();
}

}  // namespace dlent
