#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/nn/named_tensor.h"
#include "core/nn/network_spec.h"
#include "core/train/trainer.h"
#include "gpu/protocol/image.h"
#include "gpu/protocol/shared_memory.h"

namespace dlent::gpu {

/// How products of matrices are computed; everything else, and the master weights, are fp32.
enum class Precision : uint8_t { kFp32, kTf32, kBf16 };
const char* PrecisionName(Precision precision);

/// A message's body and the memory that goes with it.
struct Parcel {
    Json body;
    SharedMemory memory;
};

/// One training of one network on the rows of an image.
struct TrainJob {
    NetworkSpec network;
    std::vector<NamedTensorData> tensors;  ///< all of the network, as it is to start
    TrainerOptions options;
    Precision precision = Precision::kFp32;
    std::vector<uint32_t> train_rows;
    std::vector<uint32_t> validation_rows;
};

/// What a session sends with kTrain. The memory is, each part on a cache line: a description (JSON), the
/// tensors (safetensors), the rows to train on, those to validate on; the body has their sizes.
Expected<Parcel> PackJob(const NetworkSpec& network, std::span<const NamedTensorData> tensors,
                         const TrainerOptions& options, Precision precision,
                         std::span<const uint32_t> train_rows, std::span<const uint32_t> validation_rows,
                         const CancelToken& cancel);
/// How much memory the body says there is; kCorrupt.
Expected<size_t> JobBytes(const Json& body);
/// Trusts neither; kCorrupt (or kInvalidArgument from the network's specification) names what is wrong. Rows
/// are checked by CheckRows().
Expected<TrainJob> UnpackJob(const Json& body, std::span<const std::byte> memory);
/// That all rows are in the image and have a label, where there are labels.
Status CheckRows(std::span<const uint32_t> rows, const ImageData& data);

/// What gpud sends with kResult: description, tensors, logits.
Expected<Parcel> PackResult(const TrainerResult& result, std::span<const NamedTensorData> tensors,
                            const CancelToken& cancel);
Expected<size_t> ResultBytes(const Json& body);
struct JobResult {
    TrainerResult result;
    std::vector<NamedTensorData> tensors;
};
Expected<JobResult> UnpackResult(const Json& body, std::span<const std::byte> memory);

Json ProgressToJson(const TrainingProgress& progress);
/// The phase is left empty: the session knows it.
Expected<TrainingProgress> ProgressFromJson(const Json& body);

/// A device as its process knows it.
struct DeviceStatus {
    std::string name;
    std::string kind;    ///< "cuda", "fake"
    std::string driver;  ///< versions, for people
    uint64_t memory_total = 0;
    uint64_t memory_used = 0;  ///< of our jobs
    uint64_t memory_limit = 0;
    uint64_t jobs = 0;  ///< that run
    uint64_t waiting = 0;
    uint64_t jobs_done = 0;
    uint64_t pid = 0;
    double flops_per_second = 0.0;  ///< the best that a job has reached; 0: none yet
    double step_seconds = 0.0;      ///< the shortest step of a job; 0: none yet
    uint64_t models = 0;            ///< whose weights are on the device, to score by
    uint64_t rows_scored = 0;
    double scoring_flops_per_second = 0.0;  ///< the best that a block has reached; 0: none yet
    double block_seconds = 0.0;             ///< the shortest block; 0: none yet

    Json ToJson() const;
    static Expected<DeviceStatus> FromJson(const Json& body);
};

}  // namespace dlent::gpu
