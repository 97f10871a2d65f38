#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/json.h"
#include "core/base/status.h"
#include "core/drift/reference.h"
#include "core/features/pipeline.h"
#include "core/features/target.h"

namespace dlent {

/// Where a version's answers are counted as they are given: the distribution of each feature and of the
/// answer, over the bins and levels of the version's own reference, so that both can be compared. This is the
/// layout; the counters, all of one array, are the caller's, and may be shared by many who add to them.
///
/// Rows may be counted in part: one that stands for w rows adds w. The sum of w² tells how many rows, drawn
/// alike, would say as much.
class LiveSketch {
 public:
    /// Of a version; all three are its own.
    static Expected<LiveSketch> Create(const DriftReference& reference, const Pipeline& pipeline,
                                       const TargetEncoder& target);

    size_t counter_count() const { return counter_count_; }

    /// Counts a row: its cells, its outputs, as `weight` rows. Does not allocate.
    void Add(const Cell* cells, const float* outputs, uint64_t weight, std::atomic<uint64_t>* counters) const;

    /// Rows counted, by weight.
    static uint64_t Rows(std::span<const uint64_t> counters) { return counters[kRows]; }

    // ---- as they are stored ----

    Json ToJson(std::span<const uint64_t> counters) const;
    /// Adds what ToJson() wrote. kCorrupt when it is of another layout.
    Status AddJson(const Json& json, std::span<uint64_t> counters) const;

    // ---- as samples, for CompareSamples() ----

    struct Samples {
        std::vector<DriftSample> features;      ///< of the reference's features, in order
        std::optional<DriftSample> prediction;  ///< where the reference has one
        double rows = 0.0;                      ///< that were counted, by weight
        double effective_rows = 0.0;            ///< that they count for; samples have so many
    };
    Samples ToSamples(std::span<const uint64_t> counters) const;

 private:
    enum : size_t { kRows, kSquares, kFirstVariable };

    /// Counters of a number: missing, below the first edge, one for each edge (values from above the edge
    /// before up to this one), above the last. Of levels: missing, others, one for each level.
    struct Variable {
        std::string name;  ///< empty: the answer
        ColumnKind kind = ColumnKind::kNumeric;
        bool categorical = false;
        int width = 1;
        int first_cell = 0;
        size_t first_counter = 0;
        std::vector<float> edges;  ///< kMostEdges, infinity behind the `edge_count` that there are
        size_t edge_count = 0;
        bool exact = false;
        std::vector<std::string> levels;
        std::vector<uint32_t> counter_of_code;  ///< of category codes from −1, or of classes, likewise

        size_t counter_count() const { return categorical ? 2 + levels.size() : 3 + edge_count; }
        size_t CounterOfNumber(float value) const;
        size_t CounterOfCode(int32_t code) const;
    };
    static constexpr size_t kMostEdges = QuantileSketch::kBins;
    enum : size_t { kMissing, kOther, kFirstLevel, kBelow = 1, kFirstEdge };

    Status AddVariable(Variable variable, const DriftSample& sample);
    /// Of a row, among all counters.
    size_t CounterOf(const Variable& variable, const Cell* cells) const;
    Json VariableJson(const Variable& variable, std::span<const uint64_t> counters) const;
    DriftSample SampleOf(const Variable& variable, std::span<const uint64_t> counters, double scale) const;

    std::vector<Variable> variables_;  ///< features, then the answer where it is counted
    size_t feature_count_ = 0;
    int output_count_ = 1;
    size_t counter_count_ = kFirstVariable;
};

}  // namespace dlent
