// The int8 kernels as they are compiled for VNNI, tiles and all, but for the instruction itself: what it does
// is written out, so that any processor can run them.

#define DLENT_INT8_LANES 16
#define DLENT_INT8_TILE_ROWS 6
#define DLENT_INT8_TILE_VECTORS 4
#define DLENT_INT8_ROW_VECTORS 8
#define DLENT_KERNEL_NAME "emulated vnni"
#define DLENT_KERNEL_GETTER EmulatedVnniInt8Kernels
#include "cpu/int8_kernels.inl"
