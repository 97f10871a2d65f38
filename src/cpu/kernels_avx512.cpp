#define DLENT_VECTOR_FLOATS 16
#define DLENT_KERNEL_NAME "avx512"
#define DLENT_KERNEL_GETTER Avx512CpuKernels
#include "cpu/kernels.inl"
