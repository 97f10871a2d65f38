#include "core/train/ensemble_training.h"

#include <algorithm>
#include <utility>

#include "core/train/embedding_choice.h"
#include "core/train/label_options.h"

namespace dlent {
namespace {

/// Share of the budget at which the best epoch says that more training would not have hurt.
constexpr double kNeverTurned = 0.9;

}  // namespace

double EnsembleTraining::Family::MedianBestFraction() const {
    std::vector<double> fractions;
    for (const MemberResult& member : members)
        fractions.push_back(member.best_fraction);
    std::nth_element(fractions.begin(), fractions.begin() + fractions.size() / 2, fractions.end());
    return fractions[fractions.size() / 2];
}

EnsembleTraining::EnsembleTraining(const TrainingOptions& options, const EnsembleData& data,
                                   const TrainingServices& services,
                                   std::chrono::steady_clock::time_point start, Recipe* recipe,
                                   TrainedModel* result)
    : options_(options),
      data_(data),
      services_(services),
      start_(start),
      recipe_(*recipe),
      result_(*result) {}

Status EnsembleTraining::Train() {
    const bool choose = recipe_.choose_embedding && result_.model.pipeline.numeric_count() > 0 &&
                        !data_.plan.splits[0].validation.empty();
    const int each = folds() || !choose ? recipe_.members : std::max(1, recipe_.members / 2);
    std::vector<uint32_t> held_out;
    for (int member = 0; member < (folds() ? recipe_.members : 1); ++member) {
        const std::vector<uint32_t>& rows = SplitOf(member).validation;
        held_out.insert(held_out.end(), rows.begin(), rows.end());
    }
    judge_ = std::make_unique<HeldOutJudge>(data_.table, result_.model.target, std::move(held_out), folds(),
                                            recipe_.ensemble_width, data_.weight_cell, services_.backend,
                                            services_.cancel);
    DLENT_RETURN_IF_ERROR(AddFamily(recipe_.numeric_embedding));
    if (choose)
        DLENT_RETURN_IF_ERROR(AddFamily(NumericEmbedding::kNone));
    DLENT_RETURN_IF_ERROR(MakeRunner(each * (choose ? 2 : 1)));
    std::vector<MemberRun> runs;
    for (const Family& family : families_) {
        for (int member = 0; member < each; ++member)
            runs.push_back({&family.network, member, &SplitOf(member), 1.0, InitialOf(member),
                            &family != &families_[0]});
    }
    DLENT_ASSIGN_OR_RETURN(Outcomes outcomes, Run(runs, "training"));
    for (size_t i = 0; i < outcomes.size(); ++i) {
        if (!outcomes[i])
            continue;
        TrainerResult& trained = outcomes[i]->trained;
        families_[i / static_cast<size_t>(each)].members.push_back(
            {std::move(outcomes[i]->tensors), trained.best_fraction, trained.best_epoch,
             StopReasonName(trained.stop_reason), std::move(trained.validation_logits)});
    }
    // one that the time limit left incomplete cannot be judged beside the first
    if (families_.back().members.size() < static_cast<size_t>(each))
        families_.pop_back();
    DLENT_RETURN_IF_ERROR(ChooseFamilies());
    return ComposeMembers();
}

Status EnsembleTraining::AddFamily(NumericEmbedding embedding) {
    Family family;
    family.embedding = embedding;
    if (options_.initial != nullptr) {
        family.network = options_.initial->network;
    } else {
        Recipe recipe = recipe_;
        recipe.numeric_embedding = embedding;
        DLENT_ASSIGN_OR_RETURN(family.network,
                               BuildNetworkSpec(recipe, result_.model.pipeline, result_.model.target));
    }
    DLENT_ASSIGN_OR_RETURN(const std::unique_ptr<Network> network,
                           Network::Create(family.network, services_.backend, 1, false));
    family.parameters = network->trainable_count();
    families_.push_back(std::move(family));
    return Status::Ok();
}

Status EnsembleTraining::MakeRunner(int first) {
    const int refits = recipe_.refit ? recipe_.members : 0;
    const int runs = first + refits;
    const Pipeline& pipeline = result_.model.pipeline;
    const TargetEncoder& target = result_.model.target;
    MemberRunContext context;
    context.data = &data_.data;
    context.pipeline = &pipeline;
    context.trainer = recipe_.trainer;
    context.trainer.class_weights = ClassWeights(target, options_);
    context.seed = options_.seed;
    context.members = recipe_.members;
    context.max_seconds = options_.max_seconds;
    context.start = start_;
    // a device has the rows' targets as they were when it got them, and checkpoints know of no teacher
    if (services_.device != nullptr && !data_.taught) {
        TrainingPlan plan;
        plan.data = &data_.data;
        plan.numeric = pipeline.numeric_count();
        plan.plain = pipeline.plain_count();
        plan.fields = pipeline.field_count();
        plan.integer_targets = target.task() == Task::kMulticlass;
        plan.train_rows = data_.plan.splits[0].train.size();
        plan.trainings = runs;
        plan.beside = std::max(first, refits);
        plan.parameters = families_[0].parameters;
        plan.recipe = &recipe_;
        DLENT_ASSIGN_OR_RETURN(const bool takes_them, services_.device->Begin(plan, services_.cancel));
        context.device = takes_them ? services_.device : nullptr;
    }
    if (services_.checkpoints != nullptr && !data_.taught) {
        const Json facts = {{"pipeline", pipeline.ToJson()},
                            {"target", target.ToJson()},
                            {"recipe", recipe_.ToJson()},
                            {"on_device", context.device != nullptr}};
        context.checkpoints.store = services_.checkpoints;
        context.checkpoints.row_hashes = data_.table_hashes;
        context.checkpoints.facts = facts.dump();
        context.checkpoints.logits_per_row =
            static_cast<size_t>(recipe_.ensemble_width) * static_cast<size_t>(target.output_count());
    }
    runner_ = std::make_unique<MemberRunner>(std::move(context), services_.backend, services_.pool,
                                             services_.cancel, services_.progress);
    runner_->ExpectRuns(runs);
    return Status::Ok();
}

Expected<EnsembleTraining::Outcomes> EnsembleTraining::Run(std::span<const MemberRun> runs,
                                                           const char* phase) {
    DLENT_ASSIGN_OR_RETURN(Outcomes outcomes, runner_->Run(runs, phase));
    for (const std::optional<MemberOutcome>& outcome : outcomes) {
        if (!outcome)
            continue;
        const TrainerResult& trained = outcome->trained;
        result_.log.insert(result_.log.end(), trained.log.begin(), trained.log.end());
        result_.epochs = std::max(result_.epochs, trained.epochs);
        rows_per_second_ += trained.rows_per_second / runner_->runs_expected();
    }
    return outcomes;
}

Status EnsembleTraining::ChooseFamilies() {
    family_of_.assign(recipe_.members, 0);
    if (families_.size() == 1)
        return Status::Ok();
    DLENT_ASSIGN_OR_RETURN(const Judgement with, Judge(MembersOf(families_[0])));
    DLENT_ASSIGN_OR_RETURN(const Judgement without, Judge(MembersOf(families_[1])));
    const bool blocks = data_.plan.rule.at("method") == "blocks";
    const PairedDifference difference =
        CompareLosses(with.row_losses, without.row_losses,
                      blocks ? std::span<const uint32_t>(judge_->rows()) : std::span<const uint32_t>());
    // a few blocks held out are too small a sample to choose by
    const bool clear = difference.IsClear() && !(blocks && !folds());
    const int better = difference.mean < 0.0 ? 1 : 0;
    for (int member = 0; member < recipe_.members; ++member)
        family_of_[member] = clear ? better : member % 2;
    embedding_choice_ = {{"chosen", clear ? NumericEmbeddingName(families_[better].embedding) : "both"},
                         {"loss_without_embedding_minus_with", difference.mean},
                         {"standard_error", difference.standard_error}};
    const bool none_embedded =
        std::all_of(family_of_.begin(), family_of_.end(), [](int family) { return family == 1; });
    if (none_embedded) {
        families_.erase(families_.begin());
        family_of_.assign(recipe_.members, 0);
    }
    return Status::Ok();
}

Status EnsembleTraining::ComposeMembers() {
    Model& model = result_.model;
    model.network = families_[0].network;
    recipe_.numeric_embedding = families_[0].embedding;
    if (families_[0].embedding != NumericEmbedding::kPiecewiseLinear)
        model.pipeline.RemoveEdges();

    std::vector<const MemberResult*> members;
    std::vector<size_t> used(families_.size());
    for (int member = 0; member < recipe_.members; ++member) {
        const Family& family = families_[family_of_[member]];
        // in folds each fold has its member; else the next that is there, until a refit trains the others
        const size_t index = folds() ? static_cast<size_t>(member) : used[family_of_[member]]++;
        if (index >= family.members.size())
            continue;
        const MemberResult& result = family.members[index];
        members.push_back(&result);
        model.members.push_back(TensorsOf(family_of_[member], result.tensors));
        best_epochs_.push_back(result.best_epoch);
        stop_reasons_.push_back(result.stop_reason);
    }
    DLENT_ASSIGN_OR_RETURN(Judgement judgement, Judge(members));
    model.temperature = judgement.temperature;
    result_.metrics = std::move(judgement.metrics);
    held_out_answers_ = std::move(judgement.answers);
    return Status::Ok();
}

Expected<Judgement> EnsembleTraining::Judge(const std::vector<const MemberResult*>& members) const {
    if (services_.progress && !judge_->rows().empty()) {
        TrainingProgress progress;
        progress.phase = "evaluating";
        progress.member = recipe_.members - 1;
        progress.members = recipe_.members;
        progress.fraction = static_cast<double>(runner_->runs_done()) / runner_->runs_expected();
        progress.seconds_elapsed =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
        services_.progress(progress);
    }
    std::vector<const std::vector<float>*> logits;
    for (const MemberResult* member : members)
        logits.push_back(&member->held_out_logits);
    return judge_->Judge(logits);
}

std::vector<NamedTensorData> EnsembleTraining::TensorsOf(int family,
                                                         const std::vector<NamedTensorData>& tensors) const {
    if (family == 0)
        return tensors;
    return WithIdleEmbedding(tensors, families_[0].members[0].tensors,
                             recipe_.hidden.empty() ? "output" : "hidden_1");
}

std::vector<const EnsembleTraining::MemberResult*> EnsembleTraining::MembersOf(const Family& family) {
    std::vector<const MemberResult*> members;
    for (const MemberResult& member : family.members)
        members.push_back(&member);
    return members;
}

const std::vector<NamedTensorData>* EnsembleTraining::InitialOf(int member) const {
    return options_.initial == nullptr ? nullptr : &options_.initial->members[member];
}

bool EnsembleTraining::WillRefit() const {
    if (data_.plan.splits[0].validation.empty())
        return false;
    if (recipe_.refit)
        return true;
    return folds() && std::all_of(family_of_.begin(), family_of_.end(), [this](int family) {
               return families_[family].MedianBestFraction() >= kNeverTurned;
           });
}

Status EnsembleTraining::Refit() {
    const Split all{{data_.rows.begin(), data_.rows.end()}, {}};
    runner_->ExpectRuns(runner_->runs_done() + recipe_.members);
    std::vector<MemberRun> runs;
    for (int member = 0; member < recipe_.members; ++member) {
        const Family& family = families_[family_of_[member]];
        // one split's luck should not decide when to stop
        runs.push_back({&family.network, member, &all, family.MedianBestFraction(), InitialOf(member), true});
    }
    DLENT_ASSIGN_OR_RETURN(Outcomes outcomes, Run(runs, "refitting"));
    for (int member = 0; member < recipe_.members; ++member) {
        if (!outcomes[member])
            continue;  // out of time: the members trained so far keep the weights they have
        std::vector<NamedTensorData> refitted = TensorsOf(family_of_[member], outcomes[member]->tensors);
        if (static_cast<size_t>(member) < result_.model.members.size())
            result_.model.members[member] = std::move(refitted);
        else
            result_.model.members.push_back(std::move(refitted));
        ++refitted_;
    }
    return Status::Ok();
}

void EnsembleTraining::Describe(Json* details) const {
    (*details)["best_epochs"] = best_epochs_;
    (*details)["stop_reasons"] = stop_reasons_;
    if (!embedding_choice_.empty())
        (*details)["embedding_choice"] = embedding_choice_;
    if (WillRefit())
        (*details)["refitted_members"] = refitted_;
    (*details)["parameters"] = families_[0].parameters * static_cast<int64_t>(result_.model.members.size());
    (*details)["rows_per_second"] = rows_per_second_;
}

}  // namespace dlent
