#include "gpu/protocol/job.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "core/formats/safetensors.h"
#include "gpu/protocol/message.h"

namespace dlent::gpu {
namespace {

constexpr uint64_t kMaxDescriptionBytes = uint64_t{64} << 20;
constexpr uint64_t kMaxTensorBytes = uint64_t{4} << 30;
constexpr uint64_t kMaxRows = std::numeric_limits<uint32_t>::max();
constexpr uint64_t kMaxLogits = uint64_t{1} << 36;
constexpr uint64_t kMaxBatch = 1 << 22;
constexpr uint64_t kMaxLogEntries = 1 << 22;
constexpr uint64_t kMaxCount = uint64_t{1} << 53;

/// Writes members of a JSON object.
struct Writer {
    Json* json;
    template <typename T>
    Status operator()(const char* name, const T& value, uint64_t = 0) const {
        if constexpr (std::is_enum_v<T>)
            (*json)[name] = static_cast<unsigned>(value);
        else
            (*json)[name] = value;
        return Status::Ok();
    }
};

/// Reads them again, trusting none; whole numbers and enumerations up to `most`.
struct Reader {
    const Json& json;
    Status operator()(const char* name, double& value, uint64_t = 0) const {
        DLENT_ASSIGN_OR_RETURN(value, ReadDouble(json, name));
        return std::isfinite(value) ? Status::Ok()
                                    : Status::Corrupt(std::string("\"") + name + "\" is not finite");
    }
    Status operator()(const char* name, float& value, uint64_t = 0) const {
        double wide;
        DLENT_RETURN_IF_ERROR((*this)(name, wide));
        value = static_cast<float>(wide);
        return std::isfinite(value) ? Status::Ok()
                                    : Status::Corrupt(std::string("\"") + name + "\" is not finite");
    }
    Status operator()(const char* name, bool& value, uint64_t = 0) const {
        DLENT_ASSIGN_OR_RETURN(value, ReadBool(json, name));
        return Status::Ok();
    }
    Status operator()(const char* name, std::vector<float>& values, uint64_t most) const {
        const auto member = json.find(name);
        if (member == json.end() || !member->is_array() || member->size() > most)
            return Status::Corrupt(std::string("\"") + name + "\" is not an array of numbers");
        for (const Json& entry : *member) {
            if (!entry.is_number() || !std::isfinite(entry.get<float>()))
                return Status::Corrupt(std::string("\"") + name + "\" has an entry that is no number");
            values.push_back(entry.get<float>());
        }
        return Status::Ok();
    }
    template <typename T>
    Status operator()(const char* name, T& value, uint64_t most) const {
        DLENT_ASSIGN_OR_RETURN(const uint64_t number, ReadUnsigned(json, name, most));
        value = static_cast<T>(number);
        return Status::Ok();
    }
};

/// Every member of TrainerOptions but the pointer in its loss, with the largest value of whole numbers.
template <typename Options, typename Visitor>
Status VisitOptions(Options& o, const Visitor& visit) {
    DLENT_RETURN_IF_ERROR(visit("loss", o.loss.kind, static_cast<uint64_t>(LossKind::kPinball)));
    DLENT_RETURN_IF_ERROR(visit("label_smoothing", o.loss.label_smoothing));
    DLENT_RETURN_IF_ERROR(visit("focal_gamma", o.loss.focal_gamma));
    DLENT_RETURN_IF_ERROR(visit("huber_delta", o.loss.huber_delta));
    DLENT_RETURN_IF_ERROR(visit("quantile", o.loss.quantile));
    DLENT_RETURN_IF_ERROR(visit("class_weights", o.class_weights, NetworkSpec::kMaxWidth));
    DLENT_RETURN_IF_ERROR(visit("optimizer", o.optimizer.kind, static_cast<uint64_t>(OptimizerKind::kSgd)));
    DLENT_RETURN_IF_ERROR(visit("weight_decay", o.optimizer.weight_decay));
    DLENT_RETURN_IF_ERROR(visit("beta1", o.optimizer.beta1));
    DLENT_RETURN_IF_ERROR(visit("beta2", o.optimizer.beta2));
    DLENT_RETURN_IF_ERROR(visit("epsilon", o.optimizer.epsilon));
    DLENT_RETURN_IF_ERROR(visit("momentum", o.optimizer.momentum));
    DLENT_RETURN_IF_ERROR(visit("nesterov", o.optimizer.nesterov));
    DLENT_RETURN_IF_ERROR(visit("learning_rate", o.learning_rate));
    DLENT_RETURN_IF_ERROR(visit("clip_norm", o.clip_norm));
    DLENT_RETURN_IF_ERROR(visit("batch_size", o.batch_size, kMaxBatch));
    DLENT_RETURN_IF_ERROR(visit("max_epochs", o.max_epochs, 1u << 30));
    DLENT_RETURN_IF_ERROR(visit("min_steps", o.min_steps, uint64_t{1} << 40));
    DLENT_RETURN_IF_ERROR(visit("schedule", o.schedule, static_cast<uint64_t>(ScheduleKind::kConstant)));
    DLENT_RETURN_IF_ERROR(visit("warmup", o.warmup));
    DLENT_RETURN_IF_ERROR(visit("stopping", o.stopping.rule, static_cast<uint64_t>(StoppingRule::kNone)));
    DLENT_RETURN_IF_ERROR(visit("patience", o.stopping.patience, 1u << 30));
    DLENT_RETURN_IF_ERROR(visit("restore_best", o.restore_best));
    DLENT_RETURN_IF_ERROR(visit("ema_decay", o.ema_decay));
    DLENT_RETURN_IF_ERROR(visit("stop_fraction", o.stop_fraction));
    DLENT_RETURN_IF_ERROR(visit("max_seconds", o.max_seconds));
    return visit("seed", o.seed, std::numeric_limits<uint64_t>::max());
}

/// The scalars of a result that are always finite.
template <typename Result, typename Visitor>
Status VisitResult(Result& r, const Visitor& visit) {
    DLENT_RETURN_IF_ERROR(visit("epochs", r.epochs, 1u << 30));
    DLENT_RETURN_IF_ERROR(visit("steps", r.steps, kMaxCount));
    DLENT_RETURN_IF_ERROR(visit("best_epoch", r.best_epoch, 1u << 30));
    DLENT_RETURN_IF_ERROR(visit("best_fraction", r.best_fraction));
    DLENT_RETURN_IF_ERROR(visit("stop_reason", r.stop_reason, static_cast<uint64_t>(StopReason::kTimeLimit)));
    DLENT_RETURN_IF_ERROR(visit("rows_per_second", r.rows_per_second));
    return visit("seconds", r.seconds);
}

template <typename T>
std::string_view BytesOf(std::span<const T> values) {
    return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

/// Sizes in a body and offsets in its memory: a description, tensors, then arrays of 4 bytes an element.
struct Layout {
    uint64_t description = 0;
    uint64_t tensors = 0;
    uint64_t counts[2] = {};
    size_t tensors_at = 0;
    size_t arrays_at[2] = {};
    size_t bytes = 0;

    Status Place() {
        Sections sections;
        sections.Add(description, 1);
        tensors_at = sections.Add(tensors, 1);
        for (int i = 0; i < 2; ++i)
            arrays_at[i] = sections.Add(counts[i], sizeof(uint32_t));
        if (!sections.ok() || sections.bytes() == 0)
            return Status::Corrupt("sizes that cannot be");
        bytes = sections.bytes();
        return Status::Ok();
    }
};

Expected<Layout> LayoutOf(const Json& body, const char* first, uint64_t most_first, const char* second,
                          uint64_t most_second) {
    Layout layout;
    DLENT_ASSIGN_OR_RETURN(layout.description, ReadUnsigned(body, "description", kMaxDescriptionBytes));
    DLENT_ASSIGN_OR_RETURN(layout.tensors, ReadUnsigned(body, "tensors", kMaxTensorBytes));
    DLENT_ASSIGN_OR_RETURN(layout.counts[0], ReadUnsigned(body, first, most_first));
    if (second != nullptr) {
        DLENT_ASSIGN_OR_RETURN(layout.counts[1], ReadUnsigned(body, second, most_second));
    }
    DLENT_RETURN_IF_ERROR(layout.Place());
    return layout;
}

Expected<Layout> JobLayout(const Json& body) {
    return LayoutOf(body, "train_rows", kMaxRows, "validation_rows", kMaxRows);
}

Expected<Layout> ResultLayout(const Json& body) {
    return LayoutOf(body, "logits", kMaxLogits, nullptr, 0);
}

/// A part of memory that Layout has placed.
std::string_view Part(std::span<const std::byte> memory, size_t offset, uint64_t bytes) {
    return {reinterpret_cast<const char*>(memory.data()) + offset, static_cast<size_t>(bytes)};
}

template <typename T>
std::vector<T> Values(std::span<const std::byte> memory, size_t offset, uint64_t count) {
    std::vector<T> values(static_cast<size_t>(count));
    if (count > 0)
        std::memcpy(values.data(), memory.data() + offset, values.size() * sizeof(T));
    return values;
}

Expected<Parcel> Pack(const Json& description, std::span<const NamedTensorData> tensors, const char* first,
                      std::string_view first_bytes, const char* second, std::string_view second_bytes,
                      const CancelToken& cancel) {
    const std::string text = description.dump();
    const std::string weights = WriteSafetensors(tensors, {});
    Layout layout;
    layout.description = text.size();
    layout.tensors = weights.size();
    layout.counts[0] = first_bytes.size() / sizeof(uint32_t);
    layout.counts[1] = second_bytes.size() / sizeof(uint32_t);
    DLENT_RETURN_IF_ERROR(layout.Place());
    Parcel parcel;
    DLENT_ASSIGN_OR_RETURN(parcel.memory, SharedMemory::Create(layout.bytes, cancel));
    const auto put = [&parcel](size_t offset, std::string_view bytes) {
        if (!bytes.empty())
            std::memcpy(parcel.memory.data() + offset, bytes.data(), bytes.size());
    };
    put(0, text);
    put(layout.tensors_at, weights);
    put(layout.arrays_at[0], first_bytes);
    put(layout.arrays_at[1], second_bytes);
    parcel.body = {
        {"description", layout.description}, {"tensors", layout.tensors}, {first, layout.counts[0]}};
    if (second != nullptr)
        parcel.body[second] = layout.counts[1];
    return parcel;
}

}  // namespace

const char* PrecisionName(Precision precision) {
    switch (precision) {
        case Precision::kTf32:
            return "tf32";
        case Precision::kBf16:
            return "bf16";
        case Precision::kFp32:
            break;
    }
    return "fp32";
}

Expected<Parcel> PackJob(const NetworkSpec& network, std::span<const NamedTensorData> tensors,
                         const TrainerOptions& options, Precision precision,
                         std::span<const uint32_t> train_rows, std::span<const uint32_t> validation_rows,
                         const CancelToken& cancel) {
    Json numbers = Json::object();
    DLENT_RETURN_IF_ERROR(VisitOptions(options, Writer{&numbers}));
    const Json description = {{"network", network.ToJson()},
                              {"options", std::move(numbers)},
                              {"precision", static_cast<unsigned>(precision)}};
    return Pack(description, tensors, "train_rows", BytesOf(train_rows), "validation_rows",
                BytesOf(validation_rows), cancel);
}

Expected<size_t> JobBytes(const Json& body) {
    DLENT_ASSIGN_OR_RETURN(const Layout layout, JobLayout(body));
    return layout.bytes;
}

Expected<TrainJob> UnpackJob(const Json& body, std::span<const std::byte> memory) {
    DLENT_ASSIGN_OR_RETURN(const Layout layout, JobLayout(body));
    if (memory.size() != layout.bytes)
        return Status::Corrupt("a job whose memory has another size than it says");
    DLENT_ASSIGN_OR_RETURN(const Json description, ParseObject(Part(memory, 0, layout.description)));
    TrainJob job;
    const auto network = description.find("network");
    const auto options = description.find("options");
    if (network == description.end() || options == description.end() || !options->is_object())
        return Status::Corrupt("a job without a network or options");
    DLENT_ASSIGN_OR_RETURN(job.network, NetworkSpec::FromJson(*network));
    DLENT_RETURN_IF_ERROR(VisitOptions(job.options, Reader{*options}));
    DLENT_RETURN_IF_ERROR(
        Reader{description}("precision", job.precision, static_cast<uint64_t>(Precision::kBf16)));
    if (job.options.batch_size < 1)
        return Status::Corrupt("a job with batches of no rows");
    DLENT_ASSIGN_OR_RETURN(job.tensors, ReadSafetensors(Part(memory, layout.tensors_at, layout.tensors)));
    job.train_rows = Values<uint32_t>(memory, layout.arrays_at[0], layout.counts[0]);
    job.validation_rows = Values<uint32_t>(memory, layout.arrays_at[1], layout.counts[1]);
    return job;
}

Status CheckRows(std::span<const uint32_t> rows, const ImageData& data) {
    std::vector<int32_t> labels;
    constexpr size_t kBlock = 4096;
    for (size_t begin = 0; begin < rows.size(); begin += kBlock) {
        const std::span<const uint32_t> block = rows.subspan(begin, std::min(kBlock, rows.size() - begin));
        for (const uint32_t row : block) {
            if (row >= data.rows())
                return Status::Corrupt("a row that the image does not have");
        }
        if (!data.shape().integer_targets)
            continue;
        labels.resize(block.size());
        HostBatch batch;
        batch.targets = labels.data();
        data.Gather(block, batch);
        for (const int32_t label : labels) {
            if (label < 0)
                return Status::Corrupt("a row without a label");
        }
    }
    return Status::Ok();
}

Expected<Parcel> PackResult(const TrainerResult& result, std::span<const NamedTensorData> tensors,
                            const CancelToken& cancel) {
    Json description = Json::object();
    DLENT_RETURN_IF_ERROR(VisitResult(result, Writer{&description}));
    description["best_validation_loss"] = NumberOrNull(result.best_validation_loss);
    Json log = Json::array();
    for (const EpochRecord& record : result.log)
        log.push_back({record.epoch, NumberOrNull(record.train_loss), NumberOrNull(record.validation_loss),
                       record.learning_rate, record.seconds});
    description["log"] = std::move(log);
    return Pack(description, tensors, "logits", BytesOf(std::span<const float>(result.validation_logits)),
                nullptr, {}, cancel);
}

Expected<size_t> ResultBytes(const Json& body) {
    DLENT_ASSIGN_OR_RETURN(const Layout layout, ResultLayout(body));
    return layout.bytes;
}

Expected<JobResult> UnpackResult(const Json& body, std::span<const std::byte> memory) {
    DLENT_ASSIGN_OR_RETURN(const Layout layout, ResultLayout(body));
    if (memory.size() != layout.bytes)
        return Status::Corrupt("a result whose memory has another size than it says");
    DLENT_ASSIGN_OR_RETURN(const Json description, ParseObject(Part(memory, 0, layout.description)));
    JobResult job;
    TrainerResult& result = job.result;
    DLENT_RETURN_IF_ERROR(VisitResult(result, Reader{description}));
    DLENT_ASSIGN_OR_RETURN(result.best_validation_loss, ReadDouble(description, "best_validation_loss"));
    const auto log = description.find("log");
    if (log == description.end() || !log->is_array() || log->size() > kMaxLogEntries)
        return Status::Corrupt("a result without a log");
    for (const Json& entry : *log) {
        constexpr size_t kNumbers = 5;
        double numbers[kNumbers];
        if (!entry.is_array() || entry.size() != kNumbers)
            return Status::Corrupt("a log with an entry of another form");
        for (size_t i = 0; i < kNumbers; ++i) {
            if (!entry[i].is_number() && !entry[i].is_null())
                return Status::Corrupt("a log with an entry that is no number");
            numbers[i] =
                entry[i].is_null() ? std::numeric_limits<double>::quiet_NaN() : entry[i].get<double>();
        }
        if (!(numbers[0] >= 0.0 && numbers[0] <= 1 << 30))
            return Status::Corrupt("a log with an epoch out of range");
        result.log.push_back(
            {0, static_cast<int>(numbers[0]), numbers[1], numbers[2], numbers[3], numbers[4]});
    }
    DLENT_ASSIGN_OR_RETURN(job.tensors, ReadSafetensors(Part(memory, layout.tensors_at, layout.tensors)));
    result.validation_logits = Values<float>(memory, layout.arrays_at[0], layout.counts[0]);
    return job;
}

Json ProgressToJson(const TrainingProgress& progress) {
    return {{"epoch", progress.epoch},
            {"epochs", progress.epochs},
            {"fraction", NumberOrNull(progress.fraction)},
            {"train_loss", NumberOrNull(progress.train_loss)},
            {"validation_loss", NumberOrNull(progress.validation_loss)},
            {"rows_per_second", NumberOrNull(progress.rows_per_second)},
            {"seconds_elapsed", NumberOrNull(progress.seconds_elapsed)},
            {"seconds_left", NumberOrNull(progress.seconds_left)},
            {"epoch_ended", progress.epoch_ended}};
}

Expected<TrainingProgress> ProgressFromJson(const Json& body) {
    TrainingProgress progress;
    DLENT_RETURN_IF_ERROR(Reader{body}("epoch", progress.epoch, 1u << 30));
    DLENT_RETURN_IF_ERROR(Reader{body}("epochs", progress.epochs, std::numeric_limits<int>::max()));
    DLENT_ASSIGN_OR_RETURN(progress.fraction, ReadDouble(body, "fraction"));
    DLENT_ASSIGN_OR_RETURN(progress.train_loss, ReadDouble(body, "train_loss"));
    DLENT_ASSIGN_OR_RETURN(progress.validation_loss, ReadDouble(body, "validation_loss"));
    DLENT_ASSIGN_OR_RETURN(progress.rows_per_second, ReadDouble(body, "rows_per_second"));
    DLENT_ASSIGN_OR_RETURN(progress.seconds_elapsed, ReadDouble(body, "seconds_elapsed"));
    DLENT_ASSIGN_OR_RETURN(progress.seconds_left, ReadDouble(body, "seconds_left"));
    DLENT_ASSIGN_OR_RETURN(progress.epoch_ended, ReadBool(body, "epoch_ended"));
    return progress;
}

Json DeviceStatus::ToJson() const {
    return {{"name", name},
            {"kind", kind},
            {"driver", driver},
            {"memory_total", memory_total},
            {"memory_used", memory_used},
            {"memory_limit", memory_limit},
            {"jobs", jobs},
            {"waiting", waiting},
            {"jobs_done", jobs_done},
            {"pid", pid},
            {"flops_per_second", NumberOrNull(flops_per_second)},
            {"step_seconds", NumberOrNull(step_seconds)},
            {"models", models},
            {"rows_scored", rows_scored},
            {"scoring_flops_per_second", NumberOrNull(scoring_flops_per_second)},
            {"block_seconds", NumberOrNull(block_seconds)}};
}

Expected<DeviceStatus> DeviceStatus::FromJson(const Json& body) {
    DeviceStatus status;
    DLENT_ASSIGN_OR_RETURN(status.name, ReadText(body, "name"));
    DLENT_ASSIGN_OR_RETURN(status.kind, ReadText(body, "kind", 32));
    DLENT_ASSIGN_OR_RETURN(status.driver, ReadText(body, "driver"));
    DLENT_ASSIGN_OR_RETURN(status.memory_total, ReadUnsigned(body, "memory_total", kMaxCount));
    DLENT_ASSIGN_OR_RETURN(status.memory_used, ReadUnsigned(body, "memory_used", kMaxCount));
    DLENT_ASSIGN_OR_RETURN(status.memory_limit, ReadUnsigned(body, "memory_limit", kMaxCount));
    DLENT_ASSIGN_OR_RETURN(status.jobs, ReadUnsigned(body, "jobs", kMaxCount));
    DLENT_ASSIGN_OR_RETURN(status.waiting, ReadUnsigned(body, "waiting", kMaxCount));
    DLENT_ASSIGN_OR_RETURN(status.jobs_done, ReadUnsigned(body, "jobs_done", kMaxCount));
    DLENT_ASSIGN_OR_RETURN(status.pid, ReadUnsigned(body, "pid", kMaxCount));
    DLENT_RETURN_IF_ERROR(Reader{body}("flops_per_second", status.flops_per_second));
    DLENT_RETURN_IF_ERROR(Reader{body}("step_seconds", status.step_seconds));
    DLENT_ASSIGN_OR_RETURN(status.models, ReadUnsigned(body, "models", kMaxCount));
    DLENT_ASSIGN_OR_RETURN(status.rows_scored, ReadUnsigned(body, "rows_scored", kMaxCount));
    DLENT_RETURN_IF_ERROR(Reader{body}("scoring_flops_per_second", status.scoring_flops_per_second));
    DLENT_RETURN_IF_ERROR(Reader{body}("block_seconds", status.block_seconds));
    return status;
}

}  // namespace dlent::gpu
