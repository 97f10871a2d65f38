#pragma once

#include <nccl.h>

#include <string>

namespace dlent::cuda {

/// What is used of NCCL, from the library that is there at run time: trainings on one GPU do not need it.
struct NcclLibrary {
    decltype(&ncclGetUniqueId) get_unique_id = nullptr;
    decltype(&ncclCommInitRankConfig) comm_init_rank_config = nullptr;
    decltype(&ncclCommGetAsyncError) comm_get_async_error = nullptr;
    decltype(&ncclCommFinalize) comm_finalize = nullptr;
    decltype(&ncclCommDestroy) comm_destroy = nullptr;
    decltype(&ncclCommAbort) comm_abort = nullptr;
    decltype(&ncclAllReduce) all_reduce = nullptr;
    decltype(&ncclGetErrorString) get_error_string = nullptr;

    /// Loaded when it is first asked for; null, and why.
    static const NcclLibrary* Load(std::string* reason);
};

}  // namespace dlent::cuda
