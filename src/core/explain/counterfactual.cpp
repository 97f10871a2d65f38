#include "core/explain/counterfactual.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <new>
#include <set>
#include <utility>
#include <vector>

#include "core/explain/counterfactual_search.h"
#include "core/explain/trial_refiner.h"
#include "core/explain/trial_scorer.h"

namespace dlent {
namespace {

constexpr int kPoints = 64;  ///< candidates of a number, unless there are many features
constexpr int kFewestPoints = 12;
constexpr size_t kContracted = 64;
/// What sharing features with an alternative that is there already costs, in changes.
constexpr double kOverlapPenalty = 2.0;

Status CheckOptions(const ExplainerStatistics& statistics, const TargetEncoder& target,
                    const CounterfactualOptions& options) {
    const std::vector<ExplainedFeature>& features = statistics.features();
    if (options.count < 1 || options.max_changes < 1 || options.max_evaluations < 1)
        return Status::Invalid("the number of counterfactuals, changes and evaluations must be positive");
    if (target.task() == Task::kRegression) {
        if (!(options.target_low <= options.target_high))
            return Status::Invalid("the interval to be reached is empty");
    } else if (options.label < -1 || options.label >= static_cast<int>(target.labels().size())) {
        return Status::Invalid("there is no class " + std::to_string(options.label));
    }
    if (target.task() == Task::kBinary && !(options.threshold >= 0.0 && options.threshold <= 1.0))
        return Status::Invalid("the threshold of a decision must be from 0 to 1");
    if (!options.immutable.empty() && options.immutable.size() != features.size())
        return Status::Internal("immutable features are marked for another model");
    if (options.direction.empty())
        return Status::Ok();
    if (options.direction.size() != features.size())
        return Status::Internal("directions are given for another model");
    for (size_t f = 0; f < features.size(); ++f) {
        if (options.direction[f] != 0 && features[f].kind == ColumnKind::kCategory)
            return Status::Invalid("feature \"" + features[f].name + "\" cannot have a direction",
                                   "Categories have no order.");
    }
    return Status::Ok();
}

std::vector<ChangeDomain> MakeDomains(const ExplainerStatistics& statistics, const Pipeline& pipeline,
                                      const Cell* instance, const CounterfactualOptions& options) {
    const size_t count = statistics.features().size();
    // all features alone are to take a third of the budget at most
    const int points = std::clamp(options.max_evaluations / 3 / std::max(1, static_cast<int>(count)),
                                  kFewestPoints, kPoints);
    std::vector<ChangeDomain> domains(count);
    for (size_t f = 0; f < count; ++f) {
        if (!options.immutable.empty() && options.immutable[f])
            continue;
        domains[f] =
            ChangeDomain(statistics.features()[f], pipeline, statistics.Value(static_cast<int>(f), instance),
                         options.direction.empty() ? 0 : options.direction[f], points);
    }
    return domains;
}

/// Chooses among what a search finds: the smallest, then the smallest that differ from those chosen.
class Selection {
 public:
    Selection(TrialScorer* scorer, const CounterfactualOptions& options)
        : options_(options),
          scorer_(*scorer),
          refiner_(scorer),
          search_(scorer, &refiner_, options.max_changes, options.seed) {}

    Status Run() {
        DLENT_RETURN_IF_ERROR(search_.Find({}));
        while (static_cast<int>(chosen_.size()) < options_.count) {
            bool added = false;
            DLENT_RETURN_IF_ERROR(AddBest(&added));
            if (added)
                continue;
            bool searched = false;
            DLENT_RETURN_IF_ERROR(SearchElsewhere(&searched));
            if (!searched)
                break;
        }
        std::stable_sort(chosen_.begin(), chosen_.end(), [](const Trial& a, const Trial& b) {
            return a.changes.size() != b.changes.size() ? a.changes.size() < b.changes.size()
                                                        : a.distance < b.distance;
        });
        return Status::Ok();
    }

    const std::vector<Trial>& chosen() const { return chosen_; }

 private:
    /// Of what was found: how many features it changes, and how much of that is nothing new. Infinite for a
    /// set that contains a chosen one, or is part of it.
    double Cost(const std::vector<int>& features) const {
        double overlap = 0.0;
        for (const Trial& trial : chosen_) {
            const std::vector<int> other = trial.Features();
            std::vector<int> shared;
            std::set_intersection(features.begin(), features.end(), other.begin(), other.end(),
                                  std::back_inserter(shared));
            if (shared.size() == std::min(features.size(), other.size()))
                return std::numeric_limits<double>::infinity();
            overlap =
                std::max(overlap, static_cast<double>(shared.size()) /
                                      static_cast<double>(features.size() + other.size() - shared.size()));
        }
        return static_cast<double>(features.size()) + kOverlapPenalty * overlap;
    }

