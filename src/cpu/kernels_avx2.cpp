#define DLENT_VECTOR_FLOATS 8
#define DLENT_KERNEL_NAME "avx2"
#define DLENT_KERNEL_GETTER Avx2CpuKernels
#include "cpu/kernels.inl"
