#pragma once

#include <string>

#include "core/base/json.h"
#include "core/model/quantization.h"

namespace dlent {

/// How a trained model would be scored in int8, and what that costs in quality.
struct QuantizedCandidate {
    Quantization quantization;
    Json metrics = Json::object();  ///< on held-out rows, as TrainedModel::metrics has them in fp32
    Json check = Json::object();    ///< both ways' metrics, and how far answers differ
    std::string objection;          ///< why accuracy does not hold; empty: it does
};

}  // namespace dlent
