#define DLENT_INT8_LANES 4
#define DLENT_INT8_TILE_ROWS 2
#define DLENT_INT8_TILE_VECTORS 2
#define DLENT_INT8_ROW_VECTORS 4
#define DLENT_KERNEL_NAME "generic"
#define DLENT_KERNEL_GETTER GenericInt8Kernels
#include "cpu/int8_kernels.inl"
