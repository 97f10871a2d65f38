#include "pg/bridge/postgres.h"

#include "pg/scan/page_prefetch.h"

#include <algorithm>

extern "C" {
#include "access/heapam.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
}

namespace dlent::pg {
namespace {

constexpr ptrdiff_t kLine = 64;

void Prefetch(const char* first, ptrdiff_t length) {
    for (ptrdiff_t at = 0; at < length; at += kLine)
        __builtin_prefetch(first + at);
}

}  // namespace

PagePrefetch::PagePrefetch(PlanState* scan) {
    if (!IsA(scan, SeqScanState))
        return;
    auto* sequential = reinterpret_cast<SeqScanState*>(scan);
    const RelationData* relation = sequential->ss.ss_currentRelation;
    if (relation->rd_tableam == GetHeapamTableAmRoutine() && !RelationUsesLocalBuffers(relation))
        scan_ = sequential;
}

void PagePrefetch::Advance(const TupleTableSlot* slot, const HeapTupleData& tuple) {
    if (scan_ == nullptr || !TTS_IS_BUFFERTUPLE(slot))
        return;
    const auto& in_buffer = *reinterpret_cast<const BufferHeapTupleTableSlot*>(slot);
    if (in_buffer.buffer != buffer_)
        FindNextPage(in_buffer);
    if (distance_ != 0)
        Prefetch(reinterpret_cast<const char*>(tuple.t_data) + distance_, tuple.t_len);
}

void PagePrefetch::FindNextPage(const BufferHeapTupleTableSlot& slot) {
    buffer_ = slot.buffer;
    distance_ = 0;
    if (skip_ > 0) {
        --skip_;
        return;
    }
    const BlockNumber next = ItemPointerGetBlockNumber(&slot.base.tuple->t_self) + 1;
    if (next >= reinterpret_cast<HeapScanDesc>(scan_->ss.ss_currentScanDesc)->rs_nblocks)
        return;
    const PrefetchBufferResult found =
        PrefetchSharedBuffer(RelationGetSmgr(scan_->ss.ss_currentRelation), MAIN_FORKNUM, next);
    if (!BufferIsValid(found.recent_buffer)) {
        // the table is not in shared buffers, and asking for it costs a system call: ask ever more rarely
        constexpr int kMostMisses = 10;
        misses_ = std::min(misses_ + 1, kMostMisses);
        skip_ = 1 << misses_;
        return;
    }
    misses_ = 0;
    const auto* page = static_cast<const char*>(BufferGetPage(found.recent_buffer));
    distance_ = page - static_cast<const char*>(BufferGetPage(buffer_));
    Prefetch(page, 4 * kLine);  // the header and some line pointers
}

}  // namespace dlent::pg
