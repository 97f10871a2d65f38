#include "core/train/train_model.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>

#include "core/drift/reference.h"
#include "core/features/guards.h"
#include "core/features/quantile_sample.h"
#include "core/features/row_hash.h"
#include "core/features/split.h"
#include "core/metrics/metrics.h"
#include "core/train/calibration.h"
#include "core/train/embedding_choice.h"
#include "core/train/member_runs.h"
#include "core/train/network_trainer.h"
#include "core/train/recipe.h"
#include "core/train/trainer.h"

namespace dlent {
namespace {

using Clock = std::chrono::steady_clock;

/// From here on neighbouring rows say so much about each other that a random split would flatter.
constexpr double kOrderedDependence = 0.3;
/// Share of the budget at which the best epoch says that more training would not have hurt.
constexpr double kNeverTurned = 0.9;
/// What is left of the learning rate where networks have learnt before.
constexpr double kWarmStartRate = 0.3;

double SecondsSince(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Rows of the table as the trainer wants them: pipeline inputs, encoded targets, row weights.
class TableTrainingData final : public TrainingData {
 public:
    TableTrainingData(const ColumnarTable& table, Pipeline::Binding inputs, TargetEncoder::Binding target,
                      bool classes, int weight_cell)
        : table_(table),
          inputs_(std::move(inputs)),
          target_(std::move(target)),
          classes_(classes),
          weight_cell_(weight_cell) {}

    /// From now on targets are mixed with what a teacher says of the table's rows; NaN: nothing.
    void SetTeacher(std::vector<float> says) { teacher_ = std::move(says); }

    size_t rows() const override { return table_.rows(); }
    bool has_weights() const override { return weight_cell_ >= 0; }
    void Gather(std::span<const uint32_t> rows, const HostBatch& batch) const override {
        if (batch.numeric != nullptr || batch.plain != nullptr || batch.codes != nullptr)
            inputs_.Gather(rows, batch.numeric, batch.plain, batch.codes);
        if (batch.targets != nullptr) {
            if (classes_)
                target_.Classes(rows, static_cast<int32_t*>(batch.targets));
            else
                target_.Values(rows, static_cast<float*>(batch.targets));
            if (!teacher_.empty())
                Teach(rows, static_cast<float*>(batch.targets));
        }
        if (batch.weights != nullptr) {
            for (size_t i = 0; i < rows.size(); ++i)
                batch.weights[i] = table_.Float(weight_cell_, rows[i]);
        }
    }

 private:
    void Teach(std::span<const uint32_t> rows, float* targets) const {
        for (size_t i = 0; i < rows.size(); ++i) {
            const float says = teacher_[rows[i]];
            if (!std::isnan(says))
                targets[i] += kTeacherShare * (says - targets[i]);
        }
    }

    const ColumnarTable& table_;
    Pipeline::Binding inputs_;
    TargetEncoder::Binding target_;
    bool classes_;
    int weight_cell_;
    std::vector<float> teacher_;
};

int FindRole(const ColumnarTable& table, ColumnRole role) {
    for (size_t i = 0; i < table.columns().size(); ++i) {
        if (table.columns()[i].role == role)
            return static_cast<int>(i);
    }
    return -1;
}

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

    double MedianBestFraction() const {
        std::vector<double> fractions;
        for (const MemberResult& member : members)
            fractions.push_back(member.best_fraction);
        std::nth_element(fractions.begin(), fractions.begin() + fractions.size() / 2, fractions.end());
        return fractions[fractions.size() / 2];
    }
};

/// What held-out rows say of some members.
struct Judgement {
    float temperature = 1.0f;
    Json metrics = Json::object();
    std::vector<float> row_losses;  ///< squared error (of the standardised target) or log-loss
    std::vector<float> answers;     ///< [held-out rows × outputs], in the target's units
};

/// The work of one TrainModel call: its inputs, and what the steps leave to each other.
class ModelTraining {
 public:
    ModelTraining(const ColumnarTable& table, const TrainingOptions& options, Backend& backend,
                  const CancelToken& cancel, const ProgressCallback& progress, TrainingPool* pool,
                  NetworkTrainer* device, CheckpointStore* checkpoints, const Teaching& teaching,
                  const SplitPlan* student_plan = nullptr)
        : table_(table),
          options_(options),
          backend_(backend),
          cancel_(cancel),
          progress_(progress),
          pool_(pool),
          device_(device),
          checkpoints_(checkpoints),
          teaching_(teaching),
          student_plan_(student_plan) {}

