#pragma once

#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/base/status.h"
#include "core/nn/network_spec.h"

namespace dlent {

/// How the inputs of a dense layer become integers: q = ⌊x / scale + zero_point + ½⌋, clamped to [0,
/// kLevels]. 0 is exact.
struct InputQuantization {
    /// Of 7 bits: what two products of them and signed bytes add up to fits 16 bits (src/cpu/int8_kernels.h).
    static constexpr int kLevels = 127;
    static constexpr float kMinScale = 1e-30f;
    static constexpr float kMaxScale = 1e30f;

    float scale = 1.0f;
    int zero_point = 0;

    /// That keeps what lies between `low` and `high`, which must be finite, and 0.
    static InputQuantization OfRange(float low, float high);
    bool operator==(const InputQuantization&) const = default;
};

/// Static quantisation of a trained model's layers to int8 (Jacob et al. 2018): the inputs of each by a range
/// that training rows have shown, the weights of each of its outputs by their largest value. The weights
/// themselves stay in the model; what is here says how they are read, and is part of what the model is.
struct Quantization {
    std::vector<std::string> layers;                     ///< QuantizableLayers() of the network
    std::vector<std::vector<InputQuantization>> inputs;  ///< [members × layers]

    Json ToJson() const;
    /// Trusts nothing but leaves to Check() whether it fits a network; kCorrupt, or throws Json::exception.
    static Expected<Quantization> FromJson(const Json& json);
    /// That it is one for `members` networks of that kind. kCorrupt.
    Status Check(const NetworkSpec& network, size_t members) const;
    bool operator==(const Quantization&) const = default;
};

/// The layers that can be computed in int8: dense layers that read another dense layer alone and are not the
/// output. What reads features, and what answers, stays in fp32: there are few weights in the one, and
/// numbers of every size enter the other. Empty where the network has other layers than those of the recipe's
/// plain networks.
std::vector<std::string> QuantizableLayers(const NetworkSpec& network);

}  // namespace dlent
