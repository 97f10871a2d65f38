// A message of the GPU protocol is hostile bytes: DecodeMessage answers with an error, or with an object that
// encoded again reads as itself, and no reader of its members takes what is out of range.

#include <cstdint>
#include <string_view>

#include "fuzzing.h"
#include "gpu/protocol/group.h"
#include "gpu/protocol/job.h"
#include "gpu/protocol/message.h"
#include "gpu/protocol/scoring.h"

namespace {

using namespace dlent;
using namespace dlent::gpu;

void ReadAsEverything(const Json& body) {
    if (const auto shape = ImageShape::FromJson(body); shape.ok()) {
        Require(shape->rows > 0);
        const auto layout = ImageLayout::Of(*shape);
        Require(!layout.ok() || layout->bytes >= shape->rows * sizeof(float));
        Require(ImageShape::FromJson(shape->ToJson()).ok());
    }
    if (const auto bytes = JobBytes(body); bytes.ok())
        Require(*bytes > 0);
    if (const auto bytes = ResultBytes(body); bytes.ok())
        Require(*bytes > 0);
    if (const auto progress = ProgressFromJson(body); progress.ok())
        Require(ProgressFromJson(ProgressToJson(*progress)).ok());
    if (const auto status = DeviceStatus::FromJson(body); status.ok())
        Require(DeviceStatus::FromJson(status->ToJson()).ok());
    if (const auto use = ModelUse::FromJson(body); use.ok()) {
        Require(use->rows > 0 && use->key.size() == 64);
        Require(!use->has_weights() || *use->Bytes() > 0);
        Require(ModelUse::FromJson(use->ToJson()).ok());
    }
    if (const auto shape = BlockShape::FromJson(body); shape.ok()) {
        const auto layout = BlockLayout::Of(*shape);
        Require(!layout.ok() || layout->bytes() >= uint64_t{shape->rows} * shape->logits * sizeof(float));
        Require(*BlockShape::FromJson(shape->ToJson()) == *shape);
        if (const auto ready = BlockReady::FromJson(body, *shape); ready.ok())
            Require(ready->rows <= shape->rows && ready->slot < kBlockSlots);
    }
    if (const auto rank = RankOfJob::FromJson(body); rank.ok()) {
        Require(rank->rank >= 0 && rank->rank < rank->ranks && rank->ranks <= kMaxRanks);
        Require(rank->id.size() == (rank->rank == 0 ? 0 : kGroupIdBytes));
        Json again = Json::object();
        rank->AddTo(&again);
        Require(RankOfJob::FromJson(again).ok() && RankOfJob::FromJson(again)->id == rank->id);
    }
    if (const auto id = TurnFromJson(body); id.ok())
        Require((id->empty() || id->size() == kGroupIdBytes) && *TurnFromJson(TurnToJson(*id)) == *id);
    Require(!StatusFromJson(body).ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    if (const auto object = ParseObject(bytes); object.ok())
        ReadAsEverything(*object);
    const auto message = DecodeMessage(bytes);
    if (!message.ok()) {
        Require(message.status().code() == StatusCode::kCorrupt ||
                message.status().code() == StatusCode::kUnsupported);
        return 0;
    }
    ReadAsEverything(message->body);
    const auto encoded = EncodeMessage(message->type, message->body);
    if (!encoded.ok())  // what was written shorter than we write it
        return 0;
    const auto again = DecodeMessage(*encoded);
    Require(again.ok() && again->type == message->type && again->body == message->body);
    return 0;
}