    Status AddBest(bool* added) {
        std::vector<std::pair<double, Trial>> candidates;
        for (const auto& [features, trial] : search_.found()) {
            const double cost =
                refused_.contains(features) ? std::numeric_limits<double>::infinity() : Cost(features);
            if (std::isfinite(cost))
                candidates.emplace_back(cost, trial);
        }
        if (candidates.empty())
            return Status::Ok();
        std::stable_sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) {
            return a.first != b.first ? a.first < b.first : a.second.distance < b.second.distance;
        });
        std::vector<Trial> shortlist;
        for (const auto& [cost, trial] : candidates) {
            if (cost == candidates[0].first && shortlist.size() < kContracted)
                shortlist.push_back(trial);
        }
        if (shortlist.size() > 1)
            DLENT_RETURN_IF_ERROR(refiner_.Contract(&shortlist));
        std::stable_sort(shortlist.begin(), shortlist.end(),
                         [](const Trial& a, const Trial& b) { return a.distance < b.distance; });
        // a single change is refined by one bisection, the others cost more the more they are
        const size_t refined = std::min(shortlist.size(), 16 / shortlist[0].changes.size());
        const Trial* best = nullptr;
        for (size_t i = 0; i < refined; ++i) {
            const std::vector<int> features = shortlist[i].Features();
            // the found trial, not the contracted one: its larger changes leave more to trade
            shortlist[i] = search_.found().at(features);
            DLENT_RETURN_IF_ERROR(refiner_.Refine(&shortlist[i]));
            if (!std::isfinite(Cost(shortlist[i].Features()))) {
                refused_.insert(features);  // without what it did not need, it is nothing new
                continue;
            }
            if (best == nullptr || shortlist[i].changes.size() < best->changes.size() ||
                (shortlist[i].changes.size() == best->changes.size() &&
                 shortlist[i].distance < best->distance))
                best = &shortlist[i];
        }
        if (best == nullptr) {
            *added = false;
            return refined > 0 ? AddBest(added) : Status::Ok();
        }
        chosen_.push_back(*best);
        *added = true;
        return Status::Ok();
    }

    /// Looks for more without the features of the chosen: without all of them, then without each.
    Status SearchElsewhere(bool* searched) {
        std::set<int> changed;
        for (const Trial& trial : chosen_) {
            for (const int feature : trial.Features())
                changed.insert(feature);
        }
        std::vector<std::set<int>> plans = {changed};
        for (const int feature : changed)
            plans.push_back({feature});
        for (const std::set<int>& plan : plans) {
            if (plan.empty() || scorer_.remaining() == 0 || !tried_.insert(plan).second)
                continue;
            std::vector<bool> forbidden(scorer_.domains().size());
            for (const int feature : plan)
                forbidden[feature] = true;
            *searched = true;
            return search_.Find(forbidden);
        }
        return Status::Ok();
    }

    const CounterfactualOptions& options_;
    TrialScorer& scorer_;
    TrialRefiner refiner_;
    CounterfactualSearch search_;
    std::vector<Trial> chosen_;
    std::set<std::vector<int>> refused_;
    std::set<std::set<int>> tried_;
};

}  // namespace

Expected<std::vector<Counterfactual>> FindCounterfactuals(const ExplainerStatistics& statistics,
                                                          Scorer& scorer, const Cell* instance,
                                                          const CounterfactualOptions& options,
                                                          const CancelToken& cancel) {
    try {
        DLENT_RETURN_IF_ERROR(CheckOptions(statistics, scorer.model().target, options));
        const std::vector<ChangeDomain> domains =
            MakeDomains(statistics, scorer.model().pipeline, instance, options);
        TrialScorer trials(statistics, scorer, instance, domains, options, cancel);
        DLENT_RETURN_IF_ERROR(trials.Start());
        std::vector<Counterfactual> counterfactuals;
        if (trials.instance_reached())
            return counterfactuals;
        Selection selection(&trials, options);
        DLENT_RETURN_IF_ERROR(selection.Run());
        for (const Trial& trial : selection.chosen()) {
            Counterfactual counterfactual;
            DLENT_RETURN_IF_ERROR(trials.Verify(trial, &counterfactual));
            counterfactuals.push_back(std::move(counterfactual));
        }
        return counterfactuals;
    } catch (const std::bad_alloc&) {
        return Status(StatusCode::kOutOfMemory, "out of memory", "A counterfactual was being searched for.");
    }
}

}  // namespace dlent
