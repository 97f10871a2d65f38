#include "core/model/member_tensors.h"

#include <optional>
#include <string>

namespace dlent {
namespace {

constexpr size_t kShownBytes = 64;  ///< of an untrusted name in a message

/// The member that a tensor belongs to, by the number before the slash; takes it off the name.
std::optional<size_t> TakeMember(std::string* name, size_t member_count) {
    const size_t slash = name->find('/');
    if (slash == std::string::npos || slash == 0 || slash > 3 ||
        name->find_first_not_of("0123456789") != slash || (slash > 1 && name->front() == '0'))
        return std::nullopt;
    const size_t member = std::stoul(name->substr(0, slash));
    if (member >= member_count)
        return std::nullopt;
    name->erase(0, slash + 1);
    return member;
}

}  // namespace

Expected<std::vector<std::vector<NamedTensorData>>> SplitByMember(std::vector<NamedTensorData> tensors,
                                                                  size_t members) {
    std::vector<std::vector<NamedTensorData>> split(members);
    for (NamedTensorData& tensor : tensors) {
        const std::string stored_name = tensor.name.substr(0, kShownBytes);
        const std::optional<size_t> member = TakeMember(&tensor.name, members);
        if (!member)
            return Status::Corrupt("tensor \"" + stored_name + "\" belongs to no member");
        split[*member].push_back(std::move(tensor));
    }
    return split;
}

}  // namespace dlent
