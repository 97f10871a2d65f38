#pragma once

#include <memory>
#include <optional>

#include "core/model/scoring_route.h"
#include "pg/gpu/remote_scorer.h"

namespace dlent::pg {

/// The scorer of a version for many rows, on the device that dlent.scoring_device wants. One device answers
/// all of them: when a GPU fails, what it has said is thrown away, and the CPU begins anew. For C++ frames;
/// throws PgError and SqlError.
class BulkScoring {
 public:
    /// Decides: `rows` are about to be scored, more or less.
    BulkScoring(const VersionIdentity& identity, double rows);

    /// What `work` makes of all rows with a Scorer&; it is called again when a device has failed meanwhile.
    template <typename Work>
    auto Compute(Work work) {
        for (;;) {
            auto result = work(scorer());
            if (Stands())
                return result;
        }
    }

    /// Adds the device, and the reasons where it was left open, to a report; nothing where the setting is its
    /// default.
    void Describe(Json* report) const;

 private:
    Scorer& scorer() { return remote_ != nullptr ? static_cast<Scorer&>(*remote_) : *local_; }
    /// False where the CPU has to begin anew.
    bool Stands();

    std::shared_ptr<Scorer> local_;
    std::unique_ptr<RemoteScorer> remote_;
    std::optional<RoutingDecision> decision_;
    InterruptToken interrupts_;
};

}  // namespace dlent::pg
