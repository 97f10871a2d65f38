#pragma once

#include "pg/bridge/postgres.h"

extern "C" {
#include "nodes/execnodes.h"
#include "storage/buf.h"
}

namespace dlent::pg {

/// Brings rows into the processor's caches before a sequential scan reaches them: with each row, what lies at
/// the same place of the next page. Reading a row from memory costs about as much as a third of scoring it,
/// and processors do not foresee it: rows are read down a page, and the next page is elsewhere. Only pages in
/// shared buffers count, and nothing is pinned or read: asking for memory cannot fail, and a page that is
/// replaced meanwhile was asked for in vain.
class PagePrefetch {
 public:
    /// Does nothing but for sequential scans of heap tables.
    explicit PagePrefetch(PlanState* scan);

    /// To be called with each row of the scan, a heap tuple in a buffer. Raises PostgreSQL errors.
    void Advance(const TupleTableSlot* slot, const HeapTupleData& tuple);

 private:
    void FindNextPage(const BufferHeapTupleTableSlot& slot);

    SeqScanState* scan_ = nullptr;  ///< null: nothing is done
    Buffer buffer_ = 0;             ///< of the page at hand
    ptrdiff_t distance_ = 0;        ///< to the next page; 0: unknown
    int skip_ = 0;                  ///< pages during which nothing is looked up: the next ones are not there
    int misses_ = 0;                ///< in a row
};

}  // namespace dlent::pg
