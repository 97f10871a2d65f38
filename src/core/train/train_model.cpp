#include "core/train/train_model.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "core/drift/reference.h"
#include "core/features/guards.h"
#include "core/features/quantile_sample.h"
#include "core/features/row_hash.h"
#include "core/features/split.h"
#include "core/train/ensemble_training.h"
#include "core/train/label_options.h"
#include "core/train/quantization_trial.h"
#include "core/train/recipe.h"
#include "core/train/table_training_data.h"
#include "core/train/validation_plan.h"

namespace dlent {
namespace {

using Clock = std::chrono::steady_clock;

/// What is left of the learning rate where networks have learnt before.
constexpr double kWarmStartRate = 0.3;

double SecondsSince(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

int FindRole(const ColumnarTable& table, ColumnRole role) {
    for (size_t i = 0; i < table.columns().size(); ++i) {
        if (table.columns()[i].role == role)
            return static_cast<int>(i);
    }
    return -1;
}

/// The work of one TrainModel call: its inputs, and what the steps leave to each other.
class ModelTraining {
 public:
    ModelTraining(const ColumnarTable& table, const TrainingOptions& options,
                  const TrainingServices& services, const Teaching& teaching,
                  const SplitPlan* student_plan = nullptr)
        : table_(table),
          options_(options),
          services_(services),
          cancel_(services.cancel),
          teaching_(teaching),
          student_plan_(student_plan) {}

    Expected<TrainedModel> Run() {
        DLENT_RETURN_IF_ERROR(PrepareRows());
        DLENT_RETURN_IF_ERROR(FitTarget());
        DLENT_ASSIGN_OR_RETURN(recipe_, ResolveRecipe(options_, result_.model.target.task(), rows_.size()));
        if (options_.initial != nullptr)
            DLENT_RETURN_IF_ERROR(ContinueFrom(*options_.initial));
        if (options_.teacher != nullptr || student_plan_ != nullptr) {
            if (recipe_.plan == MemberPlan::kFolds)
                recipe_.UseHoldOut();
            recipe_.ordered_folds = 0;
        }
        DLENT_RETURN_IF_ERROR(CheckTeacher());
        DLENT_RETURN_IF_ERROR(AssignRows());
        DLENT_RETURN_IF_ERROR(FitPipeline());
        DLENT_RETURN_IF_ERROR(CheckGuards());
        std::vector<uint64_t>().swap(row_hashes_);  // nothing below asks, and they are 8 bytes a row
        DLENT_RETURN_IF_ERROR(TrainTeacher());
        EnsembleTraining ensemble(options_,
                                  {.table = table_,
                                   .data = *data_,
                                   .rows = rows_,
                                   .table_hashes = table_hashes_,
                                   .plan = plan_,
                                   .weight_cell = weight_cell_,
                                   .taught = teacher_.has_value()},
                                  services_, start_, &recipe_, &result_);
        DLENT_RETURN_IF_ERROR(CheckScorePrecision());
        DLENT_RETURN_IF_ERROR(ensemble.Train());
        DLENT_RETURN_IF_ERROR(TryInt8(ensemble));
        DLENT_RETURN_IF_ERROR(Label(&TeacherLabels::judged));
        DLENT_RETURN_IF_ERROR(Refit(&ensemble));
        DLENT_RETURN_IF_ERROR(Label(&TeacherLabels::finished));
        DLENT_RETURN_IF_ERROR(TryInt8Again(ensemble));
        if (student_plan_ == nullptr) {
            DLENT_RETURN_IF_ERROR(KeepReference(ensemble));
            DLENT_RETURN_IF_ERROR(FitExplainer());
        }
        Describe(ensemble);
        return std::move(result_);
    }

 private:
    Status PrepareRows() {
        ReportPreparing();
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
        if (services_.checkpoints != nullptr)
            table_hashes_ = std::move(hashes);
        return cancel_.IsCancelled() ? Status::Cancelled() : Status::Ok();
    }

    Status FitTarget() {
        DLENT_RETURN_IF_ERROR(CheckRowCount(table_, rows_.size()));
        DLENT_ASSIGN_OR_RETURN(result_.model.target,
                               TargetEncoder::Fit(table_, rows_, options_.task, options_.positive_class));
        return CheckLabelOptions(result_.model.target, options_);
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
                                   ModelTraining(table_, options, services_, {.wanted = true}, &plan_).Run());
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
        return PredictTargets(result_.model, *data_, rows_, services_.backend, cancel_, &(said.*labels));
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
        DLENT_ASSIGN_OR_RETURN(plan_, PlanValidation(inputs, options_, &recipe_, &result_.findings));
        return Status::Ok();
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

    Status Refit(EnsembleTraining* ensemble) {
        result_.train_rows = rows_.size();
        if (ensemble->WillRefit()) {
            if (teacher_)
                data_->SetTeacher(teacher_->finished);
            return ensemble->Refit();
        }
        if (recipe_.plan == MemberPlan::kHoldOut)
            result_.train_rows = plan_.splits[0].train.size();
        return Status::Ok();
    }

    /// Before anything is trained: whether the network will have layers for int8, where that is asked for.
    Status CheckScorePrecision() const {
        if (options_.score_precision != ScorePrecision::kInt8)
            return Status::Ok();
        NetworkSpec network;
        if (options_.initial != nullptr) {
            network = options_.initial->network;
        } else {
            DLENT_ASSIGN_OR_RETURN(network,
                                   BuildNetworkSpec(recipe_, result_.model.pipeline, result_.model.target));
        }
        if (!QuantizableLayers(network).empty())
            return Status::Ok();
        return Status::Invalid(
            "option \"score_precision\" does not fit the network",
            "It has no layer that can be computed in int8: those are hidden layers that read hidden layers, "
            "of "
            "kind mlp without periodic embeddings.",
            "Use two hidden layers or more, or {\"score_precision\": \"auto\"}, which takes fp32 here.");
    }

    QuantizationTrialInputs TrialInputs() const {
        return {table_, *data_, services_.make_scorer, services_.backend, cancel_};
    }

    /// Finds out what the members as they are would answer to held-out rows in int8.
    Status TryInt8(const EnsembleTraining& ensemble) {
        if (options_.score_precision == ScorePrecision::kFp32 ||
            QuantizableLayers(result_.model.network).empty())
            return Status::Ok();
        if (!services_.make_scorer)
            return Status::Internal("there is no scorer to try int8 with");
        std::vector<std::span<const uint32_t>> folds;
        if (recipe_.plan == MemberPlan::kFolds) {
            for (const Split& split : plan_.splits)
                folds.emplace_back(split.validation);
        }
        // in folds every row has trained some member
        DLENT_ASSIGN_OR_RETURN(
            result_.quantized,
            TryQuantization(result_.model, TrialInputs(),
                            folds.empty() ? std::span<const uint32_t>(plan_.splits[0].train) : rows_,
                            ensemble.judge(), folds));
        return Status::Ok();
    }

    Status TryInt8Again(const EnsembleTraining& ensemble) {
        if (!result_.quantized || !ensemble.WillRefit())
            return Status::Ok();
        return QuantizeRefitted(result_.model, TrialInputs(), rows_, ensemble.held_out_rows(),
                                &*result_.quantized);
    }

    /// What later rows will be compared with.
    Status KeepReference(const EnsembleTraining& ensemble) {
        DLENT_ASSIGN_OR_RETURN(
            const DriftReference reference,
            MakeDriftReference(table_, rows_, result_.model.pipeline, result_.model.target,
                               ensemble.held_out_rows(), ensemble.held_out_answers(), cancel_));
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

    void Describe(const EnsembleTraining& ensemble) {
        result_.validation_rows = ensemble.held_out_rows().size();
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
        details["validation"]["rows"] = result_.validation_rows;
        if (rows_without_target_ > 0)
            details["rows_without_target"] = rows_without_target_;
        ensemble.Describe(&details);
        details["temperature"] = result_.model.temperature;
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

    void ReportPreparing() const {
        if (!services_.progress)
            return;
        TrainingProgress progress;
        progress.phase = "preparing";
        progress.members = recipe_.members;
        progress.seconds_elapsed = SecondsSince(start_);
        services_.progress(progress);
    }

    const ColumnarTable& table_;
    const TrainingOptions& options_;
    const TrainingServices& services_;
    const CancelToken& cancel_;
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
};

}  // namespace

Expected<TrainedModel> TrainModel(const ColumnarTable& table, const TrainingOptions& options,
                                  const TrainingServices& services, const Teaching& teaching) {
    try {
        return ModelTraining(table, options, services, teaching).Run();
    } catch (const std::bad_alloc&) {
        return Status(StatusCode::kOutOfMemory, "out of memory while training");
    }
}

}  // namespace dlent
