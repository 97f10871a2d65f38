#include "pg/bridge/postgres.h"

#include "pg/workers/job_policy.h"

#include <algorithm>
#include <cmath>

#include "pg/bridge/json.h"
#include "pg/bridge/option_reader.h"
#include "pg/bridge/text.h"

extern "C" {
#include "common/pg_prng.h"
#include "utils/timestamp.h"
}

namespace dlent::pg {
namespace {

constexpr int kMostRetries = 1000;
constexpr double kJitter = 0.125;

std::optional<double> NumberOrNull(const Json& json, const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_number() ? std::optional<double>(found->get<double>())
                                                     : std::nullopt;
}

void TakeCount(Json* options, const char* key, int* count) {
    const auto found = options->find(key);
    if (found == options->end())
        return;
    if (!found->is_number_integer() || *found < 0 || *found > kMostRetries)
        RefuseOption(key, "an integer from 0 to 1000", *found);
    *count = found->get<int>();
    options->erase(key);
}

template <typename Span>
void TakeSpan(Json* options, const char* key, Span* span) {
    const auto found = options->find(key);
    if (found == options->end())
        return;
    if constexpr (std::is_same_v<Span, std::optional<double>>) {
        *span = found->is_null() ? std::nullopt : std::optional<double>(SecondsOf(key, *found));
    } else {
        *span = SecondsOf(key, *found);
    }
    options->erase(key);
}

}  // namespace

const char* const kJobPolicyKeys =
    "retries, resumes, retry_period, retry_limit, backoff, start_limit, run_limit, idle_limit";

void RequireObject(const Json& options, const char* what) {
    if (!options.is_object())
        throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, std::string(what) + " must be a JSON object");
}

void RefuseUnknownKeys(const Json& options, const char* what, const std::string& known) {
    if (options.empty())
        return;
    throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                   std::string("unknown ") + what + " \"" + FromUtf8(options.begin().key()) + "\"", {},
                   known.empty() ? "There are none." : "There are " + known + ".");
}

Json JobPolicy::ToJson() const {
    return {{"retries", retries},
            {"resumes", resumes},
            {"retry_period", retry_period},
            {"retry_limit", retry_limit},
            {"backoff", backoff},
            {"start_limit", OrNull(start_limit)},
            {"run_limit", OrNull(run_limit)},
            {"idle_limit", OrNull(idle_limit)}};
}

JobPolicy JobPolicy::FromJson(const Json& json) {
    JobPolicy policy;
    policy.retries = json.value("retries", policy.retries);
    policy.resumes = json.value("resumes", policy.resumes);
    policy.retry_period = json.value("retry_period", policy.retry_period);
    policy.retry_limit = json.value("retry_limit", policy.retry_limit);
    policy.backoff = json.value("backoff", policy.backoff);
    policy.start_limit = NumberOrNull(json, "start_limit");
    policy.run_limit = NumberOrNull(json, "run_limit");
    policy.idle_limit = NumberOrNull(json, "idle_limit");
    return policy;
}

double JobPolicy::RetryDelay(int failures) const {
    constexpr int kMostDoublings = 30;
    double delay = retry_period;
    if (backoff == "linear")
        delay *= failures;
    else if (backoff == "exponential")
        delay *= std::ldexp(1.0, std::min(failures - 1, kMostDoublings));
    delay = std::min(delay, retry_limit);
    return delay * (1.0 - kJitter + 2.0 * kJitter * pg_prng_double(&pg_global_prng_state));
}

JobPolicy TakeJobPolicy(Json* options, const JobPolicy& defaults) {
    JobPolicy policy = defaults;
    TakeCount(options, "retries", &policy.retries);
    TakeCount(options, "resumes", &policy.resumes);
    TakeSpan(options, "retry_period", &policy.retry_period);
    TakeSpan(options, "retry_limit", &policy.retry_limit);
    TakeSpan(options, "start_limit", &policy.start_limit);
    TakeSpan(options, "run_limit", &policy.run_limit);
    TakeSpan(options, "idle_limit", &policy.idle_limit);
    if (const auto found = options->find("backoff"); found != options->end()) {
        if (*found != "exponential" && *found != "linear" && *found != "none")
            RefuseOption("backoff", "exponential, linear or none", *found);
        policy.backoff = found->get<std::string>();
        options->erase("backoff");
    }
    return policy;
}

}  // namespace dlent::pg
