// Jobs that do what dlent_train() does: {"source": "...", "target": "...", "options": {...}}. What is left
// out is as the champion was trained, so that {} trains it anew on today's rows.

#include "pg/bridge/postgres.h"

#include "pg/bridge/json.h"
#include "pg/bridge/text.h"
#include "pg/catalog/lookup.h"
#include "pg/catalog/writer.h"
#include "pg/source/training_columns.h"
#include "pg/workers/job_training.h"
#include "pg/workers/sql_action.h"

namespace dlent::pg {
namespace {

constexpr SqlArgument kArguments[] = {{"source", SqlArgument::Type::kText, false},
                                      {"target", SqlArgument::Type::kText, false},
                                      {"options", SqlArgument::Type::kJson, false}};

/// The arguments with which the champion was trained; 55000 without one.
Json ChampionsArguments(const std::string& model) {
    struct Recipe {
        const char* source;
        const char* target;
        const char* options;
    };
    const Recipe recipe = CallPostgres([&model] {
        const MemoryContext context = CurrentMemoryContext;
        FoundVersion version;
        FindVersion(model.c_str(), 0, Privilege::kManage, &version);
        CatalogWrite read;
        BeginCatalogRead(&read);
        const Parameter parameters[] = {Int8(version.id)};
        Recipe found{};
        if (Execute("SELECT source, target, options::pg_catalog.text FROM dlent.version WHERE id = $1",
                    parameters) > 0) {
            const auto text = [context](int column) {
                const char* value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);
                return value == nullptr ? nullptr : MemoryContextStrdup(context, value);
            };
            found = {text(1), text(2), text(3)};
        }
        EndCatalogRead(read);
        return found;
    });
    if (recipe.source == nullptr || recipe.target == nullptr)
        throw SqlError(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                       "model \"" + model + "\" has no champion to be trained anew", {},
                       "Give the arguments source and target.");
    Json options = ParseJson(recipe.options);
    for (const char* decision_of_then : {"promote", "warm_start"})
        options.erase(decision_of_then);
    return {{"source", ToUtf8(recipe.source)},
            {"target", ToUtf8(recipe.target)},
            {"options", std::move(options)}};
}

TrainingRequest RequestOf(const std::string& model, const Json& arguments) {
    Json whole = arguments;
    if (!arguments.contains("source") || !arguments.contains("target")) {
        const Json champions = ChampionsArguments(model);
        for (const auto& [key, value] : champions.items()) {
            if (!whole.contains(key))
                whole[key] = value;
        }
    }
    return TrainingRequest::Check(model, FromUtf8(whole.at("source").get<std::string>()),
                                  FromUtf8(whole.at("target").get<std::string>()),
                                  whole.value("options", Json::object()));
}

Json Check(const std::string& model, const Json& arguments) {
    Json checked = CheckSqlArguments(arguments, kArguments, std::size(kArguments));
    const TrainingRequest request = RequestOf(model, checked);
    // who asks is told of a wrong name now, not by a failed job
    PlanTrainingColumns(Source::Open(request.source), request.target, request.options);
    return checked;
}

Json Run(JobContext& context) {
    const TrainingRequest request = RequestOf(context.job().model, context.job().arguments);
    TrainedOnDevice done;
    const StoredVersion stored = TrainInJob(context, request, &done);
    const TrainedModel& model = done.model;
    return {{"version", stored.version},     {"champion", stored.champion},    {"kind", model.model.kind},
            {"device", ToUtf8(done.device)}, {"train_rows", model.train_rows}, {"epochs", model.epochs},
            {"seconds", model.seconds},      {"metrics", model.metrics}};
}

}  // namespace

const JobAction kTrainAction = {"train", Check, Run};

}  // namespace dlent::pg
