// The end of the files: with their version, or when a sweep finds that nobody needs them.

#include "pg/bridge/postgres.h"

#include <dirent.h>
#include <unistd.h>

#include <cerrno>

#include "pg/bridge/error.h"
#include "pg/cache/version_file.h"
#include "pg/cache/version_file_name.h"
#include "pg/catalog/lookup.h"

extern "C" {
#include "access/xact.h"
#include "storage/fd.h"
#include "storage/procarray.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
}

namespace dlent::pg {
namespace {

constexpr int kSweepIntervalMs = 60'000;

struct Removal {
    VersionDigest version;
    SubTransactionId subtransaction;
};

/// Of Removal, in the memory of the top transaction.
List* removals = NIL;

void Remove(const VersionFileName& name) {
    const VersionFilePath path = name.Path();
    if (unlink(path.data()) != 0 && errno != ENOENT)
        ereport(LOG, (errcode_for_file_access(),
                      errmsg("could not remove model cache file \"%s\": %m", path.data())));
}

/// The transaction has committed, so nothing here may raise an error.
void RemoveListed() {
    DIR* directory = opendir(kVersionFileDirectory);
    while (const dirent* entry = directory != nullptr ? readdir(directory) : nullptr) {
        const std::optional<VersionFileName> name = VersionFileName::Parse(entry->d_name);
        if (!name.has_value() || name->database != MyDatabaseId || name->writer != 0)
            continue;
        ListCell* cell;
        foreach (cell, removals) {
            if (static_cast<Removal*>(lfirst(cell))->version == name->key.version) {
                Remove(*name);
                break;
            }
        }
    }
    if (directory != nullptr)
        closedir(directory);
}

void OnTransactionEnd(XactEvent event, void*) {
    switch (event) {
        case XACT_EVENT_COMMIT:
            if (removals != NIL)
                RemoveListed();
            removals = NIL;
            break;
        case XACT_EVENT_ABORT:
        case XACT_EVENT_PREPARE:
            removals = NIL;
            break;
        default:
            break;
    }
}

void OnSubtransactionEnd(SubXactEvent event, SubTransactionId own, SubTransactionId parent, void*) {
    ListCell* cell;
    foreach (cell, removals) {
        auto* removal = static_cast<Removal*>(lfirst(cell));
        if (removal->subtransaction != own)
            continue;
        if (event == SUBXACT_EVENT_COMMIT_SUB)
            removal->subtransaction = parent;
        else if (event == SUBXACT_EVENT_ABORT_SUB)
            removals = foreach_delete_current(removals, cell);
    }
}

/// Whether nobody will miss the file.
bool IsUnneeded(const VersionFileName& name) {
    if (name.writer != 0)
        return BackendPidGetProc(name.writer) == nullptr;
    if (name.database != MyDatabaseId)
        return !SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(name.database));
    return !DigestExists(name.key.version);
}

}  // namespace

void SweepVersionFiles() {
    DIR* directory = AllocateDir(kVersionFileDirectory);
    while (const dirent* entry = ReadDirExtended(directory, kVersionFileDirectory, LOG)) {
        CHECK_FOR_INTERRUPTS();
        const std::optional<VersionFileName> name = VersionFileName::Parse(entry->d_name);
        if (name.has_value() && IsUnneeded(*name))
            Remove(*name);
    }
    if (directory != nullptr)
        FreeDir(directory);
}

void SweepVersionFilesNowAndThen() {
    CallPostgres([] {
        static TimestampTz last_sweep = 0;
        const TimestampTz now = GetCurrentTimestamp();
        if (TimestampDifferenceExceeds(last_sweep, now, kSweepIntervalMs)) {
            last_sweep = now;
            SweepVersionFiles();
        }
    });
}

void RemoveVersionFilesAtCommit(const VersionDigest& version) {
    MemoryContext previous = MemoryContextSwitchTo(TopTransactionContext);
    auto* removal = static_cast<Removal*>(palloc(sizeof(Removal)));
    *removal = {version, GetCurrentSubTransactionId()};
    removals = lappend(removals, removal);
    MemoryContextSwitchTo(previous);
}

void RegisterVersionFileCallbacks() {
    RegisterXactCallback(OnTransactionEnd, nullptr);
    RegisterSubXactCallback(OnSubtransactionEnd, nullptr);
}

}  // namespace dlent::pg
