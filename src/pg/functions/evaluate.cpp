// dlent_evaluate: rows with known outcomes in, every metric that fits the task out. Writes nothing unless it
// is asked to store the result.

#include "pg/bridge/postgres.h"

#include <optional>

#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/bridge/option_reader.h"
#include "pg/cache/scorer_cache.h"
#include "pg/catalog/evaluations.h"
#include "pg/catalog/models.h"
#include "pg/functions/arguments.h"
#include "pg/functions/evaluation_sink.h"
#include "pg/gpu/bulk_scoring.h"
#include "pg/source/source.h"

namespace dlent::pg {
namespace {

struct EvaluateOptions {
    std::optional<double> threshold;  ///< of binary models
    std::string weight_column;        ///< server encoding
    bool store = false;

    static EvaluateOptions Parse(const Json& json, Task task);
};

EvaluateOptions EvaluateOptions::Parse(const Json& json, Task task) {
    const OptionReader reader(json, {"threshold", "weight_column", "store"});
    EvaluateOptions options;
    options.threshold = reader.OptionalNumber("threshold", 0.0, 1.0);
    options.weight_column = reader.Text("weight_column", "", "the name of a column");
    options.store = reader.Boolean("store", false);
    if (task != Task::kBinary && options.threshold)
        reader.Fail("option \"threshold\" is for models of two classes");
    return options;
}

Json Evaluate(const std::string& model, const std::string& source_text, const Json& options_given) {
    const VersionIdentity identity = ResolveVersion(ParseModelReference(model), Privilege::kPredict);
    const std::shared_ptr<Scorer> scorer = AcquireScorer(identity);
    const TargetEncoder& target = scorer->model().target;
    const EvaluateOptions options = EvaluateOptions::Parse(options_given, target.task());
    Source source = Source::Open(source_text);
    BulkScoring scoring(identity, source.estimated_rows());
    const std::unique_ptr<EvaluationSink> sink = scoring.Compute([&](Scorer& on) {
        auto rows = std::make_unique<EvaluationSink>(source, &on, options.weight_column);
        source.Read(rows.get());
        rows->Finish();
        return rows;
    });

    Json result = Json::object();
    result["model"] = ToUtf8(identity.model);
    result["version"] = identity.version;
    result["task"] = TaskName(target.task());
    result["target"] = target.column();
    if (target.task() == Task::kBinary)
        result["positive_class"] = target.labels()[1];
    if (sink->rows_without_target() > 0)
        result["rows_without_target"] = sink->rows_without_target();
    if (sink->rows_with_unknown_label() > 0)
        result["rows_with_unknown_label"] = sink->rows_with_unknown_label();
    Json metrics = sink->Metrics(options.threshold.value_or(0.5));
    for (auto& [name, value] : metrics.items())
        result[name] = std::move(value);
    scoring.Describe(&result);
    if (options.store)
        result["evaluation"] = StoreEvaluation(identity, source_text, result, options_given);
    return result;
}

}  // namespace
}  // namespace dlent::pg

using namespace dlent::pg;

DLENT_FUNCTION(dlent_evaluate) {
    return Entry(fcinfo, [fcinfo] {
        const std::string model = RequiredText(fcinfo, 0, "model");
        const std::string source = RequiredText(fcinfo, 1, "source");
        return JsonbDatum(Evaluate(
            model, source, PG_ARGISNULL(2) ? dlent::Json::object() : JsonFromDatum(PG_GETARG_DATUM(2))));
    });
}
