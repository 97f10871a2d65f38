#pragma once

#include "pg/functions/training.h"
#include "pg/workers/job_action.h"

namespace dlent::pg {

/// Trains and stores a version as part of a job: reads in one transaction, learns in none, so that no
/// snapshot is held for hours, and stores in another, which it leaves open. Networks that an attempt before
/// this one has finished are taken from the job's checkpoints. For C++ frames.
StoredVersion TrainInJob(JobContext& context, const TrainingRequest& request, TrainedOnDevice* trained);

}  // namespace dlent::pg
