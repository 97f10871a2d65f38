#include "core/train/early_stopping.h"

#include <cmath>

namespace dlent {

bool EarlyStopping::Observe(int epoch, double t, double loss) {
    epoch_ = epoch;
    t_ = t;
    if (!std::isfinite(loss) || (best_epoch_ > 0 && loss >= best_loss_)) {
        return false;
    }
    best_epoch_ = epoch;
    best_t_ = t;
    best_loss_ = loss;
    return true;
}

bool EarlyStopping::ShouldStop() const {
    constexpr int kFirstCheckedCycle = 2;
    switch (options_.rule) {
        case StoppingRule::kCycle: {
            // The last whole cycle: the one before the cycle that t_ falls in. An epoch that ends past a
            // cycle's end counts for the next one, in its favour.
            const int last = schedule_.Cycle(t_) - 1;
            return last >= kFirstCheckedCycle && best_t_ <= schedule_.CycleEnd(last - 1);
        }
        case StoppingRule::kPatience:
            return epoch_ - best_epoch_ >= options_.patience;
        case StoppingRule::kNone:
            break;
    }
    return false;
}

}  // namespace dlent
