#include "core/train/place_choice.h"

#include <cstddef>

namespace dlent {

std::optional<int> ChoosePlace(std::span<const PlaceState> places, bool trains_elsewhere) {
    std::optional<int> best;
    for (size_t i = 0; i < places.size(); ++i) {
        if (!places[i].is_free || (trains_elsewhere && places[i].others > 0))
            continue;
        if (!best || places[i].others < places[static_cast<size_t>(*best)].others)
            best = static_cast<int>(i);
    }
    return best;
}

}  // namespace dlent
