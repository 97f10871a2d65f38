// DROP DATABASE, and what else needs a database without other sessions: our scheduler steps aside, and the
// workers of a database that is dropped end.

#include "pg/bridge/postgres.h"

#include <csignal>

#include "pg/workers/scheduler.h"
#include "pg/workers/scheduler_memory.h"
#include "pg/workers/worker_places.h"

extern "C" {
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
}

namespace dlent::pg {
namespace {

ProcessUtility_hook_type previous_hook = nullptr;

/// The database that a statement wants to itself; null: none.
const char* WantedDatabase(Node* statement) {
    switch (nodeTag(statement)) {
        case T_DropdbStmt:
            return castNode(DropdbStmt, statement)->dbname;
        case T_RenameStmt: {
            const auto* const rename = castNode(RenameStmt, statement);
            return rename->renameType == OBJECT_DATABASE ? rename->subname : nullptr;
        }
        case T_AlterDatabaseStmt:
            return castNode(AlterDatabaseStmt, statement)->dbname;
        case T_CreatedbStmt: {
            List* const options = castNode(CreatedbStmt, statement)->options;
            for (int i = 0; i < list_length(options); ++i) {
                auto* const option = list_nth_node(DefElem, options, i);
                if (std::strcmp(option->defname, "template") == 0 && option->arg != nullptr)
                    return defGetString(option);
            }
            return nullptr;
        }
        default:
            return nullptr;
    }
}

void Standard(PlannedStmt* plan, const char* text, bool read_only_tree, ProcessUtilityContext context,
              ParamListInfo parameters, QueryEnvironment* environment, DestReceiver* receiver,
              QueryCompletion* completion) {
    if (previous_hook != nullptr)
        previous_hook(plan, text, read_only_tree, context, parameters, environment, receiver, completion);
    else
        standard_ProcessUtility(plan, text, read_only_tree, context, parameters, environment, receiver,
                                completion);
}

void OnUtility(PlannedStmt* plan, const char* text, bool read_only_tree, ProcessUtilityContext context,
               ParamListInfo parameters, QueryEnvironment* environment, DestReceiver* receiver,
               QueryCompletion* completion) {
    const char* const name = WantedDatabase(plan->utilityStmt);
    const Oid database = name == nullptr ? InvalidOid : get_database_oid(name, true);
    if (!OidIsValid(database) || database == MyDatabaseId) {
        Standard(plan, text, read_only_tree, context, parameters, environment, receiver, completion);
        return;
    }
    // a role that may not drop it must not end anybody's work
    const bool may_drop = IsA(plan->utilityStmt, DropdbStmt) && OwnsDatabase(database, GetUserId());
    HoldDatabase(database);
    PG_TRY();
    {
        if (may_drop)
            TerminateJobWorkers(database);
        Standard(plan, text, read_only_tree, context, parameters, environment, receiver, completion);
    }
    PG_FINALLY();
    { ReleaseDatabase(database); }
    PG_END_TRY();
}

}  // namespace

void InstallDatabaseHook() {
    if (!process_shared_preload_libraries_in_progress)
        return;
    previous_hook = ProcessUtility_hook;
    ProcessUtility_hook = OnUtility;
}

}  // namespace dlent::pg
