#define DLENT_INT8_VNNI
#define DLENT_INT8_LANES 16
#define DLENT_INT8_TILE_ROWS 6
#define DLENT_INT8_TILE_VECTORS 4
#define DLENT_INT8_ROW_VECTORS 8
#define DLENT_KERNEL_NAME "avx512vnni"
#define DLENT_KERNEL_GETTER Avx512Int8Kernels
#include "cpu/int8_kernels.inl"
