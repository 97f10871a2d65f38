// A device scores as dlent-gpud has it do: weights that one backend of the device has loaded are read by the
// networks of others, whose memory every block uses again.

#include <gtest/gtest.h>

#include <cmath>

#include "backend_parity.h"
#include "network_testing.h"

namespace dlent::parity {
namespace {

constexpr int kBlockRows = 100;

NetworkSpec Spec() {
    return *ParseSpec(R"({"version": 1, "inputs": {"numeric": 5, "plain": 2, "codes": [7, 3]}, "members": 1,
        "layers": [
        {"name": "p", "type": "piecewise_linear_embedding", "inputs": ["numeric"], "width": 8,
         "bins": [2, 3, 4, 5, 6], "activation": "relu"},
        {"name": "e", "type": "embedding", "inputs": ["codes"], "dims": [4, 2]},
        {"name": "h", "type": "dense", "inputs": ["p", "e", "plain"], "units": 48, "activation": "relu"},
        {"name": "n", "type": "batch_norm", "inputs": ["h"]},
        {"name": "output", "type": "dense", "inputs": ["n"], "units": 3}],
        "output": "output"})");
}

std::vector<float> Logits(Network& network, Backend& backend, int rows, uint64_t seed) {
    const RandomInputs inputs(backend, network.spec(), rows, seed);
    EXPECT_TRUE(network.Forward(inputs.batch(), false).ok());
    std::vector<float> logits(static_cast<size_t>(rows) * 3);
    backend.Download(logits.data(), network.logits(), logits.size() * sizeof(float));
    EXPECT_TRUE(backend.Synchronize().ok());
    return logits;
}

TEST(DeviceScoring, WeightsAreSharedAndMemoryIsUsedAgain) {
    const auto cpu = MakeCpuBackend(CpuIsa::kGeneric);
    const auto reference = Network::Create(Spec(), *cpu, kBlockRows, false);
    ASSERT_TRUE(reference.ok());
    ASSERT_OK((*reference)->Initialize(11));
    for (const BackendCase& device : DeviceBackends()) {
        const auto store = device.make();
        const auto resident = Network::Create(Spec(), *store, 1, false);
        ASSERT_TRUE(resident.ok());
        ASSERT_OK((*resident)->Load(*(*reference)->Save()));
        for (int session = 0; session < 2; ++session) {
            const auto backend = device.make();
            const auto network = Network::CreateOver(Spec(), *backend, kBlockRows, (*resident)->tensors());
            ASSERT_TRUE(network.ok());
            for (const int rows : {kBlockRows, 1, 37, kBlockRows}) {
                const uint64_t seed = static_cast<uint64_t>(rows + session);
                const std::vector<float> expected = Logits(**reference, *cpu, rows, seed);
                const std::vector<float> got = Logits(**network, *backend, rows, seed);
                for (size_t i = 0; i < got.size(); ++i)
                    ASSERT_NEAR(got[i], expected[i],
                                1e-5 * device.tolerance_factor * (1.0 + std::abs(expected[i])))
                        << device.name << ", " << rows << " rows, logit " << i;
                EXPECT_EQ(Logits(**network, *backend, rows, seed), got) << "the same bytes again";
            }
        }
    }
}

}  // namespace
}  // namespace dlent::parity
