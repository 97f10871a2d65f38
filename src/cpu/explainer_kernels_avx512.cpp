#define DLENT_KERNEL_NAME "avx512"
#define DLENT_KERNEL_GETTER Avx512ExplainerKernels
#include "cpu/explainer_kernels.h"

#include "core/explain/explainer_kernels.inl"
