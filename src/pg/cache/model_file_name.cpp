#include "pg/bridge/postgres.h"

#include "pg/cache/model_file_name.h"

#include <cstdio>

extern "C" {
#include "storage/fd.h"
}

namespace dlent::pg {
namespace {

static_assert(std::string_view(kModelFileDirectory) == "base/" PG_TEMP_FILES_DIR);
constexpr const char* kPrefix = PG_TEMP_FILE_PREFIX "_dlent_";
constexpr size_t kDigestDigits = 2 * sizeof(VersionDigest::bytes);

}  // namespace

ModelFilePath ModelFileName::Path() const {
    char hex[kDigestDigits + 1];
    for (size_t i = 0; i < sizeof(digest.bytes); ++i)
        std::snprintf(hex + 2 * i, 3, "%02x", digest.bytes[i]);
    ModelFilePath path;
    const int length = std::snprintf(path.data(), path.size(), "%s/%s%u_%s_%d", kModelFileDirectory, kPrefix,
                                     database, hex, format);
    if (writer != 0)
        std::snprintf(path.data() + length, path.size() - length, ".%d.%u", writer, counter);
    return path;
}

std::optional<ModelFileName> ModelFileName::Parse(const char* name) {
    if (std::strncmp(name, kPrefix, std::strlen(kPrefix)) != 0)
        return std::nullopt;
    ModelFileName parsed;
    char hex[kDigestDigits + 1] = {};
    if (std::sscanf(name + std::strlen(kPrefix), "%10u_%32[0-9a-f]_%9d.%10d.%10u", &parsed.database, hex,
                    &parsed.format, &parsed.writer, &parsed.counter) < 3 ||
        std::strlen(hex) != kDigestDigits)
        return std::nullopt;
    for (size_t i = 0; i < sizeof(parsed.digest.bytes); ++i) {
        unsigned byte = 0;
        std::sscanf(hex + 2 * i, "%2x", &byte);
        parsed.digest.bytes[i] = static_cast<uint8_t>(byte);
    }
    // only what Path() would write is ours
    const ModelFilePath path = parsed.Path();
    return std::strcmp(path.data() + std::strlen(kModelFileDirectory) + 1, name) == 0 ? std::optional(parsed)
                                                                                      : std::nullopt;
}

}  // namespace dlent::pg
