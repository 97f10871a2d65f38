#include "pg/bridge/postgres.h"

#include "pg/observe/observation.h"

#include "pg/bridge/error.h"
#include "pg/bridge/option_reader.h"
#include "pg/bridge/text.h"

namespace dlent::pg {
namespace {

constexpr double kDefaultSample = 0.01;

std::optional<double> ShareOption(const OptionReader& reader, const char* key) {
    return reader.OptionalNumberThat(
        key, [](double share) { return share >= 0.0 && share <= 1.0; }, "a share of rows, from 0 to 1");
}

Json ColumnJson(const std::string& column) {
    return column.empty() ? Json() : Json(ToUtf8(column));
}

}  // namespace

Observation Observation::OfRollout(const std::string& unit) {
    return {.rollout_sample = 1.0, .key = unit};
}

Observation Observation::Parse(const Json& options) {
    constexpr const char* kColumn = "the name of a column";
    const OptionReader reader(options, {"sample", "unit", "key", "features", "sketches", "rollout_sample"});
    Observation observation;
    observation.sample = ShareOption(reader, "sample").value_or(kDefaultSample);
    observation.unit = reader.Name("unit", "", kColumn);
    observation.key = reader.Name("key", "", kColumn);
    observation.features = reader.Boolean("features", false);
    observation.sketches = reader.Boolean("sketches", true);
    // a rollout is judged by what is recorded of it, unless nothing is wanted at all
    observation.rollout_sample = ShareOption(reader, "rollout_sample")
                                     .value_or(observation.sample > 0.0 || observation.sketches ? 1.0 : 0.0);
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
