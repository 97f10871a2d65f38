#include "core/train/teacher.h"

#include <algorithm>

#include "core/nn/network.h"

namespace dlent {
namespace {

constexpr int kBatchRows = 1024;
/// Rows whose logits are kept at a time.
constexpr size_t kChunkRows = 1 << 16;

}  // namespace

bool CanTeach(const Recipe& recipe) {
    const LossKind loss = recipe.trainer.loss.kind;
    return loss == LossKind::kSquared || loss == LossKind::kBinaryCrossEntropy;
}

Status PredictTargets(const Model& model, const TrainingData& data, std::span<const uint32_t> rows,
                      Backend& backend, const CancelToken& cancel, std::vector<float>* answers) {
    const bool binary = model.target.task() == Task::kBinary;
    DLENT_ASSIGN_OR_RETURN(const std::unique_ptr<Network> network,
                           Network::Create(model.network, backend, kBatchRows, false));
    const size_t width = static_cast<size_t>(network->members());
    const float share = 1.0f / static_cast<float>(width * model.members.size());
    for (const uint32_t row : rows)
        (*answers)[row] = 0.0f;
    std::vector<float> logits(std::min(rows.size(), kChunkRows) * width);
    std::vector<float> values(logits.size());
    for (const std::vector<NamedTensorData>& member : model.members) {
        DLENT_RETURN_IF_ERROR(network->Load(member));
        for (size_t first = 0; first < rows.size(); first += kChunkRows) {
            const std::span<const uint32_t> chunk =
                rows.subspan(first, std::min(kChunkRows, rows.size() - first));
            const std::span<float> of_chunk(logits.data(), chunk.size() * width);
            DLENT_RETURN_IF_ERROR(PredictLogits(*network, backend, data, chunk, of_chunk, cancel));
            const float* value = of_chunk.data();
            if (binary) {
                backend.Probabilities(static_cast<int>(of_chunk.size()), 1, 1.0f / model.temperature,
                                      of_chunk.data(), values.data());
                value = values.data();
            }
            for (const uint32_t row : chunk) {
                for (size_t i = 0; i < width; ++i)
                    (*answers)[row] += share * *value++;
            }
        }
    }
    return Status::Ok();
}

}  // namespace dlent
