// The steps of a training, for dlent_train() and for jobs.

#include "pg/bridge/postgres.h"

#include "pg/functions/training.h"

#include <charconv>
#include <chrono>

#include "core/drift/table_scorer.h"
#include "core/train/latency_budget.h"
#include "cpu/cpu_backend.h"
#include "cpu/cpu_training_pool.h"
#include "cpu/row_scorer.h"
#include "cpu/score_cost.h"
#include "pg/bridge/text.h"
#include "pg/cache/stored_model.h"
#include "pg/expectations/training_gate.h"
#include "pg/gpu/failure.h"
#include "pg/gpu/files.h"
#include "pg/gpu/remote_trainer.h"
#include "pg/gpu/settings.h"
#include "pg/settings.h"
#include "pg/source/kept_rows.h"

namespace dlent::pg {
namespace {

/// Where the user wants a training.
void ParseDevice(const std::string& device, TrainingRequest* request) {
    if (device == "auto")
        return;
    request->place = device == "cpu" ? TrainingPlace::kCpu : TrainingPlace::kGpu;
    if (device == "cpu" || device == "cuda")
        return;
    if (device.starts_with("cuda:")) {
        int index = -1;
        const char* const end = device.data() + device.size();
        const auto [rest, error] = std::from_chars(device.data() + strlen("cuda:"), end, index);
        if (error == std::errc() && rest == end && index >= 0) {
            request->gpu_index = index;
            return;
        }
    }
    throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "unknown device \"" + FromUtf8(device) + "\"", {},
                   "Use auto, cpu, cuda, or one GPU: cuda:0.");
}

/// Whoever wants several GPUs to train each network wants GPUs.
void CheckDataParallel(const TrainingOptions& options, TrainingRequest* request) {
    if (options.data_parallel.value_or(1) == 1)
        return;
    if (request->place == TrainingPlace::kCpu || request->gpu_index)
        throw SqlError(
            ERRCODE_INVALID_PARAMETER_VALUE,
            "option \"data_parallel\" does not go with device \"" + FromUtf8(options.device) + "\"",
            "It says how many GPUs train each network together.", "Use device cuda, or auto.");
    request->place = TrainingPlace::kGpu;
}

/// Left open, a GPU is thought of where its plugin is installed and nobody has turned it off.
bool MayUseGpu(TrainingPlace place) {
    if (place == TrainingPlace::kAuto)
        return CurrentGpuPolicy() != GpuPolicy::kOff &&
               FileExists(GpuPluginPath(CurrentGpuServerSettings().plugin));
    return place == TrainingPlace::kGpu;
}

gpu::Precision ParsePrecision(const std::optional<std::string>& name) {
    for (const gpu::Precision precision : {gpu::Precision::kTf32, gpu::Precision::kBf16}) {
        if (name == gpu::PrecisionName(precision))
            return precision;
    }
    return gpu::Precision::kFp32;
}

/// Metrics are numbers by name; the tables for plots that come with them are kept among the details.
void SeparateTables(TrainedModel* trained) {
    Json numbers = Json::object();
    Json tables = Json::object();
    for (auto& [name, value] : trained->metrics.items()) {
        Json& part = value.is_structured() ? tables : numbers;
        part[name] = std::move(value);
    }
    trained->metrics = std::move(numbers);
    if (!tables.empty())
        trained->details["quality"] = std::move(tables);
}

/// Keeps in the version's reference how it answers rows it learnt from, at most 10,000. Held-out rows were
/// judged by other networks: those of their fold, or those before a refit.
Status KeepPredictions(const ColumnarTable& table, const CancelToken& cancel, TrainedModel* trained) {
    constexpr size_t kKeptRows = 10000;
    const std::vector<uint32_t> known = RowsWithTarget(table);
    std::vector<uint32_t> rows;
    const size_t count = std::min(known.size(), kKeptRows);
    for (size_t i = 0; i < count; ++i)
        rows.push_back(known[i * known.size() / count]);
    DLENT_ASSIGN_OR_RETURN(const std::unique_ptr<Scorer> scorer, MakeCpuScorer(trained->model));
    DLENT_ASSIGN_OR_RETURN(const TableScorer table_scorer, TableScorer::Create(scorer.get(), table));
    DLENT_ASSIGN_OR_RETURN(const std::vector<float> answers, table_scorer.Score(rows, cancel));
    trained->reference["prediction"] = SampleAnswers(trained->model.target, answers, false).ToJson();
    return Status::Ok();
}

}  // namespace

TrainingRequest TrainingRequest::Check(std::string model, std::string source, std::string target,
                                       Json options) {
    TrainingRequest request;
    request.model = std::move(model);
    request.source = std::move(source);
    request.target = std::move(target);
    request.options_json = std::move(options);
    request.options = ValueOrThrow(TrainingOptions::Parse(request.options_json));
    ParseDevice(request.options.device, &request);
    CheckDataParallel(request.options, &request);
    if (request.place == TrainingPlace::kGpu && CurrentGpuPolicy() == GpuPolicy::kOff)
        throw SqlError(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                       "device \"" + FromUtf8(request.options.device) + "\" is not available",
                       "dlent.gpu is off.", "Set dlent.gpu to try or require.");
    CheckMayTrain(request.model);
    if (request.options.warm_start) {
        const VersionIdentity identity =
            ResolveVersion({request.model, *request.options.warm_start}, Privilege::kManage);
        request.options.warm_start = identity.version;
        request.options.initial = std::make_shared<const Model>(LoadModel(identity));
    }
    return request;
}

