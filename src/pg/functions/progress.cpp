// Live progress of trainings: one slot of shared memory for each backend, and dlent.progress_entries(), which
// reads them.

#include "pg/bridge/postgres.h"

#include "pg/functions/progress.h"

#include <cmath>

#include "pg/bridge/error.h"
#include "pg/bridge/shared_memory.h"

extern "C" {
#include "catalog/pg_authid.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/acl.h"
#include "utils/tuplestore.h"
}

namespace dlent::pg {

/// What a training shows. Written by its backend alone and read by anyone, without a lock: `changes` is odd
/// while the writer is at it, and a reader that saw it move reads again.
struct ProgressSlot {
    pg_atomic_uint32 changes;
    bool active;
    int pid;
    Oid database;
    Oid role;
    char model[256];
    char phase[32];
    int member;
    int members;
    int epoch;
    int epochs;
    uint64 rows_read;
    double fraction;
    double train_loss;
    double validation_loss;
    double rows_per_second;
    double seconds_left;
    TimestampTz started_at;
};
static_assert(std::is_trivially_copyable_v<ProgressSlot>);

namespace {

struct ProgressMemory {
    int slot_count;
    ProgressSlot slots[FLEXIBLE_ARRAY_MEMBER];
};

ProgressMemory* memory = nullptr;

Size MemorySize() {
    return add_size(offsetof(ProgressMemory, slots), mul_size(sizeof(ProgressSlot), MaxBackends));
}

void AttachMemory(void* address, bool made) {
    memory = static_cast<ProgressMemory*>(address);
    if (made) {
        memory->slot_count = MaxBackends;
        for (int i = 0; i < memory->slot_count; ++i)
            pg_atomic_init_u32(&memory->slots[i].changes, 0);
    }
}

template <typename Write>
void Change(ProgressSlot* slot, Write write) {
    pg_atomic_fetch_add_u32(&slot->changes, 1);
    pg_write_barrier();
    write();
    pg_write_barrier();
    pg_atomic_fetch_add_u32(&slot->changes, 1);
}

void Clear(ProgressSlot* slot) {
    Change(slot, [slot] { slot->active = false; });
}

ProgressSlot* OwnSlot() {
    const int number = BackendNumber();
    return memory != nullptr && number >= 0 && number < memory->slot_count ? &memory->slots[number] : nullptr;
}

void ClearAtExit(int, Datum) {
    if (ProgressSlot* slot = OwnSlot(); slot != nullptr && slot->active && slot->pid == MyProcPid)
        Clear(slot);
}

void CopyClipped(char* target, size_t capacity, const char* source) {
    strlcpy(target, source, capacity);
}

/// A consistent copy.
ProgressSlot ReadSlot(const ProgressSlot& slot) {
    ProgressSlot copy;
    for (;;) {
        const uint32 before = pg_atomic_read_u32(const_cast<pg_atomic_uint32*>(&slot.changes));
        pg_read_barrier();
        memcpy(static_cast<void*>(&copy), &slot, sizeof(copy));
        pg_read_barrier();
        const uint32 after = pg_atomic_read_u32(const_cast<pg_atomic_uint32*>(&slot.changes));
        if (before == after && before % 2 == 0)
            return copy;
        CHECK_FOR_INTERRUPTS();
    }
}

/// The row of dlent.progress_entries(); only who may see the session's activity learns more than that it
/// trains.
void PutEntry(ReturnSetInfo* result, const ProgressSlot& entry) {
    constexpr int kColumns = 15;
    Datum values[kColumns] = {};
    bool nulls[kColumns];
    memset(nulls, true, sizeof(nulls));
    int column = 0;
    const auto put = [&](bool known, Datum value) {
        nulls[column] = !known;
        values[column++] = known ? value : Datum{0};
    };
    const bool visible =
        has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS) || has_privs_of_role(GetUserId(), entry.role);
    const bool running = visible && entry.members > 0;
    put(true, Int32GetDatum(entry.pid));
    put(true, ObjectIdGetDatum(entry.database));
    put(true, ObjectIdGetDatum(entry.role));
    put(visible, visible ? CStringGetTextDatum(entry.model) : Datum{0});
    put(visible, visible ? CStringGetTextDatum(entry.phase) : Datum{0});
    put(visible, Int64GetDatum(static_cast<int64>(entry.rows_read)));
    put(running, Int32GetDatum(entry.member + 1));
    put(running, Int32GetDatum(entry.members));
    put(running && entry.epochs > 0, Int32GetDatum(entry.epoch));
    put(running && entry.epochs > 0, Int32GetDatum(entry.epochs));
    put(running && entry.epoch > 0, Float8GetDatum(entry.train_loss));
    put(running && entry.epoch > 0 && !std::isnan(entry.validation_loss),
        Float8GetDatum(entry.validation_loss));
    put(running && entry.rows_per_second > 0.0, Float8GetDatum(entry.rows_per_second));
    put(visible, TimestampTzGetDatum(entry.started_at));
    put(running && entry.fraction > 0.0, Float8GetDatum(entry.seconds_left));
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

}  // namespace

void RequestProgressMemory() {
    RegisterSharedMemory({"dlent progress", MemorySize, AttachMemory});
}

ProgressDisplay::ProgressDisplay(const std::string& model) {
    ProgressSlot* const slot = OwnSlot();
    // A training that another training's source calls leaves the display to the outer one.
    if (slot == nullptr || slot->active)
        return;
    static bool exit_registered = false;
    if (!exit_registered) {
        CallPostgres([] { before_shmem_exit(ClearAtExit, 0); });
        exit_registered = true;
    }
    const TimestampTz now = GetCurrentTimestamp();
    const Oid role = GetUserId();
    Change(slot, [&] {
        const pg_atomic_uint32 changes = slot->changes;
        memset(static_cast<void*>(slot), 0, sizeof(*slot));
        slot->changes = changes;
        slot->pid = MyProcPid;
        slot->database = MyDatabaseId;
        slot->role = role;
        slot->started_at = now;
        CopyClipped(slot->model, sizeof(slot->model), model.c_str());
        CopyClipped(slot->phase, sizeof(slot->phase), "reading");
        slot->active = true;
    });
    slot_ = slot;
}

ProgressDisplay::~ProgressDisplay() {
    if (slot_ != nullptr)
        Clear(slot_);
}

void ProgressDisplay::ShowReading(uint64_t rows) {
    if (slot_ != nullptr)
        Change(slot_, [&] { slot_->rows_read = rows; });
}

void ProgressDisplay::ShowPhase(const char* phase) {
    if (slot_ != nullptr)
        Change(slot_, [&] { CopyClipped(slot_->phase, sizeof(slot_->phase), phase); });
}

void ProgressDisplay::ShowTraining(const TrainingProgress& progress) {
    if (slot_ == nullptr)
        return;
    Change(slot_, [&] {
        CopyClipped(slot_->phase, sizeof(slot_->phase), progress.phase);
        slot_->member = progress.member;
        slot_->members = progress.members;
        slot_->epoch = progress.epoch;
        slot_->epochs = progress.epochs;
        slot_->fraction = progress.fraction;
        slot_->train_loss = progress.train_loss;
        slot_->validation_loss = progress.validation_loss;
        slot_->rows_per_second = progress.rows_per_second;
        slot_->seconds_left = progress.seconds_left;
    });
}

}  // namespace dlent::pg

using namespace dlent::pg;

DLENT_FUNCTION(dlent_progress_entries) {
    return Entry(fcinfo, [fcinfo] {
        InitMaterializedSRF(fcinfo, 0);
        auto* const result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
        for (int i = 0; memory != nullptr && i < memory->slot_count; ++i) {
            const ProgressSlot entry = ReadSlot(memory->slots[i]);
            if (entry.active)
                PutEntry(result, entry);
        }
        return Datum{0};
    });
}
