#include "core/explain/explain_options.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <map>

namespace dlent {
namespace {

constexpr int kMaxSamples = 1'000'000;
constexpr int kMinSteps = 5;
constexpr int kMaxSteps = 10'000;
constexpr int kMaxCounterfactuals = 20;
constexpr size_t kMaxDescription = 60;
constexpr std::array<const char*, 5> kSelections = {"auto", "forward_selection", "highest_weights",
                                                    "lasso_path", "none"};

std::string Describe(const Json& value) {
    std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
    if (text.size() > kMaxDescription)
        text = text.substr(0, kMaxDescription - 3) + "...";
    return text;
}

Status WrongType(const std::string& key, const std::string& wanted, const Json& value) {
    return Status::Invalid("option \"" + key + "\" must be " + wanted, "It is " + Describe(value) + ".");
}

Status ReadBoolean(const std::string& key, const Json& value, bool* out) {
    if (!value.is_boolean())
        return WrongType(key, "true or false", value);
    *out = value.get<bool>();
    return Status::Ok();
}

Status ReadInteger(const std::string& key, const Json& value, int low, int high, int* out) {
    const double number = value.is_number() ? value.get<double>() : NAN;
    if (!(number >= low && number <= high) || number != std::trunc(number))
        return WrongType(key, "an integer from " + std::to_string(low) + " to " + std::to_string(high),
                         value);
    *out = static_cast<int>(number);
    return Status::Ok();
}

Status ReadNumber(const std::string& key, const Json& value, const std::string& wanted,
                  bool (*accepts)(double), double* out) {
    if (!value.is_number() || !accepts(value.get<double>()))
        return WrongType(key, wanted, value);
    *out = value.get<double>();
    return Status::Ok();
}

Status ReadText(const std::string& key, const Json& value, const std::string& wanted, std::string* out) {
    if (!value.is_string() || value.get_ref<const std::string&>().empty())
        return WrongType(key, wanted, value);
    *out = value.get<std::string>();
    return Status::Ok();
}

Status ReadTexts(const std::string& key, const Json& value, const std::string& wanted,
                 std::vector<std::string>* out) {
    out->clear();
    if (!value.is_array())
        return WrongType(key, wanted, value);
    for (const Json& element : value) {
        std::string text;
        DLENT_RETURN_IF_ERROR(ReadText(key, element, wanted, &text));
        if (std::find(out->begin(), out->end(), text) != out->end())
            return Status::Invalid("option \"" + key + "\" names \"" + text + "\" twice");
        out->push_back(std::move(text));
    }
    return Status::Ok();
}

/// The hint of a value that must be one of a few words.
template <typename Words>
Status ReadWord(const std::string& key, const Json& value, const Words& words, std::string* out) {
    std::string list;
    for (const char* word : words) {
        if (value.is_string() && value.get_ref<const std::string&>() == word) {
            *out = word;
            return Status::Ok();
        }
        list += (list.empty() ? "" : ", ") + std::string(word);
    }
    return Status::Invalid("option \"" + key + "\" cannot be " + Describe(value), {}, "Use " + list + ".");
}

Status ReadGroups(const Json& value, std::vector<ReasonGroup>* groups) {
    const char* kWanted = "an object of arrays, as in {\"spending\": [\"amount\", \"average\"]}";
    groups->clear();
    if (!value.is_object())
        return WrongType("groups", kWanted, value);
    std::vector<std::string> seen;
    for (const auto& [name, features] : value.items()) {
        ReasonGroup group{name, {}};
        if (name.empty() || !features.is_array() || features.empty())
            return WrongType("groups", kWanted, value);
        DLENT_RETURN_IF_ERROR(ReadTexts("groups", features, kWanted, &group.features));
        for (const std::string& feature : group.features) {
            if (std::find(seen.begin(), seen.end(), feature) != seen.end())
                return Status::Invalid("option \"groups\" has \"" + feature + "\" in two groups");
            seen.push_back(feature);
        }
        groups->push_back(std::move(group));
    }
    return Status::Ok();
}

Status ReadDirections(const Json& value, std::vector<std::pair<std::string, Direction>>* directions) {
    constexpr std::array<const char*, 2> kWords = {"increase", "decrease"};
    directions->clear();
    if (!value.is_object())
        return WrongType("directions", "an object, as in {\"age\": \"increase\"}", value);
    for (const auto& [feature, word] : value.items()) {
        std::string direction;
        DLENT_RETURN_IF_ERROR(ReadWord("directions", word, kWords, &direction));
        directions->emplace_back(feature, direction == "increase" ? Direction::kRaises : Direction::kLowers);
    }
    return Status::Ok();
}

using Reader = std::function<Status(const std::string&, const Json&, ExplainOptions*)>;

const std::map<std::string, Reader>& Readers() {
    static const auto* readers = new std::map<std::string, Reader>{
        {"method",
         [](const auto& key, const Json& value, ExplainOptions* out) {
             constexpr std::array<const char*, 2> kWords = {"lime", "integrated_gradients"};
             std::string word;
             DLENT_RETURN_IF_ERROR(ReadWord(key, value, kWords, &word));
             out->method = word == "lime" ? ExplainMethod::kLime : ExplainMethod::kIntegratedGradients;
             return Status::Ok();
         }},
        {"num_features",
         [](const auto& key, const Json& value, ExplainOptions* out) {
             return ReadInteger(key, value, 1, 1000, &out->num_features);
         }},
        {"num_samples",
         [](const auto& key, const Json& value, ExplainOptions* out) {
             return ReadInteger(key, value, 10, kMaxSamples, &out->num_samples);
         }},
        {"kernel_width",
         [](const auto& key, const Json& value, ExplainOptions* out) {
             double width = 0.0;
             if (value.is_null()) {
                 out->kernel_width.reset();
                 return Status::Ok();
             }
             DLENT_RETURN_IF_ERROR(ReadNumber(
                 key, value, "a positive number", [](double x) { return x > 0.0 && x < 1e9; }, &width));
             out->kernel_width = width;
             return Status::Ok();
         }},
        {"discretizer",
         [](const auto& key, const Json& value, ExplainOptions* out) {
             constexpr std::array<const char*, 4> kWords = {"quartile", "decile", "entropy", "none"};
             std::string word;
             DLENT_RETURN_IF_ERROR(ReadWord(key, value, kWords, &word));
             DLENT_ASSIGN_OR_RETURN(out->discretizer, ParseDiscretizer(word));
             return Status::Ok();
         }},
        {"feature_selection",
         [](const auto& key, const Json& value, ExplainOptions* out) {
             return ReadWord(key, value, kSelections, &out->feature_selection);
         }},
        {"labels",
         [](const auto& key, const Json& value, ExplainOptions* out) {
             return ReadTexts(key, value, "an array of labels", &out->labels);
         }},
        {"top_labels",
         [](const auto& key, const Json& value, ExplainOptions* out) {
             return ReadInteger(key, value, 0, 1000, &out->top_labels);
         }},
        {"sample_around_instance",
         [](const auto& key, const Json& value, ExplainOptions* out) {
             return ReadBoolean(key, value, &out->sample_around_instance);
         }},
        {"alpha",
         [](const auto& key, const Json& value, ExplainOptions* out) {
             return ReadNumber(
                 key, value, "a number of at least 0", [](double x) { return x >= 0.0 && x < 1e12; },
                 &out->alpha);
         }},
        {"link",
         [](const auto& key, const Json& value, ExplainOptions* out) {
             constexpr std::array<const char*, 2> kWords = {"probability", "logit"};
             std::string word;
             if (value.is_null()) {
                 out->link.reset();
                 return Status::Ok();
             }
             DLENT_RETURN_IF_ERROR(ReadWord(key, value, kWords, &word));
             out->link = word == "logit" ? Link::kLogit : Link::kProbability;
             return Status::Ok();
         }},
        {"seed",
         [](const auto& key, const Json& value, ExplainOptions* out) {
             constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
             if (!value.is_number_integer() || (!value.is_number_unsigned() && value.get<int64_t>() < 0) ||
                 value.get<uint64_t>() > kMost)
                 return WrongType(key, "an integer from 0 to 9223372036854775807", value);
             out->seed = value.get<uint64_t>();
             return Status::Ok();
         }},
        {"compat", [](const auto& key, const Json& value,
                      ExplainOptions* out) { return ReadBoolean(key, value, &out->compat); }},
        {"fresh", [](const auto& key, const Json& value,
                     ExplainOptions* out) { return ReadBoolean(key, value, &out->fresh); }},
        {"steps",
         [](const auto& key, const Json& value, ExplainOptions* out) {
             return ReadInteger(key, value, kMinSteps, kMaxSteps, &out->steps);
         }},
        {"min_fidelity",
         [](const auto& key, const Json& value, ExplainOptions* out) {
             return ReadNumber(
                 key, value, "a number from 0 to 1", [](double x) { return x >= 0.0 && x <= 1.0; },
                 &out->min_fidelity);
         }},
        {"threshold",
         [](const auto& key, const Json& value, ExplainOptions* out) {
             double threshold = 0.0;
             if (value.is_null()) {
                 out->threshold.reset();
                 return Status::Ok();
             }
             DLENT_RETURN_IF_ERROR(ReadNumber(
                 key, value, "a number", [](double x) { return std::isfinite(x); }, &threshold));
             out->threshold = threshold;
             return Status::Ok();
         }},
        {"agreement", [](const auto& key, const Json& value,
                         ExplainOptions* out) { return ReadBoolean(key, value, &out->agreement); }},
        {"counterfactuals",
         [](const auto& key, const Json& value, ExplainOptions* out) {
             if (value.is_boolean()) {
                 out->counterfactuals = value.get<bool>() ? 1 : 0;
                 return Status::Ok();
             }
             return ReadInteger(key, value, 0, kMaxCounterfactuals, &out->counterfactuals);
         }},
        {"immutable",
         [](const auto& key, const Json& value, ExplainOptions* out) {
             return ReadTexts(key, value, "an array of features", &out->immutable);
         }},
        {"directions", [](const auto&, const Json& value,
                          ExplainOptions* out) { return ReadDirections(value, &out->directions); }},
        {"audience",
         [](const auto& key, const Json& value, ExplainOptions* out) {
             constexpr std::array<const char*, 2> kWords = {"analyst", "customer"};
             std::string word;
             DLENT_RETURN_IF_ERROR(ReadWord(key, value, kWords, &word));
             DLENT_ASSIGN_OR_RETURN(out->audience, ParseAudience(word));
             return Status::Ok();
         }},
        {"locale",
         [](const auto& key, const Json& value, ExplainOptions* out) {
             return ReadText(key, value, "the name of a locale, as in \"en\" or \"de-AT\"", &out->locale);
         }},
        {"max_reasons",
         [](const auto& key, const Json& value, ExplainOptions* out) {
             return ReadInteger(key, value, 1, 100, &out->max_reasons);
         }},
        {"groups",
         [](const auto&, const Json& value, ExplainOptions* out) { return ReadGroups(value, &out->groups); }},
        {"store", [](const auto& key, const Json& value,
                     ExplainOptions* out) { return ReadBoolean(key, value, &out->store); }},
        {"key",
         [](const auto& key, const Json& value, ExplainOptions* out) {
             std::string text;
             if (value.is_number_integer())
                 text = value.dump();
             else
                 DLENT_RETURN_IF_ERROR(ReadText(key, value, "the key of the row, a text", &text));
             out->key = std::move(text);
             return Status::Ok();
         }},
        {"retain",
         [](const auto& key, const Json& value, ExplainOptions* out) {
             std::string text;
             DLENT_RETURN_IF_ERROR(ReadText(key, value, "an interval, as in \"90 days\"", &text));
             out->retain = std::move(text);
             return Status::Ok();
         }},
        {"resume", [](const auto& key, const Json& value,
                      ExplainOptions* out) { return ReadBoolean(key, value, &out->resume); }},
    };
    return *readers;
}

bool Applies(const std::string& key, ExplainOptions::Use use) {
    if (key == "store" || key == "key")
        return use == ExplainOptions::Use::kRow;
    if (key == "resume")
        return use == ExplainOptions::Use::kTable;
    return key != "retain" || use != ExplainOptions::Use::kReplay;
}

std::string ValidKeys(ExplainOptions::Use use) {
    std::string list;
    for (const auto& [key, reader] : Readers()) {
        if (Applies(key, use))
            list += (list.empty() ? "" : ", ") + key;
    }
    return "Valid options are " + list + ".";
}

/// What goes together.
Status Check(const ExplainOptions& options) {
    if (options.store ? false : options.key.has_value() || options.retain.has_value())
        return Status::Invalid(std::string("option \"") + (options.key.has_value() ? "key" : "retain") +
                                   "\" is for explanations that are stored",
                               {}, "Add \"store\": true.");
    if (!options.labels.empty() && options.top_labels > 0)
        return Status::Invalid("options \"labels\" and \"top_labels\" exclude each other");
    return Status::Ok();
}

}  // namespace

const char* ExplainMethodName(ExplainMethod method) {
    return method == ExplainMethod::kLime ? "lime" : "integrated_gradients";
}

Expected<ExplainOptions> ExplainOptions::Parse(const Json& json, Use use) {
    ExplainOptions options;
    if (!json.is_object())
        return Status::Invalid("options must be a JSON object", {}, ValidKeys(use));
    options.store = use == Use::kTable;
    for (const auto& [key, value] : json.items()) {
        const auto reader = Readers().find(key);
        if (reader == Readers().end() || !Applies(key, use))
            return Status::Invalid("unknown option \"" + key + "\"", {}, ValidKeys(use));
        DLENT_RETURN_IF_ERROR(reader->second(key, value, &options));
    }
    DLENT_RETURN_IF_ERROR(Check(options));
    return options;
}

Json ExplainOptions::ToJson() const {
    Json json = Json::object();
    json["method"] = ExplainMethodName(method);
    json["num_features"] = num_features;
    json["num_samples"] = num_samples;
    json["kernel_width"] = kernel_width ? Json(*kernel_width) : Json();
    json["discretizer"] = DiscretizerName(discretizer);
    json["feature_selection"] = feature_selection;
    json["labels"] = labels;
    json["top_labels"] = top_labels;
    json["sample_around_instance"] = sample_around_instance;
    json["alpha"] = alpha;
    json["link"] = link ? Json(LinkName(*link)) : Json();
    json["seed"] = seed;
    json["compat"] = compat;
    json["fresh"] = fresh;
    json["steps"] = steps;
    json["min_fidelity"] = min_fidelity;
    json["threshold"] = threshold ? Json(*threshold) : Json();
    json["agreement"] = agreement;
    json["counterfactuals"] = counterfactuals;
    json["immutable"] = immutable;
    json["directions"] = Json::object();
    for (const auto& [feature, direction] : directions)
        json["directions"][feature] = direction == Direction::kRaises ? "increase" : "decrease";
    json["audience"] = AudienceName(audience);
    json["locale"] = locale;
    json["max_reasons"] = max_reasons;
    json["groups"] = Json::object();
    for (const ReasonGroup& group : groups)
        json["groups"][group.name] = group.features;
    return json;
}

}  // namespace dlent
