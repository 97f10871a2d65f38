#include "pg/bridge/postgres.h"

#include "pg/monitor/session.h"

#include "pg/settings.h"
#include "pg/workers/job_lock.h"
#include "pg/workers/job_training.h"

extern "C" {
#include "utils/resowner.h"
}

namespace dlent::pg {
namespace {

/// Whether an error tells of the server's state rather than of what was tried.
bool IsOfServer(const ErrorReport& error) {
    switch (ERRCODE_TO_CATEGORY(error.SqlState())) {
        case ERRCODE_OPERATOR_INTERVENTION:
        case ERRCODE_SYSTEM_ERROR:
        case ERRCODE_TRANSACTION_ROLLBACK:
        case ERRCODE_INVALID_TRANSACTION_STATE:
        case ERRCODE_INTERNAL_ERROR:
            return true;
        case ERRCODE_INSUFFICIENT_RESOURCES:
            return error.SqlState() != ERRCODE_CONFIGURATION_LIMIT_EXCEEDED;
        default:
            return false;
    }
}

}  // namespace

std::string MessageOf(const ErrorReport& error) {
    const auto joined = [](const char* message, const char* detail) {
        std::string text = message == nullptr ? "" : message;
        if (detail != nullptr && *detail != '\0')
            text += std::string(" (") + detail + ")";
        return text;
    };
    return error.postgres != nullptr ? joined(error.postgres->message, error.postgres->detail)
                                     : joined(error.message, error.detail);
}

bool JobMonitorSession::Lock(int64_t model_id) {
    if (CallPostgres([model_id] { return TryLockForSession(kMonitorLock, model_id); }))
        locked_ = model_id;
    return locked();
}

void JobMonitorSession::Unlock() {
    if (locked())
        CallPostgres([this] { UnlockForSession(kMonitorLock, locked_); });
    locked_ = 0;
}

void JobMonitorSession::EndStep() {
    context_->Commit();
    context_->Begin();
}

bool JobMonitorSession::Attempt(const std::function<void()>& function, ErrorReport* error) {
    try {
        function();
        return true;
    } catch (...) {
        error->Capture();
        if (IsOfServer(*error))
            throw;
    }
    context_->Restart();
    return false;
}

StoredVersion JobMonitorSession::Train(const TrainingRequest& request, TrainedOnDevice* trained) {
    return TrainInJob(*context_, request, trained);
}

CallerMonitorSession::CallerMonitorSession() {
    CallPostgres([] { PushActiveSnapshot(GetTransactionSnapshot()); });
}

void CallerMonitorSession::Close() {
    CallPostgres([] { PopActiveSnapshot(); });
}

bool CallerMonitorSession::Lock(int64_t model_id) {
    return CallPostgres([model_id] { return TryLockForTransaction(kMonitorLock, model_id); });
}

void CallerMonitorSession::EndStep() {
    CallPostgres([] {
        PopActiveSnapshot();
        CommandCounterIncrement();
        PushActiveSnapshot(GetTransactionSnapshot());
    });
}

bool CallerMonitorSession::Attempt(const std::function<void()>& function, ErrorReport* error) {
    const MemoryContext context = CurrentMemoryContext;
    const ResourceOwner owner = CurrentResourceOwner;
    const auto restore = [context, owner] {
        MemoryContextSwitchTo(context);
        CurrentResourceOwner = owner;
    };
    CallPostgres([context] {
        BeginInternalSubTransaction(nullptr);
        MemoryContextSwitchTo(context);
    });
    try {
        function();
        CallPostgres([] { ReleaseCurrentSubTransaction(); });
        restore();
        return true;
    } catch (...) {
        error->Capture();
        if (IsOfServer(*error))
            throw;  // the transaction aborts, and with it the subtransaction
    }
    CallPostgres([] { RollbackAndReleaseCurrentSubTransaction(); });
    restore();
    return false;
}

StoredVersion CallerMonitorSession::Train(const TrainingRequest& request, TrainedOnDevice* trained) {
    ProgressDisplay display(request.model);
    TrainingMonitor monitor(request.model, ProgressMessages(), &display);
    TrainingRows rows = ReadTrainingRows(request, &display);
    *trained = ValueOrThrow(TrainOnRows(request, rows, &monitor, nullptr));
    monitor.Finish();
    display.ShowPhase("storing");
    return StoreTraining(request, rows, trained);
}

}  // namespace dlent::pg
