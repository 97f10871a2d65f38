#pragma once

#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/explain/lime.h"
#include "core/explain/permutation_importance.h"

namespace dlent::pg {

/// Options of the functions that explain a model rather than a row. Each takes some of them.
struct GlobalOptions {
    enum class Use { kGlobal, kPicks, kPermutation, kDependence };

    LimeOptions lime;                 ///< of each explained row; all features unless num_features is given
    std::vector<std::string> labels;  ///< classes to explain; empty: all, or the positive one of two
    PermutationOptions permutation;
    int rows = 0;  ///< of the source at most, drawn by the seed
    int picks = 10;
    int points = 20;
    uint64_t seed = 42;
    bool store = false;
    Json resolved;  ///< what decides the answer, for the record

    /// 22023 with a HINT that lists the valid keys.
    static GlobalOptions Parse(const Json& json, Use use);
};

}  // namespace dlent::pg