    Expected<TrainedModel> Run() {
        DLENT_RETURN_IF_ERROR(PrepareRows());
        DLENT_RETURN_IF_ERROR(FitTarget());
        DLENT_ASSIGN_OR_RETURN(recipe_, ResolveRecipe(options_, result_.model.target.task(), rows_.size()));
        if (options_.initial != nullptr)
            DLENT_RETURN_IF_ERROR(ContinueFrom(*options_.initial));
        if (recipe_.plan == MemberPlan::kFolds && (options_.teacher != nullptr || student_plan_ != nullptr)) {
            recipe_.plan = MemberPlan::kHoldOut;
            recipe_.refit = true;
        }
        DLENT_RETURN_IF_ERROR(CheckTeacher());
        DLENT_RETURN_IF_ERROR(AssignRows());
        DLENT_RETURN_IF_ERROR(FitPipeline());
        DLENT_RETURN_IF_ERROR(CheckGuards());
        std::vector<uint64_t>().swap(row_hashes_);  // nothing below asks, and they are 8 bytes a row
        FitClassWeights();
        DLENT_RETURN_IF_ERROR(TrainTeacher());
        DLENT_RETURN_IF_ERROR(TrainFamilies());
        DLENT_RETURN_IF_ERROR(Label(&TeacherLabels::judged));
        DLENT_RETURN_IF_ERROR(Refit());
        DLENT_RETURN_IF_ERROR(Label(&TeacherLabels::finished));
        if (student_plan_ == nullptr) {
            DLENT_RETURN_IF_ERROR(KeepReference());
            DLENT_RETURN_IF_ERROR(FitExplainer());
        }
        Describe();
        return std::move(result_);
    }

 private:
    Status PrepareRows() {
        Report("preparing", 0, 0.0);
        if (table_.rows() == 0)
            return {StatusCode::kInsufficientData, "the source returned no rows"};
        const int weight_column = FindRole(table_, ColumnRole::kWeight);
        weight_cell_ = weight_column >= 0 ? table_.first_cell(weight_column) : -1;

        DLENT_ASSIGN_OR_RETURN(std::vector<uint64_t> hashes, HashRows(table_, cancel_));
        std::vector<uint32_t> usable = RowsWithTarget(table_);
        rows_without_target_ = table_.rows() - usable.size();
        if (weight_cell_ >= 0) {
            for (const uint32_t row : usable) {
                const float weight = table_.Float(weight_cell_, row);
                if (!(weight >= 0.0f) || std::isinf(weight))
                    return Status::Invalid("weight column \"" + table_.columns()[weight_column].name +
                                               "\" has a value that is NULL, negative or not finite",
                                           {}, "Weights must be finite numbers of at least 0.");
            }
        }
        DLENT_ASSIGN_OR_RETURN(rows_, CanonicalOrder(hashes, std::move(usable), cancel_));
        row_hashes_.reserve(rows_.size());
        for (const uint32_t row : rows_)
            row_hashes_.push_back(hashes[row]);
        result_.data_fingerprint = DataFingerprint(hashes);
        if (checkpoints_ != nullptr)
            table_hashes_ = std::move(hashes);
        return cancel_.IsCancelled() ? Status::Cancelled() : Status::Ok();
    }

    Status FitTarget() {
        DLENT_RETURN_IF_ERROR(CheckRowCount(table_, rows_.size()));
        DLENT_ASSIGN_OR_RETURN(result_.model.target,
                               TargetEncoder::Fit(table_, rows_, options_.task, options_.positive_class));
        return CheckLabelOptions();
    }

    /// Takes over the networks of a model, and the scale of its target, if what is to be learnt is the same.
    Status ContinueFrom(const Model& initial) {
        const TargetEncoder& fitted = result_.model.target;
        const TargetEncoder& known = initial.target;
        if (fitted.task() != known.task() || fitted.labels() != known.labels())
            return CannotContinue("The target \"" + fitted.column() + "\" has another task or other labels.");
        if (fitted.task() == Task::kRegression)
            result_.model.target = known;
        recipe_.AdoptNetworks(initial);
        if (!options_.learning_rate)
            recipe_.trainer.learning_rate *= kWarmStartRate;
        return Status::Ok();
    }

    Status CannotContinue(const std::string& detail) const {
        return Status::Invalid(
            "training cannot go on from version " + std::to_string(options_.warm_start.value_or(0)), detail,
            "Without \"warm_start\" it begins from scratch.");
    }

    /// Options about labels must fit the labels that the target turned out to have.
    Status CheckLabelOptions() const {
        const TargetEncoder& target = result_.model.target;
        if (options_.positive_class && target.task() != Task::kBinary)
            return Status::Invalid(
                std::string("option \"positive_class\" does not fit the task ") + TaskName(target.task()), {},
                "It is for targets of two classes.");
        const bool weighted = options_.class_weight_mode || !options_.class_weights.empty();
        if (weighted && target.task() == Task::kRegression)
            return Status::Invalid("option \"class_weight\" does not fit the task regression", {},
                                   "Use {\"weight_column\": ...} to weigh rows.");
        for (const auto& [label, weight] : options_.class_weights) {
            if (std::find(target.labels().begin(), target.labels().end(), label) == target.labels().end())
                return Status::Invalid("option \"class_weight\" names label \"" + label +
                                       "\", which target \"" + target.column() + "\" does not have");
        }
        return Status::Ok();
    }

