#define DLENT_KERNEL_NAME "avx2"
#define DLENT_KERNEL_GETTER Avx2ExplainerKernels
#include "cpu/explainer_kernels.h"

#include "core/explain/explainer_kernels.inl"
