// dlent_drift: how far rows are from what a version learnt from, or from other rows. Writes nothing unless
// asked to store.

#include "pg/bridge/postgres.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "core/drift/detectors.h"
#include "core/drift/expected_performance.h"
#include "core/drift/multivariate.h"
#include "core/drift/profile.h"
#include "core/drift/reference.h"
#include "core/drift/table_scorer.h"
#include "core/drift/tests.h"
#include "pg/bridge/error.h"
#include "pg/bridge/interrupts.h"
#include "pg/bridge/json.h"
#include "pg/cache/scorer_cache.h"
#include "pg/catalog/drift_reports.h"
#include "pg/catalog/models.h"
#include "pg/functions/arguments.h"
#include "pg/functions/drift_options.h"
#include "pg/functions/drift_rows.h"
#include "pg/observe/live_counts.h"

extern "C" {
#include "utils/tuplestore.h"
}

namespace dlent::pg {
namespace {

constexpr const char* kPrediction = "(prediction)";
constexpr const char* kRows = "(rows)";

/// The work of one call.
class DriftReport {
 public:
    DriftReport(const VersionIdentity& identity, const DriftRequest& request)
        : request_(request), scorer_(AcquireScorer(identity)), model_(scorer_->model()) {
        const StoredReference stored = ReadStoredReference(identity.version_id);
        if (stored.json.is_object() && !stored.json.empty())
            reference_ = ValueOrThrow(DriftReference::FromJson(stored.json));
        CheckFeatures();
        if (!reference_ && request.reference.empty())
            throw SqlError(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                           "version " + std::to_string(identity.version) + " of model \"" + identity.model +
                               "\" has no reference",
                           {}, "Name rows to compare with in option reference.");
        if (request.reference.empty() && !request.multivariate.empty())
            throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                           "option \"multivariate\" needs option \"reference\"",
                           "A version keeps no rows, and the distribution of one column after another says "
                           "nothing of whole rows.",
                           "Name rows to compare with in option reference.");
    }

    /// The report on what was counted of live answers.
    std::vector<DriftFinding> RunLive(const VersionIdentity& identity) {
        const std::optional<LiveCounts> counts = ReadLiveCounts(identity, model_, request_.live);
        if (!counts)
            throw SqlError(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                           "nothing was counted of version " + std::to_string(identity.version) +
                               " of model \"" + identity.model + "\" in that time",
                           {}, "dlent_observe() says what is; view dlent.sketches shows it.");
        for (size_t i = 0; i < reference_->features.size(); ++i) {
            const std::string& name = reference_->features[i].variable.name;
            if (request_.Wants(name))
                Compare(name, "feature", &reference_->features[i].sample, &counts->samples.features[i]);
        }
        if (request_.prediction.value_or(true) && counts->samples.prediction)
            Compare(kPrediction, "prediction", &*reference_->prediction, &*counts->samples.prediction);
        std::vector<DriftFinding> findings =
            ValueOrThrow(CompareSamples(comparisons_, request_.statistics, token_), token_);
        if (request_.statistics.profile == DriftProfile::kEvidently)
            AddShare(&findings);
        for (DriftFinding& finding : findings) {
            finding.details["live_rows"] = static_cast<uint64_t>(counts->samples.rows);
            finding.details["live_since"] = counts->since;
        }
        return findings;
    }

    std::vector<DriftFinding> Run(const std::string& source) {
        current_ = ReadDriftRows(model_, request_, source, true);
        if (!request_.reference.empty())
            past_ = ReadDriftRows(model_, request_, request_.reference, false);
        CheckWanted();
        if (request_.window == 0)
            return Judge(true);
        std::vector<DriftFinding> findings;
        for (DriftWindow& window : SplitByWindow(current_, request_.window)) {
            current_.rows = std::move(window.rows);
            for (DriftFinding& finding : Judge(false)) {
                finding.details["window"] = window.start;
                findings.push_back(std::move(finding));
            }
        }
        return findings;
    }

 private:
    /// The report on the rows of current_. `whole`: they are all there are.
    std::vector<DriftFinding> Judge(bool whole) {
        comparisons_.clear();
        samples_.clear();
        Collect();
        std::vector<DriftFinding> findings =
            ValueOrThrow(CompareSamples(comparisons_, request_.statistics, token_), token_);
        if (request_.statistics.profile == DriftProfile::kEvidently)
            AddShare(&findings);
        if (past_)
            AddMultivariate(&findings);
        AddPerformance(&findings);
        if (whole)
            AddConcept(&findings);
        if (request_.attribution)
            AddAttribution(&findings);
        return findings;
    }

