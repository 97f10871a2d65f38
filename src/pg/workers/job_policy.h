#pragma once

#include <optional>

#include "core/base/json.h"
#include "pg/bridge/error.h"

namespace dlent::pg {

/// What is done about time and failure of a job. Spans of time are seconds.
struct JobPolicy {
    int retries = 0;                      ///< times that an attempt which failed is followed by another
    int resumes = 3;                      ///< the same for attempts cut short by a crash or a restart
    double retry_period = 60.0;           ///< before the first retry
    double retry_limit = 3600.0;          ///< longest wait before a retry
    std::string backoff = "exponential";  ///< "linear", "none"
    std::optional<double> start_limit;    ///< waits no longer than that for a worker
    std::optional<double> run_limit;      ///< an attempt takes no longer than that
    std::optional<double> idle_limit;     ///< an attempt makes progress within that time

    /// As stored: every key is there.
    Json ToJson() const;
    /// Reads what ToJson() wrote.
    static JobPolicy FromJson(const Json& json);

    /// Seconds to wait after `failures` failures, from 1, with jitter of an eighth either way.
    double RetryDelay(int failures) const;
};

/// Takes the keys of a JobPolicy out of `options`, an object of a user's. 22023 for what does not fit. Keys
/// that are left are for the caller to refuse, by RefuseUnknownKeys().
JobPolicy TakeJobPolicy(Json* options, const JobPolicy& defaults);
extern const char* const kJobPolicyKeys;

/// 22023 with the keys that there are, unless `options` is empty.
void RefuseUnknownKeys(const Json& options, const char* what, const std::string& known);
/// 22023 unless it is an object.
void RequireObject(const Json& options, const char* what);

}  // namespace dlent::pg
