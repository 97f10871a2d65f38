#include "pg/bridge/postgres.h"

#include "pg/explain/global_options.h"

#include <algorithm>

#include "pg/bridge/error.h"
#include "pg/bridge/option_reader.h"
#include "pg/bridge/text.h"

namespace dlent::pg {
namespace {

constexpr int kMostRows = 1000000;

std::vector<const char*> ValidKeys(GlobalOptions::Use use) {
    switch (use) {
        case GlobalOptions::Use::kGlobal:
            return {"rows",         "seed",        "labels", "num_features", "num_samples",
                    "kernel_width", "discretizer", "link",   "store"};
        case GlobalOptions::Use::kPicks:
            return {"rows",        "seed",         "labels",      "picks", "num_features",
                    "num_samples", "kernel_width", "discretizer", "link"};
        case GlobalOptions::Use::kPermutation:
            return {"rows", "seed", "metric", "repeats"};
        case GlobalOptions::Use::kDependence:
            break;
    }
    return {"rows", "seed", "points"};
}

Discretizer ReadDiscretizer(const OptionReader& reader, Discretizer otherwise) {
    if (reader.Find("discretizer") == nullptr)
        return otherwise;
    const std::string name = reader.Word("discretizer", "", {"none", "quartile", "decile", "entropy"});
    return name == "quartile"  ? Discretizer::kQuartile
           : name == "decile"  ? Discretizer::kDecile
           : name == "entropy" ? Discretizer::kEntropy
                               : Discretizer::kNone;
}

Link ReadLink(const OptionReader& reader, Link otherwise) {
    if (reader.Find("link") == nullptr)
        return otherwise;
    return reader.Word("link", "", {"probability", "logit"}) == "logit" ? Link::kLogit : Link::kProbability;
}

}  // namespace

GlobalOptions GlobalOptions::Parse(const Json& json, Use use) {
    const OptionReader reader(json, ValidKeys(use));
    const auto count = [&reader](const char* key, int otherwise, int least, int most) {
        return static_cast<int>(reader.Integer(key, otherwise, least, most));
    };
    GlobalOptions options;
    options.rows = count("rows", use == Use::kPermutation ? 10000 : 1000, 1, kMostRows);
    options.seed = reader.Seed("seed", options.seed);
    for (const std::string& label : reader.Names("labels", "an array of texts"))
        options.labels.push_back(ToUtf8(label));
    options.lime.feature_selection = reader.Find("num_features") == nullptr ? "none" : "auto";
    options.lime.num_features =
        count("num_features", options.lime.num_features, 1, ExplainerStatistics::kMaxFeatures);
    options.lime.num_samples =
        count("num_samples", options.lime.num_samples, ProbeOptions::kMinSamples, ProbeOptions::kMaxSamples);
    if (const auto width = reader.OptionalNumberThat(
            "kernel_width", [](double number) { return number > 0.0; }, "a positive number"))
        options.lime.kernel_width = *width;
    options.lime.discretizer = ReadDiscretizer(reader, options.lime.discretizer);
    options.lime.link = ReadLink(reader, options.lime.link);
    options.store = reader.Boolean("store", false);
    options.picks = count("picks", options.picks, 1, 1000);
    options.points = count("points", options.points, 1, 1000);
    options.permutation.repeats = count("repeats", options.permutation.repeats, 1, 1000);
    options.permutation.metric = reader.Text("metric", options.permutation.metric, "the name of a metric");
    options.lime.seed = options.seed;
    options.permutation.seed = options.seed;
    options.resolved = json;
    options.resolved.erase("store");
    return options;
}

}  // namespace dlent::pg
