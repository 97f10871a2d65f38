#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/explain/explain_options.h"
#include "core/explain/explained_features.h"
#include "core/explain/explanation_document.h"
#include "core/explain/probe.h"
#include "core/explain/reason_text.h"
#include "core/model/model.h"
#include "core/model/scorer.h"
#include "core/nn/backend.h"

namespace dlent {

/// What is explained. Everything pointed to outlives the explainer.
struct ExplainedModel {
    const ExplainerStatistics* statistics = nullptr;
    Scorer* scorer = nullptr;
    const Model* weights = nullptr;  ///< with its members: for Integrated Gradients
    Backend* backend = nullptr;      ///< that they run on
    const Probe* probe = nullptr;    ///< for LIME with ExplainOptions::UsesSharedProbe()
    std::string probe_id;            ///< of that probe; else empty
    std::string name;
    int version = 0;
    std::string sha256;  ///< of the weights, hex
};

/// Explains rows of one model with one set of options: runs the methods and writes the document.
class RowExplainer {
 public:
    RowExplainer() = default;
    /// kInvalidArgument when the options do not fit the model: labels, features of groups, a threshold where
    /// no decision is.
    static Expected<RowExplainer> Create(const ExplainedModel& model, const ExplainOptions& options,
                                         const std::vector<ReasonCode>& codes);

    /// The "dlent.explanation/1" of a row, but for what a database adds: id, and in "audit" at, by and
    /// extension. kNonFinite, kCancelled, kOutOfMemory.
    Expected<Json> Explain(const ExplainedRow& row, const CancelToken& cancel) const;

    const ExplainOptions& options() const { return options_; }

 private:
    Expected<LocalExplanation> Run(ExplainMethod method, const ExplainedRow& row,
                                   const std::vector<int>& labels, const CancelToken& cancel) const;
    Expected<std::vector<Counterfactual>> Search(const ExplainedRow& row, const Prediction& prediction,
                                                 const CancelToken& cancel) const;

    ExplainedModel model_;
    ExplainOptions options_;
    ExplanationWriter writer_;
    std::vector<int> labels_;
    std::vector<bool> immutable_;
    std::vector<int> direction_;
};

}  // namespace dlent
