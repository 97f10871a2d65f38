#include "core/explain/lime.h"

#include <algorithm>
#include <cmath>
#include <new>

#include "core/explain/surrogate.h"

namespace dlent {
namespace {

constexpr double kTwoSided95 = 1.959963984540054;

/// One explanation: its inputs, and what the steps leave to each other.
class LimeRun {
 public:
    LimeRun(const ExplainerStatistics& statistics, Scorer& scorer, const Cell* instance,
            const LimeOptions& options, const CancelToken& cancel)
        : statistics_(statistics), scorer_(scorer), instance_(instance), options_(options), cancel_(cancel) {}

    Expected<LocalExplanation> Run(const Probe* shared) {
        DLENT_RETURN_IF_ERROR(CheckOptions());
        DescribeInstance();
        DLENT_ASSIGN_OR_RETURN(const std::vector<int> labels, ScoreInstance());
        std::optional<Probe> fresh;
        if (shared == nullptr || (unseen_ && !options_.compat)) {
            DLENT_ASSIGN_OR_RETURN(fresh, Probe::MakeFor(statistics_, options_.probe(), instance_,
                                                         options_.sample_around_instance, scorer_, cancel_));
        } else {
            DLENT_RETURN_IF_ERROR(CheckProbe(*shared));
        }
        const Probe& probe = fresh ? *fresh : *shared;
        DLENT_ASSIGN_OR_RETURN(const std::unique_ptr<Neighbourhood> neighbourhood, MakeNeighbourhood(probe));

        LocalExplanation explanation;
        explanation.link = link_;
        explanation.samples = probe.samples();
        explanation.kernel_width = kernel_width_;
        explanation.selection = FeatureSelectionName(ResolveSelection(selection_, options_.num_features));
        explanation.shared_probe = !fresh;
        for (const int label : labels) {
            if (cancel_.IsCancelled())
                return Status::Cancelled();
            explanation.labels.push_back(Explain(*neighbourhood, Targets(probe, label), label));
        }
        return explanation;
    }

 private:
    Status CheckOptions() {
        if (options_.num_features < 1)
            return Status::Invalid("the number of features to report must be at least 1");
        if (!(options_.alpha >= 0.0) || !std::isfinite(options_.alpha))
            return Status::Invalid("the ridge penalty must be a number of at least 0");
        kernel_width_ = options_.kernel_width.value_or(
            0.75 * std::sqrt(static_cast<double>(statistics_.feature_count())));
        if (!(kernel_width_ > 0.0) || !std::isfinite(kernel_width_))
            return Status::Invalid(
                "the kernel width must be greater than 0", {},
                statistics_.feature_count() == 0 ? "The model has no features to explain." : "");
        if (options_.sample_around_instance && options_.discretizer != Discretizer::kNone)
            return Status::Invalid("samples around the instance need numbers that are not discretised", {},
                                   "Use the discretizer \"none\" with \"sample_around_instance\".");
        DLENT_ASSIGN_OR_RETURN(selection_, ParseFeatureSelection(options_.feature_selection));
        link_ = scorer_.model().target.task() == Task::kRegression ? Link::kIdentity
                : options_.link == Link::kIdentity                 ? Link::kProbability
                                                                   : options_.link;
        return Status::Ok();
    }

    Status CheckProbe(const Probe& probe) const {
        if (options_.sample_around_instance)
            return Status::Invalid("samples around the instance cannot be shared", {},
                                   "Explain without a probe.");
        bool fits = probe.options() == options_.probe() &&
                    probe.feature_count() == statistics_.feature_count() &&
                    probe.output_count() == scorer_.output_count();
        for (int f = 0; fits && f < probe.feature_count(); ++f)
            fits = probe.has_numbers(f) ==
                   (options_.discretizer == Discretizer::kNone && !statistics_.features()[f].categorical);
        return fits ? Status::Ok()
                    : Status::Invalid("the probe was made with other options, or for another model");
    }

