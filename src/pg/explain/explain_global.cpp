// dlent_explain_global, dlent_explain_picks, dlent_permutation_importance, dlent_partial_dependence: what a
// model does with its features, over many rows. They read; the first also stores when it is asked to.

#include "pg/bridge/postgres.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/explain/global_explanation.h"
#include "core/explain/lime.h"
#include "core/explain/partial_dependence.h"
#include "core/explain/permutation_importance.h"
#include "core/explain/perturbation.h"
#include "core/explain/reason_text.h"
#include "pg/bridge/error.h"
#include "pg/bridge/interrupts.h"
#include "pg/bridge/json.h"
#include "pg/bridge/text.h"
#include "pg/cache/explainer_cache.h"
#include "pg/cache/scorer_cache.h"
#include "pg/explain/global_options.h"
#include "pg/explain/global_store.h"
#include "pg/explain/model_rows.h"
#include "pg/explain/prepared_explainer.h"
#include "pg/functions/arguments.h"
#include "pg/gpu/bulk_scoring.h"

extern "C" {
#include "utils/tuplestore.h"
}

namespace dlent::pg {
namespace {

constexpr size_t kReasonsOfAPick = 5;

/// A version that the current user may explain.
struct Subject {
    VersionIdentity identity;
    std::shared_ptr<Scorer> scorer;
    std::shared_ptr<const VersionExplainer> explainer;

    explicit Subject(const std::string& model)
        : identity(ResolveExplained(ParseModelReference(model))),
          scorer(AcquireScorer(identity)),
          explainer(AcquireExplainer(identity, *scorer)) {}

    const ExplainerStatistics& statistics() const { return explainer->statistics; }
    const TargetEncoder& target() const { return scorer->model().target; }
    const std::string& feature(int f) const { return statistics().features()[f].name; }

    /// Rows of a source; without one, rows as the shared probe draws them.
    RowSet Rows(const std::string* source, int most, uint64_t seed) const {
        RowSet rows;
        if (source != nullptr) {
            rows = ReadModelRows(*source, scorer.get(), false, most, seed);
        } else {
            rows.cell_count = scorer->cell_count();
            rows.cells.resize(static_cast<size_t>(most) * static_cast<size_t>(rows.cell_count));
            rows.numbers.resize(static_cast<size_t>(most));
            std::iota(rows.numbers.begin(), rows.numbers.end(), uint64_t{0});
            PerturbationOptions options;
            options.seed = seed;
            const Perturbation perturbation(statistics(), options, scorer->explainer_kernels());
            std::vector<int32_t> codes(static_cast<size_t>(Perturbation::kBlockRows) *
                                       statistics().features().size());
            for (int first = 0; first < most; first += Perturbation::kBlockRows)
                perturbation.Draw(
                    static_cast<uint32_t>(first), std::min(Perturbation::kBlockRows, most - first),
                    codes.data(),
                    &rows.cells[static_cast<size_t>(first) * static_cast<size_t>(rows.cell_count)]);
        }
        if (rows.rows() == 0)
            throw SqlError(ERRCODE_DATA_EXCEPTION, "the source has no rows");
        return rows;
    }

    std::vector<int> Labels(const std::vector<std::string>& names) const {
        std::vector<int> labels;
        if (target().task() == Task::kRegression) {
            if (!names.empty())
                throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "option \"labels\" is for models of classes");
            return labels;
        }
        for (const std::string& name : names) {
            const int label = target().LabelIndex(name);
            if (label < 0)
                throw SqlError(
                    ERRCODE_INVALID_PARAMETER_VALUE,
                    "option \"labels\" names \"" + FromUtf8(name) + "\", which is no class of the model");
            if (std::find(labels.begin(), labels.end(), label) == labels.end())
                labels.push_back(label);
        }
        if (labels.empty() && target().task() == Task::kBinary) {
            labels = {1};
        } else if (labels.empty()) {
            labels.resize(target().labels().size());
            std::iota(labels.begin(), labels.end(), 0);
        }
        return labels;
    }
};

/// The explanations of many rows and their sum.
struct ExplainedRows {
    RowSet rows;
    std::vector<LocalExplanation> explanations;
    GlobalExplanation sum;
};

ExplainedRows ExplainRows(const Subject& subject, const std::string* source, const GlobalOptions& options) {
    ExplainedRows result{subject.Rows(source, options.rows, options.seed),
                         {},
                         GlobalExplanation(static_cast<int>(subject.statistics().features().size()))};
    LimeOptions lime = options.lime;
    lime.labels = subject.Labels(options.labels);
    const std::shared_ptr<const SharedProbe> probe =
        AcquireProbe(subject.identity, *subject.explainer, lime.probe(), subject.scorer.get());
    const InterruptToken token;
    for (size_t row = 0; row < result.rows.rows(); ++row) {
        result.explanations.push_back(
            ValueOrThrow(ExplainByLime(subject.statistics(), *subject.scorer, result.rows.row(row), lime,
                                       &probe->probe, token),
                         token));
        result.sum.Add(result.explanations.back());
    }
    return result;
}

/// A row of a result: columns are added one by one.
class ResultRow {
 public:
    void AddText(const std::string& utf8) { Add(TextDatum(FromUtf8(utf8))); }
    void AddNumber(double value) {
        if (std::isfinite(value))
            Add(CallPostgres([value] { return Float8GetDatum(value); }));
        else
            AddNull();
    }
    void AddInteger(int value) { Add(Int32GetDatum(value)); }
    void AddLong(int64_t value) { Add(Int64GetDatum(value)); }
    void AddJson(const Json& value) { Add(JsonbDatum(value)); }
    void AddNull() {
        nulls_[count_] = true;
        values_[count_++] = Datum{0};
    }
    /// A class by name; NULL where numbers are predicted.
    void AddLabel(const TargetEncoder& target, int label) {
        if (target.task() == Task::kRegression)
            AddNull();
        else
            AddText(target.labels()[label]);
    }
    void Put(FunctionCallInfo fcinfo) {
        CallPostgres([this, fcinfo] {
            auto* const result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
            tuplestore_putvalues(result->setResult, result->setDesc, values_, nulls_);
        });
    }

