// In the place of nccl_group.cpp where NCCL was not found when dlent was built.

#include "gpu/cuda/rank_group.h"

namespace dlent::cuda {

Expected<std::unique_ptr<RankGroup>> RankGroup::Join(DlentGroup*, cudaStream_t) {
    return Status(StatusCode::kUnsupported, "this build of dlent has no NCCL");
}

}  // namespace dlent::cuda