    Status CheckTeacher() const {
        if (options_.teacher == nullptr || CanTeach(recipe_))
            return Status::Ok();
        return Status::Invalid("option \"teacher\" does not fit the target or the loss", {},
                               "It is for regression by loss squared, and for two classes by log_loss.");
    }

    /// Finds out what the teacher says of the rows: of those that train while the others are held out; the
    /// finished one's word is for the refit.
    Status TrainTeacher() {
        if (options_.teacher == nullptr)
            return Status::Ok();
        const Split& split = plan_.splits[0];
        if (teaching_.teacher != nullptr && teaching_.teacher->held_out == split.validation) {
            teacher_ = *teaching_.teacher;
        } else {
            TrainingOptions options = *options_.teacher;
            if (options.max_seconds)  // half of the time, which the student's counts too
                options.max_seconds = *options.max_seconds / 2;
            DLENT_ASSIGN_OR_RETURN(TrainedModel teacher,
                                   ModelTraining(table_, options, backend_, cancel_, progress_, pool_,
                                                 device_, checkpoints_, {.wanted = true}, &plan_)
                                       .Run());
            teacher_ = std::move(*teacher.labels);
        }
        std::vector<float> says(table_.rows(), std::numeric_limits<float>::quiet_NaN());
        for (const uint32_t row : split.train)
            says[row] = teacher_->judged[row];
        data_->SetTeacher(std::move(says));
        return Status::Ok();
    }

    /// Keeps what the model as it is says of every row, for a student.
    Status Label(std::vector<float> TeacherLabels::*labels) {
        if (!teaching_.wanted || !CanTeach(recipe_) || recipe_.plan == MemberPlan::kFolds)
            return Status::Ok();
        if (!result_.labels)
            result_.labels.emplace();
        TeacherLabels& said = *result_.labels;
        said.held_out = plan_.splits[0].validation;
        said.description = {{"recipe", recipe_.ToJson()}, {"metrics", result_.metrics}};
        (said.*labels).assign(table_.rows(), std::numeric_limits<float>::quiet_NaN());
        result_.model.network = families_[0].network;
        return PredictTargets(result_.model, *data_, rows_, backend_, cancel_, &(said.*labels));
    }

    Status AssignRows() {
        if (student_plan_ != nullptr) {
            plan_ = *student_plan_;
            return Status::Ok();
        }
        SplitInputs inputs;
        inputs.table = &table_;
        inputs.rows = rows_;
        inputs.hashes = row_hashes_;
        inputs.target = &result_.model.target;
        inputs.seed = options_.seed;
        inputs.cancel = &cancel_;
        const bool groups = options_.validation.method == ValidationMethod::kGroup;
        const int folds =
            recipe_.plan == MemberPlan::kFolds
                ? recipe_.members
                : static_cast<int>(std::lround(1.0 / std::clamp(recipe_.validation_fraction, 0.01, 0.5)));
        if (options_.validation.method == ValidationMethod::kAuto) {
            DLENT_ASSIGN_OR_RETURN(const double dependence, NeighbourDependence(inputs));
            if (dependence > kOrderedDependence) {
                DLENT_ASSIGN_OR_RETURN(std::optional<SplitPlan> blocks, MakeBlockFolds(inputs, folds));
                if (blocks) {
                    if (recipe_.plan == MemberPlan::kHoldOut)
                        blocks->splits.resize(1);
                    plan_ = std::move(*blocks);
                    ReportOrderedRows(dependence);
                    return Status::Ok();
                }
            }
        }
        Expected<SplitPlan> plan = [&]() -> Expected<SplitPlan> {
            if (recipe_.plan == MemberPlan::kFolds)
                return groups ? MakeGroupFolds(inputs, folds) : MakeFolds(inputs, folds);
            if (recipe_.validation_fraction <= 0.0)
                return SplitPlan{{{rows_, {}}}, {{"method", "none"}}};
            if (groups)
                return MakeGroupHoldOut(inputs, recipe_.validation_fraction);
            if (options_.validation.method == ValidationMethod::kTime)
                return MakeTimeHoldOut(inputs, recipe_.validation_fraction);
            return MakeHoldOut(inputs, recipe_.validation_fraction);
        }();
        DLENT_ASSIGN_OR_RETURN(plan_, std::move(plan));
        return Status::Ok();
    }

