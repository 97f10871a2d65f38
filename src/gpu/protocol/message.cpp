#include "gpu/protocol/message.h"

#include <cmath>
#include <cstring>
#include <limits>

namespace dlent::gpu {
namespace {

constexpr int kMaxDepth = 32;

/// Whether arrays and objects nest at most kMaxDepth deep: what walks parsed JSON may recurse.
bool IsShallow(std::string_view text) {
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (in_string) {
            if (c == '\\')
                ++i;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > kMaxDepth)
                return false;
        } else if (c == ']' || c == '}') {
            --depth;
        }
    }
    return true;
}

Status BadMember(const char* name, const char* problem) {
    return Status::Corrupt(std::string("message member \"") + name + "\" " + problem);
}

template <typename T>
void Append(std::string* to, T value) {
    to->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

template <typename T>
T Load(std::string_view bytes, size_t offset) {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof(value));
    return value;
}

}  // namespace

Expected<std::string> EncodeMessage(MessageType type, const Json& body) {
    const std::string text = body.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (text.size() > kMaxMessageBytes)
        return Status(StatusCode::kResourceLimit, "a message to the GPU process is too long");
    std::string bytes;
    bytes.reserve(kMessageHeaderBytes + text.size());
    Append(&bytes, kMessageMagic);
    Append(&bytes, kProtocolVersion);
    Append(&bytes, static_cast<uint16_t>(type));
    Append(&bytes, static_cast<uint32_t>(text.size()));
    bytes += text;
    return bytes;
}

Expected<Message> DecodeMessage(std::string_view bytes) {
    if (bytes.size() < kMessageHeaderBytes || Load<uint32_t>(bytes, 0) != kMessageMagic)
        return Status::Corrupt("not a message of the GPU protocol");
    const auto version = Load<uint16_t>(bytes, 4);
    if (version != kProtocolVersion)
        return Status(StatusCode::kUnsupported, "GPU protocol version " + std::to_string(version) +
                                                    " where this build speaks version " +
                                                    std::to_string(kProtocolVersion));
    const auto type = Load<uint16_t>(bytes, 6);
    if (type < 1 || type > kLastMessageType)
        return Status::Corrupt("unknown message type " + std::to_string(type));
    const auto length = Load<uint32_t>(bytes, 8);
    if (length > kMaxMessageBytes || length != bytes.size() - kMessageHeaderBytes)
        return Status::Corrupt("a message of another length than it says");
    DLENT_ASSIGN_OR_RETURN(Json body, ParseObject(bytes.substr(kMessageHeaderBytes)));
    return Message{static_cast<MessageType>(type), std::move(body)};
}

Expected<Json> ParseObject(std::string_view bytes) {
    if (!IsShallow(bytes))
        return Status::Corrupt("JSON nested too deep");
    Json json = Json::parse(bytes.begin(), bytes.end(), nullptr, false);
    if (json.is_discarded() || !json.is_object())
        return Status::Corrupt("not a JSON object");
    return json;
}

Expected<uint64_t> ReadUnsigned(const Json& object, const char* name, uint64_t most) {
    const auto member = object.find(name);
    if (member == object.end() || !member->is_number_integer() ||
        (!member->is_number_unsigned() && member->get<int64_t>() < 0))
        return BadMember(name, "is not a whole number of at least 0");
    const auto value = member->get<uint64_t>();
    if (value > most)
        return BadMember(name, "is too large");
    return value;
}

Expected<double> ReadDouble(const Json& object, const char* name) {
    const auto member = object.find(name);
    if (member == object.end() || !(member->is_number() || member->is_null()))
        return BadMember(name, "is not a number");
    return member->is_null() ? std::numeric_limits<double>::quiet_NaN() : member->get<double>();
}

Expected<bool> ReadBool(const Json& object, const char* name) {
    const auto member = object.find(name);
    if (member == object.end() || !member->is_boolean())
        return BadMember(name, "is not true or false");
    return member->get<bool>();
}

Expected<std::string> ReadText(const Json& object, const char* name, size_t most_bytes) {
    const auto member = object.find(name);
    if (member == object.end() || !member->is_string())
        return BadMember(name, "is not a text");
    auto text = member->get<std::string>();
    if (text.size() > most_bytes)
        return BadMember(name, "is too long");
    return text;
}

Json NumberOrNull(double value) {
    return std::isfinite(value) ? Json(value) : Json(nullptr);
}

Json StatusToJson(const Status& status) {
    return {{"code", static_cast<unsigned>(status.code())},
            {"message", status.message()},
            {"detail", status.detail()},
            {"hint", status.hint()}};
}

Status StatusFromJson(const Json& body) {
    const auto text = [&body](const char* name) {
        Expected<std::string> value = ReadText(body, name);
        return value.ok() ? *value : std::string();
    };
    const Expected<uint64_t> code = ReadUnsigned(body, "code", static_cast<uint64_t>(StatusCode::kInternal));
    if (!code.ok() || *code == static_cast<uint64_t>(StatusCode::kOk))
        return Status::Internal("the GPU process reported an error that it does not name");
    return {static_cast<StatusCode>(*code), text("message"), text("detail"), text("hint")};
}

}  // namespace dlent::gpu
