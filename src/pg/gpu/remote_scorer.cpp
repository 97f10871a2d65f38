#include "pg/bridge/postgres.h"

#include "pg/gpu/remote_scorer.h"

#include <algorithm>
#include <limits>

#include "core/base/float_environment.h"
#include "core/formats/sha256.h"
#include "pg/catalog/lookup.h"

namespace dlent::pg {
namespace {

constexpr int kLeastBlockRows = 64;
constexpr size_t kBlockBytes = size_t{16} << 20;

/// Of one row and one network of each member of the model.
size_t Logits(const Model& model) {
    return model.members.size() * static_cast<size_t>(model.target.output_count());
}

/// An answer that is not the message that was waited for.
Status Unexpected(const gpu::Received& received) {
    if (received.message.type == gpu::MessageType::kError)
        return gpu::StatusFromJson(received.message.body);
    return Status::Corrupt("the GPU process sent a message that is not its to send");
}

}  // namespace

size_t GpuRowBytes(const Model& model) {
    return (static_cast<size_t>(model.network.numeric + model.network.plain) + model.network.codes.size() +
            Logits(model) * static_cast<size_t>(std::max(model.network.members, 1))) *
           sizeof(float);
}

int GpuBlockRows(const Model& model) {
    const size_t row =
        std::max(static_cast<size_t>(model.pipeline.cell_count()) * sizeof(Cell), GpuRowBytes(model));
    const int fitting = static_cast<int>(kBlockBytes / std::max<size_t>(row, 1));
    // members of a network multiply what a row takes on the device
    const int wanted = kMostGpuBlockRows / std::max(model.network.members, 1);
    return std::clamp(std::min(fitting, wanted), kLeastBlockRows, kMostGpuBlockRows);
}

RemoteScorer::RemoteScorer(GpuConnection connection, const Scorer& local)
    : Scorer(local.model()),
      connection_(std::move(connection)),
      explainer_kernels_(local.explainer_kernels()),
      answer_(model_.target, model_.temperature) {}

Expected<std::unique_ptr<RemoteScorer>> RemoteScorer::Open(GpuConnection connection,
                                                           const VersionIdentity& identity,
                                                           const Scorer& local, const CancelToken& cancel) {
    std::unique_ptr<RemoteScorer> scorer(new RemoteScorer(std::move(connection), local));
    const Status status = scorer->Begin(identity, cancel);
    if (status.code() == StatusCode::kNotFound)
        return ProcessEnded("scored");
    if (!status.ok())
        return status;
    return scorer;
}

Status RemoteScorer::Begin(const VersionIdentity& identity, const CancelToken& cancel) {
    const std::string description = gpu::DescribeModel(model_.network, model_.members.size());
    StoredExplainer stored;
    CallPostgres([&] { ReadExplainer(identity.version_id, &stored); });
    gpu::ModelUse use;
    use.key = gpu::ModelKey(description, Hex(stored.weights_sha256));
    use.rows = static_cast<uint32_t>(GpuBlockRows(model_));
    DLENT_RETURN_IF_ERROR(connection_.Send(gpu::MessageType::kModel, use.ToJson()));
    DLENT_ASSIGN_OR_RETURN(gpu::Received received, connection_.Receive(cancel));
    if (received.message.type == gpu::MessageType::kModelWanted) {
        DLENT_RETURN_IF_ERROR(SendWeights(identity, use.key, description, cancel));
        DLENT_ASSIGN_OR_RETURN(received, connection_.Receive(cancel));
    }
    if (received.message.type != gpu::MessageType::kModelReady)
        return Unexpected(received);
    DLENT_ASSIGN_OR_RETURN(const gpu::BlockShape shape, gpu::BlockShape::FromJson(received.message.body));
    if (shape != gpu::BlockShape::Of(model_.network, shape.rows, shape.logits) || shape.rows > use.rows ||
        shape.logits % Logits(model_) != 0)
        return Status::Corrupt("the GPU process has another network");
    networks_ = shape.logits / Logits(model_);
    DLENT_ASSIGN_OR_RETURN(layout_, gpu::BlockLayout::Of(shape));
    DLENT_ASSIGN_OR_RETURN(memory_, gpu::SharedMemory::Map(std::move(received.memory), layout_.bytes(),
                                                           gpu::SharedMemory::Access::kWrite));
    return Status::Ok();
}

Status RemoteScorer::SendWeights(const VersionIdentity& identity, const std::string& key,
                                 const std::string& description, const CancelToken& cancel) {
    MemoryContext loading = CallPostgres([] {
        return AllocSetContextCreate(CurrentMemoryContext, "dlent weights for a GPU", ALLOCSET_DEFAULT_SIZES);
    });
    const StoredArtifact artifact = CallPostgres([&] {
        MemoryContext caller = MemoryContextSwitchTo(loading);
        StoredArtifact found;
        ReadArtifact(identity.version_id, &found);
        MemoryContextSwitchTo(caller);
        return found;
    });
    Expected<gpu::Parcel> parcel =
        gpu::PackModel(key, static_cast<uint32_t>(GpuBlockRows(model_)), description,
                       {artifact.weights, artifact.weights_bytes}, cancel);
    CallPostgres([loading] { MemoryContextDelete(loading); });
    if (!parcel.ok())
        return parcel.status();
    return connection_.Send(gpu::MessageType::kModel, parcel->body, parcel->memory.fd());
}

void RemoteScorer::Score(int rows, const Cell* cells, float* outputs) {
    if (status_.ok())
        status_ = error_.Guard<Status>([&] { return Exchange(rows, cells, outputs); });
    if (status_.code() == StatusCode::kNotFound)
        status_ = ProcessEnded("scored");
    if (!status_.ok())
        std::fill_n(outputs, static_cast<ptrdiff_t>(rows) * output_count(),
                    std::numeric_limits<float>::quiet_NaN());
}

Status RemoteScorer::Exchange(int rows, const Cell* cells, float* outputs) {
    int sent = 0;
    int received = 0;
    int next_slot = 0;
    int under_way = 0;
    while (received < rows) {
        // the next block is encoded while the device works on this one
        while (sent < rows && under_way < gpu::kBlockSlots) {
            const int count = RowsAfter(sent, rows);
            DLENT_RETURN_IF_ERROR(SendBlock({next_slot, static_cast<uint32_t>(count)},
                                            cells + static_cast<ptrdiff_t>(sent) * cell_count()));
            sent += count;
            next_slot = (next_slot + 1) % gpu::kBlockSlots;
            ++under_way;
        }
        const int count = RowsAfter(received, rows);
        const int slot = (next_slot + gpu::kBlockSlots - under_way) % gpu::kBlockSlots;
        DLENT_RETURN_IF_ERROR(ReceiveBlock({slot, static_cast<uint32_t>(count)},
                                           outputs + static_cast<ptrdiff_t>(received) * output_count()));
        received += count;
        --under_way;
    }
    return Status::Ok();
}

Status RemoteScorer::SendBlock(const gpu::BlockReady& block, const Cell* cells) {
    {
        const ScopedFlushToZero flush;
        model_.pipeline.Encode(static_cast<int>(block.rows), cells,
                               layout_.At<float>(memory_.data(), block.slot, layout_.numeric),
                               layout_.At<float>(memory_.data(), block.slot, layout_.plain),
                               layout_.At<int32_t>(memory_.data(), block.slot, layout_.codes));
    }
    return connection_.Send(gpu::MessageType::kScore, block.ToJson());
}

Status RemoteScorer::ReceiveBlock(const gpu::BlockReady& block, float* outputs) {
    DLENT_ASSIGN_OR_RETURN(const gpu::Received received, connection_.Receive(interrupts_));
    if (received.message.type != gpu::MessageType::kScored)
        return Unexpected(received);
    if (received.message.body != block.ToJson())
        return Status::Corrupt("the GPU process answered for another block");
    const auto width = static_cast<size_t>(model_.target.output_count());
    const float* logits = layout_.At<float>(memory_.data(), block.slot, layout_.logits);
    std::fill_n(outputs, block.rows * width, 0.0f);
    for (size_t member = 0; member < model_.members.size(); ++member) {
        for (size_t row = 0; row < block.rows; ++row) {
            for (size_t i = 0; i < networks_; ++i, logits += width)
                answer_.Add(logits, outputs + row * width);
        }
    }
    for (size_t row = 0; row < block.rows; ++row)
        answer_.Finish(model_.members.size() * networks_, outputs + row * width);
    return Status::Ok();
}

void RemoteScorer::ThrowIfInterrupted() const {
    interrupts_.ThrowIfCancelled();
    error_.Throw();
}

}  // namespace dlent::pg
