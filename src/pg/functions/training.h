#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/features/table.h"
#include "core/train/training_options.h"
#include "pg/bridge/error.h"
#include "pg/catalog/models.h"
#include "pg/functions/progress.h"
#include "pg/functions/training_monitor.h"
#include "pg/source/source.h"

namespace dlent::pg {

// The three steps of a training. dlent_train() takes them in its caller's transaction; a job reads in one
// transaction, trains in none, so that no snapshot is held meanwhile, and stores in another.

/// Where the user wants a training.
enum class TrainingPlace { kCpu, kGpu, kAuto };

/// What dlent_train() is asked for. Texts in the server's encoding.
struct TrainingRequest {
    std::string model;
    std::string source;
    std::string target;
    Json options_json;        ///< as the user gave them
    TrainingOptions options;  ///< the same, checked
    TrainingPlace place = TrainingPlace::kAuto;
    std::optional<int> gpu_index;  ///< which; any when absent

    /// Checks all that can be checked without the rows: 22023, 0A000, 42602, and by CheckMayTrain() 42501.
    static TrainingRequest Check(std::string model, std::string source, std::string target, Json options);
};

/// The rows, and where they came from.
struct TrainingRows {
    std::shared_ptr<const ColumnarTable> table;
    std::vector<Finding> findings;
    ReadPoint read_point;
    Oid relation = InvalidOid;
    std::vector<Oid> relations;
    Json reading;       ///< rows, bytes, seconds, workers; reused: whether it took those of the last training
    Json expectations;  ///< what was found of them (CheckTrainingData)
    TimestampTz started_at = 0;
};

/// Reads under the active snapshot, as the current user, what meets the model's expectations; else 23514.
TrainingRows ReadTrainingRows(const TrainingRequest& request, ProgressDisplay* display);

/// A model, and what trained it: "cpu", or a GPU's name.
struct TrainedOnDevice {
    TrainedModel model;
    std::string device;
};

/// Needs no transaction and calls PostgreSQL for interrupts, messages and `checkpoints` (may be null) only.
Expected<TrainedOnDevice> TrainOnRows(const TrainingRequest& request, const TrainingRows& rows,
                                      TrainingMonitor* monitor, CheckpointStore* checkpoints);

/// Puts what training found in order and stores it as the next version, in the current transaction.
StoredVersion StoreTraining(const TrainingRequest& request, const TrainingRows& rows,
                            TrainedOnDevice* trained);

}  // namespace dlent::pg