TrainingRows ReadTrainingRows(const TrainingRequest& request, ProgressDisplay* display) {
    const TimestampTz started_at = GetCurrentTimestamp();
    Json expectations = CheckTrainingData(request.model, request.source);
    Source source = Source::Open(request.source);
    TrainingColumns columns = PlanTrainingColumns(source, request.target, request.options);
    ReadPoint read_point = CurrentReadPoint();
    const std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
    const TrainingTable read =
        ReadOrReuseTrainingTable(&source, columns, read_point.snapshot, MaxTrainingMemory(),
                                 [display](uint64_t rows) { display->ShowReading(rows); });
    display->ShowReading(read.table->rows());
    Json reading = Json::object();
    reading["rows"] = read.table->rows();
    reading["bytes"] = read.table->memory_bytes();
    reading["workers"] = read.workers;
    reading["reused"] = read.reused;
    reading["seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    TrainingRows rows{read.table};
    rows.findings = std::move(columns.findings);
    rows.read_point = std::move(read_point);
    rows.relation = source.relation();
    rows.relations = source.relations();
    rows.reading = std::move(reading);
    rows.expectations = std::move(expectations);
    rows.started_at = started_at;
    return rows;
}

Expected<TrainedOnDevice> TrainOnRows(const TrainingRequest& request, const TrainingRows& rows,
                                      TrainingMonitor* monitor, CheckpointStore* checkpoints) {
    const std::unique_ptr<Backend> backend = MakeCpuBackend();
    const std::unique_ptr<TrainingPool> pool =
        TrainingThreads() > 1 ? MakeCpuTrainingPool(TrainingThreads()) : nullptr;
    TrainingServices services{*backend, *monitor};
    services.progress = [monitor](const TrainingProgress& progress) { monitor->Report(progress); };
    services.pool = pool.get();
    services.checkpoints = checkpoints;
    services.make_scorer = [](const Model& model) { return MakeCpuScorer(model); };
    services.measure = [monitor](const Model& model) { return MeasureScoreCost(model, *monitor); };
    const auto train = [&](NetworkTrainer* on) {
        services.device = on;
        return TrainWithinBudget(*rows.table, request.options, services);
    };
    if (MayUseGpu(request.place)) {
        RemoteTrainer remote(request.place == TrainingPlace::kAuto ? RemoteTrainer::Choice::kAuto
                                                                   : RemoteTrainer::Choice::kGpu,
                             request.gpu_index, request.options.data_parallel.value_or(1),
                             ParsePrecision(request.options.precision), *backend, TrainingThreads());
        Expected<TrainedModel> trained = train(&remote);
        remote.ThrowIfFailed();
        monitor->ThrowIfFailed();
        if (!remote.device_failure()) {
            if (!trained.ok())
                return trained.status();
            DLENT_RETURN_IF_ERROR(KeepPredictions(*rows.table, *monitor, &*trained));
            if (const Json description = remote.Describe(); !description.is_null())
                trained->details["device"] = description;
            if (Json routing = remote.Routing(); !routing.is_null())
                trained->details["routing"] = std::move(routing);
            return TrainedOnDevice{std::move(*trained), remote.device_name()};
        }
        ReportDeviceFailure(*remote.device_failure(), "the model is trained on the CPU",
                            "the model was not trained on a GPU");
    }
    Expected<TrainedModel> trained = train(nullptr);
    monitor->ThrowIfFailed();
    if (!trained.ok())
        return trained.status();
    DLENT_RETURN_IF_ERROR(KeepPredictions(*rows.table, *monitor, &*trained));
    return TrainedOnDevice{std::move(*trained), "cpu"};
}

StoredVersion StoreTraining(const TrainingRequest& request, const TrainingRows& rows,
                            TrainedOnDevice* trained) {
    TrainedModel& model = trained->model;
    model.details["reading"] = rows.reading;
    SeparateTables(&model);
    if (!rows.expectations.empty())
        model.details["expectations"] = rows.expectations;
    model.findings.insert(model.findings.begin(), rows.findings.begin(), rows.findings.end());
    NewVersion version;
    version.model = request.model;
    version.trained = &model;
    version.options = request.options_json;
    version.device = trained->device;
    version.seed = request.options.seed;
    version.promote = request.options.promote;
    version.source = request.source;
    version.relation = rows.relation;
    version.relations = rows.relations;
    version.snapshot = rows.read_point.snapshot;
    version.lsn = rows.read_point.lsn;
    version.started_at = rows.started_at;
    return StoreVersion(version);
}

}  // namespace dlent::pg
