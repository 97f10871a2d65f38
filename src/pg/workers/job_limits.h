#pragma once

#include "pg/workers/job_policy.h"

namespace dlent::pg {

// The limits of time of a running attempt, looked after by a timer of the process: it cancels what goes on
// when one is reached, and ends the process when that does not help.

enum class Limit { kNone, kRun, kIdle };

/// From now on. Throws.
void StartLimits(const JobPolicy& policy);
/// No more. For frames that may be left by a PostgreSQL error.
void StopLimits();
/// The attempt makes progress.
void NoteProgress();
/// Which limit was reached since StartLimits().
Limit ReachedLimit();

}  // namespace dlent::pg
