#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/base/status.h"
#include "core/features/table.h"
#include "core/features/task.h"
#include "core/nn/backend.h"

namespace dlent {

struct Model;

enum class Preset : uint8_t { kFast, kDefault, kBest };
enum class ValidationMethod : uint8_t { kAuto, kRandom, kTime, kGroup, kNone };
enum class NumericEmbedding : uint8_t { kAuto, kNone, kPiecewiseLinear, kPeriodic };
enum class ScorePrecision : uint8_t { kFp32, kInt8, kAuto };

const char* PresetName(Preset preset);
const char* ValidationMethodName(ValidationMethod method);
const char* NumericEmbeddingName(NumericEmbedding embedding);
const char* ScorePrecisionName(ScorePrecision precision);

/// A user's word on one column, overriding what its type suggests.
struct FeatureOverride {
    std::optional<ColumnKind> kind;
};

struct ValidationOptions {
    ValidationMethod method = ValidationMethod::kAuto;
    std::optional<double> fraction;
    std::string column;  ///< of time and group
};

/// The options of dlent_train, parsed and checked but not resolved: an absent value means that the preset
/// decides.
struct TrainingOptions {
    std::string kind = "auto";
    Task task = Task::kAuto;
    Preset preset = Preset::kDefault;
    std::string device = "auto";
    std::optional<std::string> precision;  ///< of products on a GPU: "fp32", "tf32", "bf16"
    std::optional<int> data_parallel;      ///< how many GPUs train each network together
    uint64_t seed = 42;
    std::optional<int> epochs;
    std::optional<int> batch_size;
    std::optional<double> learning_rate;
    std::optional<double> weight_decay;
    std::optional<std::vector<int>> hidden;
    std::optional<double> dropout;
    std::optional<Activation> activation;
    std::optional<int> patience;
    std::optional<double> max_seconds;
    std::optional<double> max_score_us;                      ///< microseconds that a row may cost, in batches
    ScorePrecision score_precision = ScorePrecision::kFp32;  ///< of hidden layers when rows are scored
    /// How the network is trained whose predictions this one learns beside the rows' own targets; null: none.
    std::shared_ptr<const TrainingOptions> teacher;
    /// The version whose networks are trained further, its pipeline kept; 0: the champion; absent: training
    /// begins from scratch.
    std::optional<int> warm_start;
    std::shared_ptr<const Model> initial;  ///< that version, from whoever knows versions
    std::optional<int> members;
    NumericEmbedding numeric_embedding = NumericEmbedding::kAuto;
    std::optional<std::string> optimizer;  ///< "adamw", "sgd"
    std::optional<std::string> schedule;   ///< "cycles", "cosine", "coslog4", "flat_cos", "constant"
    std::optional<std::string> loss;       ///< "log_loss", "focal", "squared", "huber", "pinball"
    std::optional<double> label_smoothing;
    std::optional<double> quantile;
    ValidationOptions validation;
    /// Empty, "balanced", or a weight per label.
    std::optional<std::string> class_weight_mode;
    std::map<std::string, double> class_weights;
    std::string weight_column;
    std::vector<std::string> exclude;
    std::map<std::string, FeatureOverride> features;
    std::optional<std::string> positive_class;
    bool promote = false;

    /// Strict: an unknown key or a wrong type is kInvalidArgument whose hint lists the valid keys.
    static Expected<TrainingOptions> Parse(const Json& json);
};

}  // namespace dlent
