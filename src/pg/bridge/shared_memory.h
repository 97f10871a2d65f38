#pragma once

#include "pg/bridge/postgres.h"

namespace dlent::pg {

/// A piece of the server's shared memory that a part of a preloaded library needs.
struct SharedMemoryPiece {
    const char* name;
    /// Called once the server knows its limits (MaxBackends, max_worker_processes).
    Size (*size)();
    /// Called in every process that starts with it: keeps the address, and lays the piece out, which is all
    /// zeros, when it was just made.
    void (*attach)(void* address, bool made);
};

constexpr int kMaxSharedMemoryPieces = 8;

/// Has the piece made when the server starts; does nothing when the library is not being preloaded. To be
/// called from _PG_init(), at most kMaxSharedMemoryPieces times.
void RegisterSharedMemory(const SharedMemoryPiece& piece);

}  // namespace dlent::pg
