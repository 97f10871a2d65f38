#include "core/train/place_choice.h"

#include <algorithm>
#include <cstddef>

namespace dlent {

std::vector<int> ChoosePlaces(std::span<const PlaceState> places, int count, bool trains_elsewhere) {
    const auto others = [&places](int place) { return places[static_cast<size_t>(place)].others; };
    std::vector<int> chosen;
    for (size_t i = 0; i < places.size(); ++i) {
        if (places[i].is_free && (!trains_elsewhere || places[i].others == 0))
            chosen.push_back(static_cast<int>(i));
    }
    if (chosen.size() < static_cast<size_t>(count))
        return {};
    std::stable_sort(chosen.begin(), chosen.end(), [&](int a, int b) { return others(a) < others(b); });
    chosen.resize(static_cast<size_t>(count));
    std::sort(chosen.begin(), chosen.end());
    return chosen;
}

}  // namespace dlent
