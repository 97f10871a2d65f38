#include "pg/bridge/shared_memory.h"

extern "C" {
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
}

namespace dlent::pg {
namespace {

SharedMemoryPiece pieces[kMaxSharedMemoryPieces];
int piece_count = 0;
shmem_request_hook_type previous_request_hook = nullptr;
shmem_startup_hook_type previous_startup_hook = nullptr;

void Request() {
    if (previous_request_hook != nullptr)
        previous_request_hook();
    for (int i = 0; i < piece_count; ++i)
        RequestAddinShmemSpace(pieces[i].size());
}

void Start() {
    if (previous_startup_hook != nullptr)
        previous_startup_hook();
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    for (int i = 0; i < piece_count; ++i) {
        const SharedMemoryPiece& piece = pieces[i];
        const Size size = piece.size();
        bool found = false;
        void* const address = ShmemInitStruct(piece.name, size, &found);
        if (!found)
            memset(address, 0, size);
        piece.attach(address, !found);
    }
    LWLockRelease(AddinShmemInitLock);
}

}  // namespace

void RegisterSharedMemory(const SharedMemoryPiece& piece) {
    if (!process_shared_preload_libraries_in_progress)
        return;
    Assert(piece_count < kMaxSharedMemoryPieces);
    if (piece_count == 0) {
        previous_request_hook = shmem_request_hook;
        shmem_request_hook = Request;
        previous_startup_hook = shmem_startup_hook;
        shmem_startup_hook = Start;
    }
    pieces[piece_count++] = piece;
}

}  // namespace dlent::pg
