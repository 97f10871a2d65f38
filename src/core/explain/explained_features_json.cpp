#include <cfloat>
#include <cmath>
#include <new>

#include "core/explain/explained_features.h"
#include "core/nn/json_integer.h"

namespace dlent {
namespace {

constexpr const char* kFormat = "dlent.explainer/1";
constexpr size_t kMaxEdges = 64;
constexpr int64_t kMaxRowCount = int64_t{1} << 53;

/// What a bin's neighbours do not say.
Json BinningJson(const Binning& binning) {
    Json counts = Json::array();
    Json means = Json::array();
    Json deviations = Json::array();
    for (const Binning::Bin& bin : binning.bins) {
        counts.push_back(bin.count);
        means.push_back(bin.mean);
        deviations.push_back(bin.standard_deviation);
    }
    return {{"edges", binning.edges},
            {"counts", std::move(counts)},
            {"means", std::move(means)},
            {"standard_deviations", std::move(deviations)}};
}

bool ReadNumber(const Json& json, double* value) {
    if (!json.is_number())
        return false;
    *value = json.get<double>();
    return std::abs(*value) <= FLT_MAX;  // statistics of floats
}

bool ReadCount(const Json& json, uint64_t rows, uint64_t* count) {
    const std::optional<int64_t> value = IntegerWithin(json, 0, static_cast<int64_t>(rows));
    *count = static_cast<uint64_t>(value.value_or(0));
    return value.has_value();
}

/// Throws Json::exception when a key or type is wrong; false when a value is. `present`: rows with a value.
bool ReadBinning(const Json& json, const ExplainedFeature& feature, uint64_t present, Binning* binning) {
    const Json& edges = json.at("edges");
    if (!edges.is_array() || edges.size() > kMaxEdges)
        return false;
    for (const Json& entry : edges) {
        double edge = 0.0;
        if (!ReadNumber(entry, &edge) || edge < feature.minimum || edge > feature.maximum ||
            (!binning->edges.empty() && edge <= binning->edges.back()))
            return false;
        binning->edges.push_back(edge);
    }
    const size_t bins = binning->edges.size() + 1;
    const Json& counts = json.at("counts");
    const Json& means = json.at("means");
    const Json& deviations = json.at("standard_deviations");
    if (!counts.is_array() || !means.is_array() || !deviations.is_array() || counts.size() != bins ||
        means.size() != bins || deviations.size() != bins)
        return false;
    uint64_t total = 0;
    for (size_t b = 0; b < bins; ++b) {
        Binning::Bin& bin = binning->bins.emplace_back();
        bin.minimum = b == 0 ? feature.minimum : binning->edges[b - 1];
        bin.maximum = b + 1 == bins ? feature.maximum : binning->edges[b];
        if (!ReadCount(counts[b], present, &bin.count) || !ReadNumber(means[b], &bin.mean) ||
            !ReadNumber(deviations[b], &bin.standard_deviation) || bin.standard_deviation < 0.0 ||
            (bin.count > 0 && (bin.mean < bin.minimum || bin.mean > bin.maximum)))
            return false;
        total += bin.count;
    }
    return total == present;
}

/// As ReadBinning.
bool ReadFeature(const Json& json, uint64_t rows, bool has_labels, ExplainedFeature* feature) {
    if (json.at("name") != feature->name)
        return false;
    if (feature->kind == ColumnKind::kCategory)
        return true;
    if (!ReadCount(json.at("nulls"), rows, &feature->null_count))
        return false;
    const uint64_t present = rows - feature->null_count;
    if (feature->kind == ColumnKind::kBoolean) {
        const Json& levels = json.at("levels");
        feature->level_counts.assign(2, 0);
        return levels.is_array() && levels.size() == 2 &&
               ReadCount(levels[0], rows, &feature->level_counts[0]) &&
               ReadCount(levels[1], rows, &feature->level_counts[1]) &&
               feature->level_counts[0] + feature->level_counts[1] == present;
    }
    if (!ReadNumber(json.at("mean"), &feature->mean) ||
        !ReadNumber(json.at("standard_deviation"), &feature->standard_deviation) ||
        !ReadNumber(json.at("minimum"), &feature->minimum) ||
        !ReadNumber(json.at("maximum"), &feature->maximum) ||
        !ReadNumber(json.at("median"), &feature->median) || feature->standard_deviation < 0.0 ||
        !(feature->minimum <= feature->mean) || !(feature->mean <= feature->maximum) ||
        !(feature->minimum <= feature->median) || !(feature->median <= feature->maximum))
        return false;
    return ReadBinning(json.at("quartile"), *feature, present, &feature->quartile) &&
           ReadBinning(json.at("decile"), *feature, present, &feature->decile) &&
           (!has_labels || ReadBinning(json.at("entropy"), *feature, present, &feature->entropy));
}

}  // namespace

Json ExplainerStatistics::ToJson() const {
    Json features = Json::array();
    for (const ExplainedFeature& feature : features_) {
        Json json = {{"name", feature.name}};
        if (feature.kind != ColumnKind::kCategory)
            json["nulls"] = feature.null_count;
        if (feature.kind == ColumnKind::kBoolean) {
            json["levels"] = feature.level_counts;
        } else if (!feature.categorical) {
            json["mean"] = feature.mean;
            json["standard_deviation"] = feature.standard_deviation;
            json["minimum"] = feature.minimum;
            json["maximum"] = feature.maximum;
            json["median"] = feature.median;
            json["quartile"] = BinningJson(feature.quartile);
            json["decile"] = BinningJson(feature.decile);
            if (has_labels_)
                json["entropy"] = BinningJson(feature.entropy);
        }
        features.push_back(std::move(json));
    }
    return {{"format", kFormat},
            {"rows", row_count_},
            {"labels", has_labels_},
            {"features", std::move(features)}};
}

Expected<ExplainerStatistics> ExplainerStatistics::FromJson(const Json& json, const Pipeline& pipeline) {
    const auto bad = [](const std::string& what) {
        return Status::Corrupt("the stored statistics of the explainer are not valid",
                               "The reason: " + what + ".");
    };
    try {
        if (json.at("format") != kFormat)
            return bad("their format is unknown");
        ExplainerStatistics statistics;
        statistics.AddFeatures(pipeline);
        const std::optional<int64_t> rows = IntegerWithin(json.at("rows"), 0, kMaxRowCount);
        if (!rows)
            return bad("their number of rows is not a count");
        statistics.row_count_ = static_cast<uint64_t>(*rows);
        statistics.has_labels_ = json.at("labels").get<bool>();
        const Json& features = json.at("features");
        if (!features.is_array() || features.size() != statistics.features_.size())
            return bad("they do not have the features of the pipeline");
        for (size_t f = 0; f < features.size(); ++f) {
            ExplainedFeature& feature = statistics.features_[f];
            if (!ReadFeature(features[f], statistics.row_count_, statistics.has_labels_, &feature))
                return bad("feature \"" + feature.name + "\" has statistics that are not valid");
        }
        return statistics;
    } catch (const Json::exception& error) {
        return bad(error.what());
    } catch (const std::bad_alloc&) {
        return Status(StatusCode::kOutOfMemory, "out of memory for the explainer's statistics");
    }
}

}  // namespace dlent