    void CheckFeatures() const {
        for (const std::string& name : request_.features) {
            const auto& inputs = model_.pipeline.inputs();
            if (std::none_of(inputs.begin(), inputs.end(),
                             [&](const PipelineInput& input) { return input.name == name; })) {
                std::string list;
                for (const PipelineInput& input : inputs)
                    list += (list.empty() ? "" : ", ") + FromUtf8(input.name);
                throw SqlError(
                    ERRCODE_UNDEFINED_COLUMN,
                    "option \"features\" names \"" + FromUtf8(name) + "\", which is no feature of the model",
                    {}, "Its features are " + list + ".");
            }
        }
    }

    void CheckWanted() const {
        if (request_.performance.value_or(false) && (model_.target.task() != Task::kBinary))
            throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                           "option \"performance\" is for models of two classes");
        if (!request_.concept_detectors.empty() && request_.window > 0)
            throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                           "options \"concept\" and \"window\" exclude each other", {},
                           "Detectors of change go through all rows in their order.");
        if (!request_.concept_detectors.empty() && !current_.has_target)
            throw SqlError(ERRCODE_UNDEFINED_COLUMN,
                           "option \"concept\" needs the target column \"" +
                               FromUtf8(model_.target.column()) + "\" in the source",
                           {}, "Give the rows their outcomes, in the order in which they came.");
    }

    bool UsesPrediction() const { return request_.prediction.value_or(true) && current_.complete; }

    void Compare(const std::string& feature, const char* kind, const DriftSample* reference,
                 const DriftSample* current) {
        comparisons_.push_back({feature, kind, reference, current});
    }
    const DriftSample* Keep(DriftSample sample) {
        samples_.push_back(std::make_unique<DriftSample>(std::move(sample)));
        return samples_.back().get();
    }

    const DriftSample* Column(const DriftRows& rows, const std::string& name, bool keep_order) {
        for (size_t c = 0; c < rows.table.columns().size(); ++c) {
            const ColumnDefinition& column = rows.table.columns()[c];
            if (column.role == ColumnRole::kFeature && column.name == name)
                return Keep(ValueOrThrow(
                    SampleColumn(rows.table, static_cast<int>(c), rows.rows, keep_order, token_), token_));
        }
        return nullptr;
    }

    void Collect() {
        const bool two_sources = past_.has_value();
        const bool keep_order = request_.statistics.profile == DriftProfile::kNannyml;
        for (size_t i = 0; i < model_.pipeline.inputs().size(); ++i) {
            const std::string& name = model_.pipeline.inputs()[i].name;
            if (!request_.Wants(name))
                continue;
            const DriftSample* const current = Column(current_, name, false);
            const DriftSample* const past =
                two_sources ? Column(*past_, name, keep_order) : ReferenceFeature(name);
            if (current != nullptr && past != nullptr)
                Compare(name, "feature", past, current);
        }
        if (UsesPrediction()) {
            current_scores_ = Score(current_.table, current_.rows);
            const DriftSample* past = nullptr;
            if (two_sources) {
                if (past_->complete)
                    past = Keep(SampleAnswers(model_.target, Score(past_->table, past_->rows), keep_order));
            } else if (reference_->prediction) {
                past = &*reference_->prediction;
            }
            if (past != nullptr)
                Compare(kPrediction, "prediction", past,
                        Keep(SampleAnswers(model_.target, current_scores_, false)));
        }
        if (current_.has_target && (!two_sources || past_->has_target)) {
            const DriftSample* const current = Keep(ValueOrThrow(
                SampleTarget(current_.table, current_.rows, model_.target, false, token_), token_));
            const DriftSample* const past =
                two_sources
                    ? Keep(ValueOrThrow(
                          SampleTarget(past_->table, past_->rows, model_.target, keep_order, token_), token_))
                    : &reference_->target;
            Compare(model_.target.column(), "target", past, current);
        }
    }

    const DriftSample* ReferenceFeature(const std::string& name) const {
        for (const DriftReference::Feature& feature : reference_->features) {
            if (feature.variable.name == name)
                return &feature.sample;
        }
        return nullptr;
    }

    std::vector<float> Score(const ColumnarTable& table, const std::vector<uint32_t>& rows) {
        const TableScorer scorer = ValueOrThrow(TableScorer::Create(scorer_.get(), table));
        return ValueOrThrow(scorer.Score(rows, token_), token_);
    }

    /// Evidently's verdict on the whole: half of the features.
    void AddShare(std::vector<DriftFinding>* findings) const {
        double features = 0.0;
        double drifted = 0.0;
        for (const DriftFinding& finding : *findings) {
            if (finding.kind == "feature" && finding.drifted) {
                features += 1.0;
                drifted += *finding.drifted;
            }
        }
        DriftFinding share;
        share.feature = "(report)";
        share.kind = "report";
        share.statistic = "drift_share";
        share.threshold = 0.5;
        if (features > 0.0) {
            share.value = drifted / features;
            share.drifted = *share.value >= 0.5;
        }
        share.details = {{"kind", "report"}, {"profile", "evidently"}, {"features", features}};
        findings->push_back(std::move(share));
    }

    static std::vector<uint32_t> Spread(const std::vector<uint32_t>& rows, size_t most) {
        std::vector<uint32_t> sample;
        const size_t count = std::min(rows.size(), most);
        for (size_t i = 0; i < count; ++i)
            sample.push_back(rows[i * rows.size() / count]);
        return sample;
    }

    void AddMultivariate(std::vector<DriftFinding>* findings) {
        if (request_.multivariate.empty())
            return;
        if (!current_.complete || !past_->complete)
            throw SqlError(ERRCODE_UNDEFINED_COLUMN,
                           "option \"multivariate\" needs every feature of the model", {},
                           "Give both sources all features, or leave the option out.");
        constexpr size_t kKernelRows = 500;
        constexpr size_t kClassifierRows = 2000;
        constexpr int kPermutations = 199;
        const double alpha = request_.statistics.alpha.value_or(0.05);
        for (const std::string& name : request_.multivariate) {
            const bool mmd = name == "mmd";
            const size_t most = mmd ? kKernelRows : kClassifierRows;
            size_t columns = 0;
            const std::vector<uint32_t> rows_x = Spread(past_->rows, most);
            const std::vector<uint32_t> rows_y = Spread(current_.rows, most);
            const std::vector<float> x = ValueOrThrow(
                ValueOrThrow(TableScorer::Create(scorer_.get(), past_->table)).Encode(rows_x, &columns));
            const std::vector<float> y = ValueOrThrow(
                ValueOrThrow(TableScorer::Create(scorer_.get(), current_.table)).Encode(rows_y, &columns));
            const RowsView view_x{x.data(), rows_x.size(), columns};
            const RowsView view_y{y.data(), rows_y.size(), columns};
            DriftFinding finding;
            finding.feature = kRows;
            finding.kind = "multivariate";
            finding.details = {{"kind", "multivariate"},        {"reference_rows", past_->rows.size()},
                               {"rows", current_.rows.size()},  {"sampled_reference_rows", rows_x.size()},
                               {"sampled_rows", rows_y.size()}, {"alpha", alpha},
                               {"correction", "none"}};
            if (mmd) {
                const MmdResult result =
                    ValueOrThrow(MmdTest(view_x, view_y, kPermutations, request_.seed, token_), token_);
                finding.statistic = "mmd_squared";
                finding.value = result.statistic;
                finding.p_value = result.p_value;
                finding.details["permutations"] = result.permutations;
                finding.details["sigma_squared"] = result.sigma_squared;
            } else {
                const ClassifierTestResult result =
                    ValueOrThrow(ClassifierTest(view_x, view_y, request_.seed, token_), token_);
                finding.statistic = "classifier_roc_auc";
                finding.value = result.roc_auc;
                finding.threshold = 0.5;
                finding.p_value = result.p_value;
                finding.details["folds"] = 5;
            }
            finding.drifted = *finding.p_value < alpha;
            findings->push_back(std::move(finding));
        }
    }

    /// What quality the scores promise, without any outcome (CBPE); and what it was with the outcomes, when
    /// they are there.
    void AddPerformance(std::vector<DriftFinding>* findings) {
        if (model_.target.task() != Task::kBinary || !request_.performance.value_or(true) ||
            !UsesPrediction() || !reference_ || !reference_->performance || current_scores_.empty())
            return;
        // more rows would make the estimate no better
        constexpr size_t kMostScores = 200000;
        const size_t count = std::min(current_scores_.size(), kMostScores);
        std::vector<double> scores(count);
        for (size_t i = 0; i < count; ++i)
            scores[i] = current_scores_[i * current_scores_.size() / count];
        std::vector<double> probabilities = scores;
        if (reference_->calibration) {
            for (double& probability : probabilities)
                probability = (*reference_->calibration)(probability);
        }
        const ExpectedPerformance now = EstimatePerformance(scores, probabilities);
        const ExpectedPerformance& before = *reference_->performance;
        const double error = std::sqrt(now.accuracy_variance / now.rows +
                                       before.accuracy_variance / std::max(before.rows, 1.0));
        DriftFinding finding;
        finding.feature = kPrediction;
        finding.kind = "performance";
        finding.statistic = "estimated_accuracy";
        finding.value = now.accuracy;
        finding.threshold = before.accuracy - std::max(3.0 * error, 0.01);
        finding.drifted = *finding.value < *finding.threshold;
        finding.details = {{"kind", "performance"},
                           {"method", "cbpe"},
                           {"calibrated", reference_->calibration.has_value()},
                           {"rows", now.rows},
                           {"reference_rows", before.rows},
                           {"reference_accuracy", before.accuracy},
                           {"standard_error", error},
                           {"roc_auc", now.roc_auc},
                           {"f1", now.f1},
                           {"precision", now.precision},
                           {"recall", now.recall},
                           {"positive_rate", now.positive_rate}};
        findings->push_back(std::move(finding));
    }

    /// Detectors over the errors in the order of the source.
    void AddConcept(std::vector<DriftFinding>* findings) {
        if (request_.concept_detectors.empty())
            return;
        if (!current_.complete)
            throw SqlError(ERRCODE_UNDEFINED_COLUMN, "option \"concept\" needs every feature of the model");
        const std::vector<double> errors = Errors();
        const bool regression = model_.target.task() == Task::kRegression;
        for (const std::string& name : request_.concept_detectors) {
            if (name == "ddm" && regression)
                continue;  // it counts wrong labels
            Adwin adwin;
            PageHinkley page_hinkley;
            Kswin kswin(request_.seed);
            Ddm ddm;
            uint64_t alarms = 0;
            size_t first = 0;
            for (size_t i = 0; i < errors.size(); ++i) {
                if (i % 4096 == 0 && token_.IsCancelled())
                    token_.ThrowIfCancelled();
                const bool alarm = name == "adwin"          ? adwin.Update(errors[i])
                                   : name == "page_hinkley" ? page_hinkley.Update(errors[i])
                                   : name == "kswin"        ? kswin.Update(errors[i])
                                                     : ddm.Update(errors[i] != 0.0) == Ddm::State::kDrift;
                if (alarm && alarms++ == 0)
                    first = i + 1;
            }
            DriftFinding finding;
            finding.feature = FromTarget();
            finding.kind = "concept";
            finding.statistic = name;
            finding.details = {{"kind", "concept"}, {"rows", errors.size()}, {"alarms", alarms}};
            if (!errors.empty()) {
                finding.value =
                    std::accumulate(errors.begin(), errors.end(), 0.0) / static_cast<double>(errors.size());
                finding.drifted = alarms > 0;
            }
            if (alarms > 0)
                finding.details["first_alarm_row"] = first;
            finding.details["of"] =
                regression ? "absolute error in standard deviations of the target" : "wrong labels";
            findings->push_back(std::move(finding));
        }
    }

    std::string FromTarget() const { return model_.target.column(); }

    /// 1 where the label was wrong, or the absolute error; rows without an outcome are left out.
    std::vector<double> Errors() {
        const TargetEncoder& target = model_.target;
        const TargetEncoder::Binding truth = ValueOrThrow(target.Bind(current_.table));
        const size_t outputs = static_cast<size_t>(target.output_count());
        const std::vector<uint32_t> known = RowsWithTarget(current_.table);
        const std::vector<float> scores = Score(current_.table, known);
        std::vector<double> errors;
        errors.reserve(known.size());
        if (target.task() == Task::kRegression) {
            for (size_t i = 0; i < known.size(); ++i)
                errors.push_back(std::abs(static_cast<double>(scores[i]) - truth.RawValue(known[i])) /
                                 std::max<double>(target.standard_deviation(), 1e-30));
            return errors;
        }
        std::vector<int32_t> classes(known.size());
        if (target.task() == Task::kMulticlass) {
            truth.Classes(known, classes.data());
        } else {
            std::vector<float> values(known.size());
            truth.Values(known, values.data());
            classes.assign(values.begin(), values.end());
        }
        for (size_t i = 0; i < known.size(); ++i) {
            const float* const answer = &scores[i * outputs];
            const int32_t label =
                outputs == 1 ? answer[0] >= 0.5f
                             : static_cast<int32_t>(std::max_element(answer, answer + outputs) - answer);
            errors.push_back(label != classes[i] ? 1.0 : 0.0);
        }
        return errors;
    }

    void AddAttribution(std::vector<DriftFinding>* findings) {
        if (!reference_ || !current_.complete || current_.rows.empty())
            return;
        const TableScorer scorer = ValueOrThrow(TableScorer::Create(scorer_.get(), current_.table));
        const std::vector<double> shifts =
            ValueOrThrow(scorer.AttributeShift(current_.rows, *reference_, request_.seed, token_), token_);
        for (DriftFinding& finding : *findings) {
            if (finding.kind != "feature")
                continue;
            for (size_t i = 0; i < shifts.size(); ++i) {
                if (model_.pipeline.inputs()[i].name == finding.feature && std::isfinite(shifts[i]))
                    finding.details["score_shift"] = shifts[i];
            }
        }
    }

    const DriftRequest& request_;
    const std::shared_ptr<Scorer> scorer_;
    const Model& model_;
    InterruptToken token_;
    std::optional<DriftReference> reference_;
    DriftRows current_{ColumnarTable({}), {}, false, false};
    std::optional<DriftRows> past_;
    std::vector<std::unique_ptr<DriftSample>> samples_;
    std::vector<DriftComparison> comparisons_;
    std::vector<float> current_scores_;
};

