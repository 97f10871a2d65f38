#include "pg/bridge/postgres.h"

#include "pg/functions/drift_options.h"

#include <algorithm>
#include <cmath>

#include "pg/bridge/error.h"
#include "pg/bridge/option_reader.h"
#include "pg/bridge/text.h"

extern "C" {
#include "utils/timestamp.h"
}

namespace dlent::pg {
namespace {

/// true: all of `valid`; or an array of some.
std::vector<std::string> SomeOf(const OptionReader& reader, const char* key,
                                const std::vector<std::string>& valid) {
    const Json* const value = reader.Find(key);
    if (value == nullptr)
        return {};
    if (value->is_boolean())
        return value->get<bool>() ? valid : std::vector<std::string>();
    std::string must = "true, false or an array of ";
    for (const std::string& name : valid)
        must += (name == valid.front() ? "" : ", ") + name;
    std::vector<std::string> names = reader.Texts(key, must.c_str());
    for (const std::string& name : names) {
        if (std::find(valid.begin(), valid.end(), name) == valid.end())
            reader.Refuse(key, must);
    }
    return names;
}

/// Microseconds of an interval that is at least `least` and has no months; 0 where there is none.
int64_t IntervalOption(const OptionReader& reader, const char* key, int64_t least, const char* what) {
    if (reader.Find(key) == nullptr)
        return 0;
    const std::string text = reader.Text(key, "", "an interval");
    struct Parsed {
        int64_t microseconds;
        bool months;
    };
    const Parsed parsed = CallPostgres([&text] {
        const Interval* const interval = DatumGetIntervalP(DirectFunctionCall3(
            interval_in, CStringGetDatum(text.c_str()), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
        return Parsed{interval->time + static_cast<int64_t>(interval->day) * USECS_PER_DAY,
                      interval->month != 0};
    });
    if (parsed.months || parsed.microseconds < least)
        reader.Refuse(key, std::string("an interval of at least ") + what + ", without months");
    return parsed.microseconds;
}

}  // namespace

DriftRequest DriftRequest::Parse(const Json& json) {
    const OptionReader reader(json, {"profile", "reference", "features", "threshold", "alpha", "correction",
                                     "prediction", "target", "performance", "multivariate", "concept",
                                     "attribution", "time_column", "window", "live", "seed", "store"});
    DriftRequest request;
    request.profile = reader.Text("profile", request.profile, "the name of a profile");
    request.statistics.profile = ValueOrThrow(ParseDriftProfile(request.profile));
    if (reader.Find("correction") != nullptr)
        request.statistics.correction =
            ValueOrThrow(ParseDriftCorrection(reader.Text("correction", "", "none, bonferroni or bh")));
    request.reference = reader.Text("reference", "", "a source");
    for (const std::string& name : reader.Names("features", "an array of column names"))
        request.features.push_back(ToUtf8(name));
    request.statistics.threshold = reader.OptionalNumber("threshold", 0.0, INFINITY);
    request.statistics.alpha = reader.OptionalNumberThat(
        "alpha", [](double alpha) { return alpha > 0.0 && alpha < 1.0; }, "a number between 0 and 1");
    request.prediction = reader.OptionalBoolean("prediction");
    request.target = reader.OptionalBoolean("target");
    request.performance = reader.OptionalBoolean("performance");
    request.multivariate = SomeOf(reader, "multivariate", {"mmd", "classifier"});
    request.concept_detectors = SomeOf(reader, "concept", {"adwin", "page_hinkley", "kswin", "ddm"});
    request.attribution = reader.Boolean("attribution", false);
    request.time_column = reader.Text("time_column", "", "the name of a column");
    request.window = IntervalOption(reader, "window", USECS_PER_HOUR, "an hour");
    request.live_text = reader.Text("live", "", "an interval");
    request.live = IntervalOption(reader, "live", USECS_PER_SEC, "a second");
    request.seed = reader.Seed("seed", request.seed);
    request.store = reader.Boolean("store", false);
    if ((request.window == 0) != request.time_column.empty())
        reader.Fail("options \"window\" and \"time_column\" belong together");
    if (request.live > 0)
        request.CheckLive();
    return request;
}

void DriftRequest::CheckLive() const {
    const char* needs_rows = !reference.empty()            ? "reference"
                             : target.value_or(false)      ? "target"
                             : performance.value_or(false) ? "performance"
                             : !multivariate.empty()       ? "multivariate"
                             : !concept_detectors.empty()  ? "concept"
                             : attribution                 ? "attribution"
                             : window > 0                  ? "window"
                                                           : nullptr;
    if (needs_rows != nullptr)
        throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                       std::string("options \"live\" and \"") + needs_rows + "\" exclude each other",
                       "Of live answers there are counts by feature, and no rows.",
                       "Name rows as the source, or leave the option out.");
}

bool DriftRequest::Wants(const std::string& feature) const {
    return features.empty() || std::find(features.begin(), features.end(), feature) != features.end();
}

}  // namespace dlent::pg
