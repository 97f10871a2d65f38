#define DLENT_INT8_AVX2
#define DLENT_INT8_LANES 8
#define DLENT_INT8_TILE_ROWS 4
#define DLENT_INT8_TILE_VECTORS 2
#define DLENT_INT8_ROW_VECTORS 8
#define DLENT_KERNEL_NAME "avx2"
#define DLENT_KERNEL_GETTER Avx2Int8Kernels
#include "cpu/int8_kernels.inl"
