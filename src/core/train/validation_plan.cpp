#include "core/train/validation_plan.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string>

namespace dlent {
namespace {

/// From here on neighbouring rows say so much about each other that a random split would flatter.
constexpr double kOrderedDependence = 0.3;

Finding OrderedRows(double dependence) {
    char number[32];
    std::snprintf(number, sizeof(number), "%.2f", dependence);
    return {Finding::Severity::kNotice,
            "ORDERED_ROWS",
            {},
            std::string("neighbouring rows of the source share their target (dependence ") + number +
                " of 1), so whole blocks of rows are held out",
            "If rows to score will lie between those of the source, use {\"validation\": {\"method\": "
            "\"random\"}}; if they come after them, validate by time."};
}

/// Folds of the recipe's plan, or the parts of which a hold-out part is one.
int FoldsOf(const Recipe& recipe) {
    if (recipe.plan == MemberPlan::kFolds)
        return recipe.members;
    return static_cast<int>(std::lround(1.0 / std::clamp(recipe.validation_fraction, 0.01, 0.5)));
}

}  // namespace

Expected<SplitPlan> PlanValidation(const SplitInputs& inputs, const TrainingOptions& options, Recipe* recipe,
                                   std::vector<Finding>* findings) {
    if (options.validation.method == ValidationMethod::kAuto) {
        DLENT_ASSIGN_OR_RETURN(const double dependence, NeighbourDependence(inputs));
        if (dependence > kOrderedDependence) {
            const int ordered_folds = recipe->ordered_folds;
            DLENT_ASSIGN_OR_RETURN(
                std::optional<SplitPlan> blocks,
                MakeBlockFolds(inputs, ordered_folds > 0 ? ordered_folds : FoldsOf(*recipe)));
            if (blocks) {
                if (ordered_folds > 0)
                    recipe->UseFolds(ordered_folds);
                if (recipe->plan == MemberPlan::kHoldOut)
                    blocks->splits.resize(1);
                findings->push_back(OrderedRows(dependence));
                return std::move(*blocks);
            }
        }
    }
    const bool groups = options.validation.method == ValidationMethod::kGroup;
    if (recipe->plan == MemberPlan::kFolds)
        return groups ? MakeGroupFolds(inputs, FoldsOf(*recipe)) : MakeFolds(inputs, FoldsOf(*recipe));
    if (recipe->validation_fraction <= 0.0) {
        const std::vector<uint32_t> all(inputs.rows.begin(), inputs.rows.end());
        return SplitPlan{{{all, {}}}, {{"method", "none"}}};
    }
    if (groups)
        return MakeGroupHoldOut(inputs, recipe->validation_fraction);
    if (options.validation.method == ValidationMethod::kTime)
        return MakeTimeHoldOut(inputs, recipe->validation_fraction);
    return MakeHoldOut(inputs, recipe->validation_fraction);
}

}  // namespace dlent
