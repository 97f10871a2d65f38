#define DLENT_VECTOR_FLOATS 4
#define DLENT_KERNEL_NAME "generic"
#define DLENT_KERNEL_GETTER GenericCpuKernels
#include "cpu/kernels.inl"
