#include "core/train/training_options.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/nn/layer.h"
#include "core/train/optimizer.h"
#include "core/train/schedule.h"
#include "core/train/share.h"

namespace dlent {
namespace {

constexpr int kMaxEpochs = 100000;
constexpr int kMaxBatch = 1 << 20;
constexpr int kMaxHiddenLayers = 16;
constexpr int kMaxHiddenUnits = 8192;
constexpr int kMaxMembers = 256;
constexpr size_t kMaxDescription = 60;
constexpr const char* kTeacher = "teacher";

std::string Describe(const Json& value) {
    std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (text.size() <= kMaxDescription)
        return text;
    size_t end = kMaxDescription - 3;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80)
        --end;  // not inside a character
    return text.substr(0, end) + "...";
}

Status WrongType(const std::string& key, const std::string& wanted, const Json& value) {
    return Status::Invalid("option \"" + key + "\" must be " + wanted, "It is " + Describe(value) + ".");
}

/// Readers of one value each: check type and range, then store.
Status ReadNumber(const std::string& key, const Json& value, double low, double high, double* out) {
    if (!value.is_number() || !(value.get<double>() >= low && value.get<double>() <= high))
        return WrongType(key, "a number from " + Json(low).dump() + " to " + Json(high).dump(), value);
    *out = value.get<double>();
    return Status::Ok();
}

Status ReadNumber(const std::string& key, const Json& value, double low, double high,
                  std::optional<double>* out) {
    double number = 0.0;
    DLENT_RETURN_IF_ERROR(ReadNumber(key, value, low, high, &number));
    *out = number;
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

Status ReadInteger(const std::string& key, const Json& value, int low, int high, std::optional<int>* out) {
    int number = 0;
    DLENT_RETURN_IF_ERROR(ReadInteger(key, value, low, high, &number));
    *out = number;
    return Status::Ok();
}

Status ReadText(const std::string& key, const Json& value, std::string* out) {
    if (!value.is_string() || value.get_ref<const std::string&>().empty())
        return WrongType(key, "a text", value);
    *out = value.get<std::string>();
    return Status::Ok();
}

Status ReadChoice(const std::string& key, const Json& value, const std::vector<std::string>& choices,
                  std::string* out) {
    std::string known;
    for (const std::string& choice : choices)
        known += (known.empty() ? "" : ", ") + choice;
    if (!value.is_string() ||
        std::find(choices.begin(), choices.end(), value.get<std::string>()) == choices.end())
        return Status::Invalid("option \"" + key + "\" does not take " + Describe(value), {},
                               "It takes " + known + ".");
    *out = value.get<std::string>();
    return Status::Ok();
}

Status ReadChoice(const std::string& key, const Json& value, const std::vector<std::string>& choices,
                  std::optional<std::string>* out) {
    std::string choice;
    DLENT_RETURN_IF_ERROR(ReadChoice(key, value, choices, &choice));
    *out = choice;
    return Status::Ok();
}

/// One of an enumeration's values, by its name.
template <typename T>
Status ReadNamed(const std::string& key, const Json& value, const char* (*name_of)(T),
                 std::initializer_list<T> values, T* out) {
    std::vector<std::string> names;
    for (const T candidate : values)
        names.emplace_back(name_of(candidate));
    std::string name;
    DLENT_RETURN_IF_ERROR(ReadChoice(key, value, names, &name));
    *out = *(values.begin() + (std::find(names.begin(), names.end(), name) - names.begin()));
    return Status::Ok();
}

/// Letters to insert, remove or change to get from one word to the other.
size_t EditDistance(const std::string& a, const std::string& b) {
    std::vector<size_t> row(b.size() + 1);
    for (size_t j = 0; j <= b.size(); ++j)
        row[j] = j;
    for (size_t i = 1; i <= a.size(); ++i) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size(); ++j) {
            const size_t above = row[j];
            row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
            diagonal = above;
        }
    }
    return row[b.size()];
}

Status UnknownKey(const std::string& where, const std::string& key, const std::vector<std::string>& known) {
    std::string list;
    std::string nearest;
    size_t distance = 3;  // further apart they are different words
    for (const std::string& candidate : known) {
        list += (list.empty() ? "" : ", ") + candidate;
        const size_t letters = EditDistance(key, candidate);
        if (letters < std::min(distance, candidate.size())) {
            distance = letters;
            nearest = candidate;
        }
    }
    return Status::Invalid("unknown option \"" + key + "\"" + where,
                           nearest.empty() ? "" : "Perhaps you meant \"" + nearest + "\".",
                           "Valid options are " + list + ".");
}

