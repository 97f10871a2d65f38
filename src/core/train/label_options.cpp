#include "core/train/label_options.h"

#include <algorithm>
#include <numeric>
#include <string>

namespace dlent {

Status CheckLabelOptions(const TargetEncoder& target, const TrainingOptions& options) {
    if (options.positive_class && target.task() != Task::kBinary)
        return Status::Invalid(
            std::string("option \"positive_class\" does not fit the task ") + TaskName(target.task()), {},
            "It is for targets of two classes.");
    const bool weighted = options.class_weight_mode || !options.class_weights.empty();
    if (weighted && target.task() == Task::kRegression)
        return Status::Invalid("option \"class_weight\" does not fit the task regression", {},
                               "Use {\"weight_column\": ...} to weigh rows.");
    for (const auto& [label, weight] : options.class_weights) {
        if (std::find(target.labels().begin(), target.labels().end(), label) == target.labels().end())
            return Status::Invalid("option \"class_weight\" names label \"" + label + "\", which target \"" +
                                   target.column() + "\" does not have");
    }
    return Status::Ok();
}

std::vector<float> ClassWeights(const TargetEncoder& target, const TrainingOptions& options) {
    std::vector<float> weights;
    if (target.task() == Task::kRegression)
        return weights;
    if (options.class_weight_mode == "balanced") {
        const double classes = static_cast<double>(target.labels().size());
        const double total = std::accumulate(target.label_counts().begin(), target.label_counts().end(), 0.0);
        for (const uint64_t count : target.label_counts())
            weights.push_back(static_cast<float>(total / (classes * static_cast<double>(count))));
    } else if (!options.class_weights.empty()) {
        for (const std::string& label : target.labels()) {
            const auto weight = options.class_weights.find(label);
            weights.push_back(weight == options.class_weights.end() ? 1.0f
                                                                    : static_cast<float>(weight->second));
        }
    }
    return weights;
}

}  // namespace dlent
