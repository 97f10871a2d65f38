#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/metrics/comparison.h"
#include "pg/catalog/models.h"
#include "pg/functions/evaluation_sink.h"

namespace dlent::pg {

/// A way to cut rows into parts: a column, or a predicate (those of which it is true).
struct Slicing {
    std::string text;                ///< as the user gave it, server encoding
    std::vector<int> part;           ///< of each row; −1: of none
    std::vector<std::string> names;  ///< of the parts
};

/// Rows with known outcomes and what several versions answer to them, read once: all versions are judged on
/// the same rows of one snapshot. For C++ frames.
class HeldOutRows {
 public:
    /// Reads `source` as the current user. Rows are left out whose outcome is not known, or is a label that
    /// one of the versions never saw. A slicing is a column of the source, or a boolean expression over its
    /// rows, which are called `source`. Rows weigh what they have in `weight_column`, where that is not empty
    /// and the source has it; a weight that is NULL, negative or not finite is 22023.
    HeldOutRows(const std::string& source, const std::vector<VersionIdentity>& versions,
                const std::vector<std::string>& slicings, const std::string& weight_column);

    size_t rows() const;
    bool weighted() const { return weighted_; }
    ScoredRows Scored(size_t version) const { return sinks_[version]->Scored(); }
    const std::vector<Slicing>& slicings() const { return slicings_; }
    /// All rows; and those of a part.
    std::vector<uint32_t> Rows() const;
    std::vector<uint32_t> Rows(const Slicing& slicing, int part) const;

 private:
    std::vector<std::shared_ptr<Scorer>> scorers_;
    std::vector<std::unique_ptr<EvaluationSink>> sinks_;
    std::vector<Slicing> slicings_;
    bool weighted_ = false;
};

}  // namespace dlent::pg
