// A stand-in for a GPU, for tests: the CPU's operators behind the plugin's interface, and on demand the
// faults of a card. It is not installed, and says what it is wherever it is shown.
//
// The file that DLENT_FAKE_GPU names, when there is one, holds words that are read when devices are listed
// and when a job starts:
//   devices=N      how many devices there are (1)
//   memory=BYTES   of each (1 GiB)
//   no_driver      none can be listed, as without a driver
//   hang           a job's work never ends; hang=N: on device N
//   slow=MICROSECONDS  every wait for the device takes so much longer

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <unordered_map>

#include "cpu/cpu_backend.h"
#include "gpu/device_plugin.h"
#include "gpu/fake/ranked_backend.h"

#ifndef DLENT_FAKE_ABI
#define DLENT_FAKE_ABI DLENT_DEVICE_ABI
#endif

namespace dlent::gpu {
namespace {

struct Orders {
    int devices = 1;
    uint64_t memory = uint64_t{1} << 30;
    bool no_driver = false;
    bool hang = false;
    int hanging_device = -1;  ///< where only one hangs
    int slow_us = 0;
};

Orders ReadOrders() {
    Orders orders;
    const char* path = std::getenv("DLENT_FAKE_GPU");
    if (path == nullptr)
        return orders;
    std::ifstream file(path);
    std::string word;
    while (file >> word) {
        const std::string value = word.substr(std::min(word.size(), word.find('=') + 1));
        if (word.starts_with("devices="))
            orders.devices = std::atoi(value.c_str());
        else if (word.starts_with("memory="))
            orders.memory = std::strtoull(value.c_str(), nullptr, 10);
        else if (word.starts_with("slow="))
            orders.slow_us = std::atoi(value.c_str());
        else if (word == "no_driver")
            orders.no_driver = true;
        else if (word == "hang")
            orders.hang = true;
        else if (word.starts_with("hang="))
            orders.hanging_device = std::atoi(value.c_str());
    }
    return orders;
}

int Fail(char* error, size_t bytes, const char* reason) {
    std::snprintf(error, bytes, "%s", reason);
    return -1;
}

/// What a card's backend allocates before it takes a job.
constexpr size_t kWorkspaceBytes = size_t{2} << 20;

/// The CPU with a card's allowance of memory and a card's faults.
class FakeBackend final : public RankedBackend {
 public:
    FakeBackend(std::unique_ptr<Backend> cpu, const DlentMemoryGate& gate, const Orders& orders)
        : RankedBackend(std::move(cpu)), gate_(gate), orders_(orders) {}
    ~FakeBackend() override {
        for (const auto& [pointer, bytes] : sizes_)
            gate_.release(gate_.context, bytes);
    }

    /// False when there is no room for that.
    bool Create() { return Allocate(kWorkspaceBytes) != nullptr; }

    const char* name() const override { return "fake"; }
    void* Allocate(size_t bytes) override {
        if (!gate_.reserve(gate_.context, bytes))
            return nullptr;
        void* const pointer = RankedBackend::Allocate(bytes);
        if (pointer == nullptr)
            gate_.release(gate_.context, bytes);
        else
            sizes_[pointer] = bytes;
        return pointer;
    }
    void Free(void* pointer) override {
        if (const auto found = sizes_.find(pointer); found != sizes_.end()) {
            gate_.release(gate_.context, found->second);
            sizes_.erase(found);
        }
        RankedBackend::Free(pointer);
    }
    size_t ResidentBytes() const override { return orders_.memory / 2; }
    Status Synchronize() override {
        while (orders_.hang)
            std::this_thread::sleep_for(std::chrono::seconds(1));
        if (orders_.slow_us > 0)
            std::this_thread::sleep_for(std::chrono::microseconds(orders_.slow_us));
        return RankedBackend::Synchronize();
    }

 private:
    const DlentMemoryGate& gate_;
    const Orders orders_;
    std::unordered_map<void*, size_t> sizes_;
};

int DeviceCount(char* error, size_t error_bytes) {
    const Orders orders = ReadOrders();
    return orders.no_driver ? Fail(error, error_bytes, "no driver is installed") : orders.devices;
}

int DeviceInfo(int device, DlentDeviceInfo* info, char* error, size_t error_bytes) {
    const Orders orders = ReadOrders();
    if (device < 0 || device >= orders.devices)
        return Fail(error, error_bytes, "there is no such device");
    *info = {};
    std::snprintf(info->name, sizeof(info->name), "fake device %d (CPU stand-in for tests)", device);
    std::snprintf(info->driver, sizeof(info->driver), "none");
    info->memory_bytes = orders.memory;
    return 0;
}

void* MakeBackend(int device, int, const DlentMemoryGate* gate, char* error, size_t error_bytes) {
    std::unique_ptr<Backend> cpu = MakeCpuBackend();
    if (cpu == nullptr) {
        Fail(error, error_bytes, "out of memory");
        return nullptr;
    }
    Orders orders = ReadOrders();
    orders.hang = orders.hang || orders.hanging_device == device;
    auto backend = std::make_unique<FakeBackend>(std::move(cpu), *gate, orders);
    if (!backend->Create()) {
        Fail(error, error_bytes, "out of memory for the workspace");
        return nullptr;
    }
    return static_cast<Backend*>(backend.release());
}

void FreeBackend(void* backend) {
    delete static_cast<Backend*>(backend);
}

int JoinGroup(void* backend, DlentGroup* group, char* error, size_t error_bytes) {
    const SharedGroup::MustEnd must_end = [group] { return group->must_end(group->context, 1) != 0; };
    Expected<std::unique_ptr<SharedGroup>> joined = Status::Cancelled();
    if (group->rank == 0) {
        joined = SharedGroup::Create(group->ranks, must_end);
        if (joined.ok()) {
            DlentGroupId id{};
            std::memcpy(id.bytes, (*joined)->id().data(),
                        std::min((*joined)->id().size(), sizeof(id.bytes) - 1));
            group->publish(group->context, &id);
        }
    } else {
        const auto* const id = reinterpret_cast<const char*>(group->id.bytes);
        joined = SharedGroup::Join(std::string(id, strnlen(id, sizeof(group->id.bytes))), group->rank,
                                   group->ranks, must_end);
    }
    if (joined.ok()) {
        // all have come when they have added something up
        double nothing = 0.0;
        if (const Status met = (*joined)->Sum(1, &nothing); !met.ok())
            joined = met;
    }
    if (joined.status().code() == StatusCode::kCancelled)
        return 1;
    if (!joined.ok())
        return Fail(error, error_bytes, joined.status().message().c_str());
    static_cast<FakeBackend*>(static_cast<Backend*>(backend))->Join(std::move(*joined));
    return 0;
}

constexpr DlentDevicePlugin kPlugin = {
    DLENT_FAKE_ABI, DLENT_VERSION, "fake", DeviceCount, DeviceInfo, MakeBackend, FreeBackend, JoinGroup,
};

}  // namespace
}  // namespace dlent::gpu

extern "C" __attribute__((visibility("default"))) const DlentDevicePlugin* dlent_device_plugin() {
    return &dlent::gpu::kPlugin;
}
