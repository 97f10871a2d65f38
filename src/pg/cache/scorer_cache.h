#pragma once

#include <memory>

#include "core/model/scorer.h"
#include "pg/bridge/postgres.h"
#include "pg/catalog/models.h"

namespace dlent::pg {

/// The packed model of a version: from this backend's cache; else from the file that the backends of the
/// machine share; else read from the catalog, verified, packed, and written to that file for the others.
/// Versions never change, so what is cached stays right; the least recently used go when the cache outgrows
/// dlent.model_cache_size. A scorer in use outlives its eviction. For C++ frames; throws PgError and
/// SqlError.
std::shared_ptr<Scorer> AcquireScorer(const VersionIdentity& identity);

}  // namespace dlent::pg
