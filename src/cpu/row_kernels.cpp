#include "cpu/row_kernels.h"

#include <algorithm>

namespace dlent {

const RowKernels& SelectRowKernels(CpuIsa max_isa) {
#if defined(__x86_64__)
    switch (std::min(max_isa, DetectCpuIsa())) {
        case CpuIsa::kAvx512:
            return Avx512RowKernels();
        case CpuIsa::kAvx2:
            return Avx2RowKernels();
        case CpuIsa::kGeneric:
            break;
    }
#endif
    return GenericRowKernels();
}

}  // namespace dlent
