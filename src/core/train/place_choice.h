#pragma once

#include <span>
#include <vector>

namespace dlent {

/// A device as a model sees it that has one more network to train.
struct PlaceState {
    bool is_free = false;  ///< is there, and trains nothing for this model
    int others = 0;        ///< trainings of other models that run or wait there
};

/// Where the network goes, which `count` devices are to train together, usually one: to idle devices, else,
/// only when nothing of the model runs anywhere (`trains_elsewhere`), to those with the fewest trainings. So
/// a model spreads over what nobody uses, and withdraws, network by network, from devices that others have
/// come to. The first of equals, in rising order; nothing when it is to wait, or too few devices are free.
std::vector<int> ChoosePlaces(std::span<const PlaceState> places, int count, bool trains_elsewhere);

}  // namespace dlent
