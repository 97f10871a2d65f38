#define DLENT_VECTOR_FLOATS 8
#define DLENT_VECTOR_BLOCK 8
#define DLENT_TILE_ROWS 6
#define DLENT_TILE_VECTORS 2
#define DLENT_KERNEL_NAME "avx2"
#define DLENT_KERNEL_GETTER Avx2RowKernels
#include "cpu/row_kernels.inl"