    void ReportOrderedRows(double dependence) {
        char number[32];
        std::snprintf(number, sizeof(number), "%.2f", dependence);
        result_.findings.push_back(
            {Finding::Severity::kNotice,
             "ORDERED_ROWS",
             {},
             std::string("neighbouring rows of the source share their target (dependence ") + number +
                 " of 1), so whole blocks of rows are held out",
             "If rows to score will lie between those of the source, use {\"validation\": {\"method\": "
             "\"random\"}}; if they come after them, validate by time."});
    }

    Status FitPipeline() {
        PipelineOptions pipeline_options;
        pipeline_options.embed_numeric = recipe_.numeric_embedding == NumericEmbedding::kPiecewiseLinear;
        std::vector<Pipeline::Exclusion> excluded;
        if (options_.initial != nullptr) {
            DLENT_RETURN_IF_ERROR(AdoptPipeline(*options_.initial));
            return BindData();
        }
        // In folds every row trains some member. A hold-out part stays unseen until the refit, and the scale
        // of the columns is all that it could tell.
        DLENT_ASSIGN_OR_RETURN(result_.model.pipeline,
                               Pipeline::Fit(table_, rows_, pipeline_options, &excluded, cancel_));
        for (Pipeline::Exclusion& exclusion : excluded)
            result_.findings.push_back({Finding::Severity::kNotice,
                                        std::move(exclusion.code),
                                        std::move(exclusion.column),
                                        std::move(exclusion.reason),
                                        {}});
        return BindData();
    }

    Status AdoptPipeline(const Model& initial) {
        for (const PipelineInput& input : initial.pipeline.inputs()) {
            const bool found = std::any_of(
                table_.columns().begin(), table_.columns().end(), [&input](const ColumnDefinition& column) {
                    return column.role == ColumnRole::kFeature && column.name == input.name &&
                           column.kind == input.kind && column.width == input.width;
                });
            if (!found)
                return CannotContinue("It reads column \"" + input.name +
                                      "\", which the source does not have in that form.");
        }
        result_.model.pipeline = initial.pipeline;
        result_.findings.push_back({Finding::Severity::kNotice,
                                    "WARM_START",
                                    {},
                                    "rows held out of this training may be among those that version " +
                                        std::to_string(options_.warm_start.value_or(0)) + " learnt from",
                                    "Compare the two on rows that neither has seen, with dlent_evaluate()."});
        return Status::Ok();
    }

    Status BindData() {
        DLENT_ASSIGN_OR_RETURN(Pipeline::Binding inputs, result_.model.pipeline.Bind(table_));
        DLENT_ASSIGN_OR_RETURN(TargetEncoder::Binding target, result_.model.target.Bind(table_));
        data_ = std::make_unique<TableTrainingData>(table_, std::move(inputs), std::move(target),
                                                    result_.model.target.task() == Task::kMulticlass,
                                                    weight_cell_);
        result_.model.kind = recipe_.kind;
        return cancel_.IsCancelled() ? Status::Cancelled() : Status::Ok();
    }

    Status CheckGuards() {
        DLENT_ASSIGN_OR_RETURN(std::vector<Finding> findings,
                               FindProblems(table_, rows_, row_hashes_, result_.model.target, cancel_));
        result_.findings.insert(result_.findings.end(), std::make_move_iterator(findings.begin()),
                                std::make_move_iterator(findings.end()));
        return Status::Ok();
    }

    /// Decides where trainings run: here, on the pool's threads, or where the device's trainer is.
    /// `first`: trainings before the refits.
    Status MakeRunner(int first) {
        const int refits = recipe_.refit ? recipe_.members : 0;
        const int runs = first + refits;
        MemberRunContext context;
        context.data = data_.get();
        context.pipeline = &result_.model.pipeline;
        context.trainer = recipe_.trainer;
        context.trainer.class_weights = class_weights_;
        context.seed = options_.seed;
        context.members = recipe_.members;
        context.max_seconds = options_.max_seconds;
        context.start = start_;
        // a device has the rows' targets as they were when it got them, and checkpoints know of no teacher
        const bool taught = teacher_.has_value();
        if (device_ != nullptr && !taught) {
            TrainingPlan plan;
            plan.data = data_.get();
            plan.numeric = result_.model.pipeline.numeric_count();
            plan.plain = result_.model.pipeline.plain_count();
            plan.fields = result_.model.pipeline.field_count();
            plan.integer_targets = result_.model.target.task() == Task::kMulticlass;
            plan.train_rows = plan_.splits[0].train.size();
            plan.trainings = runs;
            plan.beside = std::max(first, refits);
            plan.parameters = families_[0].parameters;
            plan.recipe = &recipe_;
            DLENT_ASSIGN_OR_RETURN(const bool takes_them, device_->Begin(plan, cancel_));
            context.device = takes_them ? device_ : nullptr;
        }
        if (checkpoints_ != nullptr && !taught) {
            const Json facts = {{"pipeline", result_.model.pipeline.ToJson()},
                                {"target", result_.model.target.ToJson()},
                                {"recipe", recipe_.ToJson()},
                                {"on_device", context.device != nullptr}};
            context.checkpoints.store = checkpoints_;
            context.checkpoints.row_hashes = table_hashes_;
            context.checkpoints.facts = facts.dump();
            context.checkpoints.logits_per_row = static_cast<size_t>(recipe_.ensemble_width) *
                                                 static_cast<size_t>(result_.model.target.output_count());
        }
        runner_ = std::make_unique<MemberRunner>(std::move(context), backend_, pool_, cancel_, progress_);
        runner_->ExpectRuns(runs);
        return Status::Ok();
    }

