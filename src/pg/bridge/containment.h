#pragma once

#include "pg/bridge/error.h"

extern "C" {
#include "utils/resowner.h"
#include "utils/snapshot.h"
}

namespace dlent::pg {

/// Errors that end where they happen: what a shadow does must not disturb the statement that it looks over
/// the shoulder of. A subtransaction would do, but parallel workers cannot have one; so what runs contained
/// only reads and computes, and what it may leave behind when it fails (locks, pins, references to the
/// caches) belongs to a resource owner of its own.
///
/// Trivially destructible: an error that passes by leaves the owner to its parent.
class Containment {
 public:
    /// Begins a stretch of work, a block of rows. For C++ frames.
    void Open();
    void Close();

    /// Runs `body`, a C++ frame, between Open() and Close(). Null when it came to its end; else what the
    /// error said, in the current memory context. Cancel, shutdown, out of memory and what asks for another
    /// attempt at the transaction are not contained.
    template <typename Body>
    const char* Run(Body&& body) {
        const Before before = Enter();
        try {
            body();
        } catch (...) {
            return Caught(before);
        }
        CurrentResourceOwner = before.owner;
        return nullptr;
    }

 private:
    struct Before {
        ResourceOwner owner;
        Snapshot snapshot;
        uint32 interrupt_holdoffs;
        uint32 cancel_holdoffs;
    };

    Before Enter() const;
    /// To be called while the exception is being handled.
    const char* Caught(const Before& before);

    ResourceOwner owner_ = nullptr;
};

}  // namespace dlent::pg
