#pragma once

#include <functional>
#include <memory>

#include "core/base/status.h"
#include "core/model/scorer.h"

namespace dlent {

/// Makes the scorer of the device that will score.
using ScorerFactory = std::function<Expected<std::unique_ptr<Scorer>>(const Model&)>;

}  // namespace dlent
