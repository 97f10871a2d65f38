#pragma once

#include <array>

#include "core/base/cancel.h"
#include "core/base/status.h"
#include "core/train/calibration.h"

namespace dlent {

/// `kCount` inverse temperatures from `kLow` to `kHigh`, evenly spaced.
struct TemperatureGrid {
    static constexpr int kCount = 14;
    static constexpr double kLow = 0.1;
    static constexpr double kHigh = 1.3;
    static constexpr double Inverse(int i) { return kLow + (kHigh - kLow) * i / (kCount - 1); }
};

using GridLosses = std::array<double, TemperatureGrid::kCount>;

/// LogLoss (calibration.h) at every temperature of the grid, each to within RoughError(it); NaN where that
/// cannot be told: without weight, and of logits that are not finite or beyond ±250. At a fraction of the
/// price: since the grid is even, two exponentials of a logit give those at all temperatures, as products.
/// kCancelled.
Expected<GridLosses> RoughLogLosses(const LabelledLogits& data, const CancelToken& cancel);

/// The rounding of 10^8 rows and the logarithm's error, and more: one part in ten million of the loss, and of
/// a row whose loss is next to nothing the rounding of a logit.
constexpr double RoughError(double loss) {
    return 1e-7 * loss + 1e-10;
}

}  // namespace dlent
