#include "pg/workers/scheduler_memory.h"

#include "pg/bridge/shared_memory.h"

extern "C" {
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "storage/spin.h"
}

namespace dlent::pg {
namespace {

/// More databases with the extension than that go without a scheduler.
constexpr int kMaxDatabases = 1024;

struct DatabaseEntry {
    Oid database;  ///< InvalidOid: free
    bool absent;
    int scheduler_pid;
    Latch* scheduler_latch;
    int holder_pid;
};

struct SchedulerMemory {
    slock_t lock;  ///< of everything below; held for a pass over the tables
    int launcher_pid;
    Latch* launcher_latch;
    DatabaseEntry databases[kMaxDatabases];
};

SchedulerMemory* memory = nullptr;

Size MemorySize() {
    return sizeof(SchedulerMemory);
}

void AttachMemory(void* address, bool made) {
    memory = static_cast<SchedulerMemory*>(address);
    if (made)
        SpinLockInit(&memory->lock);
}

/// Runs `function` under the lock; it calls nothing.
template <typename Function>
auto Locked(Function function) {
    SpinLockAcquire(&memory->lock);
    if constexpr (std::is_void_v<decltype(function())>) {
        function();
        SpinLockRelease(&memory->lock);
    } else {
        const auto result = function();
        SpinLockRelease(&memory->lock);
        return result;
    }
}

/// The entry of a database; a free one is made it when there is none. Null when the table is full.
DatabaseEntry* EntryOf(Oid database, bool create) {
    DatabaseEntry* free = nullptr;
    for (DatabaseEntry& entry : memory->databases) {
        if (entry.database == database)
            return &entry;
        if (entry.database == InvalidOid && free == nullptr)
            free = &entry;
    }
    if (!create || free == nullptr)
        return nullptr;
    *free = {};
    free->database = database;
    return free;
}

void Wake(Latch* latch) {
    if (latch != nullptr)
        SetLatch(latch);
}

void UnregisterScheduler(int, Datum) {
    Locked([] {
        DatabaseEntry* const entry = EntryOf(MyDatabaseId, false);
        if (entry != nullptr && entry->scheduler_pid == MyProcPid) {
            entry->scheduler_pid = 0;
            entry->scheduler_latch = nullptr;
        }
    });
}

void UnregisterLauncher(int, Datum) {
    Locked([] {
        if (memory->launcher_pid == MyProcPid) {
            memory->launcher_pid = 0;
            memory->launcher_latch = nullptr;
        }
    });
}

}  // namespace

void RequestSchedulerMemory() {
    RegisterSharedMemory({"dlent schedulers", MemorySize, AttachMemory});
}

bool SchedulerMemoryExists() {
    return memory != nullptr;
}

bool SchedulerIsAlive() {
    return memory != nullptr && StateOfDatabase(MyDatabaseId) == DatabaseState::kAlive;
}

void WakeScheduler() {
    if (memory == nullptr)
        return;
    Wake(Locked([] {
        DatabaseEntry* const entry = EntryOf(MyDatabaseId, true);
        if (entry != nullptr && entry->scheduler_pid != 0)
            return entry->scheduler_latch;
        if (entry != nullptr)
            entry->absent = false;
        return memory->launcher_latch;
    }));
}

void WakeSchedulerOf(Oid database) {
    Wake(Locked([database] {
        const DatabaseEntry* const entry = EntryOf(database, false);
        return entry == nullptr ? nullptr : entry->scheduler_latch;
    }));
}

void WakeLauncher() {
    if (memory != nullptr)
        Wake(Locked([] { return memory->launcher_latch; }));
}

void RegisterScheduler() {
    before_shmem_exit(UnregisterScheduler, 0);
    Locked([] {
        if (DatabaseEntry* const entry = EntryOf(MyDatabaseId, true); entry != nullptr) {
            entry->scheduler_pid = MyProcPid;
            entry->scheduler_latch = MyLatch;
            entry->absent = false;
        }
    });
}

void ReportExtensionAbsent() {
    Locked([] {
        if (DatabaseEntry* const entry = EntryOf(MyDatabaseId, true); entry != nullptr)
            entry->absent = true;
    });
}

void RegisterLauncher() {
    before_shmem_exit(UnregisterLauncher, 0);
    Locked([] {
        memory->launcher_pid = MyProcPid;
        memory->launcher_latch = MyLatch;
    });
}

DatabaseState StateOfDatabase(Oid database) {
    return Locked([database] {
        const DatabaseEntry* const entry = EntryOf(database, false);
        if (entry == nullptr)
            return DatabaseState::kUnknown;
        if (entry->scheduler_pid != 0)
            return DatabaseState::kAlive;
        return entry->absent ? DatabaseState::kAbsent : DatabaseState::kUnknown;
    });
}

void ForgetDatabases(bool (*exists)(Oid, void*), void* argument) {
    Locked([&] {
        for (DatabaseEntry& entry : memory->databases) {
            if (entry.database != InvalidOid && entry.scheduler_pid == 0 && entry.holder_pid == 0 &&
                !exists(entry.database, argument))
                entry = {};
        }
    });
}

void HoldDatabase(Oid database) {
    if (memory == nullptr)
        return;
    Wake(Locked([database]() -> Latch* {
        DatabaseEntry* const entry = EntryOf(database, true);
        if (entry == nullptr)
            return nullptr;
        entry->holder_pid = MyProcPid;
        return entry->scheduler_latch;
    }));
}

void ReleaseDatabase(Oid database) {
    if (memory == nullptr)
        return;
    Wake(Locked([database] {
        DatabaseEntry* const entry = EntryOf(database, false);
        if (entry != nullptr && entry->holder_pid == MyProcPid)
            entry->holder_pid = 0;
        return memory->launcher_latch;
    }));
}

bool IsHeld(Oid database) {
    if (memory == nullptr)
        return false;
    const int holder = Locked([database] {
        const DatabaseEntry* const entry = EntryOf(database, false);
        return entry == nullptr ? 0 : entry->holder_pid;
    });
    if (holder == 0 || BackendPidGetProc(holder) != nullptr)
        return holder != 0;
    Locked([database, holder] {
        DatabaseEntry* const entry = EntryOf(database, false);
        if (entry != nullptr && entry->holder_pid == holder)
            entry->holder_pid = 0;
    });
    return false;
}

}  // namespace dlent::pg
