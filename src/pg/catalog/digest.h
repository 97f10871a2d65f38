#pragma once

#include <cstdint>

#include "pg/bridge/postgres.h"

namespace dlent::pg {

/// The content address of a version: what is derived from its bytes may be kept under this name, and versions
/// that share it score alike. The first 16 bytes of the SHA-256 of
///   the specification, as jsonb prints it, in UTF-8;  a zero byte;
///   the pipeline, likewise;                           a zero byte;
///   the SHA-256 of the weights, 32 bytes.
struct VersionDigest {
    uint8_t bytes[16] = {};

    bool operator==(const VersionDigest&) const = default;
};

// Both raise PostgreSQL errors: call them from frames without destructors.

/// `weights_sha256` has 32 bytes.
VersionDigest ComputeDigest(Jsonb* specification, Jsonb* pipeline, const uint8_t* weights_sha256);

/// A uuid in the current memory context.
Datum UuidOfDigest(const VersionDigest& digest);

VersionDigest DigestOfUuid(Datum uuid);

/// As uuid prints it; in the current memory context.
const char* DigestText(const VersionDigest& digest);
/// The other way; an error when it is no uuid.
VersionDigest DigestOfText(const char* text);

}  // namespace dlent::pg
