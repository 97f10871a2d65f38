#pragma once

#include <stddef.h>
#include <stdint.h>

/// What dlent-gpud asks of a device's library: one exported C function that returns a table. A plugin belongs
/// to the build of dlent-gpud that loads it, since the operators behind `make_backend` are a C++ class: the
/// number below and the build's name must both be the same, or the plugin is refused.
#define DLENT_DEVICE_ABI 1
#define DLENT_DEVICE_ENTRY "dlent_device_plugin"

extern "C" {

/// The allowance of a job's memory. `reserve` says whether the job may take so many bytes more; `release`
/// gives some back.
struct DlentMemoryGate {
    void* context;
    int (*reserve)(void* context, size_t bytes);
    void (*release)(void* context, size_t bytes);
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
};

/// The exported function.
typedef const struct DlentDevicePlugin* (*DlentDevicePluginFunction)(void);
}
