#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/json.h"
#include "core/base/status.h"

namespace dlent::gpu {

/// Of messages and of what they mean; both ends must have the same. Raised with every change.
inline constexpr uint16_t kProtocolVersion = 3;
inline constexpr uint32_t kMessageMagic = 0x54474c44;  ///< "DLGT"
inline constexpr size_t kMessageHeaderBytes = 12;
inline constexpr size_t kMaxMessageBytes = 60 * 1024;

enum class MessageType : uint16_t {
    kHello = 1,    ///< session: who speaks
    kWelcome,      ///< gpud: the same, and the device
    kStatusQuery,  ///< session
    kStatus,       ///< gpud: DeviceStatus
    kImage,        ///< session, with memory: the rows that the next jobs read (ImageShape)
    kTrain,        ///< session, with memory: a job (JobSizes), and for which of several devices (RankOfJob)
    kCancel,       ///< session: the job is to end; it answers with kError
    kProgress,     ///< gpud: TrainingProgress of the job
    kResult,       ///< gpud, with memory: what the job made (ResultSizes)
    kError,        ///< gpud: Status of the job or of the last message
    kModel,        ///< session, with memory or without: the model that its rows are scored by (ModelUse)
    kModelWanted,  ///< gpud: the model is not on the device; the session sends kModel with its weights
    kModelReady,   ///< gpud, with memory that both write: where blocks are handed over (BlockShape)
    kScore,        ///< session: the rows of a block are there (BlockReady)
    kScored,       ///< gpud: their logits are
    kTurn,         ///< gpud: the job of one of several devices has its turn (TurnToJson)
};
inline constexpr uint16_t kLastMessageType = static_cast<uint16_t>(MessageType::kTurn);

/// One datagram of a SOCK_SEQPACKET socket, in the byte order of the machine that both ends share:
///   uint32 magic, uint16 protocol version, uint16 type, uint32 bytes of the body, body (a JSON object)
struct Message {
    MessageType type = MessageType::kError;
    Json body = Json::object();
};

/// kResourceLimit when it is too long.
Expected<std::string> EncodeMessage(MessageType type, const Json& body);
/// Trusts nothing. kUnsupported when another version of the protocol wrote it, kCorrupt otherwise.
Expected<Message> DecodeMessage(std::string_view bytes);

/// A JSON object, from bytes that are not trusted; kCorrupt. Nesting is bounded.
Expected<Json> ParseObject(std::string_view bytes);

// Members of objects that are not trusted: there, of the type, in the range; else kCorrupt naming the member.
Expected<uint64_t> ReadUnsigned(const Json& object, const char* name, uint64_t most);
Expected<double> ReadDouble(const Json& object, const char* name);  ///< null is NaN
Expected<bool> ReadBool(const Json& object, const char* name);
Expected<std::string> ReadText(const Json& object, const char* name, size_t most_bytes = 4096);

/// NaN and the infinities as JSON has them: null.
Json NumberOrNull(double value);

/// What kError says. An untrusted code becomes kInternal.
Json StatusToJson(const Status& status);
Status StatusFromJson(const Json& body);

}  // namespace dlent::gpu
