#include "pg/bridge/postgres.h"

#include "pg/catalog/digest.h"

#include "core/formats/sha256.h"

extern "C" {
#include "utils/uuid.h"
}

namespace dlent::pg {
namespace {

static_assert(sizeof(VersionDigest::bytes) == UUID_LEN);

/// Feeds the UTF-8 text of `json` and the zero that ends it.
void Update(Jsonb* json, Sha256* hash) {
    StringInfoData text;
    initStringInfo(&text);
    JsonbToCString(&text, &json->root, VARSIZE(json));
    const char* utf8 = pg_server_to_any(text.data, text.len, PG_UTF8);
    hash->Update({utf8, std::strlen(utf8) + 1});
    if (utf8 != text.data)
        pfree(const_cast<char*>(utf8));
    pfree(text.data);
}

}  // namespace

VersionDigest ComputeDigest(Jsonb* specification, Jsonb* pipeline, const uint8_t* weights_sha256) {
    static_assert(std::is_trivially_destructible_v<Sha256>);
    Sha256 hash;
    Update(specification, &hash);
    Update(pipeline, &hash);
    hash.Update({reinterpret_cast<const char*>(weights_sha256), 32});
    const auto full = hash.Finish();
    VersionDigest digest;
    std::memcpy(digest.bytes, full.data(), sizeof(digest.bytes));
    return digest;
}

Datum UuidOfDigest(const VersionDigest& digest) {
    auto* uuid = static_cast<pg_uuid_t*>(palloc(sizeof(pg_uuid_t)));
    std::memcpy(uuid->data, digest.bytes, UUID_LEN);
    return UUIDPGetDatum(uuid);
}

VersionDigest DigestOfUuid(Datum uuid) {
    VersionDigest digest;
    std::memcpy(digest.bytes, DatumGetUUIDP(uuid)->data, UUID_LEN);
    return digest;
}

const char* DigestText(const VersionDigest& digest) {
    return DatumGetCString(DirectFunctionCall1(uuid_out, UuidOfDigest(digest)));
}

VersionDigest DigestOfText(const char* text) {
    return DigestOfUuid(DirectFunctionCall1(uuid_in, CStringGetDatum(text)));
}

}  // namespace dlent::pg
