#include "gpu/protocol/group.h"

#include <cstdint>

#include "core/formats/sha256.h"
#include "gpu/protocol/message.h"

namespace dlent::gpu {
namespace {

constexpr char kDigits[] = "0123456789abcdef";

std::string ToHex(const std::string& bytes) {
    return Hex({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

/// Of no bytes or of kGroupIdBytes.
Expected<std::string> ReadId(const Json& body) {
    DLENT_ASSIGN_OR_RETURN(const std::string hex, ReadText(body, "group", 2 * kGroupIdBytes));
    if ((!hex.empty() && hex.size() != 2 * kGroupIdBytes) ||
        hex.find_first_not_of(kDigits) != std::string::npos)
        return Status::Corrupt("a group whose id has another form");
    std::string bytes(hex.size() / 2, '\0');
    const auto value = [](char digit) { return digit <= '9' ? digit - '0' : digit - 'a' + 10; };
    for (size_t i = 0; i < bytes.size(); ++i)
        bytes[i] = static_cast<char>(value(hex[2 * i]) << 4 | value(hex[2 * i + 1]));
    return bytes;
}

}  // namespace

void RankOfJob::AddTo(Json* body) const {
    (*body)["rank"] = rank;
    (*body)["ranks"] = ranks;
    (*body)["group"] = ToHex(id);
}

Expected<RankOfJob> RankOfJob::FromJson(const Json& body) {
    RankOfJob job;
    DLENT_ASSIGN_OR_RETURN(const uint64_t ranks, ReadUnsigned(body, "ranks", kMaxRanks));
    DLENT_ASSIGN_OR_RETURN(const uint64_t rank, ReadUnsigned(body, "rank", kMaxRanks));
    if (rank >= ranks)
        return Status::Corrupt("a rank that its group does not have");
    job.rank = static_cast<int>(rank);
    job.ranks = static_cast<int>(ranks);
    DLENT_ASSIGN_OR_RETURN(job.id, ReadId(body));
    if ((job.rank == 0) != job.id.empty())
        return Status::Corrupt("a group's id comes from its first rank, and goes to all others");
    return job;
}

Json TurnToJson(const std::string& id) {
    return {{"group", ToHex(id)}};
}

Expected<std::string> TurnFromJson(const Json& body) {
    return ReadId(body);
}

}  // namespace dlent::gpu
