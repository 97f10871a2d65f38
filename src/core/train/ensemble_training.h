#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/features/split.h"
#include "core/features/table.h"
#include "core/nn/named_tensor.h"
#include "core/nn/network_spec.h"
#include "core/train/judgement.h"
#include "core/train/member_runs.h"
#include "core/train/recipe.h"
#include "core/train/train_model.h"
#include "core/train/trainer.h"
#include "core/train/training_options.h"
#include "core/train/training_services.h"

namespace dlent {

/// What the members of a model learn from.
struct EnsembleData {
    const ColumnarTable& table;
    const TrainingData& data;                ///< its rows, as networks read them
    std::span<const uint32_t> rows;          ///< those with a target, in canonical order
    std::span<const uint64_t> table_hashes;  ///< of all rows, where checkpoints are kept
    const SplitPlan& plan;
    int weight_cell = -1;  ///< of the table; -1: rows weigh the same
    bool taught = false;   ///< targets are mixed with a teacher's word
};

/// Trains the networks of one model and composes its members of them. What it is given must outlive it.
class EnsembleTraining {
 public:
    /// `recipe` learns which embedding was chosen; `result` has pipeline and target, and gets members,
    /// network, temperature, metrics, log and epochs.
    EnsembleTraining(const TrainingOptions& options, const EnsembleData& data,
                     const TrainingServices& services, std::chrono::steady_clock::time_point start,
                     Recipe* recipe, TrainedModel* result);

    /// Trains the members; where nothing says how numbers should enter the network, some with their embedding
    /// and some without: cuts at single values decide on some data and only invite memorising on other.
    Status Train();

    /// Whether the members are to be trained again on all rows. Folds see most rows anyway, and their own
    /// best epochs are worth more than the last rows, unless training never turned for the worse.
    bool WillRefit() const;

    /// Trains each member again on all rows, for the share of the schedule that proved best.
    Status Refit();

    /// By the rows that members have not seen.
    const HeldOutJudge& judge() const { return *judge_; }
    const std::vector<uint32_t>& held_out_rows() const { return judge_->rows(); }
    /// Of the members before a refit, in the target's units: [held-out rows × outputs].
    const std::vector<float>& held_out_answers() const { return held_out_answers_; }

    /// Adds what came of the trainings.
    void Describe(Json* details) const;

 private:
    /// One training of one network.
    struct MemberResult {
        std::vector<NamedTensorData> tensors;
        double best_fraction = 1.0;
        int best_epoch = 0;
        std::string stop_reason;
        std::vector<float> held_out_logits;
    };

    /// The members of one architecture.
    struct Family {
        NumericEmbedding embedding = NumericEmbedding::kNone;
        NetworkSpec network;
        int64_t parameters = 0;  ///< of one member
        std::vector<MemberResult> members;

        double MedianBestFraction() const;
    };

    using Outcomes = std::vector<std::optional<MemberOutcome>>;

    bool folds() const { return recipe_.plan == MemberPlan::kFolds; }
    Status AddFamily(NumericEmbedding embedding);
    /// Decides where trainings run: here, on the pool's threads, or where the device's trainer is. `first`:
    /// trainings before the refits.
    Status MakeRunner(int first);
    /// Carries runs out and keeps what they log.
    Expected<Outcomes> Run(std::span<const MemberRun> runs, const char* phase);
    /// Decides which families the model's members are of: the better one where held-out rows say so clearly,
    /// else both in turn, since what they get wrong differs.
    Status ChooseFamilies();
    Status ComposeMembers();
    Expected<Judgement> Judge(const std::vector<const MemberResult*>& members) const;
    /// A member's tensors as the model's one architecture has them.
    std::vector<NamedTensorData> TensorsOf(int family, const std::vector<NamedTensorData>& tensors) const;
    static std::vector<const MemberResult*> MembersOf(const Family& family);
    /// What a member's training begins with; null: with nothing.
    const std::vector<NamedTensorData>* InitialOf(int member) const;
    const Split& SplitOf(int member) const { return data_.plan.splits[folds() ? member : 0]; }

    const TrainingOptions& options_;
    const EnsembleData data_;
    const TrainingServices& services_;
    const std::chrono::steady_clock::time_point start_;
    Recipe& recipe_;
    TrainedModel& result_;

    std::vector<Family> families_;  ///< the first is of the model's architecture
    std::vector<int> family_of_;    ///< of each member
    std::unique_ptr<MemberRunner> runner_;
    std::unique_ptr<HeldOutJudge> judge_;
    std::vector<float> held_out_answers_;
    std::vector<int> best_epochs_;
    std::vector<std::string> stop_reasons_;
    Json embedding_choice_ = Json::object();
    int refitted_ = 0;
    double rows_per_second_ = 0.0;
};

}  // namespace dlent