 private:
    static constexpr int kMost = 12;
    void Add(Datum value) { values_[count_++] = value; }

    Datum values_[kMost] = {};
    bool nulls_[kMost] = {};
    int count_ = 0;
};

struct Arguments {
    std::string model;
    std::string source;
    bool has_source = false;

    const std::string* source_or_null() const { return has_source ? &source : nullptr; }
};

Arguments ReadArguments(FunctionCallInfo fcinfo, int source_number) {
    Arguments arguments;
    arguments.model = RequiredText(fcinfo, 0, "model");
    arguments.has_source = !PG_ARGISNULL(source_number);
    if (arguments.has_source)
        arguments.source = TextOf(PG_GETARG_DATUM(source_number));
    return arguments;
}

GlobalOptions ReadOptions(FunctionCallInfo fcinfo, int number, GlobalOptions::Use use) {
    return GlobalOptions::Parse(
        PG_ARGISNULL(number) ? Json::object() : JsonFromDatum(PG_GETARG_DATUM(number)), use);
}

void ExplainGlobal(FunctionCallInfo fcinfo) {
    const Arguments arguments = ReadArguments(fcinfo, 1);
    const GlobalOptions options = ReadOptions(fcinfo, 2, GlobalOptions::Use::kGlobal);
    const Subject subject(arguments.model);
    const ExplainedRows explained = ExplainRows(subject, arguments.source_or_null(), options);
    Json stored = Json::array();
    for (const int label : explained.sum.labels()) {
        int rank = 0;
        for (const GlobalExplanation::Importance& importance : explained.sum.Importances(label)) {
            ResultRow row;
            row.AddLabel(subject.target(), label);
            row.AddText(subject.feature(importance.feature));
            row.AddNumber(importance.mean_abs);
            row.AddInteger(++rank);
            row.Put(fcinfo);
            if (!options.store)
                continue;
            const bool numbers = subject.target().task() == Task::kRegression;
            stored.push_back({{"class", numbers ? Json() : Json(subject.target().labels()[label])},
                              {"feature", subject.feature(importance.feature)},
                              {"mean_abs", importance.mean_abs},
                              {"std_error", importance.std_error},
                              {"rank", rank}});
        }
    }
    if (options.store)
        StoreGlobalExplanation(subject.identity, arguments.source_or_null(), explained.sum.rows(),
                               options.resolved, stored);
}

Json RowJson(const Subject& subject, const Cell* cells) {
    Json row = Json::object();
    const std::vector<ExplainedFeature>& features = subject.statistics().features();
    for (size_t f = 0; f < features.size(); ++f)
        row[features[f].name] = ExplainedValueJson(features[f], subject.scorer->model().pipeline,
                                                   subject.statistics().Value(static_cast<int>(f), cells));
    return row;
}

Json ReasonsJson(const Subject& subject, const LabelExplanation& label) {
    Json reasons = Json::array();
    for (const Contribution& contribution : label.contributions) {
        if (reasons.size() < kReasonsOfAPick)
            reasons.push_back({{"feature", subject.feature(contribution.feature)},
                               {"contribution", contribution.contribution}});
    }
    return reasons;
}

void ExplainPicks(FunctionCallInfo fcinfo) {
    const Arguments arguments = ReadArguments(fcinfo, 1);
    const GlobalOptions options = ReadOptions(fcinfo, 2, GlobalOptions::Use::kPicks);
    const Subject subject(arguments.model);
    const ExplainedRows explained = ExplainRows(subject, arguments.source_or_null(), options);
    for (const int label : explained.sum.labels()) {
        int number = 0;
        for (const GlobalExplanation::Pick& pick : explained.sum.PickRows(label, options.picks)) {
            const std::vector<LabelExplanation>& labels = explained.explanations[pick.row].labels;
            const auto of_label =
                std::find_if(labels.begin(), labels.end(),
                             [label](const LabelExplanation& other) { return other.label == label; });
            ResultRow row;
            row.AddLabel(subject.target(), label);
            row.AddInteger(++number);
            if (arguments.has_source)
                row.AddLong(static_cast<int64_t>(explained.rows.numbers[pick.row]) + 1);
            else
                row.AddNull();
            row.AddNumber(pick.coverage);
            row.AddNumber(of_label->prediction);
            row.AddJson(RowJson(subject, explained.rows.row(pick.row)));
            row.AddJson(ReasonsJson(subject, *of_label));
            row.Put(fcinfo);
        }
    }
}

void PermutationImportances(FunctionCallInfo fcinfo) {
    const std::string model = RequiredText(fcinfo, 0, "model");
    const std::string source = RequiredText(
        fcinfo, 1, "source", "Name rows with known outcomes that the version has not learnt from.");
    const GlobalOptions options = ReadOptions(fcinfo, 2, GlobalOptions::Use::kPermutation);
    const Subject subject(model);
    const RowSet rows = ReadModelRows(source, subject.scorer.get(), true, options.rows, options.seed);
    const InterruptToken token;
    const double scored = static_cast<double>(rows.rows()) *
                          (1.0 + static_cast<double>(subject.statistics().features().size()) *
                                     std::max(options.permutation.repeats, 0));
    const PermutationImportance result =
        ValueOrThrow(BulkScoring(subject.identity, scored).Compute([&](Scorer& scorer) {
            return PermuteFeatures(subject.statistics(), scorer, rows, options.permutation, token);
        }),
                     token);
    int rank = 0;
    for (const PermutationImportance::OfFeature& feature : result.features) {
        ResultRow row;
        row.AddText(subject.feature(feature.feature));
        row.AddNumber(feature.importance);
        row.AddNumber(feature.std_error);
        row.AddInteger(++rank);
        row.AddText(result.metric);
        row.AddNumber(result.baseline);
        row.Put(fcinfo);
    }
}

int FindFeature(const Subject& subject, const std::string& name) {
    const std::vector<ExplainedFeature>& features = subject.statistics().features();
    std::string list;
    for (size_t f = 0; f < features.size(); ++f) {
        if (features[f].name == name)
            return static_cast<int>(f);
        list += (f == 0 ? "" : ", ") + FromUtf8(features[f].name);
    }
    throw SqlError(ERRCODE_UNDEFINED_COLUMN,
                   "model \"" + subject.identity.model + "\" has no feature \"" + FromUtf8(name) + "\"", {},
                   "Its features are " + list + ".");
}

void PartialDependence(FunctionCallInfo fcinfo) {
    const Arguments arguments = ReadArguments(fcinfo, 2);
    const std::string feature_name = ToUtf8(RequiredText(fcinfo, 1, "feature"));
    const GlobalOptions options = ReadOptions(fcinfo, 3, GlobalOptions::Use::kDependence);
    const Subject subject(arguments.model);
    const int feature = FindFeature(subject, feature_name);
    const RowSet rows = subject.Rows(arguments.source_or_null(), options.rows, options.seed);
    const InterruptToken token;
    const double scored = static_cast<double>(rows.rows()) * std::max(options.points, 0);
    const std::vector<DependencePoint> points =
        ValueOrThrow(BulkScoring(subject.identity, scored).Compute([&](Scorer& scorer) {
            return DependOn(subject.statistics(), scorer, rows, feature, options.points, token);
        }),
                     token);
    const ExplainedFeature& explained = subject.statistics().features()[feature];
    for (const DependencePoint& point : points) {
        const Json value = ExplainedValueJson(explained, subject.scorer->model().pipeline, point.value);
        ResultRow row;
        row.AddLabel(subject.target(), point.label);
        if (value.is_null())
            row.AddNull();
        else
            row.AddText(value.is_string() ? value.get<std::string>() : value.dump());
        row.AddNumber(explained.categorical ? std::nan("") : point.value);
        row.AddNumber(point.mean);
        row.AddNumber(point.std_error);
        for (const double quantile : point.quantiles)
            row.AddNumber(quantile);
        row.Put(fcinfo);
    }
}

}  // namespace
}  // namespace dlent::pg

using namespace dlent::pg;

DLENT_FUNCTION(dlent_explain_global) {
    return Entry(fcinfo, [fcinfo] {
        InitMaterializedSRF(fcinfo, 0);
        ExplainGlobal(fcinfo);
        return Datum{0};
    });
}

DLENT_FUNCTION(dlent_explain_picks) {
    return Entry(fcinfo, [fcinfo] {
        InitMaterializedSRF(fcinfo, 0);
        ExplainPicks(fcinfo);
        return Datum{0};
    });
}

DLENT_FUNCTION(dlent_permutation_importance) {
    return Entry(fcinfo, [fcinfo] {
        InitMaterializedSRF(fcinfo, 0);
        PermutationImportances(fcinfo);
        return Datum{0};
    });
}

DLENT_FUNCTION(dlent_partial_dependence) {
    return Entry(fcinfo, [fcinfo] {
        InitMaterializedSRF(fcinfo, 0);
        PartialDependence(fcinfo);
        return Datum{0};
    });
}
