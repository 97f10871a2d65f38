#define DLENT_VECTOR_FLOATS 4
#define DLENT_VECTOR_BLOCK 8
#define DLENT_TILE_ROWS 4
#define DLENT_TILE_VECTORS 2
#define DLENT_KERNEL_NAME "generic"
#define DLENT_KERNEL_GETTER GenericRowKernels
#include "cpu/row_kernels.inl"
