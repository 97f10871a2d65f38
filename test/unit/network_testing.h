#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/json.h"
#include "core/base/random.h"
#include "core/nn/device_buffer.h"
#include "core/nn/network.h"
#include "cpu/cpu_backend.h"

namespace dlent {

#define ASSERT_OK(expression)                                                                       \
    do {                                                                                            \
        const Status asserted_status = (expression);                                                \
        ASSERT_TRUE(asserted_status.ok()) << asserted_status.message() << asserted_status.detail(); \
    } while (0)

inline Expected<NetworkSpec> ParseSpec(std::string_view text) {
    return NetworkSpec::FromJson(Json::parse(text));
}

/// A batch of random inputs of a spec on a device; codes reach one past both ends on purpose: −1 is "none".
class RandomInputs {
 public:
    RandomInputs(Backend& backend, const NetworkSpec& spec, int rows, uint64_t seed) {
        RandomStream random(seed);
        Fill(backend, &numeric_, static_cast<size_t>(rows) * spec.numeric, random);
        Fill(backend, &plain_, static_cast<size_t>(rows) * spec.plain, random);
        std::vector<int32_t> codes;
        for (int row = 0; row < rows; ++row) {
            for (const int32_t cardinality : spec.codes) {
                codes.push_back(
                    static_cast<int32_t>(random.NextBelow(static_cast<uint32_t>(cardinality) + 1)) - 1);
            }
        }
        EXPECT_TRUE(codes_.Allocate(backend, codes.size()).ok());
        backend.Upload(codes_.data(), codes.data(), codes.size() * sizeof(int32_t));
        batch_ = {rows, numeric_.data(), plain_.data(), codes_.data()};
    }

    const BatchInputs& batch() const { return batch_; }

 private:
    static void Fill(Backend& backend, DeviceBuffer<float>* buffer, size_t count, RandomStream& random) {
        std::vector<float> values(count);
        for (float& value : values) {
            value = random.Normal();
        }
        EXPECT_TRUE(buffer->Allocate(backend, count).ok());
        backend.Upload(buffer->data(), values.data(), count * sizeof(float));
    }

