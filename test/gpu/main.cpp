// Tests of a device's operators and trainings. Exits with 77 and the reason where there is no device.

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <optional>

#include "device_under_test.h"

namespace {

constexpr int kSkipped = 77;
std::optional<dlent::gpu::Plugin> plugin;

int Skip(const dlent::Status& status) {
    std::printf("SKIPPED: %s: %s\n", status.message().c_str(), status.detail().c_str());
    return kSkipped;
}

}  // namespace

const dlent::gpu::Plugin& dlent::gpu::ThePlugin() {
    return *plugin;
}

int main(int argc, char** argv) {
    const char* const named = std::getenv("DLENT_DEVICE_PLUGIN");
    dlent::Expected<dlent::gpu::Plugin> opened =
        dlent::gpu::Plugin::Open(named != nullptr ? named : "dlent_cuda");
    if (!opened.ok())
        return Skip(opened.status());
    plugin = *opened;
    if (const auto count = plugin->DeviceCount(); !count.ok())
        return Skip(count.status());
    if (const auto info = plugin->DeviceInfo(0); info.ok())
        std::printf("device 0: %s (%s)\n", info->name, info->driver);
    testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
