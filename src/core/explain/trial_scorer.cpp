#include "core/explain/trial_scorer.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace dlent {
namespace {

constexpr int kTrialRows = 128;

double LogitOf(double probability) {
    constexpr double kLeast = 1e-12;
    const double p = std::clamp(probability, kLeast, 1.0 - kLeast);
    return std::log(p / (1.0 - p));
}

int Largest(const float* values, int count) {
    return static_cast<int>(std::max_element(values, values + count) - values);
}

}  // namespace

std::vector<int> Trial::Features() const {
    std::vector<int> features;
    for (const Counterfactual::Change& change : changes)
        features.push_back(change.feature);
    return features;
}

int Trial::Find(int feature) const {
    for (size_t i = 0; i < changes.size(); ++i) {
        if (changes[i].feature == feature)
            return static_cast<int>(i);
    }
    return -1;
}

TrialScorer::TrialScorer(const ExplainerStatistics& statistics, Scorer& scorer, const Cell* instance,
                         const std::vector<ChangeDomain>& domains, const CounterfactualOptions& options,
                         const CancelToken& cancel)
    : statistics_(statistics),
      scorer_(scorer),
      instance_(instance),
      domains_(domains),
      options_(options),
      cancel_(cancel),
      task_(scorer.model().target.task()),
      remaining_(options.max_evaluations),
      cells_(static_cast<size_t>(kTrialRows) * scorer.cell_count()),
      outputs_(static_cast<size_t>(kTrialRows) * scorer.output_count()) {}

Status TrialScorer::Start() {
    scorer_.Score(1, instance_, outputs_.data());
    for (int i = 0; i < scorer_.output_count(); ++i) {
        if (!std::isfinite(outputs_[i]))
            return {StatusCode::kNonFinite, "the network's answer to the row is not a number"};
    }
    label_ = options_.label;
    if (task_ == Task::kBinary && label_ < 0)
        label_ = outputs_[0] >= options_.threshold ? 0 : 1;
    else if (task_ == Task::kMulticlass && label_ < 0)
        excluded_ = Largest(outputs_.data(), scorer_.output_count());
    instance_reached_ = Reached(outputs_.data());
    return Status::Ok();
}

bool TrialScorer::Reached(const float* outputs) const {
    if (task_ == Task::kRegression)
        return outputs[0] >= options_.target_low && outputs[0] <= options_.target_high;
    if (task_ == Task::kBinary)
        return label_ == 1 ? outputs[0] >= options_.threshold : outputs[0] < options_.threshold;
    const int count = scorer_.output_count();
    for (int i = 0; i < count; ++i) {
        if (std::isnan(outputs[i]))
            return false;
    }
    const int predicted = Largest(outputs, count);
    return label_ >= 0 ? predicted == label_ : predicted != excluded_;
}

double TrialScorer::Progress(const float* outputs) const {
    constexpr double kNone = -std::numeric_limits<double>::infinity();
    double progress = kNone;
    if (std::isnan(outputs[0]))
        return kNone;
    if (task_ == Task::kRegression) {
        progress = std::min({0.0, outputs[0] - options_.target_low, options_.target_high - outputs[0]});
    } else if (task_ == Task::kBinary) {
        progress = LogitOf(outputs[0]) - LogitOf(options_.threshold);
        if (label_ == 0)
            progress = -progress;
    } else {
        const int from = label_ >= 0 ? label_ : excluded_;
        double other = 0.0;
        for (int i = 0; i < scorer_.output_count(); ++i) {
            if (i != from)
                other = std::max(other, static_cast<double>(outputs[i]));
        }
        constexpr double kLeast = 1e-30;
        progress = std::log(std::max<double>(outputs[from], kLeast)) - std::log(std::max(other, kLeast));
        if (label_ < 0)
            progress = -progress;
    }
    return std::isnan(progress) ? kNone : progress;
}

double TrialScorer::Distance(const Trial& trial) const {
    double distance = 0.0;
    for (const Counterfactual::Change& change : trial.changes)
        distance += domains_[change.feature].Distance(change.to);
    return distance;
}

void TrialScorer::WriteRow(const Trial& trial, Cell* cells) const {
    std::copy_n(instance_, scorer_.cell_count(), cells);
    for (const Counterfactual::Change& change : trial.changes)
        statistics_.SetValue(change.feature, change.to, cells);
}

Status TrialScorer::Score(std::span<Trial> trials) {
    size_t next = 0;
    while (next < trials.size()) {
        if (cancel_.IsCancelled())
            return Status::Cancelled();
        const size_t rows =
            std::min({trials.size() - next, size_t{kTrialRows}, static_cast<size_t>(remaining_)});
        if (rows == 0)
            break;
        for (size_t row = 0; row < rows; ++row)
            WriteRow(trials[next + row], &cells_[row * scorer_.cell_count()]);
        scorer_.Score(static_cast<int>(rows), cells_.data(), outputs_.data());
        for (size_t row = 0; row < rows; ++row) {
            Trial& trial = trials[next + row];
            const float* outputs = &outputs_[row * scorer_.output_count()];
            trial.distance = Distance(trial);
            trial.reached = Reached(outputs);
            trial.progress = Progress(outputs);
        }
        next += rows;
        remaining_ -= static_cast<int>(rows);
    }
    for (; next < trials.size(); ++next) {
        trials[next].distance = Distance(trials[next]);
        trials[next].reached = false;
        trials[next].progress = -std::numeric_limits<double>::infinity();
    }
    return Status::Ok();
}

Status TrialScorer::Verify(const Trial& trial, Counterfactual* counterfactual) {
    counterfactual->changes = trial.changes;
    counterfactual->cells.resize(scorer_.cell_count());
    counterfactual->outputs.resize(scorer_.output_count());
    WriteRow(trial, counterfactual->cells.data());
    scorer_.Score(1, counterfactual->cells.data(), counterfactual->outputs.data());
    counterfactual->distance = Distance(trial);
    if (!Reached(counterfactual->outputs.data()))
        return Status::Internal("a row alone and the same row in a block get different answers");
    return Status::Ok();
}

}  // namespace dlent
