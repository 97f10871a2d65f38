#pragma once

#include <cstdint>

#include "core/train/schedule.h"

namespace dlent {

enum class StoppingRule : uint8_t {
    kCycle,     ///< when a whole cycle of the schedule brought no improvement, from the third on
    kPatience,  ///< after a number of epochs without improvement
    kNone,
};

struct StoppingOptions {
    StoppingRule rule = StoppingRule::kCycle;
    int patience = 16;  ///< epochs, of kPatience
};

/// Watches a validation loss and says which evaluation was the best and when to give up.
class EarlyStopping {
 public:
    EarlyStopping(const StoppingOptions& options, const Schedule& schedule)
        : options_(options), schedule_(schedule) {}

    /// Takes the loss after `epoch` (from 1), when share `t` of the budget is used up. True when it is the
    /// best so far; a loss that is not finite never is.
    bool Observe(int epoch, double t, double loss);
    /// Whether to stop after the last observed epoch.
    bool ShouldStop() const;

    int best_epoch() const { return best_epoch_; }  ///< 0: none yet
    double best_loss() const { return best_loss_; }

 private:
    StoppingOptions options_;
    Schedule schedule_;
    int epoch_ = 0;
    double t_ = 0.0;
    int best_epoch_ = 0;
    double best_t_ = 0.0;
    double best_loss_ = 0.0;
};

}  // namespace dlent
