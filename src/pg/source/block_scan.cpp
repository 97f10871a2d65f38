#include "pg/bridge/postgres.h"

#include "pg/source/block_scan.h"

#include <algorithm>

#include "pg/bridge/compat_rare.h"

extern "C" {
#include "access/heapam.h"
#include "access/tableam.h"
#include "executor/executor.h"
#include "parser/parsetree.h"
#include "utils/rel.h"
}

namespace dlent::pg {
namespace {

bool IsHeap(PlannedStmt* plan, Index range_table_index) {
    const Relation relation = table_open(rt_fetch(range_table_index, plan->rtable)->relid, NoLock);
    const bool is_heap = relation->rd_tableam == GetHeapamTableAmRoutine();
    table_close(relation, NoLock);
    return is_heap;
}

}  // namespace

List* BlockScansOf(PlannedStmt* plan) {
    // no subplan, and so no parameter, that a scan could depend on
    if (plan->commandType != CMD_SELECT || plan->subplans != NIL || plan->rowMarks != NIL)
        return NIL;
    List* scans = list_make1(plan->planTree);
    if (IsA(plan->planTree, Append)) {
        const auto* append = castNode(Append, plan->planTree);
        if (PrunesPartitions(append))
            return NIL;
        scans = append->appendplans;
    }
    for (int i = 0; i < list_length(scans); ++i) {
        auto* const scan = static_cast<Plan*>(list_nth(scans, i));
        if (!IsA(scan, SeqScan) || !IsHeap(plan, reinterpret_cast<Scan*>(scan)->scanrelid))
            return NIL;
        // nothing below filters columns out
        for (int j = 0; j < list_length(scan->targetlist); ++j) {
            if (list_nth_node(TargetEntry, scan->targetlist, j)->resjunk)
                return NIL;
        }
    }
    return scans;
}

BlockScan BlockScan::Open(PlannedStmt* plan, const char* text) {
    BlockScan scan{};
    scan.query_ =
        CreateQueryDesc(plan, text, GetActiveSnapshot(), InvalidSnapshot, None_Receiver, nullptr, nullptr, 0);
    ExecutorStart(scan.query_, 0);
    PlanState** children = &scan.query_->planstate;
    scan.scan_count_ = 1;
    if (IsA(*children, AppendState)) {
        const auto* append = castNode(AppendState, *children);
        children = append->appendplans;
        scan.scan_count_ = append->as_nplans;
    }
    scan.scans_ = static_cast<SeqScanState**>(palloc(sizeof(SeqScanState*) * scan.scan_count_));
    scan.blocks_ = static_cast<BlockNumber*>(palloc0(sizeof(BlockNumber) * scan.scan_count_));
    for (int i = 0; i < scan.scan_count_; ++i)
        scan.scans_[i] = castNode(SeqScanState, children[i]);
    return scan;
}

void BlockScan::CountBlocks() {
    for (int i = 0; i < scan_count_; ++i)
        blocks_[i] = RelationGetNumberOfBlocks(scans_[i]->ss.ss_currentRelation);
}

uint64 BlockScan::total_blocks() const {
    uint64 total = 0;
    for (int i = 0; i < scan_count_; ++i)
        total += blocks_[i];
    return total;
}

void BlockScan::Read(uint64 first, uint64 count, RowSink* sink) const {
    for (int i = 0; i < scan_count_ && count > 0; ++i) {
        if (first >= blocks_[i]) {
            first -= blocks_[i];
            continue;
        }
        const uint64 here = std::min<uint64>(count, blocks_[i] - first);
        ReadTable(scans_[i], static_cast<BlockNumber>(first), static_cast<BlockNumber>(here), sink);
        count -= here;
        first = 0;
    }
}

void BlockScan::ReadTable(SeqScanState* scan, BlockNumber first, BlockNumber count, RowSink* sink) const {
    PlanState* const node = &scan->ss.ps;
    const MemoryContext previous = MemoryContextSwitchTo(node->state->es_query_cxt);
    // begun here rather than by the node, whose scan may begin where another one is
    if (scan->ss.ss_currentScanDesc == nullptr) {
        scan->ss.ss_currentScanDesc = table_beginscan_strat(
            scan->ss.ss_currentRelation, node->state->es_snapshot, 0, nullptr, true, false);
    } else {
        ExecReScan(node);
        UncountScan(scan->ss.ss_currentRelation);
    }
    heap_setscanlimits(scan->ss.ss_currentScanDesc, first, count);
    for (;;) {
        TupleTableSlot* const slot = ExecProcNode(node);
        if (TupIsNull(slot) || !GiveRow(sink, slot))
            break;
    }
    MemoryContextSwitchTo(previous);
}

void BlockScan::Close() {
    ExecutorFinish(query_);
    ExecutorEnd(query_);
    FreeQueryDesc(query_);
}

}  // namespace dlent::pg
