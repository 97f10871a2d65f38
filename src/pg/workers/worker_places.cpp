#include "pg/bridge/postgres.h"

#include "pg/workers/worker_places.h"

#include <csignal>

#include "pg/bridge/shared_memory.h"
#include "pg/workers/job_settings.h"
#include "pg/workers/scheduler_memory.h"

extern "C" {
#include "postmaster/bgworker_internals.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "storage/spin.h"
}

namespace dlent::pg {
namespace {

/// More databases than that wait without being noted, and look again after a while.
constexpr int kMostWaiting = 128;
/// Who has not said for so long that it waits, does not: it was stopped, or is busy.
constexpr int64_t kWaitIsFresh = 5 * USECS_PER_SEC;

struct Place {
    Oid database;  ///< InvalidOid: free
    int starter;   ///< who reserved it and looks after it; 0: nobody
    int pid;       ///< the worker; 0: it has not come, or has ended
    bool settled;
    bool counts;  ///< as one of dlent.max_job_workers: on its way, or with a slot
};

struct Waiting {
    Oid database;  ///< InvalidOid: free
    TimestampTz since;
    TimestampTz last;
};

struct PlaceTable {
    slock_t lock;  ///< of everything below; held for a few passes over the tables
    Waiting waiting[kMostWaiting];
    int count;
    Place places[FLEXIBLE_ARRAY_MEMBER];
};

PlaceTable* table = nullptr;
int own_place = kNoPlace;

/// Two for each process that there may be: one may have ended, and its starter not have looked yet.
Size TableSize() {
    return add_size(offsetof(PlaceTable, places), mul_size(2 * sizeof(Place), max_worker_processes));
}

void AttachTable(void* address, bool made) {
    table = static_cast<PlaceTable*>(address);
    if (made) {
        SpinLockInit(&table->lock);
        table->count = 2 * max_worker_processes;
    }
}

/// Runs `function`, which calls nothing of PostgreSQL, under the lock.
template <typename Function>
auto Locked(Function function) {
    SpinLockAcquire(&table->lock);
    const auto result = function();
    SpinLockRelease(&table->lock);
    return result;
}

// ---- under the lock ----

int Counted(Oid database) {
    int counted = 0;
    for (int i = 0; i < table->count; ++i)
        counted += table->places[i].counts && table->places[i].database == database ? 1 : 0;
    return counted;
}

int AllCounted() {
    int counted = 0;
    for (int i = 0; i < table->count; ++i)
        counted += table->places[i].counts ? 1 : 0;
    return counted;
}

int FreePlace() {
    for (int i = 0; i < table->count; ++i) {
        if (table->places[i].database == InvalidOid)
            return i;
    }
    return kNoPlace;
}

void NoteWaits(Oid database, TimestampTz now) {
    Waiting* free = nullptr;
    for (Waiting& waiting : table->waiting) {
        if (waiting.database == database) {
            waiting.last = now;
            return;
        }
        if (waiting.database == InvalidOid)
            free = &waiting;
    }
    if (free != nullptr)
        *free = {database, now, now};
}

/// Whose turn it is: the database that waits with the fewest workers, the one that has waited longest among
/// several. InvalidOid: none waits. `but` does not count.
Oid NextInLine(Oid but, TimestampTz now, int* its_workers) {
    const Waiting* next = nullptr;
    for (const Waiting& waiting : table->waiting) {
        if (waiting.database == InvalidOid || waiting.database == but || now > waiting.last + kWaitIsFresh)
            continue;
        const int workers = Counted(waiting.database);
        if (next == nullptr || workers < *its_workers ||
            (workers == *its_workers && waiting.since < next->since)) {
            next = &waiting;
            *its_workers = workers;
        }
    }
    return next == nullptr ? InvalidOid : next->database;
}

/// Databases that wait and come before this one, which has `ours` workers: they have fewer, or have waited
/// longer for as many.
int BeforeUs(int ours, TimestampTz now) {
    TimestampTz since = now;
    for (const Waiting& waiting : table->waiting) {
        if (waiting.database == MyDatabaseId)
            since = waiting.since;
    }
    int before = 0;
    for (const Waiting& waiting : table->waiting) {
        if (waiting.database == InvalidOid || waiting.database == MyDatabaseId ||
            now > waiting.last + kWaitIsFresh)
            continue;
        const int workers = Counted(waiting.database);
        before += workers < ours || (workers == ours && waiting.since < since) ? 1 : 0;
    }
    return before;
}

/// A database whose worker has given up its slot has had its turn: it stands behind those that wait.
void NoteServed(Oid database, TimestampTz now) {
    for (Waiting& waiting : table->waiting) {
        if (waiting.database == database)
            waiting.since = now;
    }
}

/// What is to be done about the place of a worker that has ended, or a starter that has turned away.
void FreeIfLeft(Place* place) {
    if (place->starter == 0 && place->pid == 0)
        *place = {};
}

// ---- without it ----

/// Wakes whose turn it is, `but` excepted, when there is a place to be had.
void WakeNextInLine(Oid but) {
    const TimestampTz now = GetCurrentTimestamp();
    const int most = MaxJobWorkers();
    const Oid next = Locked([&] {
        int workers = 0;
        return AllCounted() < most ? NextInLine(but, now, &workers) : InvalidOid;
    });
    if (OidIsValid(next))
        WakeSchedulerOf(next);
}

void LeavePlace(int, Datum) {
    const TimestampTz now = GetCurrentTimestamp();
    Locked([now] {
        Place& place = table->places[own_place];
        NoteServed(place.database, now);
        place.pid = 0;
        place.counts = false;
        FreeIfLeft(&place);
        return true;
    });
    own_place = kNoPlace;
    WakeNextInLine(InvalidOid);
}

/// A starter that exits looks after nothing any more; what has not come will find a place of its own.
void LeaveStarted(int, Datum) {
    Locked([] {
        for (int i = 0; i < table->count; ++i) {
            if (table->places[i].starter == MyProcPid) {
                table->places[i].starter = 0;
                FreeIfLeft(&table->places[i]);
            }
        }
        return true;
    });
    StopWaitingForPlace();
}

}  // namespace

void RequestWorkerPlaces() {
    RegisterSharedMemory({"dlent job workers", TableSize, AttachTable});
}

int ReservePlace() {
    static bool leaves = false;
    if (!leaves) {
        before_shmem_exit(LeaveStarted, 0);
        leaves = true;
    }
    const TimestampTz now = GetCurrentTimestamp();
    const int most = MaxJobWorkers();
    const int reserved = Locked([&] {
        const int free = most - AllCounted();
        const int found = free > BeforeUs(Counted(MyDatabaseId), now) ? FreePlace() : kNoPlace;
        if (found == kNoPlace)
            NoteWaits(MyDatabaseId, now);
        else
            table->places[found] = {MyDatabaseId, MyProcPid, 0, false, true};
        return found;
    });
    if (reserved == kNoPlace)
        WakeNextInLine(MyDatabaseId);
    return reserved;
}

bool HasSettled(int place) {
    return Locked([place] { return table->places[place].settled; });
}

void GiveUpPlace(int place) {
    Locked([place] {
        table->places[place].starter = 0;
        FreeIfLeft(&table->places[place]);
        return true;
    });
}

void StopWaitingForPlace() {
    Locked([] {
        for (Waiting& waiting : table->waiting) {
            if (waiting.database == MyDatabaseId)
                waiting = {};
        }
        return true;
    });
    // it may have been woken for a place that it did not need
    WakeNextInLine(InvalidOid);
}

void ComeToPlace(int place, Oid database) {
    if (table == nullptr)
        return;
    own_place = Locked([&] {
        const bool reserved = place != kNoPlace && table->places[place].database == database &&
                              table->places[place].starter != 0 && table->places[place].pid == 0;
        const int found = reserved ? place : FreePlace();
        if (reserved)
            table->places[found].pid = MyProcPid;
        else if (found != kNoPlace)
            table->places[found] = {database, 0, MyProcPid, true, false};
        return found;
    });
    if (own_place != kNoPlace)
        before_shmem_exit(LeavePlace, 0);
}

void SettleInPlace() {
    if (own_place == kNoPlace)
        return;
    Locked([] { return table->places[own_place].settled = true; });
}

void NoteHasSlot(bool has_slot) {
    if (own_place == kNoPlace)
        return;
    const TimestampTz now = GetCurrentTimestamp();
    Locked([has_slot, now] {
        if (!has_slot)
            NoteServed(table->places[own_place].database, now);
        return table->places[own_place].counts = has_slot;
    });
    if (!has_slot)
        WakeNextInLine(InvalidOid);
}

bool MustMakeRoom(bool turn_is_over) {
    if (own_place == kNoPlace)
        return false;
    const TimestampTz now = GetCurrentTimestamp();
    return Locked([&] {
        int its_workers = 0;
        if (!OidIsValid(NextInLine(MyDatabaseId, now, &its_workers)))
            return false;
        const int ours = Counted(MyDatabaseId);
        return its_workers + 1 < ours || (turn_is_over && its_workers < ours);
    });
}

void TerminateJobWorkers(Oid database) {
    if (table == nullptr)
        return;
    for (int i = 0; i < table->count; ++i) {
        const int pid = Locked(
            [i, database] { return table->places[i].database == database ? table->places[i].pid : 0; });
        if (pid != 0)
            kill(pid, SIGTERM);
    }
}

}  // namespace dlent::pg
