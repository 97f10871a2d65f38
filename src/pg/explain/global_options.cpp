#include "pg/bridge/postgres.h"

#include "pg/explain/global_options.h"

#include <algorithm>

#include "pg/bridge/error.h"
#include "pg/bridge/text.h"

namespace dlent::pg {
namespace {

constexpr int kMostRows = 1000000;

std::vector<std::string> ValidKeys(GlobalOptions::Use use) {
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

/// One option: its name, its value, and what to say of a wrong one.
class Option {
 public:
    Option(const std::string& key, const Json& value, const std::string& hint)
        : key_(key), value_(value), hint_(hint) {}

    [[noreturn]] void Refuse(const std::string& wanted) const {
        throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "option \"" + FromUtf8(key_) + "\" must be " + wanted,
                       {}, hint_);
    }
    int Integer(int low, int high) const {
        if (!value_.is_number_integer() || value_.get<double>() < low || value_.get<double>() > high)
            Refuse("a whole number from " + std::to_string(low) + " to " + std::to_string(high));
        return value_.get<int>();
    }
    std::string Text(const char* wanted) const {
        if (!value_.is_string())
            Refuse(wanted);
        return value_.get<std::string>();
    }
    uint64_t Seed() const {
        if (!value_.is_number_integer() || value_.get<double>() < 0.0)
            Refuse("a whole number of at least 0");
        return value_.get<uint64_t>();
    }
    double Positive() const {
        if (!value_.is_number() || !(value_.get<double>() > 0.0))
            Refuse("a positive number");
        return value_.get<double>();
    }
    bool Flag() const {
        if (!value_.is_boolean())
            Refuse("true or false");
        return value_.get<bool>();
    }
    std::vector<std::string> Texts() const {
        std::vector<std::string> texts;
        if (!value_.is_array() || value_.empty())
            Refuse("an array of texts");
        for (const Json& element : value_) {
            if (!element.is_string())
                Refuse("an array of texts");
            texts.push_back(element.get<std::string>());
        }
        return texts;
    }

 private:
    const std::string& key_;
    const Json& value_;
    const std::string& hint_;
};

Discretizer ReadDiscretizer(const Option& option) {
    const std::string name = option.Text("none, quartile, decile or entropy");
    if (name == "quartile")
        return Discretizer::kQuartile;
    if (name == "decile")
        return Discretizer::kDecile;
    if (name == "entropy")
        return Discretizer::kEntropy;
    if (name != "none")
        option.Refuse("none, quartile, decile or entropy");
    return Discretizer::kNone;
}

Link ReadLink(const Option& option) {
    const std::string name = option.Text("probability or logit");
    if (name != "probability" && name != "logit")
        option.Refuse("probability or logit");
    return name == "logit" ? Link::kLogit : Link::kProbability;
}

}  // namespace

GlobalOptions GlobalOptions::Parse(const Json& json, Use use) {
    GlobalOptions options;
    options.rows = use == Use::kPermutation ? 10000 : 1000;
    options.lime.feature_selection = "none";
    options.resolved = Json::object();
    const std::vector<std::string> valid = ValidKeys(use);
    std::string hint = "Valid options are ";
    for (size_t i = 0; i < valid.size(); ++i)
        hint += (i == 0 ? "" : ", ") + valid[i];
    hint += ".";
    if (!json.is_object())
        throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "options must be a JSON object", {}, hint);
    for (const auto& [key, value] : json.items()) {
        if (std::find(valid.begin(), valid.end(), key) == valid.end())
            throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "unknown option \"" + FromUtf8(key) + "\"", {},
                           hint);
        const Option option(key, value, hint);
        if (key == "rows") {
            options.rows = option.Integer(1, kMostRows);
        } else if (key == "seed") {
            options.seed = option.Seed();
        } else if (key == "labels") {
            options.labels = option.Texts();
        } else if (key == "num_features") {
            options.lime.num_features = option.Integer(1, ExplainerStatistics::kMaxFeatures);
            options.lime.feature_selection = "auto";
        } else if (key == "num_samples") {
            options.lime.num_samples = option.Integer(ProbeOptions::kMinSamples, ProbeOptions::kMaxSamples);
        } else if (key == "kernel_width") {
            options.lime.kernel_width = option.Positive();
        } else if (key == "discretizer") {
            options.lime.discretizer = ReadDiscretizer(option);
        } else if (key == "link") {
            options.lime.link = ReadLink(option);
        } else if (key == "store") {
            options.store = option.Flag();
            continue;
        } else if (key == "picks") {
            options.picks = option.Integer(1, 1000);
        } else if (key == "points") {
            options.points = option.Integer(1, 1000);
        } else if (key == "repeats") {
            options.permutation.repeats = option.Integer(1, 1000);
        } else if (key == "metric") {
            options.permutation.metric = option.Text("the name of a metric");
        }
        options.resolved[key] = value;
    }
    options.lime.seed = options.seed;
    options.permutation.seed = options.seed;
    return options;
}

}  // namespace dlent::pg
