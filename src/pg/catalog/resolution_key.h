#pragma once

#include "pg/bridge/postgres.h"
#include "pg/catalog/relations.h"

namespace dlent::pg {

/// What a resolved name depends on: under the same snapshot, user and generation of the catalog it is the
/// same version. Plans and their call sites outlive statements (in PL/pgSQL above all), so every row looks.
struct ResolutionKey {
    uint64_t generation = 0;  ///< never 0 in a key that was taken
    uint64_t completion_count = 0;
    CommandId command = 0;
    TransactionId xmin = 0;
    TransactionId xmax = 0;
    Oid user = InvalidOid;

    static ResolutionKey Current() {
        ResolutionKey key;
        key.generation = CatalogGeneration();
        key.user = GetUserId();
        if (ActiveSnapshotSet()) {
            const SnapshotData* snapshot = GetActiveSnapshot();
            key.completion_count = snapshot->snapXactCompletionCount;
            key.command = snapshot->curcid;
            key.xmin = snapshot->xmin;
            key.xmax = snapshot->xmax;
        }
        return key;
    }
    bool operator==(const ResolutionKey&) const = default;
};

}  // namespace dlent::pg
