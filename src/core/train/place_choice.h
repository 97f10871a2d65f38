#pragma once

#include <optional>
#include <span>

namespace dlent {

/// A device as a model sees it that has one more network to train.
struct PlaceState {
    bool is_free = false;  ///< is there, and trains nothing for this model
    int others = 0;        ///< trainings of other models that run or wait there
};

/// Where the network goes: to an idle device, else, only when nothing of the model runs anywhere
/// (`trains_elsewhere`), to the one with the fewest trainings. So a model spreads over what nobody uses, and
/// withdraws, network by network, from devices that others have come to. The first of equals; nothing when
/// it is to wait, or no device is free.
std::optional<int> ChoosePlace(std::span<const PlaceState> places, bool trains_elsewhere);

}  // namespace dlent
