#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/explain/explained_features.h"
#include "core/features/finding.h"
#include "core/features/table.h"
#include "core/model/model.h"
#include "core/model/score_cost.h"
#include "core/model/scorer_factory.h"
#include "core/nn/backend.h"
#include "core/train/checkpoint.h"
#include "core/train/network_trainer.h"
#include "core/train/progress.h"
#include "core/train/quantized_candidate.h"
#include "core/train/recipe.h"
#include "core/train/teacher.h"
#include "core/train/training_options.h"
#include "core/train/training_pool.h"

namespace dlent {

/// How one training leads to another.
struct Teaching {
    bool wanted = false;                     ///< TrainedModel::labels are
    const TeacherLabels* teacher = nullptr;  ///< of options.teacher, where that has been trained already
};

struct TrainedModel {
    Model model;
    Json metrics;    ///< on held-out rows, flat scikit-learn names
    Json reference;  ///< what drift is measured against (core/drift/reference.h)
    Json details;  ///< seed, resolved options, validation rule, fold sizes, quality blocks (thresholds, ...)
    std::vector<EpochRecord> log;
    std::vector<Finding> findings;
    uint64_t train_rows = 0;
    uint64_t validation_rows = 0;
    int epochs = 0;  ///< most that any member ran
    double seconds = 0.0;
    Recipe recipe;                        ///< as it was carried out
    ExplainerStatistics explainer;        ///< what explanations need to know of the training rows
    ScoreCost score_cost;                 ///< when measured (TrainWithinBudget)
    std::string data_fingerprint;         ///< hex, independent of row order
    std::optional<TeacherLabels> labels;  ///< for a student, when asked for and possible
    /// Where options.score_precision is not fp32 and the network has layers for it (ChooseScorePrecision).
    std::optional<QuantizedCandidate> quantized;
};

/// Learns a model from the rows of `table` (roles say which column is what). The same rows, options and seed
/// give the same bytes on the same device, and the order of the rows does not matter, unless it is found to
/// carry information (NeighbourDependence in core/features/split.h) and validation is left to us. `progress`
/// may be empty; it is called on this thread. With a `pool` networks are trained beside each other, to the
/// same bytes (but under a time limit); a `device` may take the trainings over, on the terms of its Begin().
/// What `checkpoints` has is not trained again, to the same bytes; it may be null, and is called on this
/// thread.
///
/// With options.teacher that is trained first, on the same rows; what it says of them is then learnt beside
/// their targets, in one split, where the teacher has not seen the held-out rows either. kInvalidArgument for
/// more than two classes, and for losses other than the task's usual one.
///
/// With options.score_precision int8 or auto, what `make_scorer` makes scores the held-out rows in int8 too,
/// which changes nothing of the model. kInvalidArgument when int8 is asked for and the network has no layer
/// for it.
Expected<TrainedModel> TrainModel(const ColumnarTable& table, const TrainingOptions& options,
                                  Backend& backend, const CancelToken& cancel,
                                  const std::function<void(const TrainingProgress&)>& progress,
                                  TrainingPool* pool = nullptr, NetworkTrainer* device = nullptr,
                                  CheckpointStore* checkpoints = nullptr, const Teaching& teaching = {},
                                  const ScorerFactory& make_scorer = {});

}  // namespace dlent
