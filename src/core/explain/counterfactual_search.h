#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "core/base/status.h"
#include "core/explain/trial_refiner.h"
#include "core/explain/trial_scorer.h"

namespace dlent {

/// Finds sets of features whose change reaches the target: each feature alone over all of its candidates,
/// then a beam over pairs, triples and so on, then chance.
class CounterfactualSearch {
 public:
    CounterfactualSearch(TrialScorer* scorer, TrialRefiner* refiner, int max_changes, uint64_t seed);

    /// Searches without the `forbidden` features (by feature; empty: none is), by rising number of changes,
    /// until something is found. What was found before with the same freedom is not looked for again.
    Status Find(const std::vector<bool>& forbidden);

    /// Everything found so far: of each set of features the reached trial of least distance.
    const std::map<std::vector<int>, Trial>& found() const { return found_; }

 private:
    Status ScanSingles();
    bool HasSingle(const std::vector<bool>& forbidden) const;
    std::vector<Trial> StartingTrials(const std::vector<bool>& forbidden) const;
    /// Every trial of the beam with one more feature.
    std::vector<Trial> Extend(const std::vector<Trial>& beam, const std::vector<Trial>& singles) const;
    void Keep(const Trial& trial);
    /// Scores, keeps what is reached, and says how many are.
    Status ScoreAndKeep(std::vector<Trial>* trials, size_t* reached);
    /// Tries every candidate of every changed feature, the others held.
    Status Ascend(std::vector<Trial>* trials, size_t* reached);
    Status DrawAtRandom(const std::vector<bool>& forbidden);

    TrialScorer& scorer_;
    TrialRefiner& refiner_;
    const std::vector<ChangeDomain>& domains_;
    const int max_changes_;
    const uint64_t seed_;
    bool scanned_ = false;
    std::vector<std::vector<Trial>> singles_;  ///< by feature: the few worth combining
    std::map<std::vector<int>, Trial> found_;
};

}  // namespace dlent
