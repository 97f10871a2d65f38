#pragma once

#include <string>

#include "core/base/json.h"
#include "core/explain/explained_features.h"
#include "core/explain/value_text.h"
#include "core/features/pipeline.h"

namespace dlent {

/// A row as it is explained: what the network read, and what stood there.
struct ExplainedRow {
    const Cell* cells = nullptr;
    /// Canonical JSON of every input of the pipeline by name: numbers, true and false, texts (category names;
    /// times in UTC), arrays of numbers, null.
    const Json* values = nullptr;
};

/// What can be said of a feature's value in one row.
struct FeatureText {
    Json value;             ///< as it stood in the row
    std::string condition;  ///< "amount > 950", "channel = web", "amount is missing"
    std::string readable;   ///< "1,890"
    std::string bound;      ///< what the condition compares with: "950", "250 to 950", "web"
    std::string sentence;   ///< "The amount (1,890) is above 950."
    std::string warning;    ///< that training saw no such value; else empty
};

/// `discretizer` says which bins the condition speaks of; kNone: of the value itself.
FeatureText DescribeFeature(const ExplainerStatistics& statistics, const Pipeline& pipeline, int feature,
                            Discretizer discretizer, const ExplainedRow& row, const NumberStyle& style);

/// Whether training saw no such value: what FeatureText::warning tells of.
bool IsUnfamiliar(const ExplainerStatistics& statistics, int feature, const Cell* cells);

/// The explained value `value` (NaN is NULL, a category's code) as it would stand in a row, and its text.
Json ExplainedValueJson(const ExplainedFeature& feature, const Pipeline& pipeline, double value);

/// A name for sentences: "merchant category" for merchant_category; others as they are.
std::string ReadableName(const std::string& name);

}  // namespace dlent
