#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/base/status.h"
#include "core/explain/counterfactual.h"
#include "core/explain/explain_options.h"
#include "core/explain/explained_features.h"
#include "core/explain/local_explanation.h"
#include "core/explain/reason_text.h"
#include "core/features/target.h"

namespace dlent {

/// The model's answer as it is explained: with two classes and a threshold the decision, else the most
/// probable class.
struct Prediction {
    int label = 0;                    ///< class; 0 for numbers
    double value = 0.0;               ///< probability of that class; the number
    std::optional<double> threshold;  ///< what `value` is compared with, in the terms of that class
};

/// `outputs` of a Scorer for a row.
Prediction PredictionOf(const TargetEncoder& target, const float* outputs, std::optional<double> threshold);

/// Decimals to which numbers that add up are printed: then they add up to the last digit.
class PrintedSum {
 public:
    /// For numbers of at most this size.
    explicit PrintedSum(double largest);
    /// In the last decimal's unit.
    double Round(double value) const { return scale_ > 0.0 ? Print(Units(value)) : value; }
    int64_t Units(double value) const;
    double Print(int64_t units) const;
    /// False beyond what 64 bits hold; then sums hold to the precision of double.
    bool exact() const { return scale_ > 0.0; }

 private:
    double scale_ = 0.0;
};

/// What is said of a model's explanations beside the numbers, and how. One for all rows of a call.
class ExplanationWriter {
 public:
    ExplanationWriter() = default;
    struct Subject {
        const ExplainerStatistics* statistics = nullptr;
        const Pipeline* pipeline = nullptr;
        const TargetEncoder* target = nullptr;
        std::string name;
        int version = 0;
        std::string sha256;
        std::string probe_id;
    };
    /// kInvalidArgument for groups of features that the model does not have.
    static Expected<ExplanationWriter> Create(Subject subject, const ExplainOptions& options,
                                              std::vector<ReasonCode> codes);

    /// The document of lime.md's form "dlent.explanation/1". `second` is the other method's answer for the
    /// first label, for the agreement.
    Json Write(const ExplainedRow& row, const Prediction& prediction, const LocalExplanation& explanation,
               const LocalExplanation* second, std::span<const Counterfactual> counterfactuals) const;

    /// Features by name: a column (all elements of a vector) or "column[3]"; kInvalidArgument naming
    /// `option`.
    Expected<std::vector<int>> FeaturesNamed(const std::string& name, const char* option) const;

 private:
    /// One reason before it is printed: a feature, or a group of them.
    struct Reason {
        std::string name;
        Json value;
        std::string condition;
        std::string readable;
        std::string bound;
        std::string sentence;
        double contribution = 0.0;  ///< as printed
        double std_error = 0.0;
        bool tied = false;
        const ReasonCode* code = nullptr;
        std::string text;
        Json members;  ///< of a group
    };

    std::vector<Reason> ReasonsOf(const ExplainedRow& row, const LabelExplanation& label,
                                  const PrintedSum& print, Discretizer discretizer) const;
    void Rank(std::vector<Reason>* reasons) const;
    void Speak(const LabelExplanation& label, std::vector<Reason>* reasons) const;
    Json MethodJson(const LocalExplanation& explanation) const;
    Json PredictionJson(const Prediction& prediction, const PrintedSum& print) const;
    Json LabelJson(const LabelExplanation& label, const PrintedSum& print, const std::vector<Reason>& reasons,
                   const std::optional<double>& margin, bool reliable) const;
    Json ReasonsJson(const std::vector<Reason>& reasons, const PrintedSum& print,
                     const std::optional<double>& margin) const;
    Json CounterfactualJson(const ExplainedRow& row, const Prediction& prediction,
                            const Counterfactual& counterfactual) const;
    Json QualityJson(const ExplainedRow& row, const Prediction& prediction,
                     const LocalExplanation& explanation, const LocalExplanation* second,
                     const std::vector<Reason>& reasons) const;
    bool Reliable(const LabelExplanation& label) const;
    /// How far the answer is from the threshold, on the scale of the contributions, where it decides.
    std::optional<double> Margin(const LabelExplanation& label, Link link,
                                 const Prediction& prediction) const;
    const std::string& LabelName(int label) const { return subject_.target->labels()[label]; }
    bool customer() const { return options_.audience == Audience::kCustomer; }

    Subject subject_;
    ExplainOptions options_;
    std::vector<ReasonCode> codes_;
    std::vector<int> group_of_;  ///< of each feature; -1
    NumberStyle style_;
};

/// The entries of a dictionary that a document was written with: with these alone it is written again.
std::vector<ReasonCode> CodesUsed(const Json& document, const std::vector<ReasonCode>& codes);

/// SHA-256 of the inputs' canonical form (a compact JSON object in the order of training), hex.
std::string InputSha256(const Json& values);

}  // namespace dlent
