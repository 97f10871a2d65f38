// Jobs that judge a rollout and act on the verdict: {"options": {...}} of dlent_check_rollout(), by default
// with {"apply": true}.

#include "pg/bridge/postgres.h"

#include "pg/catalog/models.h"
#include "pg/rollout/check_rollout.h"
#include "pg/workers/sql_action.h"

namespace dlent::pg {
namespace {

constexpr SqlArgument kArguments[] = {{"options", SqlArgument::Type::kJson, false}};

Json Check(const std::string& model, const Json& arguments) {
    Json resolved = CheckSqlArguments(arguments, kArguments, std::size(kArguments));
    Json& options = resolved["options"];
    if (options.is_null())
        options = Json::object();
    options.emplace("apply", true);
    const bool apply = CheckRolloutRequest::Parse(options).apply;
    ResolveVersion({ParseModelName(model), 0}, apply ? Privilege::kManage : Privilege::kPredict);
    return resolved;
}

Json Run(JobContext& context) {
    return CallSqlFunction(context, "dlent_check_rollout", kArguments, std::size(kArguments));
}

}  // namespace

const JobAction kCheckRolloutAction = {"check_rollout", Check, Run};

}  // namespace dlent::pg
