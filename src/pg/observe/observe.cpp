// dlent_observe: what is recorded of a model's answers.

#include "pg/bridge/postgres.h"

#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/catalog/model_change.h"
#include "pg/catalog/models.h"
#include "pg/functions/arguments.h"
#include "pg/observe/observation.h"
#include "pg/observe/prediction_ring.h"

namespace dlent::pg {
namespace {

/// `observation` 0: nothing is said from now on, so rollouts alone are recorded.
void SetObservation(const char* name, Datum observation) {
    CatalogWrite write;
    FoundModel model;
    BeginCatalogWrite("dlent_observe()", &write);
    FindManagedModel(name, write, RowLock::kUpdate, &model);
    const Parameter parameters[] = {Int8(model.id), {JSONBOID, observation, observation == 0}};
    const bool changed =
        Execute("UPDATE dlent.model SET observation = $2 WHERE id = $1 AND observation IS DISTINCT FROM $2",
                parameters) > 0;
    if (changed)
        RecordEvent({.action = "observe",
                     .model_id = model.id,
                     .model = name,
                     .role = CallerName(write),
                     .details = observation});
    EndCatalogWrite(write, changed);
}

}  // namespace
}  // namespace dlent::pg

DLENT_FUNCTION(dlent_observe) {
    using namespace dlent::pg;
    return Entry(fcinfo, [fcinfo] {
        const std::string model = ParseModelName(RequiredText(fcinfo, 0, "model"));
        Observation observation;
        if (!PG_ARGISNULL(1))
            observation = Observation::Parse(JsonFromDatum(PG_GETARG_DATUM(1)));
        const Datum stored = PG_ARGISNULL(1) ? Datum{0} : JsonbDatum(observation.ToJson());
        CallPostgres([&] {
            SetObservation(model.c_str(), stored);
            if (observation.active() && !PredictionMemoryExists())
                ereport(
                    WARNING,
                    (errmsg("only sessions with dlent.prediction_log = synchronous record answers"),
                     errhint("Add dlent to shared_preload_libraries and restart the server, and all do.")));
        });
        return Datum{0};
    });
}
