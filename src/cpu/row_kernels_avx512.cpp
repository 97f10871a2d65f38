#define DLENT_VECTOR_FLOATS 16
#define DLENT_VECTOR_BLOCK 16
#define DLENT_TILE_ROWS 6
#define DLENT_TILE_VECTORS 4
#define DLENT_KERNEL_NAME "avx512"
#define DLENT_KERNEL_GETTER Avx512RowKernels
#include "cpu/row_kernels.inl"
