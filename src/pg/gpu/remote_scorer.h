#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/model/answer_average.h"
#include "core/model/scorer.h"
#include "gpu/protocol/scoring.h"
#include "pg/bridge/interrupts.h"
#include "pg/catalog/models.h"
#include "pg/gpu/connection.h"
#include "pg/gpu/failure.h"

namespace dlent::pg {

/// Most rows of a block on a GPU.
inline constexpr int kMostGpuBlockRows = 8192;
/// As many as keep what both ends hold of a block within some megabytes.
int GpuBlockRows(const Model& model);
/// What a row takes on its way there and back.
size_t GpuRowBytes(const Model& model);

/// Scores in the process of a GPU: cells are encoded here, logits come back. Answers are the CPU's within a
/// tolerance, not to the bit. No exception passes the core: once something has failed, status() says so and
/// answers are NaN.
class RemoteScorer final : public Scorer {
 public:
    /// `local`: the same version's scorer on the CPU. Sends the weights where the device does not have them.
    /// A failure of the device; kCancelled. Throws PgError.
    static Expected<std::unique_ptr<RemoteScorer>> Open(GpuConnection connection,
                                                        const VersionIdentity& identity, const Scorer& local,
                                                        const CancelToken& cancel);

    void Score(int rows, const Cell* cells, float* outputs) override;
    Status status() const override { return status_; }
    int block_rows() const override { return gpu::kBlockSlots * static_cast<int>(layout_.shape.rows); }
    size_t memory_bytes() const override { return sizeof(*this) + memory_.size(); }
    const ExplainerKernels& explainer_kernels() const override { return explainer_kernels_; }

    int device() const { return connection_.device(); }
    /// How versions call the device: "cuda:0".
    std::string device_name() const { return connection_.name(); }
    /// The error that a cancel or another interrupt raised meanwhile.
    void ThrowIfInterrupted() const;

 private:
    RemoteScorer(GpuConnection connection, const Scorer& local);
    Status Begin(const VersionIdentity& identity, const CancelToken& cancel);
    Status SendWeights(const VersionIdentity& identity, const std::string& key,
                       const std::string& description, const CancelToken& cancel);
    Status Exchange(int rows, const Cell* cells, float* outputs);
    Status SendBlock(const gpu::BlockReady& block, const Cell* cells);
    Status ReceiveBlock(const gpu::BlockReady& block, float* outputs);
    int RowsAfter(int done, int rows) const {
        return std::min(rows - done, static_cast<int>(layout_.shape.rows));
    }

    GpuConnection connection_;
    const ExplainerKernels& explainer_kernels_;
    const AnswerAverage answer_;
    gpu::BlockLayout layout_;
    gpu::SharedMemory memory_;
    size_t networks_ = 1;  ///< whose answers a member of the model averages
    Status status_;
    InterruptToken interrupts_;
    KeptError error_;
};

}  // namespace dlent::pg
