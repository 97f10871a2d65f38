#include "pg/bridge/postgres.h"

#include "pg/functions/drift_options.h"

#include <algorithm>

#include "pg/bridge/error.h"
#include "pg/bridge/text.h"

extern "C" {
#include "utils/timestamp.h"
}

namespace dlent::pg {
namespace {

[[noreturn]] void ThrowDriftOption(const std::string& message) {
    throw SqlError(
        ERRCODE_INVALID_PARAMETER_VALUE, message, {},
        "Valid options are profile, reference, features, threshold, alpha, correction, prediction, "
        "target, performance, multivariate, concept, attribution, time_column, window, live, seed, store.");
}

bool BooleanOption(const std::string& key, const Json& value) {
    if (!value.is_boolean())
        ThrowDriftOption("option \"" + key + "\" must be true or false");
    return value.get<bool>();
}

std::string TextOption(const std::string& key, const Json& value, const char* what) {
    if (!value.is_string())
        ThrowDriftOption("option \"" + key + "\" must be " + what);
    return value.get<std::string>();
}

/// true: all of `valid`; or an array of some.
std::vector<std::string> NamesOption(const std::string& key, const Json& value,
                                     const std::vector<std::string>& valid) {
    std::string list;
    for (const std::string& name : valid)
        list += (list.empty() ? "" : ", ") + name;
    if (value.is_boolean())
        return value.get<bool>() ? valid : std::vector<std::string>();
    if (!value.is_array())
        ThrowDriftOption("option \"" + key + "\" must be true, false or an array of " + list);
    std::vector<std::string> names;
    for (const Json& entry : value) {
        if (!entry.is_string() ||
            std::find(valid.begin(), valid.end(), entry.get<std::string>()) == valid.end())
            ThrowDriftOption("option \"" + key + "\" must be true, false or an array of " + list);
        names.push_back(entry.get<std::string>());
    }
    return names;
}

/// Microseconds of an interval that is at least `least` and has no months.
int64_t IntervalOption(const std::string& key, const std::string& text, int64_t least, const char* what) {
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
        ThrowDriftOption("option \"" + key + "\" must be an interval of at least " + what +
                         ", without months");
    return parsed.microseconds;
}

}  // namespace

DriftRequest DriftRequest::Parse(const Json& json) {
    DriftRequest request;
    if (!json.is_object())
        ThrowDriftOption("options must be a JSON object");
    for (const auto& [key, value] : json.items()) {
        if (key == "profile") {
            request.profile = TextOption(key, value, "the name of a profile");
            request.statistics.profile = ValueOrThrow(ParseDriftProfile(request.profile));
        } else if (key == "correction") {
            request.statistics.correction =
                ValueOrThrow(ParseDriftCorrection(TextOption(key, value, "none, bonferroni or bh")));
        } else if (key == "reference") {
            request.reference = FromUtf8(TextOption(key, value, "a source"));
        } else if (key == "features") {
            if (!value.is_array() || value.empty())
                ThrowDriftOption("option \"features\" must be an array of column names");
            for (const Json& name : value)
                request.features.push_back(TextOption(key, name, "an array of column names"));
        } else if (key == "threshold") {
            if (!value.is_number() || !(value.get<double>() >= 0.0))
                ThrowDriftOption("option \"threshold\" must be a number of at least 0");
            request.statistics.threshold = value.get<double>();
        } else if (key == "alpha") {
            if (!value.is_number() || !(value.get<double>() > 0.0 && value.get<double>() < 1.0))
                ThrowDriftOption("option \"alpha\" must be a number between 0 and 1");
            request.statistics.alpha = value.get<double>();
        } else if (key == "prediction") {
            request.prediction = BooleanOption(key, value);
        } else if (key == "target") {
            request.target = BooleanOption(key, value);
        } else if (key == "performance") {
            request.performance = BooleanOption(key, value);
        } else if (key == "multivariate") {
            request.multivariate = NamesOption(key, value, {"mmd", "classifier"});
        } else if (key == "concept") {
            request.concept_detectors = NamesOption(key, value, {"adwin", "page_hinkley", "kswin", "ddm"});
        } else if (key == "attribution") {
            request.attribution = BooleanOption(key, value);
        } else if (key == "time_column") {
            request.time_column = FromUtf8(TextOption(key, value, "the name of a column"));
        } else if (key == "window") {
            request.window = IntervalOption(key, FromUtf8(TextOption(key, value, "an interval")),
                                            USECS_PER_HOUR, "an hour");
        } else if (key == "live") {
            request.live_text = FromUtf8(TextOption(key, value, "an interval"));
            request.live = IntervalOption(key, request.live_text, USECS_PER_SEC, "a second");
        } else if (key == "seed") {
            if (!value.is_number_unsigned())
                ThrowDriftOption("option \"seed\" must be a whole number of at least 0");
            request.seed = value.get<uint64_t>();
        } else if (key == "store") {
            request.store = BooleanOption(key, value);
        } else {
            ThrowDriftOption("unknown option \"" + FromUtf8(key) + "\"");
        }
    }
    if ((request.window == 0) != request.time_column.empty())
        ThrowDriftOption("options \"window\" and \"time_column\" belong together");
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
