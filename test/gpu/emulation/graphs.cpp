#include "graphs.h"

#include <cuda_runtime.h>

namespace dlent::cuda {

GraphSize LastGraphSize() {
    return {cuda_emulation::graph_work, cuda_emulation::graph_depth};
}

void FailRecordings(int count) {
    cuda_emulation::recordings_to_fail = count;
}

}  // namespace dlent::cuda
