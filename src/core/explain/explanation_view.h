#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/base/status.h"

namespace dlent {

/// What a picture of an explanation shows, read from a document "dlent.explanation/1" of dlent_explain().
/// Texts are UTF-8, whatever they contain.
struct ExplanationView {
    struct Reason {
        std::string feature;
        std::string value;      ///< as text; "NULL" for null
        std::string condition;  ///< "amount > 950", or "feature = value" where the document has none
        std::string text;       ///< a sentence, or empty
        double contribution = 0.0;
        std::optional<double> std_error;
        bool rank_tied = false;
    };
    struct Label {
        std::string name;  ///< empty for regression
        /// Whether there are contributions; a customer's document has sentences alone.
        bool has_numbers = true;
        double baseline = 0.0;
        double local_prediction = 0.0;
        std::optional<double> prediction;  ///< of the network: local_prediction + residual
        std::optional<double> fidelity_r2;
        std::optional<double> completeness;
        std::vector<Reason> reasons;  ///< in the document's order
    };
    struct Change {
        std::string feature;
        std::string from;
        std::string to;
    };
    struct Alternative {
        std::vector<Change> changes;
        std::string name;             ///< of the class that it would be, or empty
        std::optional<double> value;  ///< the network's answer to it: the probability of that class
    };

    std::string model;
    int version = 0;
    std::string method;
    std::string link;  ///< "probability", "logit" or "identity"
    std::optional<double> samples;
    std::string predicted;  ///< the class, or empty
    std::optional<double> value;
    std::optional<double> threshold;
    std::vector<Label> labels;
    std::vector<Alternative> alternatives;
    std::string grade;  ///< "ok", "weak", or anything else: the reasons cannot be relied on
    std::vector<std::string> warnings;

    bool reliable() const { return grade == "ok" || grade == "weak"; }

    /// Ignores members that it does not know. kInvalidArgument says which member is missing or wrong.
    static Expected<ExplanationView> FromJson(const Json& document);
};

}  // namespace dlent