    /// Carries runs out and keeps what they log.
    Expected<std::vector<std::optional<MemberOutcome>>> Train(std::span<const MemberRun> runs,
                                                              const char* phase) {
        DLENT_ASSIGN_OR_RETURN(std::vector<std::optional<MemberOutcome>> outcomes, runner_->Run(runs, phase));
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

    /// Trains the members; where nothing says how numbers should enter the network, some with their embedding
    /// and some without: cuts at single values decide on some data and only invite memorising on other.
    Status TrainFamilies() {
        const bool folds = recipe_.plan == MemberPlan::kFolds;
        const bool choose = recipe_.choose_embedding && result_.model.pipeline.numeric_count() > 0 &&
                            !plan_.splits[0].validation.empty();
        const int each = folds || !choose ? recipe_.members : std::max(1, recipe_.members / 2);
        for (int member = 0; member < (folds ? recipe_.members : 1); ++member) {
            const std::vector<uint32_t>& rows = SplitOf(member).validation;
            held_out_rows_.insert(held_out_rows_.end(), rows.begin(), rows.end());
        }
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
        DLENT_ASSIGN_OR_RETURN(std::vector<std::optional<MemberOutcome>> outcomes, Train(runs, "training"));
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
        return ComposeMembers();
    }

    Status AddFamily(NumericEmbedding embedding) {
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
                               Network::Create(family.network, backend_, 1, false));
        family.parameters = network->trainable_count();
        families_.push_back(std::move(family));
        return Status::Ok();
    }

    /// Decides which families the model's members are of: the better one where held-out rows say so clearly,
    /// else both in turn, since what they get wrong differs.
    Status ComposeMembers() {
        const bool folds = recipe_.plan == MemberPlan::kFolds;
        family_of_.assign(recipe_.members, 0);
        if (families_.size() > 1) {
            DLENT_ASSIGN_OR_RETURN(const Judgement with, Judge(MembersOf(families_[0])));
            DLENT_ASSIGN_OR_RETURN(const Judgement without, Judge(MembersOf(families_[1])));
            const bool blocks = plan_.rule.at("method") == "blocks";
            const PairedDifference difference = CompareLosses(
                with.row_losses, without.row_losses,
                blocks ? std::span<const uint32_t>(held_out_rows_) : std::span<const uint32_t>());
            // a few blocks held out are too small a sample to choose by
            const bool clear = difference.IsClear() && !(blocks && !folds);
            for (int member = 0; member < recipe_.members; ++member)
                family_of_[member] = clear ? (difference.mean < 0.0 ? 1 : 0) : member % 2;
            embedding_choice_ = {
                {"chosen", !clear                  ? "both"
                           : difference.mean < 0.0 ? NumericEmbeddingName(families_[1].embedding)
                                                   : NumericEmbeddingName(families_[0].embedding)},
                {"loss_without_embedding_minus_with", difference.mean},
                {"standard_error", difference.standard_error}};
        }
        const bool none_embedded =
            std::all_of(family_of_.begin(), family_of_.end(), [this](int family) { return family == 1; });
        if (families_.size() > 1 && none_embedded) {
            families_.erase(families_.begin());
            family_of_.assign(recipe_.members, 0);
        }
        recipe_.numeric_embedding = families_[0].embedding;
        if (families_[0].embedding != NumericEmbedding::kPiecewiseLinear)
            result_.model.pipeline.RemoveEdges();

        std::vector<const MemberResult*> members;
        std::vector<size_t> used(families_.size());
        for (int member = 0; member < recipe_.members; ++member) {
            const Family& family = families_[family_of_[member]];
            // in folds each fold has its member; else the next that is there, until a refit trains the others
            const size_t index = folds ? static_cast<size_t>(member) : used[family_of_[member]]++;
            if (index >= family.members.size())
                continue;
            const MemberResult& result = family.members[index];
            members.push_back(&result);
            result_.model.members.push_back(TensorsOf(family_of_[member], result.tensors));
            best_epochs_.push_back(result.best_epoch);
            stop_reasons_.push_back(result.stop_reason);
        }
        DLENT_ASSIGN_OR_RETURN(Judgement judgement, Judge(members));
        result_.model.temperature = judgement.temperature;
        result_.metrics = std::move(judgement.metrics);
        held_out_answers_ = std::move(judgement.answers);
        return Status::Ok();
    }

