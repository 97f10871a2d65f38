#define DLENT_KERNEL_NAME "portable"
#define DLENT_KERNEL_GETTER PortableExplainerKernels
#include "core/explain/explainer_kernels.inl"
