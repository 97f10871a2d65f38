#pragma once

#include <span>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/status.h"
#include "core/explain/change_domain.h"
#include "core/explain/counterfactual.h"

namespace dlent {

/// Some changes of the instance, and what the network says to them.
struct Trial {
    std::vector<Counterfactual::Change> changes;  ///< by feature
    double distance = 0.0;
    bool reached = false;   ///< the network's answer is the wanted one
    double progress = 0.0;  ///< towards it, for comparisons: larger is nearer

    std::vector<int> Features() const;
    /// Its position in `changes`, or -1.
    int Find(int feature) const;
};

/// Scores changed rows in blocks, within a budget. A trial that was not scored for want of budget is not
/// reached.
class TrialScorer {
 public:
    /// `domains` by feature. All outlive the scorer.
    TrialScorer(const ExplainerStatistics& statistics, Scorer& scorer, const Cell* instance,
                const std::vector<ChangeDomain>& domains, const CounterfactualOptions& options,
                const CancelToken& cancel);

    /// Scores the instance itself. kNonFinite when the network's answer to it is not a number.
    Status Start();
    /// Whether the instance needs no change.
    bool instance_reached() const { return instance_reached_; }
    int remaining() const { return remaining_; }

    /// Fills in distance, reached and progress. kCancelled.
    Status Score(std::span<Trial> trials);
    /// The row of a trial and the network's answer to it alone.
    Status Verify(const Trial& trial, Counterfactual* counterfactual);

    const std::vector<ChangeDomain>& domains() const { return domains_; }
    double Distance(const Trial& trial) const;

 private:
    bool Reached(const float* outputs) const;
    double Progress(const float* outputs) const;
    void WriteRow(const Trial& trial, Cell* cells) const;

    const ExplainerStatistics& statistics_;
    Scorer& scorer_;
    const Cell* const instance_;
    const std::vector<ChangeDomain>& domains_;
    const CounterfactualOptions& options_;
    const CancelToken& cancel_;
    const Task task_;
    int label_ = -1;  ///< to be reached; -1: any but excluded_
    int excluded_ = -1;
    bool instance_reached_ = false;
    int remaining_;
    std::vector<Cell> cells_;
    std::vector<float> outputs_;
};

}  // namespace dlent
