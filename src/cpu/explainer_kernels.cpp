#include "cpu/explainer_kernels.h"

#include <algorithm>

namespace dlent {

const ExplainerKernels& SelectExplainerKernels(CpuIsa max_isa) {
#if defined(__x86_64__)
    switch (std::min(max_isa, DetectCpuIsa())) {
        case CpuIsa::kAvx512:
            return Avx512ExplainerKernels();
        case CpuIsa::kAvx2:
            return Avx2ExplainerKernels();
        case CpuIsa::kGeneric:
            break;
    }
#endif
    return PortableExplainerKernels();
}

}  // namespace dlent
