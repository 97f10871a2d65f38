#pragma once

#include "core/model/model.h"
#include "pg/catalog/models.h"

namespace dlent::pg {

/// A version's model with its weights, as the catalog has it, verified against its digests. XX001 when they
/// do not fit. For C++ frames; leaves the stored bytes in the current memory context.
Model LoadModel(const VersionIdentity& identity);

}  // namespace dlent::pg
