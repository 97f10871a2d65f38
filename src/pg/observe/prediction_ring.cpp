#include "pg/bridge/postgres.h"

#include "pg/observe/prediction_ring.h"

#include <atomic>

#include "pg/bridge/shared_memory.h"
#include "pg/observe/settings.h"
#include "pg/workers/scheduler_memory.h"

extern "C" {
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "storage/spin.h"
}

namespace dlent::pg {

/// A database's place; free ones have no database.
struct RingEntry {
    std::atomic<Oid> database;
    std::atomic<int> writer_pid;
    std::atomic<Latch*> writer_latch;
    std::atomic<int64_t> next_request;
    std::atomic<TimestampTz> called_at;  ///< when a writer was last asked for
};

namespace {

/// Between two calls for a writer where there is none.
constexpr int64_t kBetweenCalls = USECS_PER_SEC;
/// Requests are numbered from when the memory was made, in this many parts of a microsecond: what is made
/// later comes to none of these numbers again.
constexpr int64_t kRequestsPerMicrosecond = 1024;
constexpr Size kAlignment = 64;

struct Memory {
    slock_t lock;  ///< of taking and freeing entries
    int count;
    uint32_t slots;  ///< of each ring
    Size ring_bytes;
    std::atomic<uint64_t> refused;
    TimestampTz made_at;
    RingEntry entries[FLEXIBLE_ARRAY_MEMBER];
};

Memory* memory = nullptr;

Size HeadBytes() {
    return TYPEALIGN(kAlignment,
                     add_size(offsetof(Memory, entries),
                              mul_size(sizeof(RingEntry), static_cast<Size>(MaxPredictionRings()))));
}

uint32_t SlotsOfRing() {
    return RecordRing::SlotsIn(PredictionRingBytes());
}

Size RingBytes() {
    return TYPEALIGN(kAlignment, RecordRing::MemoryBytes(SlotsOfRing()));
}

Size MemorySize() {
    return add_size(add_size(HeadBytes(), kAlignment),
                    mul_size(RingBytes(), static_cast<Size>(MaxPredictionRings())));
}

void AttachMemory(void* address, bool made) {
    memory = reinterpret_cast<Memory*>(TYPEALIGN(kAlignment, reinterpret_cast<uintptr_t>(address)));
    if (made) {
        SpinLockInit(&memory->lock);
        memory->count = MaxPredictionRings();
        memory->slots = SlotsOfRing();
        memory->ring_bytes = RingBytes();
        memory->made_at = GetCurrentTimestamp();
    }
}

RecordRing RecordsOf(int entry) {
    return {reinterpret_cast<char*>(memory) + HeadBytes() + static_cast<Size>(entry) * memory->ring_bytes,
            memory->slots};
}

/// −1: it has none.
int FindEntry(Oid database) {
    for (int i = 0; i < memory->count; ++i) {
        if (memory->entries[i].database.load(std::memory_order_acquire) == database)
            return i;
    }
    return -1;
}

/// The entry of a database, which takes a free one; −1: there is none.
int TakeEntry(Oid database) {
    int found = FindEntry(database);
    if (found >= 0)
        return found;
    SpinLockAcquire(&memory->lock);
    found = FindEntry(database);
    if (found < 0)
        found = FindEntry(InvalidOid);
    if (found >= 0 && memory->entries[found].database.load() == InvalidOid) {
        RingEntry& entry = memory->entries[found];
        entry.writer_pid = 0;
        entry.writer_latch = nullptr;
        entry.called_at = 0;
        if (entry.next_request == 0)
            entry.next_request = memory->made_at * kRequestsPerMicrosecond;
        entry.database.store(database, std::memory_order_release);
    }
    SpinLockRelease(&memory->lock);
    return found;
}

RingEntry* written_entry = nullptr;

void UnregisterWriter(int, Datum) {
    if (written_entry->writer_pid != MyProcPid)
        return;
    written_entry->writer_latch = nullptr;
    written_entry->writer_pid = 0;
}

}  // namespace

void RequestPredictionMemory() {
    RegisterSharedMemory({"dlent predictions", MemorySize, AttachMemory});
}

bool PredictionMemoryExists() {
    return memory != nullptr;
}

PredictionRing* PredictionRing::OfThisDatabase() {
    static PredictionRing ring;
    if (ring.entry_ == nullptr && memory != nullptr) {
        const int entry = TakeEntry(MyDatabaseId);
        if (entry >= 0) {
            ring.records_ = RecordsOf(entry);
            ring.entry_ = &memory->entries[entry];
        }
    }
    return ring.entry_ == nullptr ? nullptr : &ring;
}

int64_t PredictionRing::TakeRequests(int count) {
    return entry_->next_request.fetch_add(count, std::memory_order_relaxed);
}

void PredictionRing::CallWriter(TimestampTz now) {
    if (Latch* const latch = entry_->writer_latch.load(std::memory_order_acquire); latch != nullptr) {
        constexpr uint32_t kMany = 4;
        if (records_.used_slots() >= records_.slots() / kMany)
            SetLatch(latch);
        return;
    }
    TimestampTz before = entry_->called_at.load(std::memory_order_relaxed);
    const bool long_ago = now > before + kBetweenCalls || now < before;
    if (long_ago && entry_->called_at.compare_exchange_strong(before, now))
        WakeLauncher();
}

void PredictionRing::RegisterWriter() {
    written_entry = entry_;
    before_shmem_exit(UnregisterWriter, 0);
    entry_->writer_pid = MyProcPid;
    entry_->writer_latch.store(MyLatch, std::memory_order_release);
}

bool HasPredictionRing(Oid database) {
    return memory != nullptr && (FindEntry(database) >= 0 || FindEntry(InvalidOid) >= 0);
}

bool PredictionsWait(Oid database) {
    const int entry = memory == nullptr ? -1 : FindEntry(database);
    return entry >= 0 && RecordsOf(entry).used_slots() > 0;
}

bool PredictionWriterIsAlive(Oid database) {
    const int entry = memory == nullptr ? -1 : FindEntry(database);
    return entry >= 0 && memory->entries[entry].writer_pid != 0;
}

void CountRefusedPredictions(uint64_t count) {
    if (memory != nullptr)
        memory->refused.fetch_add(count, std::memory_order_relaxed);
}

void ForgetPredictionRings(bool (*exists)(Oid database, void* argument), void* argument) {
    if (memory == nullptr)
        return;
    for (int i = 0; i < memory->count; ++i) {
        RingEntry& entry = memory->entries[i];
        const Oid database = entry.database.load();
        if (database == InvalidOid || entry.writer_pid != 0 || exists(database, argument))
            continue;
        // nobody is connected to it any more
        RecordRing records = RecordsOf(i);
        records.Release(records.Collect(memory->slots));
        SpinLockAcquire(&memory->lock);
        entry.database.store(InvalidOid);
        SpinLockRelease(&memory->lock);
    }
}

std::vector<PredictionRingStatus> PredictionRings() {
    std::vector<PredictionRingStatus> rings;
    for (int i = 0; memory != nullptr && i < memory->count; ++i) {
        const RingEntry& entry = memory->entries[i];
        const RecordRing records = RecordsOf(i);
        const Oid database = entry.database.load();
        if (database != InvalidOid)
            rings.push_back({database, entry.writer_pid.load(),
                             uint64_t{RecordRing::kSlotBytes} * records.slots(), records.written(),
                             records.dropped(), records.waiting()});
    }
    if (memory != nullptr && memory->refused > 0)
        rings.push_back({.dropped = memory->refused});
    return rings;
}

}  // namespace dlent::pg
