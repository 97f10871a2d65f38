#include "pg/bridge/postgres.h"

#include "pg/observe/observation.h"

#include "pg/bridge/error.h"
#include "pg/bridge/text.h"

namespace dlent::pg {
namespace {

constexpr double kDefaultSample = 0.01;

[[noreturn]] void ThrowObserveOption(const std::string& message) {
    throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, message, {},
                   "Valid options are sample, unit, key, features, sketches, rollout_sample.");
}

double ShareOption(const std::string& key, const Json& value) {
    if (!value.is_number() || !(value.get<double>() >= 0.0 && value.get<double>() <= 1.0))
        ThrowObserveOption("option \"" + key + "\" must be a share of rows, from 0 to 1");
    return value.get<double>();
}

std::string ColumnOption(const std::string& key, const Json& value) {
    if (!value.is_string() || value.get<std::string>().empty())
        ThrowObserveOption("option \"" + key + "\" must be the name of a column");
    return FromUtf8(value.get<std::string>());
}

bool BooleanOption(const std::string& key, const Json& value) {
    if (!value.is_boolean())
        ThrowObserveOption("option \"" + key + "\" must be true or false");
    return value.get<bool>();
}

Json ColumnJson(const std::string& column) {
    return column.empty() ? Json() : Json(ToUtf8(column));
}

}  // namespace

Observation Observation::OfRollout(const std::string& unit) {
    return {.rollout_sample = 1.0, .key = unit};
}

Observation Observation::Parse(const Json& options) {
    if (!options.is_object())
        ThrowObserveOption("options must be a JSON object");
    Observation observation{.sample = kDefaultSample, .rollout_sample = -1.0, .sketches = true};
    for (const auto& [key, value] : options.items()) {
        if (key == "sample")
            observation.sample = ShareOption(key, value);
        else if (key == "rollout_sample")
            observation.rollout_sample = ShareOption(key, value);
        else if (key == "unit")
            observation.unit = ColumnOption(key, value);
        else if (key == "key")
            observation.key = ColumnOption(key, value);
        else if (key == "features")
            observation.features = BooleanOption(key, value);
        else if (key == "sketches")
            observation.sketches = BooleanOption(key, value);
        else
            ThrowObserveOption("unknown option \"" + FromUtf8(key) + "\"");
    }
    // a rollout is judged by what is recorded of it, unless nothing is wanted at all
    if (observation.rollout_sample < 0.0)
        observation.rollout_sample = observation.sample > 0.0 || observation.sketches ? 1.0 : 0.0;
    return observation;
}

Json Observation::ToJson() const {
    return {{"sample", sample},         {"rollout_sample", rollout_sample},
            {"unit", ColumnJson(unit)}, {"key", ColumnJson(key)},
            {"features", features},     {"sketches", sketches}};
}

Observation Observation::FromJson(const Json& stored) {
    Observation observation;
    const auto column = [&stored](const char* key) {
        return stored.at(key).is_string() ? FromUtf8(stored.at(key).get<std::string>()) : std::string();
    };
    observation.sample = stored.at("sample").get<double>();
    observation.rollout_sample = stored.at("rollout_sample").get<double>();
    observation.unit = column("unit");
    observation.key = column("key");
    observation.features = stored.at("features").get<bool>();
    observation.sketches = stored.at("sketches").get<bool>();
    return observation;
}

}  // namespace dlent::pg
