#include "gpu/cuda/nccl_library.h"

#include <dlfcn.h>

#include <type_traits>

namespace dlent::cuda {
namespace {

constexpr const char* kName = "libnccl.so.2";

struct Loaded {
    NcclLibrary functions;
    std::string problem;
};

Loaded Open() {
    Loaded loaded;
    // never closed: it leaves threads behind
    void* const library = dlopen(kName, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        loaded.problem = dlerror();
        return loaded;
    }
    const auto find = [&](auto* function, const char* name) {
        void* const symbol = dlsym(library, name);
        if (symbol == nullptr)
            loaded.problem = std::string(kName) + " has no " + name + ": it is older than 2.14";
        *function = reinterpret_cast<std::remove_pointer_t<decltype(function)>>(symbol);
    };
    find(&loaded.functions.get_unique_id, "ncclGetUniqueId");
    find(&loaded.functions.comm_init_rank_config, "ncclCommInitRankConfig");
    find(&loaded.functions.comm_get_async_error, "ncclCommGetAsyncError");
    find(&loaded.functions.comm_finalize, "ncclCommFinalize");
    find(&loaded.functions.comm_destroy, "ncclCommDestroy");
    find(&loaded.functions.comm_abort, "ncclCommAbort");
    find(&loaded.functions.all_reduce, "ncclAllReduce");
    find(&loaded.functions.get_error_string, "ncclGetErrorString");
    return loaded;
}

}  // namespace

const NcclLibrary* NcclLibrary::Load(std::string* reason) {
    static const Loaded loaded = Open();
    *reason = loaded.problem;
    return loaded.problem.empty() ? &loaded.functions : nullptr;
}

}  // namespace dlent::cuda
