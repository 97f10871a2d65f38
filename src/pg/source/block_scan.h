#pragma once

#include "pg/source/source.h"

extern "C" {
#include "storage/block.h"
}

namespace dlent::pg {

/// The sequential scans that a plan consists of, in the order of their rows: one, or an Append of several.
/// NIL for every other plan, and where a table's rows are not in blocks of a heap. Raises PostgreSQL errors.
List* BlockScansOf(PlannedStmt* plan);

/// A plan of sequential scans (BlockScansOf), executed piece by piece: the blocks of its tables, one table
/// after the other, are numbered from 0, and any range of them gives the rows that the whole plan has from
/// there. So several processes can share a plan and put the rows together in its order. All functions raise
/// PostgreSQL errors. Trivially destructible: what an error leaves behind goes with the transaction.
class BlockScan {
 public:
    /// Starts the executor, under the active snapshot. Plan and text must outlive the scan.
    static BlockScan Open(PlannedStmt* plan, const char* text);

    int scans() const { return scan_count_; }
    /// The length of each table: what can be visible under the snapshot.
    BlockNumber* blocks() const { return blocks_; }
    void CountBlocks();
    uint64 total_blocks() const;

    /// Hands the rows of `count` blocks to `sink`.
    void Read(uint64 first, uint64 count, RowSink* sink) const;
    void Close();

 private:
    void ReadTable(SeqScanState* scan, BlockNumber first, BlockNumber count, RowSink* sink) const;

    QueryDesc* query_;
    int scan_count_;
    SeqScanState** scans_;
    BlockNumber* blocks_;
};
static_assert(std::is_trivially_copyable_v<BlockScan>);

}  // namespace dlent::pg