Status ReadValidation(const Json& value, ValidationOptions* validation) {
    if (!value.is_object())
        return WrongType("validation", "an object with method, fraction and column", value);
    for (const auto& [key, entry] : value.items()) {
        if (key == "method") {
            std::string method;
            DLENT_RETURN_IF_ERROR(
                ReadChoice("validation.method", entry, {"auto", "random", "time", "group", "none"}, &method));
            for (const ValidationMethod candidate :
                 {ValidationMethod::kAuto, ValidationMethod::kRandom, ValidationMethod::kTime,
                  ValidationMethod::kGroup, ValidationMethod::kNone}) {
                if (method == ValidationMethodName(candidate))
                    validation->method = candidate;
            }
        } else if (key == "fraction") {
            DLENT_RETURN_IF_ERROR(ReadNumber("validation.fraction", entry, 0.01, 0.9, &validation->fraction));
        } else if (key == "column") {
            DLENT_RETURN_IF_ERROR(ReadText("validation.column", entry, &validation->column));
        } else {
            return UnknownKey(" of validation", key, {"method", "fraction", "column"});
        }
    }
    const bool by_column =
        validation->method == ValidationMethod::kTime || validation->method == ValidationMethod::kGroup;
    if (by_column && validation->column.empty())
        return Status::Invalid(
            "validation by " + std::string(ValidationMethodName(validation->method)) + " needs a column", {},
            "Name it: {\"validation\": {\"method\": ..., \"column\": ...}}.");
    if (!by_column && !validation->column.empty())
        return Status::Invalid("validation.column is only for the methods time and group");
    return Status::Ok();
}

Status ReadClassWeight(const Json& value, TrainingOptions* options) {
    if (value == "balanced") {
        options->class_weight_mode = "balanced";
        return Status::Ok();
    }
    if (!value.is_object() || value.empty())
        return WrongType("class_weight", "\"balanced\" or an object of a weight for each label", value);
    for (const auto& [label, weight] : value.items())
        DLENT_RETURN_IF_ERROR(
            ReadNumber("class_weight." + label, weight, 1e-6, 1e6, &options->class_weights[label]));
    return Status::Ok();
}

Status ReadFeatures(const Json& value, TrainingOptions* options) {
    if (!value.is_object())
        return WrongType("features", "an object of columns", value);
    for (const auto& [column, entry] : value.items()) {
        if (!entry.is_object())
            return WrongType("features." + column, "an object such as {\"kind\": \"category\"}", entry);
        for (const auto& [key, setting] : entry.items()) {
            if (key != "kind")
                return UnknownKey(" of features." + column, key, {"kind"});
            std::string kind;
            DLENT_RETURN_IF_ERROR(ReadText("features." + column + ".kind", setting, &kind));
            DLENT_ASSIGN_OR_RETURN(options->features[column].kind, ParseColumnKind(kind));
        }
    }
    return Status::Ok();
}

Status ReadWarmStart(const std::string& key, const Json& value, TrainingOptions* options) {
    if (value.is_boolean()) {
        options->warm_start = value.get<bool>() ? std::optional<int>(0) : std::nullopt;
        return Status::Ok();
    }
    const double number = value.is_number() ? value.get<double>() : NAN;
    if (!(number >= 1 && number <= std::numeric_limits<int>::max()) || number != std::trunc(number))
        return WrongType(key, "true, false or the number of a version", value);
    options->warm_start = static_cast<int>(number);
    return Status::Ok();
}

struct OptionReader {
    const char* key;
    Status (*read)(const std::string& key, const Json& value, TrainingOptions* options);
};

using Options = TrainingOptions;
using Key = const std::string&;

