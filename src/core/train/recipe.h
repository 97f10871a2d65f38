#pragma once

#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/base/status.h"
#include "core/features/pipeline.h"
#include "core/features/target.h"
#include "core/model/model.h"
#include "core/nn/network.h"
#include "core/nn/network_spec.h"
#include "core/train/trainer.h"
#include "core/train/training_options.h"

namespace dlent {

/// How the members of a model share the rows.
enum class MemberPlan : uint8_t {
    kFolds,    ///< member k learns from all folds but the k-th, which validates it
    kHoldOut,  ///< one hold-out part validates all members
};

/// Every number of a training run, after preset, data size, task and the user's options have been weighed.
/// Stored with the version.
struct Recipe {
    std::string kind;  ///< "mlp" or "tabm"
    MemberPlan plan = MemberPlan::kHoldOut;
    int members = 1;         ///< networks trained
    int ensemble_width = 1;  ///< members inside one network (tabm)
    bool refit = false;      ///< train again on all rows for as long as proved best
    /// Members, in folds of blocks, should the rows turn out to be ordered; 0: plan and members stay.
    int ordered_folds = 0;
    double validation_fraction = 0.2;
    std::vector<int> hidden;
    Activation activation = Activation::kRelu;
    double dropout = 0.0;
    NumericEmbedding numeric_embedding = NumericEmbedding::kPiecewiseLinear;
    bool choose_embedding =
        false;  ///< train some members without it, unless held-out rows clearly prefer one way
    int embedding_width = 8;
    TrainerOptions trainer;

    Json ToJson() const;

    /// Trains each member on all folds but one.
    void UseFolds(int count);
    /// Holds the same rows out from all members.
    void UseHoldOut();

    /// Makes the networks those of `model`, which training goes on from; how they are trained stays.
    void AdoptNetworks(const Model& model);
};

/// Weighs `options` for `rows` training rows. The values and the measurements behind them are in
/// docs/recipe.md.
Expected<Recipe> ResolveRecipe(const TrainingOptions& options, Task task, size_t rows);

/// The network of a recipe over the inputs that the pipeline makes.
Expected<NetworkSpec> BuildNetworkSpec(const Recipe& recipe, const Pipeline& pipeline,
                                       const TargetEncoder& target);

/// Sets the constants of such a network: the edges at which the pipeline cuts numbers, where it embeds them.
Status SetPipelineEdges(const Pipeline& pipeline, Network* network);

}  // namespace dlent
