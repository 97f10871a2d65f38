#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "pg/bridge/postgres.h"
#include "pg/cache/version_file.h"

namespace dlent::pg {

/// Where these files are, below the data directory.
inline constexpr const char* kVersionFileDirectory = "base/pgsql_tmp";

/// They grow with the layout of the file and of what it holds, so that a library that is replaced under
/// running sessions does not read the other's files.
inline constexpr int kPackedModelFormat = 1;
inline constexpr int kProbeFormat = 1;
inline int FormatOf(const VersionFileKey& key) {
    return key.probe.has_value() ? kProbeFormat : kPackedModelFormat;
}

using VersionFilePath = std::array<char, 160>;

/// What the name of such a file says.
struct VersionFileName {
    Oid database = InvalidOid;
    VersionFileKey key;
    int format = 0;
    int writer = 0;        ///< process that is writing it; 0: it is complete
    unsigned counter = 0;  ///< of the writer's files

    /// Relative to the data directory.
    VersionFilePath Path() const;
    /// Takes the name of a directory entry apart; nothing when it is none of ours.
    static std::optional<VersionFileName> Parse(const char* name);
};

}  // namespace dlent::pg
