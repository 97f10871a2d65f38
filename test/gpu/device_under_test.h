#pragma once

#include "gpu/daemon/plugin.h"

namespace dlent::gpu {

/// Opened by main().
const Plugin& ThePlugin();

/// A gate that lets all through.
inline const DlentMemoryGate& Unlimited() {
    static const DlentMemoryGate gate = {nullptr, [](void*, size_t) { return 1; }, [](void*, size_t) {}};
    return gate;
}

}  // namespace dlent::gpu
