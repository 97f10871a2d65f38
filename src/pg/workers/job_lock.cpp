#include "pg/workers/job_lock.h"

#include "pg/workers/job_settings.h"

extern "C" {
#include "access/xlog.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
}

namespace dlent::pg {
namespace {

LOCKTAG TagOf(LockClass lock_class, int64_t number) {
    LOCKTAG tag;
    SET_LOCKTAG_ADVISORY(tag, lock_class == kWorkerSlotLock ? InvalidOid : MyDatabaseId,
                         static_cast<uint32>(static_cast<uint64_t>(number) >> 32),
                         static_cast<uint32>(number), lock_class);
    return tag;
}

bool TryLock(LockClass lock_class, int64_t number, bool session) {
    const LOCKTAG tag = TagOf(lock_class, number);
    return LockAcquire(&tag, ExclusiveLock, session, true) != LOCKACQUIRE_NOT_AVAIL;
}

}  // namespace

bool TryLockForSession(LockClass lock_class, int64_t number) {
    return TryLock(lock_class, number, true);
}

void UnlockForSession(LockClass lock_class, int64_t number) {
    const LOCKTAG tag = TagOf(lock_class, number);
    LockRelease(&tag, ExclusiveLock, true);
}

bool TryLockForTransaction(LockClass lock_class, int64_t number) {
    return TryLock(lock_class, number, false);
}

namespace {

/// Calls `visit(number, pid)` for every lock of a class that is held. A holder between two transactions has
/// no virtual transaction, which is why this reads the whole lock table, as pg_locks does.
template <typename Visit>
void VisitHolders(LockClass lock_class, Visit visit) {
    const LockData* data = GetLockStatusData();
    const LOCKTAG like = TagOf(lock_class, 0);
    for (int i = 0; i < data->nelements; ++i) {
        const LockInstanceData& lock = data->locks[i];
        if (lock.locktag.locktag_type == like.locktag_type &&
            lock.locktag.locktag_field4 == like.locktag_field4 &&
            lock.locktag.locktag_field1 == like.locktag_field1 && lock.holdMask != 0)
            visit(static_cast<int64_t>(static_cast<uint64_t>(lock.locktag.locktag_field2) << 32 |
                                       lock.locktag.locktag_field3),
                  lock.pid);
    }
}

}  // namespace

int LockHolder(LockClass lock_class, int64_t number) {
    int holder = 0;
    VisitHolders(lock_class, [&](int64_t held, int pid) {
        if (held == number)
            holder = pid;
    });
    return holder;
}

int TakeWorkerSlot() {
    for (int slot = 0; slot < MaxJobWorkers(); ++slot) {
        if (TryLockForSession(kWorkerSlotLock, slot))
            return slot;
    }
    return -1;
}

int FreeWorkerSlots() {
    int free = MaxJobWorkers();
    VisitHolders(kWorkerSlotLock, [&](int64_t slot, int) { free -= slot < MaxJobWorkers() ? 1 : 0; });
    return free;
}

ServerEpoch CurrentEpoch() {
    return {PgStartTime, static_cast<int64_t>(GetWALInsertionTimeLine())};
}

}  // namespace dlent::pg
