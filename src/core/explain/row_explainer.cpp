#include "core/explain/row_explainer.h"

#include <algorithm>
#include <limits>

#include "core/explain/integrated_gradients.h"
#include "core/explain/lime.h"

namespace dlent {
namespace {

Expected<std::vector<int>> LabelsNamed(const TargetEncoder& target, const std::vector<std::string>& names) {
    std::vector<int> labels;
    if (!names.empty() && target.task() == Task::kRegression)
        return Status::Invalid("option \"labels\" is for models that classify");
    for (const std::string& name : names) {
        const auto found = std::find(target.labels().begin(), target.labels().end(), name);
        if (found == target.labels().end()) {
            constexpr size_t kMostListed = 30;
            std::string list;
            for (size_t i = 0; i < std::min(target.labels().size(), kMostListed); ++i)
                list += (i > 0 ? ", " : "") + target.labels()[i];
            return Status::Invalid(
                "the model has no label \"" + name + "\" (option labels)", {},
                "Its labels are " + list + (target.labels().size() > kMostListed ? ", ..." : "") + ".");
        }
        labels.push_back(static_cast<int>(found - target.labels().begin()));
    }
    return labels;
}

Status CheckThreshold(const TargetEncoder& target, const ExplainOptions& options) {
    if (!options.threshold.has_value())
        return Status::Ok();
    if (target.task() == Task::kMulticlass)
        return Status::Invalid("option \"threshold\" is for models of two classes and for numbers");
    if (target.task() == Task::kBinary && !(*options.threshold >= 0.0 && *options.threshold <= 1.0))
        return Status::Invalid("option \"threshold\" must be a number from 0 to 1");
    return Status::Ok();
}

}  // namespace

Expected<RowExplainer> RowExplainer::Create(const ExplainedModel& model, const ExplainOptions& options,
                                            const std::vector<ReasonCode>& codes) {
    const Model& described = model.scorer->model();
    const TargetEncoder& target = described.target;
    const bool regression = target.task() == Task::kRegression;
    RowExplainer explainer;
    explainer.model_ = model;
    explainer.options_ = options;
    if (model.statistics->features().empty())
        return Status(StatusCode::kUnsupported,
                      "the model reads more features than explanations are made for", {},
                      "Train a version with fewer features.");
    DLENT_RETURN_IF_ERROR(CheckThreshold(target, options));
    if (regression && (options.top_labels > 0 || options.link.has_value()))
        return Status::Invalid(std::string("option \"") + (options.top_labels > 0 ? "top_labels" : "link") +
                               "\" is for models that classify");
    if (regression && options.counterfactuals > 0 && !options.threshold.has_value())
        return Status::Invalid("counterfactuals of a predicted number need option \"threshold\"", {},
                               "Say which value is to be crossed.");
    DLENT_ASSIGN_OR_RETURN(explainer.labels_, LabelsNamed(target, options.labels));
    DLENT_ASSIGN_OR_RETURN(explainer.writer_, ExplanationWriter::Create({.statistics = model.statistics,
                                                                         .pipeline = &described.pipeline,
                                                                         .target = &target,
                                                                         .name = model.name,
                                                                         .version = model.version,
                                                                         .sha256 = model.sha256,
                                                                         .probe_id = model.probe_id},
                                                                        options, codes));
    const size_t features = model.statistics->features().size();
    explainer.immutable_.resize(features);
    explainer.direction_.resize(features);
    for (const std::string& name : options.immutable) {
        DLENT_ASSIGN_OR_RETURN(const std::vector<int> found,
                               explainer.writer_.FeaturesNamed(name, "immutable"));
        for (const int f : found)
            explainer.immutable_[f] = true;
    }
    for (const auto& [name, direction] : options.directions) {
        DLENT_ASSIGN_OR_RETURN(const std::vector<int> found,
                               explainer.writer_.FeaturesNamed(name, "directions"));
        for (const int f : found)
            explainer.direction_[f] = direction == Direction::kRaises ? 1 : -1;
    }
    return explainer;
}

Expected<LocalExplanation> RowExplainer::Run(ExplainMethod method, const ExplainedRow& row,
                                             const std::vector<int>& labels,
                                             const CancelToken& cancel) const {
    const bool regression = model_.scorer->model().target.task() == Task::kRegression;
    const Link link = regression ? Link::kIdentity : options_.link.value_or(Link::kProbability);
    const int top_labels = labels.empty() ? options_.top_labels : 0;
    if (method == ExplainMethod::kIntegratedGradients) {
        IntegratedGradientsOptions gradients;
        gradients.steps = options_.steps;
        gradients.labels = labels;
        gradients.top_labels = top_labels;
        gradients.link = link;
        return ExplainByIntegratedGradients(*model_.statistics, *model_.weights, row.cells, gradients,
                                            *model_.backend, cancel);
    }
    LimeOptions lime;
    lime.num_features = options_.num_features;
    lime.num_samples = options_.num_samples;
    lime.kernel_width = options_.kernel_width;
    lime.discretizer = options_.discretizer;
    lime.feature_selection = options_.feature_selection;
    lime.labels = labels;
    lime.top_labels = top_labels;
    lime.sample_around_instance = options_.sample_around_instance;
    lime.alpha = options_.alpha;
    lime.link = link;
    lime.seed = options_.seed;
    lime.compat = options_.compat;
    return ExplainByLime(*model_.statistics, *model_.scorer, row.cells, lime,
                         options_.UsesSharedProbe() ? model_.probe : nullptr, cancel);
}

Expected<std::vector<Counterfactual>> RowExplainer::Search(const ExplainedRow& row,
                                                           const Prediction& prediction,
                                                           const CancelToken& cancel) const {
    const TargetEncoder& target = model_.scorer->model().target;
    CounterfactualOptions search;
    search.count = options_.counterfactuals;
    search.seed = options_.seed;
    search.immutable = immutable_;
    search.direction = direction_;
    if (target.task() == Task::kBinary) {
        search.threshold = options_.threshold.value_or(0.5);
        search.label = 1 - prediction.label;
    } else if (target.task() == Task::kRegression) {
        constexpr double kMost = std::numeric_limits<double>::max();
        const double threshold = *options_.threshold;
        const bool above = prediction.value >= threshold;
        search.target_low = above ? -kMost : threshold;
        search.target_high = above ? std::nextafter(threshold, -kMost) : kMost;
    }
    return FindCounterfactuals(*model_.statistics, *model_.scorer, row.cells, search, cancel);
}

Expected<Json> RowExplainer::Explain(const ExplainedRow& row, const CancelToken& cancel) const {
    try {
        const TargetEncoder& target = model_.scorer->model().target;
        std::vector<float> outputs(static_cast<size_t>(model_.scorer->output_count()));
        model_.scorer->Score(1, row.cells, outputs.data());
        const Prediction prediction = PredictionOf(target, outputs.data(), options_.threshold);

        std::vector<int> labels = labels_;
        if (labels.empty() && options_.top_labels == 0 && target.task() != Task::kRegression)
            labels = {prediction.label};
        DLENT_ASSIGN_OR_RETURN(const LocalExplanation explanation, Run(options_.method, row, labels, cancel));
        std::optional<LocalExplanation> second;
        if (options_.agreement) {
            const ExplainMethod other = options_.method == ExplainMethod::kLime
                                            ? ExplainMethod::kIntegratedGradients
                                            : ExplainMethod::kLime;
            const bool classes = target.task() != Task::kRegression;
            DLENT_ASSIGN_OR_RETURN(
                second,
                Run(other, row, classes ? std::vector<int>{explanation.labels[0].label} : std::vector<int>{},
                    cancel));
        }
        std::vector<Counterfactual> counterfactuals;
        if (options_.counterfactuals > 0) {
            DLENT_ASSIGN_OR_RETURN(counterfactuals, Search(row, prediction, cancel));
        }
        return writer_.Write(row, prediction, explanation, second ? &*second : nullptr, counterfactuals);
    } catch (const std::bad_alloc&) {
        return Status(StatusCode::kOutOfMemory, "out of memory");
    }
}

}  // namespace dlent
