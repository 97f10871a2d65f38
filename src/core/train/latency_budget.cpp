#include "core/train/latency_budget.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>

#include "core/base/short_number.h"
#include "core/train/recipe.h"
#include "core/train/score_precision.h"

namespace dlent {
namespace {

/// Times vary: an untrained network must be that much below the budget to be worth training.
constexpr double kMargin = 0.9;
constexpr int kSmallestLayer = 8;
constexpr int kEmbeddedHalvings = 2;

std::vector<int> Halved(std::vector<int> hidden, int times) {
    for (int& units : hidden)
        units = std::max(units >> times, std::min(units, kSmallestLayer));
    return hidden;
}

/// A model as the options would make it, but for its weights; in int8 where they say so.
Expected<Model> UntrainedModel(const TrainedModel& like, const TrainingOptions& options, Backend& backend) {
    Model model;
    model.target = like.model.target;
    model.pipeline = like.model.pipeline;
    if (options.numeric_embedding != NumericEmbedding::kPiecewiseLinear)
        model.pipeline.RemoveEdges();
    DLENT_ASSIGN_OR_RETURN(const Recipe recipe, ResolveRecipe(options, model.target.task(), like.train_rows));
    model.kind = recipe.kind;
    DLENT_ASSIGN_OR_RETURN(model.network, BuildNetworkSpec(recipe, model.pipeline, model.target));
    DLENT_ASSIGN_OR_RETURN(const auto network, Network::Create(model.network, backend, 1, false));
    DLENT_RETURN_IF_ERROR(network->Initialize(options.seed));
    DLENT_RETURN_IF_ERROR(SetPipelineEdges(model.pipeline, network.get()));
    DLENT_ASSIGN_OR_RETURN(std::vector<NamedTensorData> tensors, network->Save());
    model.members.assign(static_cast<size_t>(recipe.members), tensors);
    if (options.score_precision == ScorePrecision::kInt8) {
        const std::vector<std::string> layers = QuantizableLayers(model.network);
        const std::vector<InputQuantization> inputs(layers.size());
        model.quantization = Quantization{layers, {model.members.size(), inputs}};
    }
    return model;
}

/// The metric that a sentence about quality names.
const char* HeadlineMetric(Task task) {
    switch (task) {
        case Task::kBinary:
            return "roc_auc";
        case Task::kMulticlass:
            return "accuracy";
        default:
            return "rmse";
    }
}

/// Options that repeat the choice, beside those that the user gave.
Json ChosenOptions(const TrainedModel& model, const TrainingOptions& options, const TrainingOptions& full,
                   const Recipe& full_recipe) {
    Json chosen = {{"kind", options.kind},
                   {"members", options.members.value_or(1)},
                   {"hidden", options.hidden.value_or(std::vector<int>{})},
                   {"numeric_embedding", NumericEmbeddingName(options.numeric_embedding)}};
    if (options.score_precision != ScorePrecision::kFp32)
        chosen["score_precision"] =
            ScorePrecisionName(model.model.quantization ? ScorePrecision::kInt8 : ScorePrecision::kFp32);
    if (options.teacher != nullptr && full.teacher == nullptr)
        chosen["teacher"] = {{"kind", full_recipe.kind},
                             {"members", std::max(full_recipe.members, full_recipe.ensemble_width)},
                             {"hidden", full_recipe.hidden},
                             {"numeric_embedding", NumericEmbeddingName(full.numeric_embedding)}};
    return chosen;
}

/// What a student is chosen by: smaller is better. NaN without held-out rows.
double HeldOutLoss(const TrainedModel& model) {
    const char* metric = model.model.target.task() == Task::kRegression ? "rmse" : "log_loss";
    return model.metrics.contains(metric) ? model.metrics.at(metric).get<double>()
                                          : std::numeric_limits<double>::quiet_NaN();
}

/// Tells the user, and keeps with the version, what the budget cost. `plain` is the network that learnt from
/// the rows alone, when `model` was taught by the larger one.
void DescribeShrinking(const TrainedModel& full, const TrainingOptions& options,
                       const TrainingOptions& chosen, const TrainedModel* plain, TrainedModel* model) {
    Json& budget = model->details["latency_budget"] = {
        {"max_score_us", *options.max_score_us},
        {"chosen", ChosenOptions(*model, chosen, options, full.recipe)},
        {"score_us", {{"single", model->score_cost.single}, {"batched", model->score_cost.batched}}},
        {"without_budget",
         {{"recipe", full.recipe.ToJson()},
          {"score_us", {{"single", full.score_cost.single}, {"batched", full.score_cost.batched}}},
          {"metrics", full.metrics}}}};
    if (plain != nullptr)
        budget["without_teacher"] = {{"metrics", plain->metrics}};
    Finding finding;
    finding.code = "SHRUNK_FOR_LATENCY";
    finding.message = "a smaller network was trained" +
                      std::string(plain != nullptr ? " on the answers of the larger one" : "") +
                      ", which scores a row in " + ShortNumber(model->score_cost.batched) + " instead of " +
                      ShortNumber(full.score_cost.batched) + " microseconds";
    const char* metric = HeadlineMetric(model->model.target.task());
    if (model->metrics.contains(metric) && full.metrics.contains(metric))
        finding.message += std::string("; held-out ") + metric + " " +
                           ShortNumber(model->metrics.at(metric).get<double>()) + " instead of " +
                           ShortNumber(full.metrics.at(metric).get<double>());
    finding.hint = "Option max_score_us asks for it; a larger one allows a better network.";
    model->findings.push_back(std::move(finding));
}

}  // namespace

std::vector<TrainingOptions> LatencyCandidates(const TrainingOptions& options, const Recipe& recipe) {
    std::vector<TrainingOptions> candidates;
    const auto add = [&](NumericEmbedding embedding, const std::vector<int>& hidden) {
        TrainingOptions candidate = options;
        candidate.kind = "mlp";
        candidate.members = 1;
        candidate.numeric_embedding = embedding;
        candidate.hidden = hidden;
        candidates.push_back(std::move(candidate));
    };
    if (recipe.numeric_embedding != NumericEmbedding::kNone) {
        for (int times = 0; times <= kEmbeddedHalvings; ++times)
            add(recipe.numeric_embedding, Halved(recipe.hidden, times));
    }
    for (int times = 0;; ++times) {
        std::vector<int> hidden = Halved(recipe.hidden, times);
        if (times > 0 && hidden == candidates.back().hidden)
            break;
        add(NumericEmbedding::kNone, hidden);
    }
    // which has no layer for int8
    if (!recipe.hidden.empty() && options.score_precision != ScorePrecision::kInt8)
        add(NumericEmbedding::kNone, {});
    return candidates;
}

Expected<TrainedModel> TrainWithinBudget(const ColumnarTable& table, const TrainingOptions& options,
                                         const TrainingServices& services) {
    const auto start = std::chrono::steady_clock::now();
    const auto seconds = [start] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    const bool teaches = options.max_score_us && options.teacher == nullptr;
    DLENT_ASSIGN_OR_RETURN(TrainedModel full, TrainModel(table, options, services, {.wanted = teaches}));
    DLENT_RETURN_IF_ERROR(ChooseScorePrecision(options, services.measure, &full));
    if (!options.max_score_us || full.score_cost.batched <= *options.max_score_us) {
        full.labels.reset();
        return full;
    }
    const double budget = *options.max_score_us;
    double least = full.score_cost.batched;
    const auto train = [&](TrainingOptions how, const TeacherLabels* teacher) -> Expected<TrainedModel> {
        if (how.max_seconds)
            how.max_seconds = std::max(*how.max_seconds - seconds(), 0.01);
        DLENT_ASSIGN_OR_RETURN(TrainedModel model, TrainModel(table, how, services, {.teacher = teacher}));
        DLENT_RETURN_IF_ERROR(ChooseScorePrecision(how, services.measure, &model));
        least = std::min(least, model.score_cost.batched);
        return model;
    };
    for (TrainingOptions& candidate : LatencyCandidates(options, full.recipe)) {
        DLENT_ASSIGN_OR_RETURN(const Model untrained, UntrainedModel(full, candidate, services.backend));
        DLENT_ASSIGN_OR_RETURN(const ScoreCost expected, services.measure(untrained));
        least = std::min(least, expected.batched);
        if (expected.batched > kMargin * budget)
            continue;
        DLENT_ASSIGN_OR_RETURN(TrainedModel model, train(candidate, nullptr));
        if (model.score_cost.batched > budget)
            continue;
        const bool late = options.max_seconds && seconds() >= *options.max_seconds;
        const TrainedModel* plain = nullptr;
        std::optional<TrainedModel> taught;
        if (teaches && CanTeach(full.recipe) && !std::isnan(HeldOutLoss(model)) && !late) {
            TrainingOptions student = candidate;
            auto teacher = std::make_shared<TrainingOptions>(options);
            teacher->max_score_us.reset();
            teacher->score_precision = ScorePrecision::kFp32;
            student.teacher = std::move(teacher);
            DLENT_ASSIGN_OR_RETURN(taught, train(student, full.labels ? &*full.labels : nullptr));
            if (taught->score_cost.batched <= budget && HeldOutLoss(*taught) < HeldOutLoss(model)) {
                candidate = std::move(student);
                std::swap(model, *taught);
                plain = &*taught;
            }
        }
        DescribeShrinking(full, options, candidate, plain, &model);
        model.seconds = seconds();
        return model;
    }
    return Status(StatusCode::kResourceLimit,
                  "no network scores a row of this source within " + ShortNumber(budget) + " microseconds",
                  "The fastest that was tried takes " + ShortNumber(least) + " on this machine.",
                  "Raise option \"max_score_us\", or give the network fewer columns.");
}

}  // namespace dlent
