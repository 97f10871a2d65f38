#include "graph_size.h"

#include <cuda_runtime.h>

namespace dlent::cuda {

GraphSize LastGraphSize() {
    return {cuda_emulation::graph_work, cuda_emulation::graph_depth};
}

}  // namespace dlent::cuda