    /// The code of each value, as Perturbation numbers them.
    void DescribeInstance() {
        for (int f = 0; f < statistics_.feature_count(); ++f) {
            const ExplainedFeature& feature = statistics_.features()[f];
            Described& described = features_.emplace_back();
            described.value = statistics_.Value(f, instance_);
            described.code = feature.InstanceCode(options_.discretizer, described.value, options_.compat);
            described.unseen = feature.CountOf(options_.discretizer, described.code) == 0;
            described.is_number = options_.discretizer == Discretizer::kNone && !feature.categorical &&
                                  !std::isnan(described.value);
            unseen_ = unseen_ || described.unseen;
        }
    }

    Expected<std::vector<int>> ScoreInstance() {
        outputs_.resize(static_cast<size_t>(scorer_.output_count()));
        scorer_.Score(1, instance_, outputs_.data());
        if (!std::all_of(outputs_.begin(), outputs_.end(), [](float value) { return std::isfinite(value); }))
            return Status(StatusCode::kNonFinite, "the network answers with what is not a number");
        return ChooseLabels(scorer_.model().target, options_.labels, options_.top_labels, outputs_.data());
    }

    Expected<std::unique_ptr<Neighbourhood>> MakeNeighbourhood(const Probe& probe) const {
        const int d = statistics_.feature_count();
        const size_t words = static_cast<size_t>(probe.word_count());
        const bool numeric = std::any_of(features_.begin(), features_.end(),
                                         [](const Described& feature) { return feature.is_number; });
        if (!numeric) {
            std::vector<uint64_t> equal(static_cast<size_t>(d) * words);
            for (int f = 0; f < d; ++f)
                FindEqual(probe, f, equal.data() + static_cast<size_t>(f) * words);
            return MakeBinaryNeighbourhood(d, probe.rows(), equal, kernel_width_, scorer_.explainer_kernels(),
                                           cancel_);
        }
        const size_t rows = static_cast<size_t>(probe.samples());
        std::vector<double> columns(static_cast<size_t>(d) * rows);
        std::vector<uint64_t> equal(words);
        for (int f = 0; f < d; ++f) {
            double* column = columns.data() + static_cast<size_t>(f) * rows;
            if (features_[f].is_number) {
                column[0] = Standardised(f, features_[f].value);
                const float* numbers = probe.numbers(f);
                for (int r = 0; r < probe.rows(); ++r)
                    column[r + 1] = Standardised(f, numbers[r]);
                continue;
            }
            FindEqual(probe, f, equal.data());
            column[0] = 1.0;
            for (int r = 0; r < probe.rows(); ++r)
                column[r + 1] = static_cast<double>(equal[r / 64] >> r % 64 & 1);
        }
        return MakeNumericNeighbourhood(d, probe.samples(), columns, kernel_width_,
                                        scorer_.explainer_kernels(), cancel_);
    }

    /// The rows with the instance's value.
    void FindEqual(const Probe& probe, int f, uint64_t* words) const {
        if (!probe.has_numbers(f))
            return probe.FindEqual(f, features_[f].code, words);
        // an instance without a number: the rows without one
        std::fill_n(words, probe.word_count(), 0);
        for (int r = 0; r < probe.rows(); ++r)
            words[r / 64] |= static_cast<uint64_t>(std::isnan(probe.numbers(f)[r])) << r % 64;
    }

    /// (x − mean)/SD; a NULL among numbers counts as the mean.
    double Standardised(int f, double value) const {
        const ExplainedFeature& feature = statistics_.features()[f];
        if (std::isnan(value))
            return 0.0;
        return (value - feature.mean) / (feature.standard_deviation > 0.0 ? feature.standard_deviation : 1.0);
    }

    /// The network's answers for one class, the instance's first.
    std::vector<double> Targets(const Probe& probe, int label) const {
        const TargetEncoder& target = scorer_.model().target;
        std::vector<double> targets(static_cast<size_t>(probe.samples()));
        const int output = OutputOf(target, label);
        targets[0] = LinkedValue(link_, target, label, outputs_[output]);
        const float* answers = probe.outputs(output);
        for (int r = 0; r < probe.rows(); ++r)
            targets[r + 1] = LinkedValue(link_, target, label, answers[r]);
        return targets;
    }

