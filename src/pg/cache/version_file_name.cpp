#include "pg/bridge/postgres.h"

#include "pg/cache/version_file_name.h"

#include <cstdio>

extern "C" {
// the names of temporary files: in the one or, from PostgreSQL 17 on, in the other
#include "common/file_utils.h"
#include "storage/fd.h"
}

namespace dlent::pg {
namespace {

static_assert(std::string_view(kVersionFileDirectory) == "base/" PG_TEMP_FILES_DIR);
constexpr const char* kPrefix = PG_TEMP_FILE_PREFIX "_dlent_";

/// 32 hexadecimal digits and the zero that ends them.
using DigestHex = std::array<char, 2 * sizeof(VersionDigest::bytes) + 1>;

DigestHex HexOf(const VersionDigest& digest) {
    DigestHex hex;
    for (size_t i = 0; i < sizeof(digest.bytes); ++i)
        std::snprintf(&hex[2 * i], 3, "%02x", digest.bytes[i]);
    return hex;
}

VersionDigest DigestOfHex(const DigestHex& hex) {
    VersionDigest digest;
    for (size_t i = 0; i < sizeof(digest.bytes); ++i) {
        unsigned byte = 0;
        std::sscanf(&hex[2 * i], "%2x", &byte);
        digest.bytes[i] = static_cast<uint8_t>(byte);
    }
    return digest;
}

}  // namespace

VersionFilePath VersionFileName::Path() const {
    VersionFilePath path;
    int length = std::snprintf(path.data(), path.size(), "%s/%s%u_%s_", kVersionFileDirectory, kPrefix,
                               database, HexOf(key.version).data());
    if (key.probe.has_value())
        length += std::snprintf(path.data() + length, path.size() - length, "%s_", HexOf(*key.probe).data());
    length += std::snprintf(path.data() + length, path.size() - length, "%d", format);
    if (writer != 0)
        std::snprintf(path.data() + length, path.size() - length, ".%d.%u", writer, counter);
    return path;
}

std::optional<VersionFileName> VersionFileName::Parse(const char* name) {
    if (std::strncmp(name, kPrefix, std::strlen(kPrefix)) != 0)
        return std::nullopt;
    const char* rest = name + std::strlen(kPrefix);
    VersionFileName parsed;
    DigestHex version = {};
    DigestHex probe = {};
    if (std::sscanf(rest, "%10u_%32[0-9a-f]_%32[0-9a-f]_%9d.%10d.%10u", &parsed.database, version.data(),
                    probe.data(), &parsed.format, &parsed.writer, &parsed.counter) >= 4)
        parsed.key.probe = DigestOfHex(probe);
    else if (std::sscanf(rest, "%10u_%32[0-9a-f]_%9d.%10d.%10u", &parsed.database, version.data(),
                         &parsed.format, &parsed.writer, &parsed.counter) < 3)
        return std::nullopt;
    parsed.key.version = DigestOfHex(version);
    // only what Path() would write is ours
    const VersionFilePath path = parsed.Path();
    return std::strcmp(path.data() + std::strlen(kVersionFileDirectory) + 1, name) == 0
               ? std::optional(parsed)
               : std::nullopt;
}

}  // namespace dlent::pg
