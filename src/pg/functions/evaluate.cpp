// dlent_evaluate: rows with known outcomes in, every metric that fits the task out. Writes nothing unless it
// is asked to store the result.

#include "pg/bridge/postgres.h"

#include <optional>

#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
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

    static EvaluateOptions Parse(const Json& json);
};

[[noreturn]] void ThrowEvaluateOption(const std::string& message) {
    throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, message, {},
                   "Valid options are threshold, weight_column, store.");
}

EvaluateOptions EvaluateOptions::Parse(const Json& json) {
    EvaluateOptions options;
    if (!json.is_object())
        ThrowEvaluateOption("options must be a JSON object");
    for (const auto& [key, value] : json.items()) {
        if (key == "threshold") {
            if (!value.is_number() || !(value.get<double>() >= 0.0 && value.get<double>() <= 1.0))
                ThrowEvaluateOption("option \"threshold\" must be a number from 0 to 1");
            options.threshold = value.get<double>();
        } else if (key == "weight_column") {
            if (!value.is_string())
                ThrowEvaluateOption("option \"weight_column\" must be the name of a column");
            options.weight_column = FromUtf8(value.get<std::string>());
        } else if (key == "store") {
            if (!value.is_boolean())
                ThrowEvaluateOption("option \"store\" must be true or false");
            options.store = value.get<bool>();
        } else {
            ThrowEvaluateOption("unknown option \"" + FromUtf8(key) + "\"");
        }
    }
    return options;
}

Json Evaluate(const std::string& model, const std::string& source_text, const Json& options_given) {
    const EvaluateOptions options = EvaluateOptions::Parse(options_given);
    const VersionIdentity identity = ResolveVersion(ParseModelReference(model), Privilege::kPredict);
    const std::shared_ptr<Scorer> scorer = AcquireScorer(identity);
    const TargetEncoder& target = scorer->model().target;
    if (target.task() != Task::kBinary && options.threshold)
        ThrowEvaluateOption("option \"threshold\" is for models of two classes");
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
