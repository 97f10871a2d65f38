#pragma once

#include <algorithm>
#include <cmath>

#include "core/features/table.h"

namespace dlent {

/// The number that drift watches of a value which is not categorical, by its cells: `at(i)` is cell i as a
/// float.
template <typename CellAt>
float WatchedNumber(ColumnKind kind, int width, CellAt at) {
    const auto angle = [&](int sine, double period) {
        const double turn = std::atan2(at(sine), at(sine + 1)) / (2.0 * M_PI);
        return static_cast<float>((turn < -1e-6 ? turn + 1.0 : std::max(turn, 0.0)) * period);
    };
    switch (kind) {
        case ColumnKind::kTimestamp:
            return angle(1, 24.0);
        case ColumnKind::kDate:
            return std::round(angle(1, 7.0));
        case ColumnKind::kVector: {
            double squares = 0.0;
            for (int i = 0; i < width; ++i)
                squares += static_cast<double>(at(i)) * at(i);
            return static_cast<float>(std::sqrt(squares));
        }
        default:
            return at(0);
    }
}

}  // namespace dlent
