// What is sent to a device is what was there when it was sent, however much, and whatever becomes of the
// memory it was in.

#include "backend_parity.h"

namespace dlent::parity {
namespace {

class Transfers : public testing::TestWithParam<BackendCase> {};

float ValueAt(size_t i) {
    return static_cast<float>(i % 1048573);
}

TEST_P(Transfers, SourcesMayChangeAtOnce) {
    const std::unique_ptr<Backend> backend = GetParam().make();
    // many times what a device may keep on its way, in pieces of every size
    constexpr size_t kCount = size_t{12} << 20;
    DeviceBuffer<float> device;
    ASSERT_TRUE(device.Allocate(*backend, kCount).ok());
    RandomStream random(7);
    Floats source;
    for (size_t begin = 0; begin < kCount;) {
        const uint32_t most = random.NextBelow(3) == 0 ? 3 << 20 : 1 << random.NextBelow(18);
        const size_t count = std::min<size_t>(1 + random.NextBelow(most), kCount - begin);
        source.resize(count);
        for (size_t i = 0; i < count; ++i)
            source[i] = ValueAt(begin + i);
        backend->Upload(device.data() + begin, source.data(), count * sizeof(float));
        std::fill(source.begin(), source.end(), -1.0f);
        begin += count;
    }
    Floats back(kCount);
    backend->Download(back.data(), device.data(), device.bytes());
    ASSERT_TRUE(backend->Synchronize().ok());
    size_t wrong = 0;
    for (size_t i = 0; i < kCount; ++i)
        wrong += back[i] != ValueAt(i) ? 1 : 0;
    EXPECT_EQ(wrong, 0u);
}

TEST_P(Transfers, OperatorsSeeWhatWasSentBeforeThem) {
    const std::unique_ptr<Backend> backend = GetParam().make();
    constexpr size_t kCount = size_t{3} << 19;  // no batch fits between two others
    DeviceBuffer<float> batch;
    DeviceBuffer<float> sum;
    ASSERT_TRUE(batch.Allocate(*backend, kCount).ok());
    ASSERT_TRUE(sum.Allocate(*backend, kCount).ok());
    Floats source(kCount);
    for (int step = 1; step <= 8; ++step) {
        std::fill(source.begin(), source.end(), static_cast<float>(step));
        backend->Upload(batch.data(), source.data(), batch.bytes());
        backend->Axpy(kCount, 1.0f, batch.data(), sum.data());
    }
    Floats back(kCount);
    backend->Download(back.data(), sum.data(), sum.bytes());
    ASSERT_TRUE(backend->Synchronize().ok());
    EXPECT_EQ(back, Floats(kCount, 36.0f));
}

INSTANTIATE_TEST_SUITE_P(Every, Transfers, testing::ValuesIn(AvailableBackends()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace dlent::parity
