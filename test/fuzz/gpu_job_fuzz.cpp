// The memory of a job, of a result and of a model is hostile bytes. The first 32 bytes of the input are the
// four sizes of a message, the rest is the memory.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/formats/sha256.h"
#include "fuzzing.h"
#include "gpu/protocol/image.h"
#include "gpu/protocol/job.h"
#include "gpu/protocol/scoring.h"

namespace {

using namespace dlent;
using namespace dlent::gpu;

constexpr size_t kHeaderBytes = 32;
constexpr size_t kMaxMemory = 1 << 20;

void CheckJob(const TrainJob& job) {
    Require(job.network.Validate().ok());
    Require(job.options.batch_size >= 1 && std::isfinite(job.options.learning_rate));
    const auto parcel = PackJob(job.network, job.tensors, job.options, job.precision, job.train_rows,
                                job.validation_rows, NeverCancelled());
    Require(parcel.ok());
    const auto again = UnpackJob(parcel->body, {parcel->memory.data(), parcel->memory.size()});
    Require(again.ok() && again->train_rows == job.train_rows &&
            again->validation_rows == job.validation_rows && again->tensors.size() == job.tensors.size());
}

/// A model under the key of whatever bytes there are: past that, nothing else protects.
void CheckModel(uint64_t description, uint64_t weights, std::vector<std::byte>* memory) {
    ModelUse use;
    use.rows = 1;
    use.description = description;
    use.weights = weights;
    use.key = std::string(64, '0');
    if (!ModelUse::FromJson(use.ToJson()).ok() || !use.has_weights())
        return;
    const auto bytes = use.Bytes();
    if (!bytes.ok() || *bytes > kMaxMemory)
        return;
    memory->resize(*bytes);
    Sections sections;
    sections.Add(description, 1);
    const char* const text = reinterpret_cast<const char*>(memory->data());
    const std::string_view stored(text + sections.Add(weights, 1), weights);
    const std::string_view described(text, description);
    Require(!UnpackModel(use, *memory).ok());
    use.key = ModelKey(described, Sha256Hex(stored));
    const auto model = UnpackModel(use, *memory);
    if (!model.ok())
        return;
    Require(model->network.Validate().ok() && !model->members.empty());
    const auto parcel = PackModel(use.key, 1, described, stored, NeverCancelled());
    Require(parcel.ok() && UnpackModel(use, {parcel->memory.data(), parcel->memory.size()}).ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < kHeaderBytes)
        return 0;
    uint64_t sizes[4];
    std::memcpy(sizes, data, kHeaderBytes);
    const Json job_body = {{"description", sizes[0]},
                           {"tensors", sizes[1]},
                           {"train_rows", sizes[2]},
                           {"validation_rows", sizes[3]}};
    const Json result_body = {{"description", sizes[0]}, {"tensors", sizes[1]}, {"logits", sizes[2]}};
    const auto* bytes = reinterpret_cast<const std::byte*>(data);
    std::vector<std::byte> memory(bytes + kHeaderBytes, bytes + size);
    const auto fit = [&memory](const Expected<size_t>& needed) {
        if (needed.ok() && *needed <= kMaxMemory)
            memory.resize(*needed);
        return needed.ok() && *needed <= kMaxMemory;
    };
    if (fit(JobBytes(job_body))) {
        const auto job = UnpackJob(job_body, memory);
        if (job.ok())
            CheckJob(*job);
    }
    CheckModel(sizes[0], sizes[1], &memory);
    if (fit(ResultBytes(result_body))) {
        const auto result = UnpackResult(result_body, memory);
        if (result.ok()) {
            const auto parcel = PackResult(result->result, result->tensors, NeverCancelled());
            Require(parcel.ok());
            Require(UnpackResult(parcel->body, {parcel->memory.data(), parcel->memory.size()}).ok());
        }
    }
    return 0;
}
