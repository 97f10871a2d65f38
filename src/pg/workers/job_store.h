#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/train/checkpoint.h"
#include "pg/workers/job_lock.h"
#include "pg/workers/job_policy.h"

namespace dlent::pg {

// The rows of jobs, their attempts and checkpoints. Everything here belongs into C++ frames inside a
// transaction, and runs its fixed statements as the extension's owner.

/// A job that somebody asks for.
struct NewJob {
    std::string action;
    std::string model;
    Json arguments;
    JobPolicy policy;
    Json settings;  ///< CapturedSettings()
    Oid owner = InvalidOid;
    int64_t schedule_id = 0;        ///< 0: none
    TimestampTz scheduled_for = 0;  ///< 0: not on its schedule
    TimestampTz next_start = 0;     ///< 0: at once
};
/// Its number; 0 when its schedule has asked for that time before.
int64_t InsertJob(const NewJob& job);

enum class JobState { kQueued, kRunning, kSucceeded, kFailed, kCanceled };
const char* JobStateName(JobState state);
inline bool HasEnded(JobState state) {
    return state != JobState::kQueued && state != JobState::kRunning;
}

struct Job {
    int64_t id = 0;
    std::string action;
    std::string model;
    Json arguments;
    JobPolicy policy;
    Json settings;
    Oid owner = InvalidOid;
    int64_t schedule_id = 0;
    JobState state = JobState::kQueued;
    int attempts = 0;
    int failures = 0;
    int interruptions = 0;
    TimestampTz next_start = 0;

    /// Whether it has waited for longer than its start_limit.
    bool IsTooLate() const;
};

/// As committed now, whatever the transaction's snapshot; also read-only and on a standby.
std::optional<Job> ReadJob(int64_t id);
/// The same, its row locked until the transaction ends.
std::optional<Job> LockJob(int64_t id);
/// The same, unless somebody else has it locked. For processes that many depend on: a transaction that has
/// cancelled the job may stay open for as long as its user likes.
std::optional<Job> LockJobIfFree(int64_t id);

/// What went wrong with an attempt, in the server's encoding.
struct JobError {
    std::string sqlstate;
    std::string message;
    std::string detail;
    std::string hint;
    std::string context;
};

/// Begins an attempt at a locked job: its row is running, its run is there, by this process.
void BeginRun(Job* job);

enum class RunEnd { kSucceeded, kFailed, kCanceled, kInterrupted };

/// Ends the running attempt of a locked job and decides what becomes of it: it has ended, or waits for its
/// next attempt. `job` is brought up to date.
void EndRun(Job* job, RunEnd end, const JobError& error, const Json& result);
/// Ends a locked job that waits, without an attempt.
void EndQueuedJob(Job* job, JobState state, const JobError& error);
/// The same, failed, when a locked job has waited longer than its start_limit; whether it has.
bool FailIfTooLate(Job* job);
/// Ends the attempt of a locked running job whose worker is gone: whoever calls holds the job's lock.
void EndOrphanedRun(Job* job);

/// Shows how far the running attempt is.
void WriteProgress(const Job& job, const Json& progress);

std::optional<Checkpoint> FindCheckpoint(int64_t job, const std::string& key);
void KeepCheckpoint(int64_t job, const std::string& key, const Checkpoint& checkpoint);

/// Deletes jobs that ended longer ago than dlent.job_retention.
void PruneJobs();

struct JobToStart {
    int64_t id;
    Oid owner;
};
/// Jobs of this database that are due (one of a schedule at a time), and running ones whose worker is gone,
/// in the order of their time.
std::vector<JobToStart> JobsToStart(int limit);
/// Running ones whose worker is gone.
std::vector<JobToStart> OrphanedJobs();
/// Lets all jobs that wait for a later attempt have it now.
void RestartWaits();

}  // namespace dlent::pg