    DeviceBuffer<float> numeric_;
    DeviceBuffer<float> plain_;
    DeviceBuffer<int32_t> codes_;
    BatchInputs batch_;
};

/// The first output of the last Forward on the host.
inline std::vector<float> Logits(Backend& backend, const Network& network, int rows) {
    std::vector<float> logits(static_cast<size_t>(rows) * network.members() * network.outputs());
    backend.Download(logits.data(), network.logits(), logits.size() * sizeof(float));
    EXPECT_TRUE(backend.Synchronize().ok());
    return logits;
}

/// Gives every tensor but running variances random values, so that no gradient is zero by initialisation.
inline void Randomize(Network& network, uint64_t seed) {
    RandomStream random(seed);
    for (const ParameterInfo& info : network.parameters()) {
        if (!info.trainable) {
            continue;
        }
        std::vector<float> values(info.count);
        for (float& value : values) {
            value = 0.5f * random.Normal();
        }
        EXPECT_TRUE(network.SetTensor(info.name, values).ok());
    }
}

/// One network of each layer type and of the ways they combine; names are unique.
struct NetworkCase {
    const char* name;
    const char* spec;
};

inline void PrintTo(const NetworkCase& test, std::ostream* stream) {
    *stream << test.name;
}

inline constexpr NetworkCase kNetworkCases[] = {
    {"dense", R"({"version":1,"inputs":{"numeric":4},"layers":[
        {"name":"a","type":"dense","inputs":["numeric"],"units":5,"activation":"tanh"},
        {"name":"b","type":"dense","inputs":["a"],"units":2,"bias":false}],"output":"b"})"},
    {"dense_many_inputs", R"({"version":1,"inputs":{"numeric":3,"plain":2,"codes":[3,4]},"layers":[
        {"name":"a","type":"dense","inputs":["numeric","codes","plain"],"units":5,"activation":"gelu"},
        {"name":"b","type":"dense","inputs":["a","plain"],"units":3}],"output":"b"})"},
    {"dense_codes_only", R"({"version":1,"inputs":{"codes":[3,4]},"layers":[
        {"name":"a","type":"dense","inputs":["codes"],"units":4,"activation":"mish"},
        {"name":"b","type":"dense","inputs":["a"],"units":1}],"output":"b"})"},
    {"dense_some_fields", R"({"version":1,"inputs":{"numeric":2,"codes":[3,4,2]},"layers":[
        {"name":"a","type":"dense","inputs":["numeric","codes"],"fields":[2,0],"units":4,"activation":"silu"},
        {"name":"e","type":"embedding","inputs":["codes"],"fields":[1],"dims":[2]},
        {"name":"b","type":"dense","inputs":["a","e"],"units":1}],"output":"b"})"},
    {"embedding", R"({"version":1,"inputs":{"codes":[3,5]},"layers":[
        {"name":"a","type":"embedding","inputs":["codes"],"dims":[2,3]},
        {"name":"b","type":"dense","inputs":["a"],"units":2}],"output":"b"})"},
    {"piecewise_linear", R"({"version":1,"inputs":{"numeric":2},"layers":[
        {"name":"a","type":"piecewise_linear_embedding","inputs":["numeric"],"width":3,"bins":[4,7]},
        {"name":"b","type":"dense","inputs":["a"],"units":1}],"output":"b"})"},
    {"piecewise_linear_gelu", R"({"version":1,"inputs":{"plain":2},"layers":[
        {"name":"a","type":"piecewise_linear_embedding","inputs":["plain"],"width":3,"bins":[4,1],"clip":0,
         "activation":"gelu"},
        {"name":"b","type":"dense","inputs":["a"],"units":1}],"output":"b"})"},
    {"periodic", R"({"version":1,"inputs":{"numeric":2},"layers":[
        {"name":"a","type":"periodic_embedding","inputs":["numeric"],"width":4,"frequencies":3},
        {"name":"b","type":"dense","inputs":["a"],"units":1}],"output":"b"})"},
    {"periodic_tanh", R"({"version":1,"inputs":{"numeric":2},"layers":[
        {"name":"a","type":"periodic_embedding","inputs":["numeric"],"width":4,"frequencies":3,"sigma":0.5,
         "densenet":false,"activation":"tanh"},
        {"name":"b","type":"dense","inputs":["a"],"units":1}],"output":"b"})"},
    {"scale_and_clip", R"({"version":1,"inputs":{"numeric":3},"layers":[
        {"name":"s","type":"scale","inputs":["numeric"]},
        {"name":"c","type":"smooth_clip","inputs":["s"],"limit":2.0},
        {"name":"b","type":"dense","inputs":["c"],"units":2}],"output":"b"})"},
    {"parametric_activation", R"({"version":1,"inputs":{"numeric":3},"layers":[
        {"name":"a","type":"dense","inputs":["numeric"],"units":4},
        {"name":"f","type":"activation","inputs":["a"],"activation":"selu","parametric":true},
        {"name":"g","type":"activation","inputs":["f"],"activation":"sigmoid"},
        {"name":"b","type":"dense","inputs":["g"],"units":2}],"output":"b"})"},
    {"dropout", R"({"version":1,"inputs":{"numeric":3},"layers":[
        {"name":"a","type":"dense","inputs":["numeric"],"units":6,"activation":"tanh"},
        {"name":"d","type":"dropout","inputs":["a"],"rate":0.4},
        {"name":"b","type":"dense","inputs":["d"],"units":2}],"output":"b"})"},
    {"identity_lifetime", R"({"version":1,"inputs":{"numeric":3},"layers":[
        {"name":"a","type":"dense","inputs":["numeric"],"units":6,"activation":"tanh"},
        {"name":"d","type":"dropout","inputs":["a"],"rate":0.4},
        {"name":"c","type":"dense","inputs":["numeric"],"units":6,"activation":"tanh"},
        {"name":"e","type":"dense","inputs":["c"],"units":6},
        {"name":"b","type":"concat","inputs":["d","e"]}],"output":"b"})"},
    {"batch_norm", R"({"version":1,"inputs":{"numeric":3},"layers":[
        {"name":"a","type":"dense","inputs":["numeric"],"units":4},
        {"name":"n","type":"batch_norm","inputs":["a"]},
        {"name":"f","type":"activation","inputs":["n"],"activation":"tanh"},
        {"name":"b","type":"dense","inputs":["f"],"units":2}],"output":"b"})"},
    {"layer_norm", R"({"version":1,"inputs":{"numeric":3},"layers":[
        {"name":"a","type":"dense","inputs":["numeric"],"units":4},
        {"name":"n","type":"layer_norm","inputs":["a"]},
        {"name":"b","type":"dense","inputs":["n"],"units":2}],"output":"b"})"},
    {"residual", R"({"version":1,"inputs":{"numeric":3,"plain":2},"layers":[
        {"name":"a","type":"dense","inputs":["numeric"],"units":4,"activation":"tanh"},
        {"name":"n","type":"layer_norm","inputs":["a"]},
        {"name":"h","type":"dense","inputs":["n"],"units":4,"activation":"silu"},
        {"name":"d","type":"dropout","inputs":["a"],"rate":0.2},
        {"name":"r","type":"add","inputs":["a","h","d","a"]},
        {"name":"t","type":"activation","inputs":["a"],"activation":"tanh"},
        {"name":"v","type":"batch_norm","inputs":["a"]},
        {"name":"c","type":"concat","inputs":["r","t","v","plain"]},
        {"name":"b","type":"dense","inputs":["c"],"units":2}],"output":"b"})"},
    {"batch_ensemble", R"({"version":1,"inputs":{"numeric":3,"codes":[3,2]},"members":3,"layers":[
        {"name":"a","type":"batch_ensemble_dense","inputs":["numeric","codes"],"units":4,"activation":"gelu",
         "init":"random_signs"},
        {"name":"m","type":"batch_ensemble_dense","inputs":["a"],"units":5,"activation":"tanh"},
        {"name":"n","type":"batch_norm","inputs":["m"]},
        {"name":"d","type":"dense","inputs":["n"],"units":4,"activation":"tanh"},
        {"name":"l","type":"layer_norm","inputs":["d"]},
        {"name":"b","type":"ensemble_heads","inputs":["l"],"units":2}],"output":"b"})"},
    {"tabm_mini", R"({"version":1,"inputs":{"numeric":3,"plain":1},"members":2,"layers":[
        {"name":"x","type":"concat","inputs":["numeric","plain"]},
        {"name":"e","type":"dense","inputs":["x"],"units":4,"activation":"tanh"},
        {"name":"a","type":"batch_ensemble_dense","inputs":["e"],"units":4,"activation":"silu",
         "scale_out":false,"ensemble_bias":false},
        {"name":"c","type":"batch_ensemble_dense","inputs":["a"],"units":4,"activation":"tanh",
         "scale_in":false,"ensemble_bias":false},
        {"name":"b","type":"ensemble_heads","inputs":["c"],"units":1}],"output":"b"})"},
    {"heads_on_one_member", R"({"version":1,"inputs":{"numeric":3},"members":3,"layers":[
        {"name":"a","type":"dense","inputs":["numeric"],"units":4,"activation":"tanh"},
        {"name":"b","type":"ensemble_heads","inputs":["a"],"units":2,"bias":false}],"output":"b"})"},
};

}  // namespace dlent
