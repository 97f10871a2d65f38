#pragma once

#include <string>

#include "core/base/json.h"

namespace dlent {

/// The compact text of a value in UTF-8. Unlike Json::dump() it always has the shortest digits that mean a
/// number: 0.0104908388, not 0.010490838800000001. NaN and infinities become null, bytes that are no UTF-8
/// U+FFFD.
std::string JsonText(const Json& json);

}  // namespace dlent