/// Every option of dlent_train, in the order in which hints list them.
const OptionReader kReaders[] = {
    {"kind",
     [](Key key, const Json& value, Options* o) {
         return ReadChoice(key, value,
                           {"auto", "mlp", "tabm", "cnn", "dbn", "autoencoder", "gan", "recommender"},
                           &o->kind);
     }},
    {"task",
     [](Key key, const Json& value, Options* o) {
         std::string task;
         DLENT_RETURN_IF_ERROR(ReadChoice(key, value, {"auto", "regression", "binary", "multiclass"}, &task));
         DLENT_ASSIGN_OR_RETURN(o->task, ParseTask(task));
         return Status::Ok();
     }},
    {"preset",
     [](Key key, const Json& value, Options* o) {
         return ReadNamed(key, value, PresetName, {Preset::kFast, Preset::kDefault, Preset::kBest},
                          &o->preset);
     }},
    {"device", [](Key key, const Json& value, Options* o) { return ReadText(key, value, &o->device); }},
    {"precision",
     [](Key key, const Json& value, Options* o) {
         return ReadChoice(key, value, {"fp32", "tf32", "bf16"}, &o->precision);
     }},
    {"data_parallel", [](Key key, const Json& value,
                         Options* o) { return ReadInteger(key, value, 1, kMaxRanks, &o->data_parallel); }},
    {"seed",
     [](Key key, const Json& value, Options* o) {
         if (!value.is_number_unsigned())
             return WrongType(key, "an integer of at least 0", value);
         o->seed = value.get<uint64_t>();
         return Status::Ok();
     }},
    {"epochs", [](Key key, const Json& value,
                  Options* o) { return ReadInteger(key, value, 1, kMaxEpochs, &o->epochs); }},
    {"batch_size", [](Key key, const Json& value,
                      Options* o) { return ReadInteger(key, value, 1, kMaxBatch, &o->batch_size); }},
    {"learning_rate", [](Key key, const Json& value,
                         Options* o) { return ReadNumber(key, value, 1e-9, 10.0, &o->learning_rate); }},
    {"weight_decay", [](Key key, const Json& value,
                        Options* o) { return ReadNumber(key, value, 0.0, 10.0, &o->weight_decay); }},
    {"hidden",
     [](Key key, const Json& value, Options* o) {
         if (!value.is_array() || value.size() > kMaxHiddenLayers)
             return WrongType(
                 key, "an array of at most " + std::to_string(kMaxHiddenLayers) + " layer widths", value);
         o->hidden.emplace();
         for (const Json& units : value)
             DLENT_RETURN_IF_ERROR(ReadInteger(key, units, 1, kMaxHiddenUnits, &o->hidden->emplace_back()));
         return Status::Ok();
     }},
    {"dropout",
     [](Key key, const Json& value, Options* o) { return ReadNumber(key, value, 0.0, 0.95, &o->dropout); }},
    {"activation",
     [](Key key, const Json& value, Options* o) {
         std::string activation;
         DLENT_RETURN_IF_ERROR(ReadText(key, value, &activation));
         DLENT_ASSIGN_OR_RETURN(o->activation, ParseActivation(activation));
         return Status::Ok();
     }},
    {"patience", [](Key key, const Json& value,
                    Options* o) { return ReadInteger(key, value, 1, kMaxEpochs, &o->patience); }},
    {"max_seconds", [](Key key, const Json& value,
                       Options* o) { return ReadNumber(key, value, 0.01, 1e9, &o->max_seconds); }},
    {"max_score_us", [](Key key, const Json& value,
                        Options* o) { return ReadNumber(key, value, 1e-3, 1e9, &o->max_score_us); }},
    {"score_precision",
     [](Key key, const Json& value, Options* o) {
         return ReadNamed(key, value, ScorePrecisionName,
                          {ScorePrecision::kFp32, ScorePrecision::kInt8, ScorePrecision::kAuto},
                          &o->score_precision);
     }},
    {"warm_start", [](Key key, const Json& value, Options* o) { return ReadWarmStart(key, value, o); }},
    {"members", [](Key key, const Json& value,
                   Options* o) { return ReadInteger(key, value, 1, kMaxMembers, &o->members); }},
    {"numeric_embedding",
     [](Key key, const Json& value, Options* o) {
         return ReadNamed(key, value, NumericEmbeddingName,
                          {NumericEmbedding::kAuto, NumericEmbedding::kNone,
                           NumericEmbedding::kPiecewiseLinear, NumericEmbedding::kPeriodic},
                          &o->numeric_embedding);
     }},
    {"optimizer",
     [](Key key, const Json& value, Options* o) {
         return ReadChoice(key, value, {"adamw", "sgd"}, &o->optimizer);
     }},
    {"schedule",
     [](Key key, const Json& value, Options* o) {
         return ReadChoice(key, value, {"cycles", "cosine", "coslog4", "flat_cos", "constant"}, &o->schedule);
     }},
    {"loss",
     [](Key key, const Json& value, Options* o) {
         return ReadChoice(key, value, {"log_loss", "focal", "squared", "huber", "pinball"}, &o->loss);
     }},
    {"label_smoothing", [](Key key, const Json& value,
                           Options* o) { return ReadNumber(key, value, 0.0, 0.5, &o->label_smoothing); }},
    {"quantile", [](Key key, const Json& value,
                    Options* o) { return ReadNumber(key, value, 0.001, 0.999, &o->quantile); }},
    {"validation", [](Key, const Json& value, Options* o) { return ReadValidation(value, &o->validation); }},
    {"class_weight", [](Key, const Json& value, Options* o) { return ReadClassWeight(value, o); }},
    {"weight_column",
     [](Key key, const Json& value, Options* o) { return ReadText(key, value, &o->weight_column); }},
    {"exclude",
     [](Key key, const Json& value, Options* o) {
         if (!value.is_array())
             return WrongType(key, "an array of column names", value);
         for (const Json& column : value)
             DLENT_RETURN_IF_ERROR(ReadText(key, column, &o->exclude.emplace_back()));
         return Status::Ok();
     }},
    {"features", [](Key, const Json& value, Options* o) { return ReadFeatures(value, o); }},
    {"positive_class",
     [](Key key, const Json& value, Options* o) {
         if (value.is_string())
             o->positive_class = value.get<std::string>();
         else if (value.is_boolean() || value.is_number())
             o->positive_class = value.dump();
         else
             return WrongType(key, "a label", value);
         return Status::Ok();
     }},
    {"promote",
     [](Key key, const Json& value, Options* o) {
         if (!value.is_boolean())
             return WrongType(key, "true or false", value);
         o->promote = value.get<bool>();
         return Status::Ok();
     }},
};

}  // namespace