    LabelExplanation Explain(const Neighbourhood& neighbourhood, const std::vector<double>& targets,
                             int label) const {
        const Surrogate surrogate =
            FitSurrogate(neighbourhood, targets, {selection_, options_.num_features, options_.alpha});
        const size_t k = surrogate.features.size();
        std::vector<size_t> order;
        std::vector<double> input;
        std::vector<double> contributions;
        for (size_t i = 0; i < k; ++i) {
            order.push_back(i);
            input.push_back(neighbourhood.instance()[surrogate.features[i]]);
            contributions.push_back(surrogate.coefficients[i] * input[i]);
        }
        std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
            const double first = std::abs(contributions[a]);
            const double second = std::abs(contributions[b]);
            return first != second ? first > second : surrogate.features[a] < surrogate.features[b];
        });
        const auto covariance = [&](size_t a, size_t b) {
            return surrogate.covariance[a * k + b] * input[a] * input[b];
        };

        LabelExplanation explanation;
        explanation.label = label;
        explanation.prediction = targets[0];
        explanation.baseline = surrogate.intercept;
        explanation.local_prediction = surrogate.local_prediction;
        explanation.residual = explanation.prediction - explanation.local_prediction;
        explanation.fidelity_r2 = surrogate.r2;
        explanation.completeness = std::nan("");
        for (size_t rank = 0; rank < k; ++rank) {
            const size_t i = order[rank];
            Contribution& contribution = explanation.contributions.emplace_back();
            contribution.feature = surrogate.features[i];
            const Described& described = features_[contribution.feature];
            const ExplainedFeature& feature = statistics_.features()[contribution.feature];
            contribution.code =
                described.is_number ? -1 : feature.CodeOf(options_.discretizer, described.value);
            contribution.unseen = described.unseen;
            contribution.coefficient = surrogate.coefficients[i];
            contribution.contribution = contributions[i];
            contribution.std_error = std::sqrt(std::max(covariance(i, i), 0.0));
        }
        for (size_t rank = 0; rank + 1 < k; ++rank) {
            const size_t a = order[rank];
            const size_t b = order[rank + 1];
            const double signs = contributions[a] * contributions[b] < 0.0 ? -1.0 : 1.0;
            const double variance = covariance(a, a) + covariance(b, b) - 2.0 * signs * covariance(a, b);
            const double gap = std::abs(contributions[a]) - std::abs(contributions[b]);
            if (gap <= kTwoSided95 * std::sqrt(std::max(variance, 0.0))) {
                explanation.contributions[rank].rank_tied = true;
                explanation.contributions[rank + 1].rank_tied = true;
            }
        }
        return explanation;
    }

    struct Described {
        double value = 0.0;
        int code = -1;
        bool unseen = false;
        bool is_number = false;  ///< the surrogate reads the number itself
    };

    const ExplainerStatistics& statistics_;
    Scorer& scorer_;
    const Cell* instance_;
    const LimeOptions& options_;
    const CancelToken& cancel_;

    double kernel_width_ = 0.0;
    FeatureSelection selection_ = FeatureSelection::kAuto;
    Link link_ = Link::kProbability;
    std::vector<Described> features_;
    bool unseen_ = false;
    std::vector<float> outputs_;
};

}  // namespace

Expected<LocalExplanation> ExplainByLime(const ExplainerStatistics& statistics, Scorer& scorer,
                                         const Cell* instance, const LimeOptions& options, const Probe* probe,
                                         const CancelToken& cancel) {
    try {
        return LimeRun(statistics, scorer, instance, options, cancel).Run(probe);
    } catch (const std::bad_alloc&) {
        return Status(StatusCode::kOutOfMemory, "out of memory for an explanation");
    }
}

}  // namespace dlent