void PutRow(FunctionCallInfo fcinfo, const DriftFinding& finding) {
    constexpr int kColumns = 7;
    struct Row {
        Datum values[kColumns];
        bool nulls[kColumns];
    } row{};
    row.values[0] = TextDatum(FromUtf8(finding.feature));
    row.values[1] = TextDatum(finding.statistic);
    const std::optional<double> numbers[] = {finding.value, finding.threshold, finding.p_value};
    for (int i = 0; i < 3; ++i) {
        row.nulls[2 + i] = !numbers[i] || std::isnan(*numbers[i]);
        if (!row.nulls[2 + i])
            row.values[2 + i] = CallPostgres([&numbers, i] { return Float8GetDatum(*numbers[i]); });
    }
    row.nulls[5] = !finding.drifted;
    row.values[5] = BoolGetDatum(finding.drifted.value_or(false));
    row.values[6] = JsonbDatum(finding.details);
    CallPostgres([&] {
        auto* const result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
        tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.nulls);
    });
}

void Drift(FunctionCallInfo fcinfo) {
    const std::string model = RequiredText(fcinfo, 0, "model");
    const DriftRequest request =
        DriftRequest::Parse(PG_ARGISNULL(2) ? Json::object() : JsonFromDatum(PG_GETARG_DATUM(2)));
    if (request.live > 0 && !PG_ARGISNULL(1))
        throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "option \"live\" takes the place of a source", {},
                       "Give NULL for the source.");
    const std::string source =
        request.live > 0 ? std::string() : RequiredText(fcinfo, 1, "source", "Option live needs none.");
    const VersionIdentity identity = ResolveVersion(ParseModelReference(model), Privilege::kPredict);
    DriftReport drift(identity, request);
    std::vector<DriftFinding> findings = request.live > 0 ? drift.RunLive(identity) : drift.Run(source);
    if (request.store) {
        const int64_t report = StoreDriftReport(
            identity, request.live > 0 ? "(live) " + request.live_text : source, request.profile, findings);
        for (DriftFinding& finding : findings)
            finding.details["report"] = report;
    }
    for (const DriftFinding& finding : findings)
        PutRow(fcinfo, finding);
}

}  // namespace
}  // namespace dlent::pg

using namespace dlent::pg;

DLENT_FUNCTION(dlent_drift) {
    return Entry(fcinfo, [fcinfo] {
        InitMaterializedSRF(fcinfo, 0);
        Drift(fcinfo);
        return Datum{0};
    });
}