const char* PresetName(Preset preset) {
    switch (preset) {
        case Preset::kFast:
            return "fast";
        case Preset::kDefault:
            return "default";
        case Preset::kBest:
            return "best";
    }
    return "";
}

const char* ValidationMethodName(ValidationMethod method) {
    switch (method) {
        case ValidationMethod::kAuto:
            return "auto";
        case ValidationMethod::kRandom:
            return "random";
        case ValidationMethod::kTime:
            return "time";
        case ValidationMethod::kGroup:
            return "group";
        case ValidationMethod::kNone:
            return "none";
    }
    return "";
}

const char* NumericEmbeddingName(NumericEmbedding embedding) {
    switch (embedding) {
        case NumericEmbedding::kAuto:
            return "auto";
        case NumericEmbedding::kNone:
            return "none";
        case NumericEmbedding::kPiecewiseLinear:
            return "piecewise_linear";
        case NumericEmbedding::kPeriodic:
            return "periodic";
    }
    return "";
}

const char* ScorePrecisionName(ScorePrecision precision) {
    switch (precision) {
        case ScorePrecision::kFp32:
            return "fp32";
        case ScorePrecision::kInt8:
            return "int8";
        case ScorePrecision::kAuto:
            return "auto";
    }
    return "";
}

namespace {

/// What the teacher is trained with: what its own object says; its network is the preset's otherwise, and the
/// rest is the student's.
Status ReadTeacher(const Json& json, TrainingOptions* options) {
    const Json& teacher = json.at(kTeacher);
    if (!teacher.is_object())
        return WrongType(kTeacher, "an object of options", teacher);
    static const std::vector<std::string> kOwn = {
        "activation", "batch_size",      "dropout",       "epochs",   "hidden",
        "kind",       "label_smoothing", "learning_rate", "members",  "numeric_embedding",
        "optimizer",  "patience",        "preset",        "schedule", "weight_decay"};
    Json merged = json;
    for (const char* key : {kTeacher, "max_score_us", "score_precision", "promote", "kind", "hidden",
                            "members", "numeric_embedding"})
        merged.erase(key);
    for (const auto& [key, value] : teacher.items()) {
        if (std::find(kOwn.begin(), kOwn.end(), key) == kOwn.end())
            return UnknownKey(" of teacher", key, kOwn);
        merged[key] = value;
    }
    DLENT_ASSIGN_OR_RETURN(TrainingOptions parsed, TrainingOptions::Parse(merged));
    options->teacher = std::make_shared<const TrainingOptions>(std::move(parsed));
    return Status::Ok();
}

/// Training on keeps the networks as they are.
Status CheckWarmStart(const Json& json) {
    for (const char* key : {"kind", "hidden", "activation", "dropout", "members", "numeric_embedding",
                            "max_score_us", kTeacher}) {
        if (json.contains(key))
            return Status::Invalid(std::string("option \"") + key + "\" does not go with \"warm_start\"", {},
                                   "The networks are those of the version that training starts from.");
    }
    return Status::Ok();
}

}  // namespace

Expected<TrainingOptions> TrainingOptions::Parse(const Json& json) {
    if (!json.is_object())
        return Status::Invalid("options must be a JSON object", "They are " + Describe(json) + ".");
    TrainingOptions options;
    for (const auto& [key, value] : json.items()) {
        if (key == kTeacher) {
            DLENT_RETURN_IF_ERROR(ReadTeacher(json, &options));
            continue;
        }
        const auto* reader =
            std::find_if(std::begin(kReaders), std::end(kReaders),
                         [&key = key](const OptionReader& candidate) { return key == candidate.key; });
        if (reader == std::end(kReaders)) {
            std::vector<std::string> known;
            for (const OptionReader& candidate : kReaders)
                known.emplace_back(candidate.key);
            known.emplace_back(kTeacher);
            return UnknownKey("", key, known);
        }
        DLENT_RETURN_IF_ERROR(reader->read(key, value, &options));
    }
    if (options.warm_start)
        DLENT_RETURN_IF_ERROR(CheckWarmStart(json));
    return options;
}

}  // namespace dlent
