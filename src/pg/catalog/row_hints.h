#pragma once

#include "pg/bridge/postgres.h"

extern "C" {
#include "access/genam.h"
#include "executor/tuptable.h"
#include "utils/relcache.h"
}

namespace dlent::pg {

// Where this backend found rows of the catalog, so that the next statement need not go through an index. A
// hint is only a place to look first: the row there counts when the snapshot sees it and when it has the key,
// and of a unique key a snapshot sees one row. So hints need no invalidation, and may collide. The functions
// raise PostgreSQL errors: call them from frames without destructors.

/// What a hint is kept by: the index that would be asked, and the keys.
uint32 RowHintKey(Oid index, const ScanKeyData* keys, int count);

/// The row where the last one of that hint was, in a slot that the caller drops when a row was found; null
/// when nobody remembers, the active snapshot does not see it, or it has not the keys, whose attribute
/// numbers are the table's.
HeapTuple FetchHintedRow(uint32 hint_key, Relation relation, const ScanKeyData* keys, int count,
                         TupleTableSlot** slot);

void RememberRow(uint32 hint_key, HeapTuple tuple);

/// The only row visible to the active snapshot that has the keys of a unique index.
struct UniqueRow {
    Relation relation = nullptr;
    HeapTuple tuple = nullptr;  ///< valid until CloseUniqueRow(); null: there is none
    SysScanDesc scan = nullptr;
    TupleTableSlot* slot = nullptr;
};
/// Changes `keys`.
void OpenUniqueRow(Oid relation, Oid index, ScanKeyData* keys, int count, UniqueRow* row);
void CloseUniqueRow(UniqueRow* row);

}  // namespace dlent::pg
