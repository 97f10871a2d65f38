// Jobs that call dlent_evaluate(): {"source": "...", "options": {...}}.

#include "pg/bridge/postgres.h"

#include "pg/catalog/models.h"
#include "pg/workers/sql_action.h"

namespace dlent::pg {
namespace {

constexpr SqlArgument kArguments[] = {{"source", SqlArgument::Type::kText, true},
                                      {"options", SqlArgument::Type::kJson, false}};

Json Check(const std::string& model, const Json& arguments) {
    ResolveVersion(ParseModelReference(model), Privilege::kPredict);
    return CheckSqlArguments(arguments, kArguments, std::size(kArguments));
}

Json Run(JobContext& context) {
    return CallSqlFunction(context, "dlent_evaluate", kArguments, std::size(kArguments));
}

}  // namespace

const JobAction kEvaluateAction = {"evaluate", Check, Run};

}  // namespace dlent::pg
