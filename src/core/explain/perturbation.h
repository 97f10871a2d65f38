#pragma once

#include <cstdint>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/status.h"
#include "core/explain/explained_features.h"

namespace dlent {

/// How perturbed rows are drawn.
struct PerturbationOptions {
    Discretizer discretizer = Discretizer::kQuartile;
    uint64_t seed = 42;
    /// The reference's treatment of degenerate bins, NULLs and levels without rows, for parity.
    bool compat = false;
    /// Where numbers that are not discretised are centred, and whose own values are drawn even when training
    /// had none of them; null: the training means, and training rates alone.
    const Cell* instance = nullptr;
    bool around_instance = false;
};

/// Draws rows by the training rates of their values: each feature on its own, a code and a value within it. A
/// row depends on the seed, its number and the feature alone, so rows can be drawn in any order and in parts.
class Perturbation {
 public:
    Perturbation(const ExplainerStatistics& statistics, const PerturbationOptions& options);

    /// Codes that feature f can have; one more than CodeCounts() when the instance's level has none.
    int code_count(int f) const { return static_cast<int>(features_[f].limits.size()); }
    /// The instance's code, and whether training had no row with it, so that it is drawn though training
    /// would not.
    int instance_code(int f) const { return features_[f].instance_code; }
    bool instance_unseen(int f) const { return features_[f].unseen; }

    /// Rows first .. first + count − 1: codes[f · count + r], and the rows themselves, cells [count ×
    /// cell_count].
    void Draw(uint32_t first, int count, int32_t* codes, Cell* cells) const;

 private:
    /// How a code becomes a value.
    struct Source {
        enum Kind : uint8_t { kConstant, kNormal, kTruncatedNormal } kind = kConstant;
        double value = 0.0;  ///< the constant, or the mean
        double deviation = 0.0;
        double low = 0.0;  ///< of the normal distribution function
        double span = 1.0;
        double minimum = 0.0;
        double maximum = 0.0;
    };
    struct Feature {
        std::vector<uint64_t> limits;  ///< of each code, in 2⁻³²: rising, the last is 2³²
        std::vector<Source> sources;
        int instance_code = -1;
        bool unseen = false;
    };

    Source SourceOf(const ExplainedFeature& feature, int code) const;
    static double Sample(const Source& source, double u);

    const ExplainerStatistics& statistics_;
    PerturbationOptions options_;
    std::vector<Feature> features_;
};

}  // namespace dlent
