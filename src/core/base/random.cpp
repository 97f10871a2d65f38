#include "core/base/random.h"

#include <cmath>

namespace dlent {

float RandomStream::Normal() {
    const double u = (static_cast<double>(NextU32()) + 1.0) * 0x1.0p-32;
    const double v = static_cast<double>(NextU32()) * 0x1.0p-32;
    return static_cast<float>(std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v));
}

}  // namespace dlent
