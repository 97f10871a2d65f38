#include "core/train/quantization_trial.h"

#include <algorithm>
#include <cmath>

#include "core/base/short_number.h"
#include "core/drift/table_scorer.h"
#include "core/train/calibrate_quantization.h"

namespace dlent {
namespace {

constexpr size_t kCalibrationRows = 4096;
/// Of the standard errors of the mean loss and of roc_auc: what the one may rise and the other fall by.
constexpr double kErrorShare = 0.1;
constexpr double kAlwaysAllowedAuc = 0.0005;
/// Differences between answers: of probabilities, and of numbers in root mean squared errors.
constexpr double kMostRmsProbability = 0.005;
constexpr double kMostProbability = 0.05;
constexpr double kMostRmsShare = 0.05;
constexpr double kMostShare = 0.5;
constexpr int kShownDigits = 3;

struct Answers {
    std::vector<float> fp32;  ///< [rows × outputs], in the target's units
    std::vector<float> int8;
};

struct Difference {
    double rms = 0.0;
    double largest = 0.0;

    static Difference Of(const Answers& answers) {
        Difference difference;
        for (size_t i = 0; i < answers.fp32.size(); ++i) {
            const double apart = std::abs(static_cast<double>(answers.int8[i]) - answers.fp32[i]);
            difference.rms += apart * apart;
            difference.largest = std::max(difference.largest, apart);
        }
        difference.rms = std::sqrt(difference.rms / static_cast<double>(answers.fp32.size()));
        return difference;
    }

