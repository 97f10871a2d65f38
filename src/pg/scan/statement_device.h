#pragma once

#include "pg/bridge/postgres.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/model/scoring_route.h"
#include "pg/gpu/remote_scorer.h"

extern "C" {
#include "executor/execdesc.h"
#include "nodes/execnodes.h"
}

namespace dlent::pg {

/// Where one execution of a statement has its scoring calls answered, when dlent.scoring_device is not the
/// CPU: all of them on one GPU, or all on the CPU. A GPU comes into question for statements whose calls are
/// all batched, by versions, in one process.
class StatementDevice {
 public:
    ~StatementDevice();
    StatementDevice(const StatementDevice&) = delete;
    StatementDevice& operator=(const StatementDevice&) = delete;

    /// Decides for a statement that PostgreSQL has started. Raises PostgreSQL errors.
    static void Choose(QueryDesc* query);
    /// That of the statement that `estate` executes; null where everything is the CPU's.
    static StatementDevice* Of(const EState* estate);

    /// The version's scorer: on the GPU, or `local`. For C++ frames, like what follows.
    std::shared_ptr<Scorer> Acquire(const VersionIdentity& identity, const std::shared_ptr<Scorer>& local);
    /// To be asked after a block: false when the GPU has failed before it had answered anything, and the CPU
    /// is to answer all. Throws where it is too late for that, or dlent.gpu does not want it.
    bool Stands();
    /// The CPU is to answer all, because of something that only it does; 55000 when it is too late.
    void LeaveToCpu();

    bool on_cpu() const { return on_cpu_; }
    /// "gpu" until one is known, "cuda:0", or "cpu". Lives as long as this.
    const char* name() const;

 private:
    struct Version {
        VersionDigest digest;
        std::shared_ptr<RemoteScorer> scorer;
    };

    StatementDevice(const EState* estate, const ScoringWork& work) : estate_(estate), work_(work) {}
    /// Nothing: the CPU is to do it.
    std::shared_ptr<RemoteScorer> Open(const VersionIdentity& identity, const Scorer& local);

    const EState* const estate_;
    const ScoringWork work_;  ///< of all nodes, as the planner expects
    std::vector<Version> versions_;
    std::string device_;
    std::optional<int> index_;  ///< of the GPU, once it is chosen
    bool on_cpu_ = false;
    bool answered_ = false;  ///< the GPU has, a block at least
};

}  // namespace dlent::pg
