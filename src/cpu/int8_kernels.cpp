#include "cpu/int8_kernels.h"

#include <algorithm>

namespace dlent {

const Int8Kernels& SelectInt8Kernels(CpuIsa max_isa) {
#if defined(__x86_64__)
    const CpuIsa isa = std::min(max_isa, DetectCpuIsa());
    if (isa >= CpuIsa::kAvx512 && __builtin_cpu_supports("avx512vnni"))
        return Avx512Int8Kernels();
    if (isa >= CpuIsa::kAvx2)
        return Avx2Int8Kernels();
#endif
    return GenericInt8Kernels();
}

}  // namespace dlent
