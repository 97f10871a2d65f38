#pragma once

#include <functional>
#include <string>

#include "pg/bridge/error.h"
#include "pg/functions/training.h"
#include "pg/workers/job_action.h"

namespace dlent::pg {

/// Where a run of a monitor happens: in a job's worker, which commits every step, or in the transaction of
/// whoever calls dlent_run_monitor(). For C++ frames.
class MonitorSession {
 public:
    virtual ~MonitorSession() = default;

    /// The job; 0: none.
    virtual int64_t job() const = 0;

    /// Keeps others from running the monitor of a model; false when somebody does.
    virtual bool Lock(int64_t model_id) = 0;

    /// What was written is done, as far as this session can do it; what follows sees it.
    virtual void EndStep() = 0;

    /// Runs `function`; false when it failed: then what it wrote is undone, `error` says why, and the session
    /// can go on. What is no fault of `function` (a cancel, a shutdown, lack of memory, disk or other
    /// resources, broken invariants) is thrown. In a job that also undoes what was written before `function`
    /// since the last EndStep().
    virtual bool Attempt(const std::function<void()>& function, ErrorReport* error) = 0;

    /// Trains and stores a version; ends in the transaction that stores it.
    virtual StoredVersion Train(const TrainingRequest& request, TrainedOnDevice* trained) = 0;

    /// Says what goes on.
    virtual void Report(const char* phase) = 0;
};

/// The message of an error, in the server's encoding; and DETAIL, where there is one.
std::string MessageOf(const ErrorReport& error);

class JobMonitorSession final : public MonitorSession {
 public:
    explicit JobMonitorSession(JobContext* context) : context_(context) {}
    int64_t job() const override { return context_->job().id; }
    /// For the process; Unlock() lets it go.
    bool Lock(int64_t model_id) override;
    void Unlock();
    bool locked() const { return locked_ != 0; }
    void EndStep() override;
    bool Attempt(const std::function<void()>& function, ErrorReport* error) override;
    StoredVersion Train(const TrainingRequest& request, TrainedOnDevice* trained) override;
    void Report(const char* phase) override { context_->Report({{"phase", phase}}); }

 private:
    JobContext* const context_;
    int64_t locked_ = 0;  ///< the model; 0: none
};

class CallerMonitorSession final : public MonitorSession {
 public:
    /// Pushes a snapshot, which Close() pops; an error leaves that to the abort.
    CallerMonitorSession();
    void Close();
    int64_t job() const override { return 0; }
    /// Until the transaction ends.
    bool Lock(int64_t model_id) override;
    void EndStep() override;
    bool Attempt(const std::function<void()>& function, ErrorReport* error) override;
    StoredVersion Train(const TrainingRequest& request, TrainedOnDevice* trained) override;
    void Report(const char*) override {}
};

}  // namespace dlent::pg
