#pragma once

#include "pg/bridge/postgres.h"

namespace dlent::pg {

/// dlent.max_job_workers, and never all of max_worker_processes: jobs that work at one time, in the whole
/// cluster.
int MaxJobWorkers();
/// dlent.job_retention, in microseconds: how long ended jobs are kept.
int64_t JobRetention();
/// dlent.report_retention, in microseconds: how long drift reports and results of expectations are kept.
int64_t ReportRetention();
/// dlent.scheduler: whether schedulers run, where the library is preloaded.
bool SchedulerEnabled();
/// The time that schedules go by: the clock's, moved by dlent.debug_clock_offset.
TimestampTz ScheduleClock();

/// To be called once, from _PG_init().
void DefineJobSettings();

}  // namespace dlent::pg
