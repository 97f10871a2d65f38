#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/base/status.h"
#include "core/explain/explained_features.h"
#include "core/features/finding.h"
#include "core/features/table.h"
#include "core/model/model.h"
#include "core/model/score_cost.h"
#include "core/train/progress.h"
#include "core/train/quantized_candidate.h"
#include "core/train/recipe.h"
#include "core/train/teacher.h"
#include "core/train/training_options.h"
#include "core/train/training_services.h"

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
/// carry information (NeighbourDependence in core/features/split.h) and validation is left to us.
///
/// With options.teacher that is trained first, on the same rows; what it says of them is then learnt beside
/// their targets, in one split, where the teacher has not seen the held-out rows either. kInvalidArgument for
/// more than two classes, and for losses other than the task's usual one.
///
/// With options.score_precision int8 or auto the held-out rows are scored in int8 too, which changes nothing
/// of the model. kInvalidArgument when int8 is asked for and the network has no layer for it.
Expected<TrainedModel> TrainModel(const ColumnarTable& table, const TrainingOptions& options,
                                  const TrainingServices& services, const Teaching& teaching = {});

}  // namespace dlent