    /// A member's tensors as the model's one architecture has them.
    std::vector<NamedTensorData> TensorsOf(int family, const std::vector<NamedTensorData>& tensors) const {
        if (family == 0)
            return tensors;
        return WithIdleEmbedding(tensors, families_[0].members[0].tensors,
                                 recipe_.hidden.empty() ? "output" : "hidden_1");
    }

    static std::vector<const MemberResult*> MembersOf(const Family& family) {
        std::vector<const MemberResult*> members;
        for (const MemberResult& member : family.members)
            members.push_back(&member);
        return members;
    }

    /// What a member's training begins with; null: with nothing.
    const std::vector<NamedTensorData>* InitialOf(int member) const {
        return options_.initial == nullptr ? nullptr : &options_.initial->members[member];
    }

    const Split& SplitOf(int member) const {
        return plan_.splits[recipe_.plan == MemberPlan::kFolds ? member : 0];
    }

    /// Whether the members are trained again on all rows. Folds see most rows anyway, and their own best
    /// epochs are worth more than the last rows, unless training never turned for the worse.
    bool WillRefit() const {
        if (plan_.splits[0].validation.empty())
            return false;
        if (recipe_.refit)
            return true;
        return recipe_.plan == MemberPlan::kFolds &&
               std::all_of(family_of_.begin(), family_of_.end(), [this](int family) {
                   return families_[family].MedianBestFraction() >= kNeverTurned;
               });
    }

    void FitClassWeights() {
        const TargetEncoder& target = result_.model.target;
        if (target.task() == Task::kRegression)
            return;
        const size_t classes = target.labels().size();
        if (options_.class_weight_mode == "balanced") {
            // scikit-learn's: n / (classes · count)
            const double total =
                std::accumulate(target.label_counts().begin(), target.label_counts().end(), 0.0);
            for (const uint64_t count : target.label_counts())
                class_weights_.push_back(
                    static_cast<float>(total / (static_cast<double>(classes) * static_cast<double>(count))));
        } else if (!options_.class_weights.empty()) {
            for (const std::string& label : target.labels()) {
                const auto weight = options_.class_weights.find(label);
                class_weights_.push_back(
                    weight == options_.class_weights.end() ? 1.0f : static_cast<float>(weight->second));
            }
        }
    }

    /// How many logits of each held-out row there are, one after another in JoinLogits().
    size_t LogitsPerRow(size_t member_count) const {
        return (recipe_.plan == MemberPlan::kFolds ? 1 : member_count) *
               static_cast<size_t>(recipe_.ensemble_width);
    }

    /// One array [held-out rows × LogitsPerRow × outputs]: in folds the rows of each member's fold in turn,
    /// else every row as all members judge it.
    std::vector<float> JoinLogits(const std::vector<const MemberResult*>& members, size_t outputs) const {
        std::vector<float> joined;
        if (recipe_.plan == MemberPlan::kFolds || members.size() == 1) {
            for (const MemberResult* member : members)
                joined.insert(joined.end(), member->held_out_logits.begin(), member->held_out_logits.end());
            return joined;
        }
        const size_t block = static_cast<size_t>(recipe_.ensemble_width) * outputs;
        joined.resize(held_out_rows_.size() * members.size() * block);
        for (size_t row = 0; row < held_out_rows_.size(); ++row) {
            for (size_t member = 0; member < members.size(); ++member)
                std::copy_n(&members[member]->held_out_logits[row * block], block,
                            &joined[(row * members.size() + member) * block]);
        }
        return joined;
    }

