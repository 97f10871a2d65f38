#include "pg/bridge/postgres.h"

#include "pg/bridge/containment.h"

extern "C" {
#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/lmgr.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"
}

namespace dlent::pg {
namespace {

bool IsContained(int sqlstate) {
    switch (ERRCODE_TO_CATEGORY(sqlstate)) {
        case ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION):
        case ERRCODE_TO_CATEGORY(ERRCODE_TRANSACTION_ROLLBACK):
            return false;
        default:
            return sqlstate != ERRCODE_OUT_OF_MEMORY;
    }
}

void Release(ResourceOwner owner, bool success) {
    ResourceOwnerRelease(owner, RESOURCE_RELEASE_BEFORE_LOCKS, success, false);
    ResourceOwnerRelease(owner, RESOURCE_RELEASE_LOCKS, success, false);
    ResourceOwnerRelease(owner, RESOURCE_RELEASE_AFTER_LOCKS, success, false);
    ResourceOwnerDelete(owner);
}

/// What AbortSubTransaction() does about a session's state outside of the transaction's own.
void ResetSession(Snapshot snapshot) {
    LWLockReleaseAll();
    pgstat_report_wait_end();
    AbandonBufferIo();
    UnlockBuffers();
    ConditionVariableCancelSleep();
    LockErrorCleanup();
    while (ActiveSnapshotSet() && GetActiveSnapshot() != snapshot)
        PopActiveSnapshot();
}

ResourceOwner NewOwner(ResourceOwner parent) {
    return ResourceOwnerCreate(parent, "dlent containment");
}

}  // namespace

void Containment::Open() {
    CallPostgres([this] { owner_ = NewOwner(CurrentResourceOwner); });
}

void Containment::Close() {
    ResourceOwner owner = owner_;
    owner_ = nullptr;
    CallPostgres([owner] { Release(owner, true); });
}

Containment::Before Containment::Enter() const {
    const Before before = {CurrentResourceOwner, ActiveSnapshotSet() ? GetActiveSnapshot() : nullptr,
                           InterruptHoldoffCount, QueryCancelHoldoffCount};
    CurrentResourceOwner = owner_;
    return before;
}

const char* Containment::Caught(const Before& before) {
    ErrorReport report;
    report.Capture();
    CurrentResourceOwner = before.owner;
    if (!IsContained(report.SqlState()))
        throw;
    return CallPostgres([&] {
        HOLD_INTERRUPTS();
        ResetSession(before.snapshot);
        Release(owner_, false);
        owner_ = NewOwner(before.owner);
        // raising an error had forgotten them
        InterruptHoldoffCount = before.interrupt_holdoffs;
        QueryCancelHoldoffCount = before.cancel_holdoffs;
        return pstrdup(report.Message());
    });
}

}  // namespace dlent::pg