    void Describe(Json* check) const {
        (*check)["rms_difference"] = rms;
        (*check)["largest_difference"] = largest;
    }
};

/// A model of one of the members.
Model MemberOf(const Model& model, size_t member) {
    Model one;
    one.kind = model.kind;
    one.target = model.target;
    one.pipeline = model.pipeline;
    one.network = model.network;
    one.temperature = model.temperature;
    one.members = {model.members[member]};
    if (model.quantization)
        one.quantization = Quantization{model.quantization->layers, {model.quantization->inputs[member]}};
    return one;
}

Expected<std::vector<float>> ScoreRows(const Model& model, const QuantizationTrialInputs& inputs,
                                       std::span<const uint32_t> rows) {
    DLENT_ASSIGN_OR_RETURN(const std::unique_ptr<Scorer> scorer, inputs.make_scorer(model));
    DLENT_ASSIGN_OR_RETURN(const TableScorer table_scorer, TableScorer::Create(scorer.get(), inputs.table));
    return table_scorer.Score(rows, inputs.cancel);
}

Expected<Answers> ScoreBothWays(Model model, const Quantization& quantization,
                                const QuantizationTrialInputs& inputs, std::span<const uint32_t> rows) {
    Answers answers;
    model.quantization.reset();
    DLENT_ASSIGN_OR_RETURN(answers.fp32, ScoreRows(model, inputs, rows));
    model.quantization = quantization;
    DLENT_ASSIGN_OR_RETURN(answers.int8, ScoreRows(model, inputs, rows));
    return answers;
}

Expected<Quantization> Calibrate(const Model& model, const QuantizationTrialInputs& inputs,
                                 std::span<const uint32_t> rows) {
    return CalibrateQuantization(model, inputs.data, rows.first(std::min(rows.size(), kCalibrationRows)),
                                 inputs.backend, inputs.cancel);
}

/// Answers as networks give them.
std::vector<float> Encoded(const TargetEncoder& target, std::vector<float> answers) {
    if (target.task() == Task::kRegression) {
        for (float& answer : answers)
            answer = (answer - target.mean()) / target.standard_deviation();
    }
    return answers;
}

double Mean(std::span<const float> values) {
    double sum = 0.0;
    for (const float value : values)
        sum += value;
    return sum / static_cast<double>(values.size());
}

double StandardError(std::span<const float> values) {
    const double mean = Mean(values);
    double squares = 0.0;
    for (const float value : values)
        squares += (value - mean) * (value - mean);
    const double n = static_cast<double>(values.size());
    return n > 1.0 ? std::sqrt(squares / (n - 1.0) / n) : 0.0;
}

/// The metrics that a reader compares.
Json Headline(Task task, const Json& metrics) {
    static constexpr const char* kOfTask[][2] = {
        {"rmse", "r2"}, {"log_loss", "roc_auc"}, {"log_loss", "accuracy"}};
    const auto& names = kOfTask[task == Task::kRegression ? 0 : task == Task::kBinary ? 1 : 2];
    Json headline = Json::object();
    for (const char* name : names) {
        if (metrics.contains(name))
            headline[name] = metrics.at(name);
    }
    return headline;
}

/// Why answers that differ so are not near enough; `error` is the root mean squared error of a regression.
std::string ObjectionTo(const Difference& difference, Task task, double error) {
    const bool number = task == Task::kRegression;
    if (!(difference.rms <= (number ? kMostRmsShare * error : kMostRmsProbability)))
        return "its answers differ by " + ShortNumber(difference.rms, kShownDigits) + " root mean square";
    if (!(difference.largest <= (number ? kMostShare * error : kMostProbability)))
        return "an answer differs by " + ShortNumber(difference.largest, kShownDigits);
    return {};
}

std::string ObjectionTo(double loss_increase, double error) {
    return loss_increase <= kErrorShare * error
               ? std::string()
               : "its mean loss is " + ShortNumber(loss_increase, kShownDigits) + " higher";
}

/// The same of two classes' roc_auc, whose standard error is about that of a share of the rarer class.
Expected<std::string> ObjectionToAuc(const Judgement& fp32, const Judgement& int8,
                                     const TargetEncoder& target, const ColumnarTable& table,
                                     std::span<const uint32_t> rows) {
    if (!fp32.metrics.value("roc_auc", Json()).is_number())
        return std::string();
    DLENT_ASSIGN_OR_RETURN(const TargetEncoder::Binding truth, target.Bind(table));
    std::vector<float> values(rows.size());
    truth.Values(rows, values.data());
    const double positive = static_cast<double>(std::count(values.begin(), values.end(), 1.0f));
    const double rarer = std::min(positive, static_cast<double>(rows.size()) - positive);
    const double auc = fp32.metrics.at("roc_auc").get<double>();
    const double fall = auc - int8.metrics.at("roc_auc").get<double>();
    const double error = std::sqrt(auc * (1.0 - auc) / std::max(rarer, 1.0));
    return fall <= std::max(kAlwaysAllowedAuc, kErrorShare * error)
               ? std::string()
               : "its roc_auc is " + ShortNumber(fall, kShownDigits) + " lower";
}

double RootMeanSquaredError(const Json& metrics) {
    return metrics.value("rmse", 0.0);
}

}  // namespace

Expected<QuantizedCandidate> TryQuantization(const Model& model, const QuantizationTrialInputs& inputs,
                                             std::span<const uint32_t> rows, const HeldOutJudge& judge,
                                             std::span<const std::span<const uint32_t>> folds) {
    const Task task = model.target.task();
    QuantizedCandidate candidate;
    DLENT_ASSIGN_OR_RETURN(candidate.quantization, Calibrate(model, inputs, rows));
    if (judge.rows().empty()) {
        candidate.objection = "no rows are held out to compare answers on";
        return candidate;
    }
    Answers answers;
    if (folds.empty()) {
        DLENT_ASSIGN_OR_RETURN(answers, ScoreBothWays(model, candidate.quantization, inputs, judge.rows()));
    }
    for (size_t fold = 0; fold < folds.size(); ++fold) {
        const Quantization own{candidate.quantization.layers, {candidate.quantization.inputs[fold]}};
        DLENT_ASSIGN_OR_RETURN(const Answers of_fold,
                               ScoreBothWays(MemberOf(model, fold), own, inputs, folds[fold]));
        answers.fp32.insert(answers.fp32.end(), of_fold.fp32.begin(), of_fold.fp32.end());
        answers.int8.insert(answers.int8.end(), of_fold.int8.begin(), of_fold.int8.end());
    }
    const Difference difference = Difference::Of(answers);
    DLENT_ASSIGN_OR_RETURN(const Judgement fp32,
                           judge.JudgeAnswers(Encoded(model.target, std::move(answers.fp32))));
    DLENT_ASSIGN_OR_RETURN(Judgement int8,
                           judge.JudgeAnswers(Encoded(model.target, std::move(answers.int8))));
    const double increase = Mean(int8.row_losses) - Mean(fp32.row_losses);
    const double error = StandardError(fp32.row_losses);
    candidate.check = {
        {"rows", judge.rows().size()},
        {"metrics", {{"fp32", Headline(task, fp32.metrics)}, {"int8", Headline(task, int8.metrics)}}},
        {"loss_increase", increase},
        {"loss_standard_error", error}};
    difference.Describe(&candidate.check);
    candidate.objection = ObjectionTo(increase, error);
    if (candidate.objection.empty())
        candidate.objection = ObjectionTo(difference, task, RootMeanSquaredError(fp32.metrics));
    if (candidate.objection.empty()) {
        DLENT_ASSIGN_OR_RETURN(candidate.objection,
                               ObjectionToAuc(fp32, int8, model.target, inputs.table, judge.rows()));
    }
    candidate.metrics = std::move(int8.metrics);
    return candidate;
}

Status QuantizeRefitted(const Model& model, const QuantizationTrialInputs& inputs,
                        std::span<const uint32_t> rows, std::span<const uint32_t> held_out,
                        QuantizedCandidate* candidate) {
    DLENT_ASSIGN_OR_RETURN(candidate->quantization, Calibrate(model, inputs, rows));
    if (held_out.empty())
        return Status::Ok();
    DLENT_ASSIGN_OR_RETURN(const Answers answers,
                           ScoreBothWays(model, candidate->quantization, inputs, held_out));
    const Difference difference = Difference::Of(answers);
    difference.Describe(&candidate->check);
    if (candidate->objection.empty())
        candidate->objection = ObjectionTo(difference, model.target.task(),
                                           RootMeanSquaredError(candidate->check.at("metrics").at("fp32")));
    return Status::Ok();
}

}  // namespace dlent
