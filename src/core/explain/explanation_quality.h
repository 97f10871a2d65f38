#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/explain/explain_options.h"
#include "core/explain/local_explanation.h"

namespace dlent {

/// How far an explanation is to be trusted.
enum class Grade : uint8_t {
    kOk,
    kWeak,        ///< the surrogate follows the network loosely
    kUnreliable,  ///< no reason is given, only the numbers
};
const char* GradeName(Grade grade);

/// LIME: by R², unreliable below min_fidelity and weak below 0.3. Integrated Gradients: by the part of the
/// difference that the contributions miss, weak above 5 %, unreliable above 20 %.
Grade GradeOf(const LabelExplanation& label, const ExplainOptions& options);

struct QualityInputs {
    const LabelExplanation* label = nullptr;
    Link link = Link::kProbability;
    std::optional<double> threshold;  ///< of the explained class
    double target_deviation = 1.0;    ///< of a predicted number in training
    struct Reason {
        double contribution;
        double std_error;
        bool tied;
    };
    std::vector<Reason> reasons;          ///< by rank
    std::vector<std::string> unfamiliar;  ///< values that training did not see
};

/// {"grade", "min_rank_gap_z", "warnings"}.
Json DescribeQuality(const QualityInputs& inputs, const ExplainOptions& options);

/// {"method", "rank_correlation", "sign_agreement", "top_overlap", "top"}: how far another method agrees
/// (Agreement).
Json DescribeAgreement(const LabelExplanation& first, const LabelExplanation& second, ExplainMethod other,
                       int feature_count);

}  // namespace dlent
