// dlent_train: rows in, a stored version out.

#include "pg/bridge/postgres.h"

#include <charconv>
#include <chrono>
#include <optional>

#include "core/train/latency_budget.h"
#include "cpu/cpu_backend.h"
#include "cpu/cpu_training_pool.h"
#include "cpu/score_cost.h"
#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/catalog/models.h"
#include "pg/expectations/training_gate.h"
#include "pg/functions/arguments.h"
#include "pg/functions/progress.h"
#include "pg/functions/training_monitor.h"
#include "pg/gpu/remote_trainer.h"
#include "pg/gpu/settings.h"
#include "pg/settings.h"
#include "pg/source/source.h"
#include "pg/source/table_reader.h"

extern "C" {
#include "tcop/utility.h"
}

namespace dlent::pg {
namespace {

struct TrainArguments {
    std::string model;
    std::string source;
    std::string target;
    Json options;
};

TrainArguments ReadArguments(FunctionCallInfo fcinfo) {
    TrainArguments arguments;
    arguments.model = RequiredText(fcinfo, 0, "model");
    arguments.source = RequiredText(fcinfo, 1, "source");
    arguments.target = RequiredText(fcinfo, 2, "target",
                                    "Name the column to be predicted: dlent_train(model, source, 'column').");
    arguments.options = PG_ARGISNULL(3) ? Json::object() : JsonFromDatum(PG_GETARG_DATUM(3));
    return arguments;
}

/// Where the user wants a training.
struct DeviceChoice {
    bool gpu = false;
    std::optional<int> index;  ///< of the GPU; any when absent
};

DeviceChoice ParseDevice(const std::string& device) {
    if (device == "auto" || device == "cpu")
        return {};
    DeviceChoice choice{true, std::nullopt};
    if (device == "cuda")
        return choice;
    if (device.starts_with("cuda:")) {
        int index = -1;
        const char* const end = device.data() + device.size();
        const auto [rest, error] = std::from_chars(device.data() + strlen("cuda:"), end, index);
        if (error == std::errc() && rest == end && index >= 0) {
            choice.index = index;
            return choice;
        }
    }
    throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "unknown device \"" + FromUtf8(device) + "\"", {},
                   "Use auto, cpu, cuda, or one GPU: cuda:0.");
}

gpu::Precision ParsePrecision(const std::optional<std::string>& name) {
    for (const gpu::Precision precision : {gpu::Precision::kTf32, gpu::Precision::kBf16}) {
        if (name == gpu::PrecisionName(precision))
            return precision;
    }
    return gpu::Precision::kFp32;
}

/// What becomes of a training whose GPU failed: an error, or a warning and another attempt.
void ReportDeviceFailure(const Status& failure) {
    if (CurrentGpuPolicy() == GpuPolicy::kRequire)
        throw SqlError(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                       "the model was not trained on a GPU: " + FromUtf8(failure.message()),
                       FromUtf8(failure.detail()),
                       failure.hint().empty() ? "With dlent.gpu = try the CPU would take over."
                                              : FromUtf8(failure.hint()));
    const std::string message = "the model is trained on the CPU: " + FromUtf8(failure.message());
    const std::string detail = FromUtf8(failure.detail());
    const std::string hint = FromUtf8(failure.hint());
    CallPostgres([&] {
        ereport(WARNING, (errmsg_internal("%s", message.c_str()),
                          detail.empty() ? 0 : errdetail_internal("%s", detail.c_str()),
                          hint.empty() ? 0 : errhint("%s", hint.c_str())));
    });
}

/// Tells the caller what was left out and what looks wrong.
void SendFindings(const std::vector<Finding>& findings) {
    for (const Finding& finding : findings) {
        std::string message = FromUtf8(finding.message);
        if (finding.code.starts_with("EXCLUDED_"))
            message = "column \"" + FromUtf8(finding.column) + "\" is not used: " + message;
        const std::string hint = FromUtf8(finding.hint);
        const int level = finding.severity == Finding::Severity::kWarning ? WARNING : NOTICE;
        CallPostgres([&] {
            ereport(level,
                    (errmsg_internal("%s", message.c_str()), hint.empty() ? 0 : errhint("%s", hint.c_str())));
        });
    }
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

/// The row that dlent_train returns.
void PutResult(FunctionCallInfo fcinfo, int version, const std::string& device, const TrainedModel& trained) {
    constexpr int kColumns = 7;
    struct Row {
        Datum values[kColumns];
        bool nulls[kColumns];
    } row{};
    row.values[0] = Int32GetDatum(version);
    row.values[1] = TextDatum(FromUtf8(trained.model.kind));
    row.values[2] = TextDatum(device);
    row.values[3] = Int64GetDatum(static_cast<int64>(trained.train_rows));
    row.values[4] = Int32GetDatum(trained.epochs);
    row.values[5] = CallPostgres([&trained] { return Float8GetDatum(trained.seconds); });
    row.values[6] = JsonbDatum(trained.metrics);
    CallPostgres([&] {
        auto* const result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
        tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.nulls);
    });
}

void Train(FunctionCallInfo fcinfo) {
    const TimestampTz started_at = GetCurrentTimestamp();
    const TrainArguments arguments = ReadArguments(fcinfo);
    const TrainingOptions options = ValueOrThrow(TrainingOptions::Parse(arguments.options));
    const DeviceChoice choice = ParseDevice(options.device);
    if (choice.gpu && CurrentGpuPolicy() == GpuPolicy::kOff)
        throw SqlError(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                       "device \"" + FromUtf8(options.device) + "\" is not available", "dlent.gpu is off.",
                       "Set dlent.gpu to try or require.");
    CheckMayTrain(arguments.model);

    const Json expectations = CheckTrainingData(arguments.model, arguments.source);

    ProgressDisplay display(arguments.model);
    TrainingMonitor monitor(arguments.model, ProgressMessages(), &display);
    Source source = Source::Open(arguments.source);
    const TrainingColumns columns = PlanTrainingColumns(source, arguments.target, options);
    const ReadPoint read_point = CurrentReadPoint();
    const std::chrono::steady_clock::time_point read_start = std::chrono::steady_clock::now();
    Json reading = Json::object();
    std::string device = "cpu";
    Json on_device;
    TrainedModel trained = [&] {
        const ColumnarTable table = ReadTrainingTable(
            &source, columns, MaxTrainingMemory(), [&display](uint64_t rows) { display.ShowReading(rows); });
        display.ShowReading(table.rows());
        reading["rows"] = table.rows();
        reading["bytes"] = table.memory_bytes();
        reading["seconds"] =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - read_start).count();
        const std::unique_ptr<Backend> backend = MakeCpuBackend();
        const std::unique_ptr<TrainingPool> pool =
            TrainingThreads() > 1 ? MakeCpuTrainingPool(TrainingThreads()) : nullptr;
        const auto train = [&](NetworkTrainer* on) {
            return TrainWithinBudget(
                table, options, *backend, monitor,
                [&monitor](const TrainingProgress& progress) { monitor.Report(progress); },
                [&monitor](const Model& model) { return MeasureScoreCost(model, monitor); }, pool.get(), on);
        };
        if (choice.gpu) {
            RemoteTrainer remote(choice.index, ParsePrecision(options.precision));
            Expected<TrainedModel> result = train(&remote);
            remote.ThrowIfFailed();
            monitor.ThrowIfFailed();
            if (!remote.device_failure()) {
                device = remote.device_name();
                on_device = remote.Describe();
                return ValueOrThrow(std::move(result));
            }
            ReportDeviceFailure(*remote.device_failure());
        }
        Expected<TrainedModel> result = train(nullptr);
        monitor.ThrowIfFailed();
        return ValueOrThrow(std::move(result));
    }();
    monitor.Finish();
    trained.details["reading"] = std::move(reading);
    if (!on_device.is_null())
        trained.details["device"] = std::move(on_device);
    SeparateTables(&trained);
    if (!expectations.empty())
        trained.details["expectations"] = expectations;
    trained.findings.insert(trained.findings.begin(), columns.findings.begin(), columns.findings.end());
    SendFindings(trained.findings);

    display.ShowPhase("storing");
    NewVersion version;
    version.model = arguments.model;
    version.trained = &trained;
    version.options = arguments.options;
    version.device = device;
    version.seed = options.seed;
    version.promote = options.promote;
    version.source = arguments.source;
    version.relation = source.relation();
    version.relations = source.relations();
    version.snapshot = read_point.snapshot;
    version.lsn = read_point.lsn;
    version.started_at = started_at;
    const StoredVersion stored = StoreVersion(version);
    PutResult(fcinfo, stored.version, device, trained);
}

}  // namespace
}  // namespace dlent::pg

using namespace dlent::pg;

DLENT_FUNCTION(dlent_train) {
    return Entry(fcinfo, [fcinfo] {
        PreventCommandIfReadOnly("dlent_train()");
        PreventCommandDuringRecovery("dlent_train()");
        PreventCommandIfParallelMode("dlent_train()");
        InitMaterializedSRF(fcinfo, 0);
        Train(fcinfo);
        return Datum{0};
    });
}
