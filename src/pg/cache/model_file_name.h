#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "pg/bridge/postgres.h"
#include "pg/catalog/digest.h"

namespace dlent::pg {

/// Where model files are, below the data directory.
inline constexpr const char* kModelFileDirectory = "base/pgsql_tmp";

/// Grows with the layout of the file and of the packed model, so that a library that is replaced under
/// running sessions does not read the other's files.
inline constexpr int kModelFileFormat = 1;

using ModelFilePath = std::array<char, 160>;

/// What the name of a model file says.
struct ModelFileName {
    Oid database = InvalidOid;
    VersionDigest digest;
    int format = kModelFileFormat;
    int writer = 0;        ///< process that is writing it; 0: it is complete
    unsigned counter = 0;  ///< of the writer's files

    /// Relative to the data directory.
    ModelFilePath Path() const;
    /// Takes the name of a directory entry apart; nothing when it is no model file's.
    static std::optional<ModelFileName> Parse(const char* name);
};

}  // namespace dlent::pg
