#pragma once

#include <functional>

#include "core/base/json.h"
#include "pg/workers/job_store.h"

namespace dlent::pg {

/// What an action sees of the attempt that it runs in: a session of the job's owner, in a transaction with an
/// active snapshot.
class JobContext {
 public:
    /// `extension` is the one that the job belongs to.
    JobContext(const Job& job, Oid extension) : job_(job), extension_(extension) {}
    JobContext(const JobContext&) = delete;
    JobContext& operator=(const JobContext&) = delete;

    const Job& job() const { return job_; }

    /// Ends the transaction, so that long work holds neither snapshot nor locks, and begins the next.
    void Commit();
    void Begin();
    /// After an error that the action itself deals with: undoes what was done since the last Begin(), and
    /// begins anew.
    void Restart();

    /// Says how far the work is, for dlent.jobs and the idle limit; to be called as often as one likes. What
    /// is said inside a transaction is shown when it commits, or by the next report outside one.
    void Report(const Json& progress);

 private:
    const Job& job_;
    const Oid extension_;
    const MemoryContext memory_ = CurrentMemoryContext;  ///< outlives the attempt's transactions
    bool in_transaction_ = true;
    Json unwritten_;
    TimestampTz written_at_ = 0;
};

/// Something that jobs do. One file, and one line in job_actions.cpp.
struct JobAction {
    const char* name;
    /// Called when the job is asked for or scheduled, as who asks: checks arguments and rights (again when it
    /// runs) and returns the arguments to be stored. Throws SqlError or PgError.
    Json (*check)(const std::string& model, const Json& arguments);
    /// Called in the worker; returns what dlent.job_runs shows as the result. Begins and ends inside a
    /// transaction, the last of which commits together with the job's success. May be called again for the
    /// same job after a failure or a crash.
    Json (*run)(JobContext& context);
};

/// 22023 listing what there is when no action has that name.
const JobAction& FindAction(const std::string& name);

extern const JobAction kTrainAction;
extern const JobAction kEvaluateAction;
extern const JobAction kMonitorAction;
extern const JobAction kCheckRolloutAction;

}  // namespace dlent::pg
