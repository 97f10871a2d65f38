#pragma once

#include "core/base/cancel.h"
#include "core/model/score_cost.h"
#include "core/model/scorer_factory.h"
#include "core/nn/backend.h"
#include "core/train/checkpoint.h"
#include "core/train/network_trainer.h"
#include "core/train/trainer.h"
#include "core/train/training_pool.h"

namespace dlent {

/// Who carries a model's trainings out, and who watches them. What it names outlives the training.
struct TrainingServices {
    Backend& backend;
    const CancelToken& cancel;
    ProgressCallback progress = {};  ///< called on the calling thread; may be empty
    TrainingPool* pool =
        nullptr;  ///< trains networks beside each other, to the same bytes (but under a time limit)
    NetworkTrainer* device = nullptr;  ///< may take the trainings over, on the terms of its Begin()
    /// What it has is not trained again, to the same bytes. Called on the calling thread.
    CheckpointStore* checkpoints = nullptr;
    /// Makes what scores the held-out rows in int8 too, where options.score_precision asks for it.
    ScorerFactory make_scorer = {};
    ScoreCostFunction measure = {};  ///< of TrainWithinBudget
};

}  // namespace dlent
