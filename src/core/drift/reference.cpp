#include "core/drift/reference.h"

#include <algorithm>
#include <cmath>

namespace dlent {
namespace {

constexpr size_t kMostRows = 65536;
constexpr const char* kReferenceFormat = "dlent.reference/1";

int FindColumn(const ColumnarTable& table, const std::string& name, ColumnRole role) {
    for (size_t i = 0; i < table.columns().size(); ++i) {
        if (table.columns()[i].role == role && table.columns()[i].name == name)
            return static_cast<int>(i);
    }
    return -1;
}

Json PerformanceJson(const ExpectedPerformance& performance) {
    Json json = {{"rows", performance.rows}, {"accuracy", performance.accuracy}};
    const auto put = [&json](const char* name, double value) {
        if (std::isfinite(value))
            json[name] = value;
    };
    put("precision", performance.precision);
    put("recall", performance.recall);
    put("f1", performance.f1);
    put("roc_auc", performance.roc_auc);
    put("positive_rate", performance.positive_rate);
    return json;
}

double NumberOr(const Json& json, const char* name, double otherwise) {
    return json.contains(name) && json[name].is_number() ? json[name].get<double>() : otherwise;
}

}  // namespace

DriftSample SampleAnswers(const TargetEncoder& target, std::span<const float> outputs, bool keep_order) {
    if (target.task() != Task::kMulticlass)
        return DriftSample::OfNumbers(outputs, keep_order);
    const size_t classes = target.labels().size();
    std::vector<int32_t> labels;
    for (size_t i = 0; i + classes <= outputs.size(); i += classes) {
        const float* const row = outputs.data() + i;
        labels.push_back(static_cast<int32_t>(std::max_element(row, row + classes) - row));
    }
    return DriftSample::OfClasses(labels, target.labels(), keep_order);
}

Expected<DriftSample> SampleTarget(const ColumnarTable& table, std::span<const uint32_t> rows,
                                   const TargetEncoder& target, bool keep_order, const CancelToken& cancel) {
    const int column = FindColumn(table, target.column(), ColumnRole::kTarget);
    if (column < 0)
        return Status::Internal("the table has no target column");
    const auto known = [](DriftSample sample) {
        sample.rows -= sample.missing;
        sample.missing = 0;
        return sample;
    };
    if (target.task() == Task::kRegression) {
        DLENT_ASSIGN_OR_RETURN(DriftSample sample, SampleColumn(table, column, rows, keep_order, cancel));
        return known(std::move(sample));
    }
    const int cell = table.first_cell(column);
    const bool by_text = table.columns()[column].kind == ColumnKind::kCategory;
    std::vector<int32_t> class_of_code;
    if (by_text) {
        const Dictionary& dictionary = table.dictionary(column);
        for (int32_t code = 0; code < dictionary.size(); ++code)
            class_of_code.push_back(target.LabelIndex(dictionary.Text(code)));
    }
    std::vector<int32_t> classes;
    classes.reserve(rows.size());
    for (const uint32_t row : rows) {
        if (by_text) {
            const int32_t code = table.Code(cell, row);
            classes.push_back(code >= 0 ? class_of_code[code] : -1);
        } else {
            const float value = table.Float(cell, row);
            classes.push_back(std::isfinite(value) ? target.LabelOfValue(value) : -1);
        }
    }
    return known(DriftSample::OfClasses(classes, target.labels(), keep_order));
}

Expected<DriftReference> MakeDriftReference(const ColumnarTable& table, std::span<const uint32_t> rows,
                                            const Pipeline& pipeline, const TargetEncoder& target,
                                            std::span<const uint32_t> held_out,
                                            std::span<const float> outputs, const CancelToken& cancel) {
    DriftReference reference;
    // the canonical order is random, so its beginning is a fair sample; in ascending order it walks the table
    // once
    std::vector<uint32_t> sample(rows.begin(), rows.begin() + std::min(rows.size(), kMostRows));
    std::sort(sample.begin(), sample.end());
    for (const PipelineInput& input : pipeline.inputs()) {
        const int column = FindColumn(table, input.name, ColumnRole::kFeature);
        if (column < 0)
            return Status::Internal("the table lacks an input of the pipeline");
        DriftReference::Feature feature;
        feature.variable = {input.name, input.kind};
        DLENT_ASSIGN_OR_RETURN(feature.sample, SampleColumn(table, column, sample, false, cancel));
        reference.features.push_back(std::move(feature));
    }
    DLENT_ASSIGN_OR_RETURN(reference.target, SampleTarget(table, sample, target, false, cancel));
    if (outputs.empty())
        return reference;
    // held-out rows come fold by fold: spread over all of them
    const size_t each = static_cast<size_t>(target.output_count());
    const size_t count = std::min(held_out.size(), kMostRows);
    std::vector<float> kept;
    std::vector<uint32_t> kept_rows;
    for (size_t i = 0; i < count; ++i) {
        const size_t row = i * held_out.size() / count;
        kept.insert(kept.end(), outputs.begin() + static_cast<ptrdiff_t>(row * each),
                    outputs.begin() + static_cast<ptrdiff_t>((row + 1) * each));
        kept_rows.push_back(held_out[row]);
    }
    reference.prediction = SampleAnswers(target, kept, false);
    if (target.task() == Task::kBinary) {
        DLENT_ASSIGN_OR_RETURN(const TargetEncoder::Binding truth, target.Bind(table));
        std::vector<float> values(count);
        truth.Values(kept_rows, values.data());
        const std::vector<int32_t> labels(values.begin(), values.end());
        reference.calibration = CalibrateIfBetter(kept, labels);
        std::vector<double> scores(kept.begin(), kept.end());
        std::vector<double> probabilities = scores;
        if (reference.calibration) {
            for (double& probability : probabilities)
                probability = (*reference.calibration)(probability);
        }
        reference.performance = EstimatePerformance(scores, probabilities);
    }
    return cancel.IsCancelled() ? Expected<DriftReference>(Status::Cancelled()) : std::move(reference);
}

Json DriftReference::ToJson() const {
    Json json = {{"format", kReferenceFormat}};
    Json list = Json::array();
    for (const Feature& feature : features) {
        Json entry = {{"name", feature.variable.name},
                      {"column_kind", ColumnKindName(feature.variable.kind)},
                      {"of", feature.variable.aspect()}};
        entry.update(feature.sample.ToJson());
        list.push_back(std::move(entry));
    }
    json["features"] = std::move(list);
    json["target"] = target.ToJson();
    if (prediction)
        json["prediction"] = prediction->ToJson();
    if (calibration)
        json["calibration"] = calibration->ToJson();
    if (performance)
        json["performance"] = PerformanceJson(*performance);
    return json;
}

Expected<DriftReference> DriftReference::FromJson(const Json& json) {
    const auto corrupt = [] { return Status::Corrupt("the stored reference is damaged"); };
    if (!json.is_object() || !json.contains("format") || !json["format"].is_string())
        return corrupt();
    if (json["format"] != kReferenceFormat)
        return Status(StatusCode::kUnsupported, "the reference was stored by a newer version of dlent");
    if (!json.contains("features") || !json["features"].is_array() || !json.contains("target"))
        return corrupt();
    DriftReference reference;
    for (const Json& entry : json["features"]) {
        if (!entry.is_object() || !entry.contains("name") || !entry["name"].is_string() ||
            !entry.contains("column_kind") || !entry["column_kind"].is_string())
            return corrupt();
        Feature feature;
        feature.variable.name = entry["name"].get<std::string>();
        const Expected<ColumnKind> kind = ParseColumnKind(entry["column_kind"].get<std::string>());
        if (!kind.ok())
            return corrupt();
        feature.variable.kind = *kind;
        DLENT_ASSIGN_OR_RETURN(feature.sample, DriftSample::FromJson(entry));
        if (feature.sample.categorical != feature.variable.categorical())
            return corrupt();
        reference.features.push_back(std::move(feature));
    }
    DLENT_ASSIGN_OR_RETURN(reference.target, DriftSample::FromJson(json["target"]));
    if (json.contains("prediction")) {
        DLENT_ASSIGN_OR_RETURN(reference.prediction, DriftSample::FromJson(json["prediction"]));
    }
    if (json.contains("calibration")) {
        DLENT_ASSIGN_OR_RETURN(reference.calibration, IsotonicCalibrator::FromJson(json["calibration"]));
    }
    if (json.contains("performance") && json["performance"].is_object()) {
        const Json& stored = json["performance"];
        ExpectedPerformance performance;
        performance.rows = NumberOr(stored, "rows", 0.0);
        performance.accuracy = NumberOr(stored, "accuracy", NAN);
        performance.precision = NumberOr(stored, "precision", NAN);
        performance.recall = NumberOr(stored, "recall", NAN);
        performance.f1 = NumberOr(stored, "f1", NAN);
        performance.roc_auc = NumberOr(stored, "roc_auc", NAN);
        performance.positive_rate = NumberOr(stored, "positive_rate", NAN);
        if (!(performance.rows >= 0.0) || !(performance.accuracy >= 0.0 && performance.accuracy <= 1.0))
            return corrupt();
        performance.accuracy_variance = performance.accuracy * (1.0 - performance.accuracy);
        reference.performance = performance;
    }
    return reference;
}

}  // namespace dlent
