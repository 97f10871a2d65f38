#pragma once

#include "core/base/device_choice.h"

namespace dlent {

/// What is to be scored, before its first row.
struct ScoringWork {
    double rows = 0.0;
    double cpu_seconds_per_row = 0.0;
    double flops_per_row = 0.0;
    double bytes_per_row = 0.0;  ///< of inputs and logits
    double weight_bytes = 0.0;
    int block_rows = 1;

    /// More rows, of another model: what a row takes is then their average.
    void Add(const ScoringWork& other);
};

/// A GPU as the decision sees it.
struct ScoringOffer {
    double flops_per_second = 5e12;  ///< a tenth of a data-centre card, until a block has shown better
    double block_seconds = 300e-6;   ///< that a block takes however small it is
    bool measured = false;           ///< rather than assumed
    bool is_warm = false;            ///< its context is there
    int jobs = 0;                    ///< that run or wait beside
};

/// The GPU where it saves time worth the way there.
RoutingDecision RouteScoring(const ScoringWork& work, const ScoringOffer& gpu);

}  // namespace dlent
