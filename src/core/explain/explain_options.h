#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/base/status.h"
#include "core/explain/binning.h"
#include "core/explain/local_explanation.h"
#include "core/explain/probe.h"
#include "core/explain/reason_code.h"

namespace dlent {

enum class ExplainMethod : uint8_t { kLime, kIntegratedGradients };
const char* ExplainMethodName(ExplainMethod method);

/// Features that are one reason.
struct ReasonGroup {
    std::string name;
    std::vector<std::string> features;  ///< columns (all elements of a vector) or "column[3]"
};

/// The options of dlent_explain, dlent_explain_table and what is stored of them, parsed and checked but not
/// against a model. LIME's have the reference's names.
struct ExplainOptions {
    /// Which function they are given to: the last decides whether `store` and `key`, or `resume`, make sense.
    enum class Use { kRow, kTable, kReplay };

    ExplainMethod method = ExplainMethod::kLime;
    int num_features = 10;
    int num_samples = 5000;
    std::optional<double> kernel_width;
    Discretizer discretizer = Discretizer::kQuartile;
    std::string feature_selection = "auto";
    std::vector<std::string> labels;  ///< of the target, or empty
    int top_labels = 0;
    bool sample_around_instance = false;
    double alpha = 1.0;
    std::optional<Link> link;  ///< probability, or identity for numbers
    uint64_t seed = 42;        ///< below 2^63
    bool compat = false;
    bool fresh = false;  ///< samples of its own instead of the shared probe
    int steps = 50;      ///< of Integrated Gradients

    double min_fidelity = 0.1;        ///< R² below which no reason is given
    std::optional<double> threshold;  ///< of the decision
    bool agreement = false;           ///< explain by the other method too, and compare

    int counterfactuals = 0;
    std::vector<std::string> immutable;
    /// Features that may only rise or only fall.
    std::vector<std::pair<std::string, Direction>> directions;

    Audience audience = Audience::kAnalyst;
    std::string locale = "en";
    int max_reasons = 4;
    std::vector<ReasonGroup> groups;

    bool store = false;
    std::optional<std::string> key;
    std::optional<std::string> retain;  ///< an interval, as SQL writes it
    bool resume = true;  ///< dlent_explain_table: keys that have this explanation stay as they are

    /// Strict: an unknown key or a wrong type is kInvalidArgument whose hint lists the valid keys.
    static Expected<ExplainOptions> Parse(const Json& json, Use use);
    /// All that decides the answer, defaults included: Parse(..., Use::kReplay) gives it back.
    Json ToJson() const;
    /// Whether the answer needs perturbed rows that all rows of a version share.
    bool UsesSharedProbe() const {
        return (method == ExplainMethod::kLime || agreement) && !fresh && !sample_around_instance;
    }
    ProbeOptions probe_options() const {
        return {.discretizer = discretizer, .samples = num_samples, .seed = seed, .compat = compat};
    }
};

}  // namespace dlent