    /// Temperature and metrics from rows that their networks had not seen.
    Expected<Judgement> Judge(const std::vector<const MemberResult*>& members) {
        Judgement judgement;
        if (held_out_rows_.empty())
            return judgement;
        Report("evaluating", recipe_.members - 1,
               static_cast<double>(runner_->runs_done()) / runner_->runs_expected());
        const TargetEncoder& target = result_.model.target;
        const size_t rows = held_out_rows_.size();
        const size_t outputs = static_cast<size_t>(target.output_count());
        const std::vector<float> logits = JoinLogits(members, outputs);
        std::vector<float> values(rows);
        std::vector<int32_t> classes(rows);
        std::vector<float> weights;
        if (weight_cell_ >= 0) {
            for (const uint32_t row : held_out_rows_)
                weights.push_back(table_.Float(weight_cell_, row));
        }
        DLENT_ASSIGN_OR_RETURN(const TargetEncoder::Binding truth, target.Bind(table_));
        if (target.task() == Task::kMulticlass)
            truth.Classes(held_out_rows_, classes.data());
        else
            truth.Values(held_out_rows_, values.data());

        if (target.task() != Task::kRegression) {
            LabelledLogits labelled;
            labelled.rows = rows;
            labelled.members = static_cast<int>(LogitsPerRow(members.size()));
            labelled.outputs = static_cast<int>(outputs);
            labelled.logits = logits.data();
            labelled.targets = values.data();
            labelled.labels = classes.data();
            labelled.row_weights = weights.empty() ? nullptr : weights.data();
            DLENT_ASSIGN_OR_RETURN(const double temperature, FitTemperature(labelled, cancel_));
            judgement.temperature = static_cast<float>(temperature);
        }

        std::vector<float> answers(rows * outputs);
        AverageMembers(logits, LogitsPerRow(members.size()), outputs, judgement.temperature, &answers);
        judgement.row_losses = RowLosses(target.task(), answers, values, classes, weights);
        switch (target.task()) {
            case Task::kBinary: {
                std::vector<int32_t> labels(values.begin(), values.end());
                judgement.metrics = ToJson(EvaluateBinary(answers, labels, weights));
                break;
            }
            case Task::kMulticlass:
                judgement.metrics = ToJson(EvaluateMulticlass(answers, classes, target.labels(), weights));
                break;
            default: {
                std::vector<double> predicted(rows);
                std::vector<double> actual(rows);
                for (size_t i = 0; i < rows; ++i) {
                    predicted[i] = target.Decode(answers[i]);
                    actual[i] = truth.RawValue(held_out_rows_[i]);
                    answers[i] = static_cast<float>(predicted[i]);
                }
                judgement.metrics = ToJson(EvaluateRegression(predicted, actual, weights));
            }
        }
        judgement.answers = std::move(answers);
        return judgement;
    }

    /// Mean probability (or value) over the members that judged each row.
    void AverageMembers(const std::vector<float>& logits, size_t count, size_t outputs, float temperature,
                        std::vector<float>* answers) {
        std::vector<float> probabilities;
        const float* values = logits.data();
        if (result_.model.target.task() != Task::kRegression) {
            probabilities.resize(logits.size());
            backend_.Probabilities(static_cast<int>(logits.size() / outputs), static_cast<int>(outputs),
                                   1.0f / temperature, logits.data(), probabilities.data());
            values = probabilities.data();
        }
        for (size_t row = 0; row < answers->size() / outputs; ++row) {
            for (size_t c = 0; c < outputs; ++c) {
                double sum = 0.0;
                for (size_t member = 0; member < count; ++member)
                    sum += values[(row * count + member) * outputs + c];
                (*answers)[row * outputs + c] = static_cast<float>(sum / static_cast<double>(count));
            }
        }
    }

