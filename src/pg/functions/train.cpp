// dlent_train: rows in, a stored version out, all in the caller's transaction.

#include "pg/bridge/postgres.h"

#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/functions/arguments.h"
#include "pg/functions/training.h"
#include "pg/settings.h"

extern "C" {
#include "tcop/utility.h"
#include "utils/tuplestore.h"
}

namespace dlent::pg {
namespace {

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
    const TrainingRequest request = TrainingRequest::Check(
        RequiredText(fcinfo, 0, "model"), RequiredText(fcinfo, 1, "source"),
        RequiredText(fcinfo, 2, "target",
                     "Name the column to be predicted: dlent_train(model, source, 'column')."),
        PG_ARGISNULL(3) ? Json::object() : JsonFromDatum(PG_GETARG_DATUM(3)));
    ProgressDisplay display(request.model);
    TrainingMonitor monitor(request.model, ProgressMessages(), &display);
    TrainingRows rows = ReadTrainingRows(request, &display);
    TrainedOnDevice trained = ValueOrThrow(TrainOnRows(request, rows, &monitor, nullptr));
    monitor.Finish();
    rows.table.reset();  // this training needs them no more

    display.ShowPhase("storing");
    const StoredVersion stored = StoreTraining(request, rows, &trained);
    SendFindings(trained.model.findings);
    PutResult(fcinfo, stored.version, trained.device, trained.model);
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
