#include "pg/catalog/row_hints.h"

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "common/hashfn.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
}

namespace dlent::pg {
namespace {

struct RowHint {
    uint32 key;
    ItemPointerData place;  ///< all zeros is no place
};

/// Some rows for each of the models that a session calls.
constexpr uint32 kRowHints = 256;
RowHint row_hints[kRowHints];

uint32 HashOfArgument(const ScanKeyData& key) {
    if (key.sk_func.fn_oid != F_TEXTEQ)
        return hash_bytes(reinterpret_cast<const unsigned char*>(&key.sk_argument), sizeof(key.sk_argument));
    const text* value = DatumGetTextPP(key.sk_argument);
    return hash_bytes(reinterpret_cast<const unsigned char*>(VARDATA_ANY(value)),
                      static_cast<int>(VARSIZE_ANY_EXHDR(value)));
}

/// Whether a row has the keys, whose attribute numbers are the table's. NULL is equal to nothing.
bool HasKeys(HeapTuple tuple, Relation relation, const ScanKeyData* keys, int count) {
    for (int i = 0; i < count; ++i) {
        bool is_null = true;
        const Datum value = heap_getattr(tuple, keys[i].sk_attno, RelationGetDescr(relation), &is_null);
        if (is_null || !DatumGetBool(FunctionCall2Coll(const_cast<FmgrInfo*>(&keys[i].sk_func),
                                                       keys[i].sk_collation, value, keys[i].sk_argument)))
            return false;
    }
    return true;
}

}  // namespace

uint32 RowHintKey(Oid index, const ScanKeyData* keys, int count) {
    uint32 key = hash_bytes_uint32(index);
    for (int i = 0; i < count; ++i)
        key = hash_combine(key, HashOfArgument(keys[i]));
    return key;
}

HeapTuple FetchHintedRow(uint32 hint_key, Relation relation, const ScanKeyData* keys, int count,
                         TupleTableSlot** slot) {
    const RowHint& hint = row_hints[hint_key % kRowHints];
    // VACUUM may have cut off the table's end since.
    if (hint.key != hint_key || !ItemPointerIsValid(&hint.place) ||
        ItemPointerGetBlockNumber(&hint.place) >= RelationGetNumberOfBlocks(relation))
        return nullptr;
    ItemPointerData place = hint.place;
    *slot = table_slot_create(relation, nullptr);
    if (table_tuple_fetch_row_version(relation, &place, GetActiveSnapshot(), *slot)) {
        HeapTuple tuple = ExecFetchSlotHeapTuple(*slot, false, nullptr);
        if (HasKeys(tuple, relation, keys, count))
            return tuple;
    }
    ExecDropSingleTupleTableSlot(*slot);
    *slot = nullptr;
    return nullptr;
}

void RememberRow(uint32 key, HeapTuple tuple) {
    row_hints[key % kRowHints] = {key, tuple->t_self};
}

void OpenUniqueRow(Oid relation, Oid index, ScanKeyData* keys, int count, UniqueRow* row) {
    *row = {};
    row->relation = table_open(relation, AccessShareLock);
    const uint32 key = RowHintKey(index, keys, count);
    row->tuple = FetchHintedRow(key, row->relation, keys, count, &row->slot);
    if (row->tuple != nullptr)
        return;
    row->scan = systable_beginscan(row->relation, index, true, GetActiveSnapshot(), count, keys);
    row->tuple = systable_getnext(row->scan);
    if (HeapTupleIsValid(row->tuple))
        RememberRow(key, row->tuple);
}

void CloseUniqueRow(UniqueRow* row) {
    if (row->scan != nullptr)
        systable_endscan(row->scan);
    if (row->slot != nullptr)
        ExecDropSingleTupleTableSlot(row->slot);
    table_close(row->relation, AccessShareLock);
}

}  // namespace dlent::pg
