#include "pg/bridge/postgres.h"

#include "pg/source/piece_queue.h"

extern "C" {
#include "utils/wait_event.h"
}

namespace dlent::pg {
namespace {

/// What waits for its turn, for each process: a few pieces of the usual size.
constexpr Size kQueuedBytesEach = Size{4} << 20;

}  // namespace

Size SharedReading::SizeFor(int participants) {
    return add_size(offsetof(SharedReading, first_pieces), mul_size(sizeof(dsa_pointer), participants));
}

void SharedReading::Initialize(const ChunkPlan& chunks, int participants_) {
    plan = chunks;
    participants = participants_;
    most_queued_bytes = kQueuedBytesEach * participants;
    SpinLockInit(&mutex);
    next_chunk = 0;
    due_chunk = 0;
    queued_bytes = 0;
    ConditionVariableInit(&piece_came);
    ConditionVariableInit(&pieces_went);
    for (int i = 0; i < participants; ++i)
        first_pieces[i] = InvalidDsaPointer;
}

bool PieceQueue::Claim(uint64* chunk) {
    SpinLockAcquire(&shared_->mutex);
    const bool left = shared_->next_chunk < shared_->plan.chunks;
    if (left)
        *chunk = shared_->next_chunk++;
    SpinLockRelease(&shared_->mutex);
    return left;
}

bool PieceQueue::HasRoomFor(uint64 chunk) const {
    SpinLockAcquire(&shared_->mutex);
    const bool room = shared_->due_chunk == chunk || shared_->queued_bytes < shared_->most_queued_bytes;
    SpinLockRelease(&shared_->mutex);
    return room;
}

void PieceQueue::WaitForRoomFor(uint64 chunk) {
    while (!HasRoomFor(chunk))
        ConditionVariableSleep(&shared_->pieces_went, PG_WAIT_EXTENSION);
    ConditionVariableCancelSleep();
}

void PieceQueue::Push(const TablePiece& piece, uint64 chunk, bool is_last) {
    const Size bytes = sizeof(QueuedPiece) + piece.image_bytes();
    const dsa_pointer place = dsa_allocate_extended(area_, bytes, DSA_ALLOC_HUGE);
    auto* const queued = static_cast<QueuedPiece*>(dsa_get_address(area_, place));
    *queued = {InvalidDsaPointer, chunk, bytes, is_last};
    piece.WriteImage(reinterpret_cast<char*>(queued + 1));

    dsa_pointer* const first = &shared_->first_pieces[participant_];
    SpinLockAcquire(&shared_->mutex);
    // the last piece is gone when the leader has emptied the queue
    *(DsaPointerIsValid(*first) ? &last_->next : first) = place;
    shared_->queued_bytes += bytes;
    SpinLockRelease(&shared_->mutex);
    last_ = queued;
    ConditionVariableSignal(&shared_->piece_came);
}

QueuedPiece* PieceQueue::Due() {
    for (int i = 0; i < shared_->participants; ++i) {
        // a chunk's pieces come from one queue
        const int candidate = (due_participant_ + i) % shared_->participants;
        SpinLockAcquire(&shared_->mutex);
        const dsa_pointer first = shared_->first_pieces[candidate];
        SpinLockRelease(&shared_->mutex);
        if (!DsaPointerIsValid(first))
            continue;
        auto* const piece = static_cast<QueuedPiece*>(dsa_get_address(area_, first));
        if (piece->chunk == shared_->due_chunk) {
            due_participant_ = candidate;
            return piece;
        }
    }
    return nullptr;
}

void PieceQueue::WaitForDue() {
    while (Due() == nullptr)
        ConditionVariableSleep(&shared_->piece_came, PG_WAIT_EXTENSION);
    ConditionVariableCancelSleep();
}

void PieceQueue::Pop(QueuedPiece* piece) {
    dsa_pointer* const first = &shared_->first_pieces[due_participant_];
    SpinLockAcquire(&shared_->mutex);
    const dsa_pointer place = *first;
    *first = piece->next;
    shared_->queued_bytes -= piece->bytes;
    shared_->due_chunk += piece->is_last ? 1 : 0;
    SpinLockRelease(&shared_->mutex);
    dsa_free(area_, place);
    ConditionVariableBroadcast(&shared_->pieces_went);
}

const char* PieceQueue::ImageOf(const QueuedPiece* piece) {
    return reinterpret_cast<const char*>(piece + 1);
}

}  // namespace dlent::pg
