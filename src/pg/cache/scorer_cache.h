#pragma once

#include <cstdint>
#include <memory>

#include "core/model/scorer.h"
#include "pg/bridge/postgres.h"

namespace dlent::pg {

/// The packed model of a version: from this backend's cache, or read from the catalog, verified and packed.
/// Versions never change, so what is cached stays right; the least recently used go when the cache outgrows
/// dlent.model_cache_size. A scorer in use outlives its eviction. For C++ frames; throws PgError and
/// SqlError.
std::shared_ptr<Scorer> AcquireScorer(int64_t version_id);

/// Defines dlent.model_cache_size. To be called once, from _PG_init().
void DefineModelCacheSettings();

}  // namespace dlent::pg
