#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/nn/backend.h"
#include "core/nn/device_buffer.h"
#include "cpu/cpu_backend.h"

namespace dlent::parity {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;
using Integers = std::vector<int32_t>;

/// A device under test. Every operator must give what the float64 references of the tests give.
struct BackendCase {
    std::string name;
    std::function<std::unique_ptr<Backend>()> make;
    double tolerance_factor = 1.0;  ///< on every tolerance: products in less than fp32
};

/// Devices other than the CPU, where the program is built for a machine that has some (test/gpu).
std::vector<BackendCase> DeviceBackends();

inline void PrintTo(const BackendCase& backend, std::ostream* out) {
    *out << backend.name;
}

/// Those that this machine has.
inline std::vector<BackendCase> AvailableBackends() {
    std::vector<BackendCase> cases = DeviceBackends();
    const auto add = [&](std::string name, CpuIsa isa) {
        if (isa <= DetectCpuIsa())
            cases.push_back({std::move(name), [isa] { return MakeCpuBackend(isa); }});
    };
    add("cpu_generic", CpuIsa::kGeneric);
    add("cpu_avx2", CpuIsa::kAvx2);
    add("cpu_avx512", CpuIsa::kAvx512);
    return cases;
}

inline Floats RandomFloats(size_t count, uint64_t seed, float low = -1.5f, float high = 1.5f) {
    RandomStream random(seed);
    Floats values(count);
    for (float& value : values)
        value = random.Uniform(low, high);
    return values;
}

inline Integers RandomCodes(size_t count, int levels, uint64_t seed) {
    RandomStream random(seed);
    Integers codes(count);
    for (int32_t& code : codes)
        code = static_cast<int32_t>(random.NextBelow(static_cast<uint32_t>(levels + 1))) - 1;
    return codes;
}

template <typename T>
Doubles Wide(const std::vector<T>& values) {
    return Doubles(values.begin(), values.end());
}

/// Of the device under test.
inline double tolerance_factor = 1.0;

/// |actual − expected| ≤ tolerance · max(floor, |expected|), everywhere.
inline void ExpectClose(const std::string& what, const Floats& actual, const Doubles& expected,
                        double tolerance = 2e-5, double floor = 1.0) {
    ASSERT_EQ(actual.size(), expected.size()) << what;
    tolerance *= tolerance_factor;
    for (size_t i = 0; i < actual.size(); ++i)
        ASSERT_LE(std::abs(actual[i] - expected[i]), tolerance * std::max(floor, std::abs(expected[i])))
            << what << " differs at " << i << ": " << actual[i] << " instead of " << expected[i];
}

using Scalar = std::function<double(const Doubles&)>;

/// `gradient` is that of `function` at `point`, by central differences at some hundred of its entries, evenly
/// spread, up to `tolerance` of its largest entry.
inline void ExpectGradient(const std::string& what, const Floats& gradient, const Floats& point,
                           const Scalar& function, double tolerance = 1e-4) {
    constexpr double kStep = 1e-5;
    constexpr size_t kEntries = 128;
    ASSERT_EQ(gradient.size(), point.size()) << what;
    tolerance *= tolerance_factor;
    double largest = 1e-3;
    for (const float value : gradient)
        largest = std::max(largest, static_cast<double>(std::abs(value)));
    Doubles at = Wide(point);
    for (size_t i = 0; i < at.size(); i += 1 + at.size() / kEntries) {
        const double centre = at[i];
        at[i] = centre + kStep;
        const double above = function(at);
        at[i] = centre - kStep;
        const double below = function(at);
        at[i] = centre;
        const double expected = (above - below) / (2 * kStep);
        ASSERT_LE(std::abs(gradient[i] - expected), tolerance * std::max(largest, std::abs(expected)))
            << "gradient of " << what << " differs at " << i << ": " << gradient[i] << " instead of "
            << expected;
    }
}

inline double Dot(const Doubles& a, const Floats& b) {
    double sum = 0.0;
    for (size_t i = 0; i < a.size(); ++i)
        sum += a[i] * b[i];
    return sum;
}

/// op(a) · op(b) in double precision, dense.
inline Doubles Multiply(bool transpose_a, bool transpose_b, int m, int n, int k, const Doubles& a, int lda,
                        const Doubles& b, int ldb) {
    Doubles c(static_cast<size_t>(m) * n);
    for (int i = 0; i < m; ++i)
        for (int j = 0; j < n; ++j)
            for (int l = 0; l < k; ++l)
                c[i * n + j] += (transpose_a ? a[l * lda + i] : a[i * lda + l]) *
                                (transpose_b ? b[j * ldb + l] : b[l * ldb + j]);
    return c;
}

inline double Activate(Activation activation, double x) {
    switch (activation) {
        case Activation::kIdentity:
            return x;
        case Activation::kRelu:
            return x > 0 ? x : 0;
        case Activation::kLeakyRelu:
            return x > 0 ? x : 0.01 * x;
        case Activation::kSelu:
            return 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * std::expm1(x));
        case Activation::kGelu:
            return 0.5 * x * std::erfc(-x * std::sqrt(0.5));
        case Activation::kSilu:
            return x / (1 + std::exp(-x));
        case Activation::kMish:
            return x * std::tanh(std::log1p(std::exp(x)));
        case Activation::kTanh:
            return std::tanh(x);
        case Activation::kSigmoid:
            return 1 / (1 + std::exp(-x));
    }
    return x;
}

constexpr Activation kActivations[] = {Activation::kIdentity, Activation::kRelu, Activation::kLeakyRelu,
                                       Activation::kSelu,     Activation::kGelu, Activation::kSilu,
                                       Activation::kMish,     Activation::kTanh, Activation::kSigmoid};

/// A test that runs once on every device. Memory obtained by Put and Make lives until the test ends.
class BackendParity : public ::testing::TestWithParam<BackendCase> {
 protected:
    void SetUp() override {
        tolerance_factor = GetParam().tolerance_factor;
        backend_ = GetParam().make();
        ASSERT_NE(backend_, nullptr);
    }
    void TearDown() override {
        EXPECT_TRUE(backend_->Synchronize().ok());
        for (void* pointer : memory_)
            backend_->Free(pointer);
    }

    template <typename T>
    T* Put(const std::vector<T>& values) {
        T* device = Make<T>(values.size());
        backend_->Upload(device, values.data(), values.size() * sizeof(T));
        return device;
    }
    template <typename T = float>
    T* Make(size_t count) {
        void* device = backend_->Allocate(count * sizeof(T));
        EXPECT_NE(device, nullptr);
        memory_.push_back(device);
        return static_cast<T*>(device);
    }
    template <typename T = float>
    std::vector<T> Get(const T* device, size_t count) {
        std::vector<T> values(count);
        backend_->Download(values.data(), device, count * sizeof(T));
        EXPECT_TRUE(backend_->Synchronize().ok());
        return values;
    }

    std::unique_ptr<Backend> backend_;
    std::vector<void*> memory_;
};

inline std::string CaseName(const ::testing::TestParamInfo<BackendCase>& info) {
    return info.param.name;
}

}  // namespace dlent::parity
