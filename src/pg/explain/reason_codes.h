#pragma once

#include <vector>

#include "core/explain/reason_code.h"
#include "pg/bridge/postgres.h"

namespace dlent::pg {

/// The dictionary of a model, as the active snapshot has it. For C++ frames.
std::vector<ReasonCode> ReadReasonCodes(int64_t model_id);

/// Entries as they are stored with an explanation; XX001 when they are none.
std::vector<ReasonCode> ReasonCodesOf(const Json& stored);

}  // namespace dlent::pg
