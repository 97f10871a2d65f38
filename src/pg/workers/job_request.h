#pragma once

#include <string>

#include "pg/workers/job_policy.h"

namespace dlent::pg {

// What every function that asks for a job, or for jobs on a schedule, checks. For C++ frames.

/// Checks everything and inserts a job of the current user's, which starts at commit; its number.
int64_t StartJob(const char* command, const std::string& action, const std::string& model,
                 const Json& arguments, Json options, const JobPolicy& defaults);

/// Checks everything and makes a schedule of the current user's; its number. WARNING where no scheduler runs.
int64_t MakeSchedule(const std::string& model, const std::string& expression, const std::string& action,
                     Json options);

/// 28000 unless `owner` can have sessions in this database.
void CheckOwner(Oid owner);

/// Whether the current user may cancel, pause and so on what `owner` asked for: who has that role, and who
/// manages the model.
bool MayManageJobs(Oid owner, const std::string& model);

/// 42501 where code of one role runs on behalf of another that only maintains its objects: it must not get a
/// session of its own. For frames without destructors.
void RefuseRestricted(const char* command);

}  // namespace dlent::pg
