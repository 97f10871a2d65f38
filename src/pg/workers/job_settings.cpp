#include "pg/workers/job_settings.h"

#include <algorithm>

extern "C" {
#include "postmaster/bgworker_internals.h"
}

namespace dlent::pg {
namespace {

constexpr int kDefaultWorkers = 4;
constexpr int kDefaultRetentionMinutes = 30 * 24 * 60;
constexpr int kDefaultReportRetentionMinutes = 90 * 24 * 60;
constexpr int64_t kMicrosecondsPerMinute = 60 * USECS_PER_SEC;
constexpr int kLargestOffset = 400 * 86400;

int max_job_workers = kDefaultWorkers;
int retention_minutes = kDefaultRetentionMinutes;
int report_retention_minutes = kDefaultReportRetentionMinutes;
bool scheduler = true;
int clock_offset = 0;

}  // namespace

int MaxJobWorkers() {
    return std::min(max_job_workers, std::max(max_worker_processes - 1, 1));
}

int64_t JobRetention() {
    return retention_minutes * kMicrosecondsPerMinute;
}

int64_t ReportRetention() {
    return report_retention_minutes * kMicrosecondsPerMinute;
}

bool SchedulerEnabled() {
    return scheduler;
}

TimestampTz ScheduleClock() {
    return GetCurrentTimestamp() + clock_offset * USECS_PER_SEC;
}

void DefineJobSettings() {
    DefineCustomIntVariable("dlent.max_job_workers", "Jobs that work at one time, in all databases together.",
                            "Each takes one of max_worker_processes, of which at least one is left alone.",
                            &max_job_workers, kDefaultWorkers, 1, MAX_PARALLEL_WORKER_LIMIT, PGC_SIGHUP, 0,
                            nullptr, nullptr, nullptr);
    DefineCustomIntVariable("dlent.job_retention", "How long jobs that have ended are kept.", nullptr,
                            &retention_minutes, kDefaultRetentionMinutes, 0, INT_MAX, PGC_SIGHUP,
                            GUC_UNIT_MIN, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("dlent.report_retention",
                            "How long drift reports and results of expectations are kept.",
                            "The newest report of each model and the newest result of each expectation stay.",
                            &report_retention_minutes, kDefaultReportRetentionMinutes, 0, INT_MAX, PGC_SIGHUP,
                            GUC_UNIT_MIN, nullptr, nullptr, nullptr);
    DefineCustomBoolVariable("dlent.scheduler", "Runs schedules, where dlent is in shared_preload_libraries.",
                             nullptr, &scheduler, true, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("dlent.debug_clock_offset", "Moves the clock that schedules go by; for tests.",
                            nullptr, &clock_offset, 0, -kLargestOffset, kLargestOffset, PGC_SIGHUP,
                            GUC_UNIT_S | GUC_NOT_IN_SAMPLE, nullptr, nullptr, nullptr);
}

}  // namespace dlent::pg
