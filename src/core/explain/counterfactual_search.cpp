#include "core/explain/counterfactual_search.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "core/base/random.h"

namespace dlent {
namespace {

constexpr size_t kBeamWidth = 32;
constexpr size_t kAscended = 6;
constexpr size_t kLevelsKept = 4;
constexpr int kRandomTrials = 2000;
constexpr int kRandomRounds = 3;

bool Allowed(const std::vector<bool>& forbidden, int feature) {
    return forbidden.empty() || !forbidden[feature];
}

/// Nearer to the target first; ties by distance, then by features, so that the order is a fact.
bool Better(const Trial& a, const Trial& b) {
    if (a.progress != b.progress)
        return a.progress > b.progress;
    if (a.distance != b.distance)
        return a.distance < b.distance;
    return a.Features() < b.Features();
}

/// The best trials, one of each set of features.
void KeepBest(std::vector<Trial>* trials, size_t count) {
    std::stable_sort(trials->begin(), trials->end(), Better);
    std::set<std::vector<int>> seen;
    std::vector<Trial> kept;
    for (Trial& trial : *trials) {
        if (kept.size() < count && seen.insert(trial.Features()).second)
            kept.push_back(std::move(trial));
    }
    *trials = std::move(kept);
}

Trial With(const Trial& trial, const Counterfactual::Change& change) {
    Trial extended = trial;
    const auto place = std::lower_bound(
        extended.changes.begin(), extended.changes.end(), change.feature,
        [](const Counterfactual::Change& other, int feature) { return other.feature < feature; });
    extended.changes.insert(place, change);
    return extended;
}

/// Of the values on one side of a number those worth combining: the best, and the best within half its
/// distance.
void KeepSide(std::vector<Trial> side, std::vector<Trial>* kept) {
    if (side.empty())
        return;
    std::stable_sort(side.begin(), side.end(), Better);
    kept->push_back(side[0]);
    const auto halfway = std::find_if(side.begin(), side.end(), [&](const Trial& trial) {
        return trial.distance <= side[0].distance / 2.0;
    });
    if (halfway != side.end())
        kept->push_back(*halfway);
}

}  // namespace

CounterfactualSearch::CounterfactualSearch(TrialScorer* scorer, TrialRefiner* refiner, int max_changes,
                                           uint64_t seed)
    : scorer_(*scorer),
      refiner_(*refiner),
      domains_(scorer->domains()),
      max_changes_(max_changes),
      seed_(seed) {}

void CounterfactualSearch::Keep(const Trial& trial) {
    const auto [place, added] = found_.try_emplace(trial.Features(), trial);
    if (!added && trial.distance < place->second.distance)
        place->second = trial;
}

Status CounterfactualSearch::ScoreAndKeep(std::vector<Trial>* trials, size_t* reached) {
    DLENT_RETURN_IF_ERROR(scorer_.Score(*trials));
    for (const Trial& trial : *trials) {
        if (!trial.reached)
            continue;
        ++*reached;
        Keep(trial);
    }
    return Status::Ok();
}

Status CounterfactualSearch::ScanSingles() {
    scanned_ = true;
    singles_.resize(domains_.size());
    std::vector<TrialRefiner::Bisection> bisections;
    for (size_t f = 0; f < domains_.size(); ++f) {
        const ChangeDomain& domain = domains_[f];
        std::vector<Trial> trials;
        for (const double value : domain.candidates())
            trials.push_back({{{static_cast<int>(f), domain.from(), value}}});
        size_t reached = 0;
        DLENT_RETURN_IF_ERROR(ScoreAndKeep(&trials, &reached));
        if (domain.categorical()) {
            std::stable_sort(trials.begin(), trials.end(), Better);
            trials.resize(std::min(trials.size(), kLevelsKept));
            singles_[f] = std::move(trials);
            continue;
        }
        for (const bool below : {true, false}) {
            std::vector<Trial> side;
            for (const Trial& trial : trials) {
                if ((trial.changes[0].to < domain.anchor()) == below)
                    side.push_back(trial);
            }
            double near = domain.anchor();
            for (const Trial& trial : side) {
                if (trial.reached) {
                    bisections.push_back({trial, 0, near});
                    break;
                }
                near = trial.changes[0].to;
            }
            KeepSide(std::move(side), &singles_[f]);
        }
    }
    DLENT_RETURN_IF_ERROR(refiner_.Bisect(&bisections));
    for (const TrialRefiner::Bisection& bisection : bisections)
        Keep(bisection.trial);
    return Status::Ok();
}

bool CounterfactualSearch::HasSingle(const std::vector<bool>& forbidden) const {
    return std::any_of(found_.begin(), found_.end(), [&](const auto& entry) {
        return entry.first.size() == 1 && Allowed(forbidden, entry.first[0]);
    });
}

std::vector<Trial> CounterfactualSearch::StartingTrials(const std::vector<bool>& forbidden) const {
    std::vector<Trial> trials;
    for (size_t f = 0; f < singles_.size(); ++f) {
        if (Allowed(forbidden, static_cast<int>(f)))
            trials.insert(trials.end(), singles_[f].begin(), singles_[f].end());
    }
    return trials;
}

std::vector<Trial> CounterfactualSearch::Extend(const std::vector<Trial>& beam,
                                                const std::vector<Trial>& singles) const {
    std::vector<Trial> extended;
    std::set<std::vector<std::pair<int, double>>> seen;  // a set is reached from each of its parts
    for (const Trial& trial : beam) {
        for (const Trial& single : singles) {
            if (trial.Find(single.changes[0].feature) >= 0)
                continue;
            Trial candidate = With(trial, single.changes[0]);
            std::vector<std::pair<int, double>> key;
            for (const Counterfactual::Change& change : candidate.changes)
                key.emplace_back(change.feature, change.to);
            if (seen.insert(std::move(key)).second)
                extended.push_back(std::move(candidate));
        }
    }
    return extended;
}

Status CounterfactualSearch::Ascend(std::vector<Trial>* trials, size_t* reached) {
    for (Trial& trial : *trials) {
        for (size_t i = 0; i < trial.changes.size(); ++i) {
            std::vector<Trial> moved;
            for (const double value : domains_[trial.changes[i].feature].candidates()) {
                moved.push_back(trial);
                moved.back().changes[i].to = value;
            }
            DLENT_RETURN_IF_ERROR(ScoreAndKeep(&moved, reached));
            const auto best = std::min_element(moved.begin(), moved.end(), Better);
            if (best != moved.end() && Better(*best, trial))
                trial = *best;
        }
    }
    return Status::Ok();
}

Status CounterfactualSearch::DrawAtRandom(const std::vector<bool>& forbidden) {
    std::vector<int> features;
    for (size_t f = 0; f < domains_.size(); ++f) {
        if (!domains_[f].empty() && Allowed(forbidden, static_cast<int>(f)))
            features.push_back(static_cast<int>(f));
    }
    const size_t changes = std::min(features.size(), static_cast<size_t>(max_changes_));
    if (changes < 2)
        return Status::Ok();
    RandomStream random(seed_);
    std::vector<Trial> trials(std::min(kRandomTrials, scorer_.remaining() / 2));
    for (Trial& trial : trials) {
        random.Shuffle(features.data(), features.size());
        for (size_t i = 0; i < changes; ++i) {
            const ChangeDomain& domain = domains_[features[i]];
            const auto pick = random.NextBelow(static_cast<uint32_t>(domain.candidates().size()));
            trial = With(trial, {features[i], domain.from(), domain.candidates()[pick]});
        }
    }
    size_t reached = 0;
    DLENT_RETURN_IF_ERROR(ScoreAndKeep(&trials, &reached));
    KeepBest(&trials, kAscended);
    for (int round = 0; round < kRandomRounds && reached == 0 && scorer_.remaining() > 0; ++round)
        DLENT_RETURN_IF_ERROR(Ascend(&trials, &reached));
    return Status::Ok();
}

Status CounterfactualSearch::Find(const std::vector<bool>& forbidden) {
    if (!scanned_)
        DLENT_RETURN_IF_ERROR(ScanSingles());
    if (HasSingle(forbidden))
        return Status::Ok();
    std::vector<Trial> singles = StartingTrials(forbidden);
    std::vector<Trial> beam = singles;
    size_t reached = 0;
    for (int size = 2; size <= max_changes_ && !beam.empty() && scorer_.remaining() > 0; ++size) {
        // a quarter of what is left for each step, and of the pairs all that fit
        const size_t affordable = static_cast<size_t>(scorer_.remaining()) / 4;
        if (size == 2 && singles.size() * singles.size() / 2 > affordable) {
            std::stable_sort(beam.begin(), beam.end(), Better);
            beam.resize(std::max<size_t>(1, affordable / singles.size()));
        } else if (size > 2 && beam.size() * singles.size() > affordable) {
            beam.resize(std::max<size_t>(1, affordable / singles.size()));
        }
        beam = Extend(beam, singles);
        DLENT_RETURN_IF_ERROR(ScoreAndKeep(&beam, &reached));
        KeepBest(&beam, kBeamWidth);
        if (reached == 0 && scorer_.remaining() > 0) {
            std::vector<Trial> best(
                beam.begin(), beam.begin() + static_cast<std::ptrdiff_t>(std::min(beam.size(), kAscended)));
            DLENT_RETURN_IF_ERROR(Ascend(&best, &reached));
            std::move(best.begin(), best.end(), beam.begin());
            std::stable_sort(beam.begin(), beam.end(), Better);
        }
        if (reached > 0)
            return Status::Ok();
    }
    return DrawAtRandom(forbidden);
}

}  // namespace dlent