    /// Trains each member again on all rows, for the share of the schedule that proved best.
    Status Refit() {
        result_.train_rows = rows_.size();
        if (!WillRefit()) {
            if (recipe_.plan == MemberPlan::kHoldOut)
                result_.train_rows = plan_.splits[0].train.size();
            return Status::Ok();
        }
        const Split all{rows_, {}};
        if (teacher_)
            data_->SetTeacher(teacher_->finished);
        runner_->ExpectRuns(runner_->runs_done() + recipe_.members);
        std::vector<MemberRun> runs;
        for (int member = 0; member < recipe_.members; ++member) {
            const Family& family = families_[family_of_[member]];
            // one split's luck should not decide when to stop
            runs.push_back(
                {&family.network, member, &all, family.MedianBestFraction(), InitialOf(member), true});
        }
        DLENT_ASSIGN_OR_RETURN(std::vector<std::optional<MemberOutcome>> outcomes, Train(runs, "refitting"));
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

    /// What later rows will be compared with.
    Status KeepReference() {
        DLENT_ASSIGN_OR_RETURN(const DriftReference reference,
                               MakeDriftReference(table_, rows_, result_.model.pipeline, result_.model.target,
                                                  held_out_rows_, held_out_answers_, cancel_));
        result_.reference = reference.ToJson();
        return Status::Ok();
    }

    /// Classes are labels as they are; numbers become their quarters. The rows stand in the order of their
    /// hashes: the first are a sample, and enough.
    Status FitExplainer() {
        DLENT_ASSIGN_OR_RETURN(const TargetEncoder::Binding truth, result_.model.target.Bind(table_));
        const std::span<const uint32_t> rows =
            std::span<const uint32_t>(rows_).first(std::min(rows_.size(), ExplainerStatistics::kMaxRows));
        std::vector<int32_t> labels(rows.size());
        if (result_.model.target.task() == Task::kRegression) {
            std::vector<float> values(rows.size());
            truth.Values(rows, values.data());
            std::vector<float> sorted = values;
            std::vector<float> scratch;
            SortFloats(&sorted, &scratch);
            const float cuts[] = {SortedQuantile(sorted, 0.25), SortedQuantile(sorted, 0.5),
                                  SortedQuantile(sorted, 0.75)};
            for (size_t i = 0; i < values.size(); ++i)
                labels[i] = static_cast<int32_t>(std::lower_bound(cuts, cuts + 3, values[i]) - cuts);
        } else {
            truth.Classes(rows, labels.data());
        }
        DLENT_ASSIGN_OR_RETURN(
            result_.explainer,
            ExplainerStatistics::Fit(table_, rows, result_.model.pipeline, labels, options_.seed, cancel_));
        return Status::Ok();
    }

    void Describe() {
        result_.model.network = families_[0].network;
        result_.validation_rows = held_out_rows_.size();
        Json& details = result_.details;
        details = Json::object();
        details["task"] = TaskName(result_.model.target.task());
        details["preset"] = PresetName(options_.preset);
        details["seed"] = options_.seed;
        details["recipe"] = recipe_.ToJson();
        result_.recipe = recipe_;
        if (teacher_) {
            details["teacher"] = teacher_->description;
            details["teacher"]["share"] = std::round(kTeacherShare * 1e6) / 1e6;
        }
        if (options_.warm_start)
            details["warm_start"] = *options_.warm_start;
        details["validation"] = plan_.rule;
        details["validation"]["rows"] = held_out_rows_.size();
        if (rows_without_target_ > 0)
            details["rows_without_target"] = rows_without_target_;
        details["best_epochs"] = best_epochs_;
        details["stop_reasons"] = stop_reasons_;
        if (!embedding_choice_.empty())
            details["embedding_choice"] = embedding_choice_;
        if (WillRefit())
            details["refitted_members"] = refitted_;
        details["temperature"] = result_.model.temperature;
        details["parameters"] = families_[0].parameters * static_cast<int64_t>(result_.model.members.size());
        details["rows_per_second"] = rows_per_second_;
        Json findings = Json::array();
        for (const Finding& finding : result_.findings) {
            Json entry = {
                {"code", finding.code},
                {"severity", finding.severity == Finding::Severity::kWarning ? "warning" : "notice"}};
            if (!finding.column.empty())
                entry["column"] = finding.column;
            entry["message"] = finding.message;
            findings.push_back(std::move(entry));
        }
        details["findings"] = std::move(findings);
        result_.seconds = SecondsSince(start_);
    }

    void Report(const char* phase, int member, double fraction) {
        if (!progress_)
            return;
        TrainingProgress progress;
        progress.phase = phase;
        progress.member = member;
        progress.members = recipe_.members;
        progress.fraction = fraction;
        progress.seconds_elapsed = SecondsSince(start_);
        progress_(progress);
    }

    const ColumnarTable& table_;
    const TrainingOptions& options_;
    Backend& backend_;
    const CancelToken& cancel_;
    const ProgressCallback& progress_;
    TrainingPool* const pool_;
    NetworkTrainer* const device_;
    CheckpointStore* const checkpoints_;
    const Teaching teaching_;
    const SplitPlan* const student_plan_;  ///< of the student that this model is to teach; null: none
    const Clock::time_point start_ = Clock::now();

    TrainedModel result_;
    Recipe recipe_;
    int weight_cell_ = -1;
    size_t rows_without_target_ = 0;
    std::vector<uint32_t> rows_;          ///< with a target, in canonical order
    std::vector<uint64_t> row_hashes_;    ///< of rows_
    std::vector<uint64_t> table_hashes_;  ///< of all rows, where checkpoints are kept
    SplitPlan plan_;
    std::unique_ptr<TableTrainingData> data_;
    std::optional<TeacherLabels> teacher_;
    std::vector<Family> families_;  ///< the first is of the model's architecture
    std::vector<int> family_of_;    ///< of each member
    std::vector<int> best_epochs_;
    std::vector<std::string> stop_reasons_;
    Json embedding_choice_ = Json::object();
    std::vector<float> class_weights_;
    std::unique_ptr<MemberRunner> runner_;
    int refitted_ = 0;
    double rows_per_second_ = 0.0;
    std::vector<uint32_t> held_out_rows_;
    std::vector<float> held_out_answers_;  ///< of the members that were chosen
};

}  // namespace

Expected<TrainedModel> TrainModel(const ColumnarTable& table, const TrainingOptions& options,
                                  Backend& backend, const CancelToken& cancel,
                                  const ProgressCallback& progress, TrainingPool* pool,
                                  NetworkTrainer* device, CheckpointStore* checkpoints,
                                  const Teaching& teaching) {
    try {
        return ModelTraining(table, options, backend, cancel, progress, pool, device, checkpoints, teaching)
            .Run();
    } catch (const std::bad_alloc&) {
        return Status(StatusCode::kOutOfMemory, "out of memory while training");
    }
}

}  // namespace dlent
