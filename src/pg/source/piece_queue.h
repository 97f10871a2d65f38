#pragma once

#include "core/features/table_piece.h"
#include "pg/bridge/error.h"

extern "C" {
#include "storage/condition_variable.h"
#include "storage/spin.h"
#include "utils/dsa.h"
}

namespace dlent::pg {

/// The blocks to be read by several processes: `chunks` runs of `chunk_blocks` blocks, the last one shorter.
struct ChunkPlan {
    uint64 first_block;
    uint64 blocks;
    uint64 chunk_blocks;
    uint64 chunks;
};

/// A piece of a chunk in shared memory. Its image follows.
struct QueuedPiece {
    dsa_pointer next;
    uint64 chunk;
    Size bytes;    ///< of the allocation
    bool is_last;  ///< of its chunk
};

/// What the processes share. A process claims the next chunk that nobody has, and queues the chunk's pieces,
/// at least one. Each claims chunks in ascending order, so the first piece of the chunk whose turn it is
/// stands at the head of somebody's queue: that is all the ordering there is.
struct SharedReading {
    ChunkPlan plan;
    int participants;
    Size most_queued_bytes;

    slock_t mutex;  ///< for what follows, except condition variables
    uint64 next_chunk;
    uint64 due_chunk;  ///< the chunk whose pieces are to be taken now; changed by the leader alone
    Size queued_bytes;
    ConditionVariable piece_came;                     ///< the leader sleeps on it
    ConditionVariable pieces_went;                    ///< workers sleep on it
    dsa_pointer first_pieces[FLEXIBLE_ARRAY_MEMBER];  ///< the head of each participant's queue

    static Size SizeFor(int participants);
    void Initialize(const ChunkPlan& chunks, int participants_);
};

/// A process's part in a SharedReading: the leader is participant 0. All functions raise PostgreSQL errors.
class PieceQueue {
 public:
    PieceQueue(SharedReading* shared, dsa_area* area, int participant)
        : shared_(shared), area_(area), participant_(participant) {}

    const ChunkPlan& plan() const { return shared_->plan; }

    /// The number of the next chunk; false when all have been claimed.
    bool Claim(uint64* chunk);

    /// Whether a piece of this chunk may be queued: what waits for its turn must not fill the memory.
    bool HasRoomFor(uint64 chunk) const;
    void WaitForRoomFor(uint64 chunk);
    void Push(const TablePiece& piece, uint64 chunk, bool is_last);

    // ---- the leader's side ----
    /// Whether the pieces of all chunks have been taken.
    bool is_finished() const { return shared_->due_chunk == shared_->plan.chunks; }
    /// The piece whose turn it is, once it is there.
    QueuedPiece* Due();
    void WaitForDue();
    /// Frees what Due() has returned.
    void Pop(QueuedPiece* piece);

    static const char* ImageOf(const QueuedPiece* piece);

 private:
    SharedReading* shared_;
    dsa_area* area_;
    int participant_;
    QueuedPiece* last_ = nullptr;  ///< what was pushed last, while it is in the queue
    int due_participant_ = 0;
};
static_assert(std::is_trivially_copyable_v<PieceQueue>);

}  // namespace dlent::pg
