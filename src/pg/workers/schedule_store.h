#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pg/workers/job_store.h"

namespace dlent::pg {

// The rows of schedules. Like job_store.h: C++ frames, inside a transaction, fixed statements as the
// extension's owner.

struct Schedule {
    int64_t id = 0;
    std::string expression;
    std::string time_zone;
    std::string overlap;
    double catch_up = 0.0;  ///< seconds
    int quarantine_after = 0;
    TimestampTz created_at = 0;
    NewJob job;  ///< that it asks for: action, model, arguments, policy, settings, owner

    // where it stands; has_state is false where a dump was restored
    bool has_state = false;
    bool paused = true;
    TimestampTz next_run = 0;
};

/// Inserts a schedule that is due at `next_run`; its number.
int64_t InsertSchedule(const Schedule& schedule);
/// Its row locked until the transaction ends, as it is now.
std::optional<Schedule> LockSchedule(int64_t id);
/// The same, unless somebody else has it locked.
std::optional<Schedule> LockScheduleIfFree(int64_t id);
void DeleteSchedule(int64_t id);

void PauseSchedule(int64_t id, const std::string& reason);
void ResumeSchedule(int64_t id, TimestampTz next_run);

/// What became of a time at which a schedule was due.
enum class Due { kAsked, kSkipped, kMissed };
/// Notes it, and when the schedule is due next; 0: never again.
void NoteDue(int64_t id, Due due, TimestampTz next_run);
/// Jobs of a schedule that have not ended.
struct OpenJobs {
    int queued = 0;
    int running = 0;
};
OpenJobs OpenJobsOf(int64_t schedule);

/// Counts failures in a row; too many of them pause the schedule.
void NoteScheduleOutcome(int64_t id, bool succeeded, bool failed);

/// Schedules that are due at `now`, or all that are not paused.
std::vector<int64_t> DueSchedules(TimestampTz now);
std::vector<int64_t> RunningSchedules();

/// The next time at which a schedule is due, or a job that waits may start; each 0 when there is none.
struct NextTimes {
    TimestampTz schedule = 0;
    TimestampTz job = 0;
};
NextTimes FindNextTimes();

}  // namespace dlent::pg
