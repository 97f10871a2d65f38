#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/features/table.h"
#include "core/model/model.h"
#include "core/model/scorer_factory.h"
#include "core/nn/backend.h"
#include "core/train/judgement.h"
#include "core/train/quantized_candidate.h"
#include "core/train/trainer.h"

namespace dlent {

/// What a trial quantizes by and scores with; what it is given must outlive it.
struct QuantizationTrialInputs {
    const ColumnarTable& table;
    const TrainingData& data;  ///< its rows, as networks read them
    const ScorerFactory& make_scorer;
    Backend& backend;
    const CancelToken& cancel;
};

/// Quantizes a model by `rows` that it learnt from, of which the first few thousand are looked at, and has
/// the held-out rows of `judge` answered both ways: by all members, or where `folds` are given, each fold's
/// rows by its own member. Accuracy holds (no objection) when
///  - the mean loss (log-loss, or squared error) rises by at most a tenth of its own standard error, and, of
///    two classes, roc_auc falls by at most 0.0005 or a tenth of its standard error, √(auc · (1 − auc) / rows
///    of the rarer class);
///  - answers differ by at most 0.005 root mean square and 0.05 anywhere (probabilities), or 5 % and 50 % of
///    the root mean squared error (numbers).
/// Without held-out rows nothing is known, which is an objection too. kUnsupported, kNonFinite, kCancelled.
Expected<QuantizedCandidate> TryQuantization(const Model& model, const QuantizationTrialInputs& inputs,
                                             std::span<const uint32_t> rows, const HeldOutJudge& judge,
                                             std::span<const std::span<const uint32_t>> folds);

/// Quantizes the model anew after a refit, which keeps what held-out rows said of it before but for the
/// differences between the answers: those are now of the finished model, to `held_out`.
Status QuantizeRefitted(const Model& model, const QuantizationTrialInputs& inputs,
                        std::span<const uint32_t> rows, std::span<const uint32_t> held_out,
                        QuantizedCandidate* candidate);

}  // namespace dlent
