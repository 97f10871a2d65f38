#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/status.h"
#include "core/explain/explained_features.h"
#include "core/explain/explainer_kernels.h"

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
    static constexpr int kBlockRows = 512;

    Perturbation(const ExplainerStatistics& statistics, const PerturbationOptions& options,
                 const ExplainerKernels& kernels);

    /// Codes that feature f can have; one more than CodeCounts() when the instance's level has none.
    int code_count(int f) const { return static_cast<int>(features_[f].limits.size()); }
    /// The instance's code, and whether training had no row with it, so that it is drawn though training
    /// would not.
    int instance_code(int f) const { return features_[f].instance_code; }
    bool instance_unseen(int f) const { return features_[f].unseen; }

    /// Rows first .. first + count − 1: codes[f · count + r], and the rows themselves, cells [count ×
    /// cell_count].
    /// `first` is a multiple of 4, `count` at most kBlockRows.
    void Draw(uint32_t first, int count, int32_t* codes, Cell* cells) const;

 private:
    /// How a code becomes a value: mean + deviation · Φ⁻¹(low + u · span), within the limits. Constants have
    /// no deviation, normals no limits.
    struct Source {
        double mean = 0.0;
        double deviation = 0.0;
        double low = 0.5;
        double span = 0.0;
        double minimum = -std::numeric_limits<double>::infinity();
        double maximum = std::numeric_limits<double>::infinity();
        // where the code lies among the random numbers
        double begin = 0.0;
        double inverse_width = 0.0;
    };
    struct Feature {
        std::vector<uint64_t> limits;  ///< of each code, in 2⁻³²: rising, the last is 2³²
        bool constants = true;         ///< no source has a deviation
        std::vector<Source> sources;
        int instance_code = -1;
        bool unseen = false;
    };

    Source SourceOf(const ExplainedFeature& feature, int code) const;
    /// The codes of `count` random numbers.
    static void FindCodes(const std::vector<uint64_t>& limits, int count, const uint32_t* random,
                          int32_t* codes);

    const ExplainerStatistics& statistics_;
    PerturbationOptions options_;
    const ExplainerKernels& kernels_;
    std::vector<Feature> features_;
};

}  // namespace dlent
