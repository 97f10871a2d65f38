#include "core/train/checkpoint.h"

#include <cmath>
#include <limits>

#include "core/formats/safetensors.h"

namespace dlent {
namespace {

constexpr const char* kFormat = "dlent.checkpoint/1";
constexpr const char* kNetworkPrefix = "network/";
constexpr const char* kLogits = "validation_logits";
constexpr int64_t kMostEpochs = 1 << 30;

Json FiniteNumber(double value) {
    return std::isfinite(value) ? Json(value) : Json(nullptr);
}

/// Reads the members of a description; the first that is not as it should be is remembered.
class DescriptionReader {
 public:
    explicit DescriptionReader(const Json& json) : json_(json) {}

    int64_t Integer(const char* name, int64_t maximum) {
        const Json* value = Find(name);
        if (value == nullptr)
            return 0;
        if (!value->is_number_integer() || *value < 0 || *value > maximum) {
            Fail(name);
            return 0;
        }
        return value->get<int64_t>();
    }
    /// null is NaN
    double Real(const char* name) {
        const Json* value = Find(name);
        if (value == nullptr || value->is_null())
            return std::numeric_limits<double>::quiet_NaN();
        if (!value->is_number())
            Fail(name);
        return value->is_number() ? value->get<double>() : 0.0;
    }
    const Json* Find(const char* name) {
        const auto found = json_.is_object() ? json_.find(name) : json_.end();
        if (!json_.is_object() || found == json_.end()) {
            Fail(name);
            return nullptr;
        }
        return &*found;
    }
    void Fail(const char* name) {
        if (bad_.empty())
            bad_ = name;
    }
    const std::string& bad() const { return bad_; }

 private:
    const Json& json_;
    std::string bad_;
};

Status Corrupt(const std::string& detail) {
    return Status::Corrupt("the checkpoint is corrupt", detail);
}

Expected<TrainerResult> ReadDescription(const Json& json) {
    DescriptionReader reader(json);
    TrainerResult result;
    const Json* format = reader.Find("format");
    if (format == nullptr || *format != kFormat)
        reader.Fail("format");
    result.epochs = static_cast<int>(reader.Integer("epochs", kMostEpochs));
    result.steps = reader.Integer("steps", std::numeric_limits<int64_t>::max());
    result.best_epoch = static_cast<int>(reader.Integer("best_epoch", kMostEpochs));
    result.best_fraction = reader.Real("best_fraction");
    if (!(result.best_fraction >= 0.0 && result.best_fraction <= 1.0))
        reader.Fail("best_fraction");
    result.best_validation_loss = reader.Real("best_validation_loss");
    result.rows_per_second = reader.Real("rows_per_second");
    result.seconds = reader.Real("seconds");
    const auto stop_reason = reader.Integer("stop_reason", static_cast<int64_t>(StopReason::kTimeLimit));
    result.stop_reason = static_cast<StopReason>(stop_reason);
    const Json* log = reader.Find("log");
    if (log != nullptr && !log->is_array())
        reader.Fail("log");
    if (!reader.bad().empty())
        return Corrupt("Its description has no valid \"" + reader.bad() + "\".");
    for (const Json& entry : *log) {
        DescriptionReader line(entry);
        EpochRecord record;
        record.epoch = static_cast<int>(line.Integer("epoch", kMostEpochs));
        record.train_loss = line.Real("train_loss");
        record.validation_loss = line.Real("validation_loss");
        record.learning_rate = line.Real("learning_rate");
        record.seconds = line.Real("seconds");
        if (!line.bad().empty())
            return Corrupt("Its log has no valid \"" + line.bad() + "\".");
        result.log.push_back(record);
    }
    return result;
}

}  // namespace

Checkpoint EncodeCheckpoint(const TrainerResult& result, const std::vector<NamedTensorData>& tensors) {
    Checkpoint checkpoint;
    Json log = Json::array();
    for (const EpochRecord& record : result.log)
        log.push_back({{"epoch", record.epoch},
                       {"train_loss", FiniteNumber(record.train_loss)},
                       {"validation_loss", FiniteNumber(record.validation_loss)},
                       {"learning_rate", FiniteNumber(record.learning_rate)},
                       {"seconds", FiniteNumber(record.seconds)}});
    checkpoint.description = {{"format", kFormat},
                              {"epochs", result.epochs},
                              {"steps", result.steps},
                              {"best_epoch", result.best_epoch},
                              {"best_fraction", FiniteNumber(result.best_fraction)},
                              {"best_validation_loss", FiniteNumber(result.best_validation_loss)},
                              {"rows_per_second", FiniteNumber(result.rows_per_second)},
                              {"seconds", FiniteNumber(result.seconds)},
                              {"stop_reason", static_cast<int>(result.stop_reason)},
                              {"log", std::move(log)}};
    std::vector<NamedTensorData> all;
    for (const NamedTensorData& tensor : tensors)
        all.push_back({kNetworkPrefix + tensor.name, tensor.shape, tensor.values});
    all.push_back(
        {kLogits, {static_cast<int64_t>(result.validation_logits.size())}, result.validation_logits});
    checkpoint.tensors = WriteSafetensors(all, {});
    return checkpoint;
}

Expected<TrainerResult> DecodeCheckpoint(const Checkpoint& checkpoint, size_t validation_logits,
                                         Network* network) {
    DLENT_ASSIGN_OR_RETURN(TrainerResult result, ReadDescription(checkpoint.description));
    DLENT_ASSIGN_OR_RETURN(std::vector<NamedTensorData> all, ReadSafetensors(checkpoint.tensors));
    std::vector<NamedTensorData> tensors;
    bool has_logits = false;
    for (NamedTensorData& tensor : all) {
        if (tensor.name == kLogits) {
            has_logits = true;
            result.validation_logits = std::move(tensor.values);
        } else if (tensor.name.starts_with(kNetworkPrefix)) {
            tensor.name.erase(0, std::char_traits<char>::length(kNetworkPrefix));
            tensors.push_back(std::move(tensor));
        } else {
            return Corrupt("Tensor \"" + tensor.name + "\" belongs to no checkpoint.");
        }
    }
    if (!has_logits || result.validation_logits.size() != validation_logits)
        return Corrupt("It has not the logits of " + std::to_string(validation_logits) +
                       " held-out answers.");
    const Status loaded = network->Load(tensors);
    if (!loaded.ok())
        return Corrupt("Its network does not fit: " + loaded.message() + ".");
    return result;
}

}  // namespace dlent
