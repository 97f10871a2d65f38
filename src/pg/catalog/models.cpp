#include "pg/catalog/models.h"

#include <charconv>

#include "pg/bridge/error.h"
#include "pg/catalog/lookup.h"

extern "C" {
#include "access/xlog.h"
}

namespace dlent::pg {
namespace {

constexpr size_t kMaxNameBytes = 200;

[[noreturn]] void ThrowInvalidName(std::string_view text, const char* why) {
    throw SqlError(ERRCODE_INVALID_NAME,
                   "invalid model name \"" + std::string(text.substr(0, kMaxNameBytes)) + "\"", why);
}

/// What a model may be called: anything printable that is not taken for `name@version`.
void CheckName(std::string_view name, std::string_view text) {
    if (name.empty())
        ThrowInvalidName(text, "A model name cannot be empty.");
    if (name.size() > kMaxNameBytes)
        ThrowInvalidName(text, "A model name has at most 200 bytes.");
    if (name.front() == ' ' || name.back() == ' ')
        ThrowInvalidName(text, "A model name cannot begin or end with a space.");
    for (const char c : name) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            ThrowInvalidName(text, "A model name cannot contain control characters.");
        if (c == '@')
            ThrowInvalidName(text, "The character @ separates a name from a version, as in \"fraud@2\".");
    }
}

}  // namespace

std::string ModelReference::ToString() const {
    return version == 0 ? name : name + "@" + std::to_string(version);
}

ModelReference ParseModelReference(std::string_view text) {
    ModelReference reference;
    const size_t at = text.rfind('@');
    reference.name = text.substr(0, at);
    CheckName(reference.name, text);
    if (at != std::string_view::npos) {
        const char* begin = text.data() + at + 1;
        const char* end = text.data() + text.size();
        const auto [rest, error] = std::from_chars(begin, end, reference.version);
        if (error != std::errc() || rest != end || reference.version < 1)
            ThrowInvalidName(text, "After @ comes the number of a version, as in \"fraud@2\".");
    }
    return reference;
}

std::string ParseModelName(std::string_view text) {
    CheckName(text, text);
    return std::string(text);
}

VersionIdentity ResolveVersion(const ModelReference& reference, Privilege privilege) {
    FoundVersion found;
    CallPostgres([&] { FindVersion(reference.name.c_str(), reference.version, privilege, &found); });
    return {found.model.id, found.id, found.number, found.model.owner, found.digest, reference.name};
}

VersionIdentity ResolveDigest(const VersionDigest& digest, Privilege privilege) {
    FoundVersion found;
    const char* name = nullptr;
    CallPostgres([&] { FindDigest(digest, privilege, &found, &name); });
    return {found.model.id, found.id, found.number, found.model.owner, digest, name};
}

void CheckMayTrain(const std::string& model) {
    CheckName(model, model);
    CallPostgres([&] {
        PreventCommandIfReadOnly("dlent_train()");
        FoundModel found;
        if (FindModel(model.c_str(), &found) && !HasPrivilege(found, Privilege::kManage))
            RaiseDenied(model.c_str());
    });
}

}  // namespace dlent::pg
