#pragma once

#include <memory>
#include <vector>

#include "core/model/scorer.h"
#include "pg/bridge/postgres.h"
#include "pg/catalog/models.h"
#include "pg/functions/answer.h"
#include "pg/functions/feature_arguments.h"

namespace dlent::pg {

/// How a call reads its features and gives its answer, by one version; and buffers for a row.
struct PreparedCall {
    std::unique_ptr<FeatureArguments> arguments;
    AnswerFormat format;
    std::vector<Cell> cells;
    std::vector<float> outputs;
};

/// Prepares the call of `fcinfo`'s call site, whose features begin at `first_argument`, for a version and its
/// scorer, which must outlive the use of what is returned. The session keeps what was prepared for arguments
/// whose types are PostgreSQL's own, so that the next statement, whose call sites are new, need not find out
/// again how they are read. Anything else lives in `context`. For C++ frames; throws as FeatureArguments and
/// AnswerFormat do.
std::shared_ptr<PreparedCall> PrepareCall(FunctionCallInfo fcinfo, int first_argument, Answer answer,
                                          const VersionIdentity& version,
                                          const std::shared_ptr<Scorer>& scorer, MemoryContext context);

}  // namespace dlent::pg
