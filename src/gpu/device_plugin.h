#pragma once

#include <stddef.h>
#include <stdint.h>

/// What dlent-gpud asks of a device's library: one exported C function that returns a table. A plugin belongs
/// to the build of dlent-gpud that loads it, since the operators behind `make_backend` are a C++ class: the
/// number below and the build's name must both be the same, or the plugin is refused.
#define DLENT_DEVICE_ABI 2
#define DLENT_DEVICE_ENTRY "dlent_device_plugin"

extern "C" {

/// The allowance of a job's memory. `reserve` says whether the job may take so many bytes more; `release`
/// gives some back.
struct DlentMemoryGate {
    void* context;
    int (*reserve)(void* context, size_t bytes);
    void (*release)(void* context, size_t bytes);
};

/// What names a group of devices while it comes together; the plugin's to make and to understand.
struct DlentGroupId {
    uint8_t bytes[128];
};

/// A group of devices, each in a process of its own, that train one network together, as one of them sees it.
struct DlentGroup {
    int rank;                ///< from 0
    int ranks;               ///< a device in a group of its own is as good as alone
    struct DlentGroupId id;  ///< known to all ranks but 0
    void* context;
    /// Called by rank 0, before it waits for the others, with the id that it has made.
    void (*publish)(void* context, const struct DlentGroupId* id);
    /// Whether to give up, or the training has failed already; asked time and again while the device is
    /// waited for, and when the backend is freed: where it says no, that waits until the others are done too.
    /// `idle`: the device itself has nothing to do but wait for others, so that its silence means nothing.
    int (*must_end)(void* context, int idle);
};

struct DlentDeviceInfo {
    char name[256];
    char driver[256];  ///< versions of what lies below, for people
    uint64_t memory_bytes;
};

struct DlentDevicePlugin {
    uint32_t abi;       ///< DLENT_DEVICE_ABI
    const char* build;  ///< DLENT_VERSION
    const char* kind;   ///< "cuda", "fake": the first part of a device's name
    /// How many devices there are; −1 and a reason in `error` when that cannot be told. Creates no context.
    int (*device_count)(char* error, size_t error_bytes);
    /// 0, or −1 and a reason. Creates no context.
    int (*device_info)(int device, struct DlentDeviceInfo* info, char* error, size_t error_bytes);
    /// A new dlent::Backend of its own stream, for the calling thread alone, or null and a reason.
    /// `precision` is a dlent::gpu::Precision. The gate outlives it.
    void* (*make_backend)(int device, int precision, const struct DlentMemoryGate* gate, char* error,
                          size_t error_bytes);
    void (*free_backend)(void* backend);
    /// Makes a backend that has done nothing yet a rank of a group, once all ranks have come:
    /// dlent::Backend's collectives work from then on. 0; 1 when it was to end before that, or another rank
    /// has left; −1 and a reason. The group outlives the backend.
    int (*join_group)(void* backend, struct DlentGroup* group, char* error, size_t error_bytes);
};

/// The exported function.
typedef const struct DlentDevicePlugin* (*DlentDevicePluginFunction)(void);
}
