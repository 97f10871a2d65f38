#include "pg/bridge/postgres.h"

#include "pg/workers/job_limits.h"

#include <csignal>

extern "C" {
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/timeout.h"
}

namespace dlent::pg {
namespace {

constexpr int kTickMilliseconds = 200;
constexpr int64_t kGrace = 3 * USECS_PER_SEC;

struct Limits {
    volatile TimestampTz run_until = 0;  ///< 0: no limit
    volatile int64_t idle = 0;
    volatile TimestampTz progress_at = 0;
    volatile TimestampTz reached_at = 0;
    volatile sig_atomic_t reached = static_cast<int>(Limit::kNone);
};
Limits limits;

void OnTick() {
    const TimestampTz now = GetCurrentTimestamp();
    if (limits.reached == static_cast<int>(Limit::kNone)) {
        if (limits.run_until != 0 && now >= limits.run_until)
            limits.reached = static_cast<int>(Limit::kRun);
        else if (limits.idle != 0 && now >= limits.progress_at + limits.idle)
            limits.reached = static_cast<int>(Limit::kIdle);
        if (limits.reached == static_cast<int>(Limit::kNone))
            return;
        limits.reached_at = now;
        QueryCancelPending = 1;
        InterruptPending = 1;
        SetLatch(MyLatch);
    } else if (now >= limits.reached_at + kGrace) {
        ProcDiePending = 1;
        InterruptPending = 1;
        SetLatch(MyLatch);
    }
}

}  // namespace

void StartLimits(const JobPolicy& policy) {
    const TimestampTz now = GetCurrentTimestamp();
    limits.reached = static_cast<int>(Limit::kNone);
    limits.progress_at = now;
    limits.run_until = policy.run_limit ? now + static_cast<int64_t>(*policy.run_limit * USECS_PER_SEC) : 0;
    limits.idle = policy.idle_limit ? static_cast<int64_t>(*policy.idle_limit * USECS_PER_SEC) : 0;
    if (limits.run_until == 0 && limits.idle == 0)
        return;
    static bool registered = false;
    static TimeoutId timeout;
    if (!registered) {
        timeout = CallPostgres([] { return RegisterTimeout(USER_TIMEOUT, OnTick); });
        registered = true;
    }
    enable_timeout_every(timeout, TimestampTzPlusMilliseconds(now, kTickMilliseconds), kTickMilliseconds);
}

void StopLimits() {
    disable_all_timeouts(false);
    limits.run_until = 0;
    limits.idle = 0;
}

void NoteProgress() {
    limits.progress_at = GetCurrentTimestamp();
}

Limit ReachedLimit() {
    return static_cast<Limit>(limits.reached);
}

}  // namespace dlent::pg
