#pragma once

#include <cstddef>

namespace dlent::cuda {

/// Of the graph that this thread has recorded last: how much is done in it, and how much of that one after
/// the other.
struct GraphSize {
    size_t work = 0;
    size_t depth = 0;
};
GraphSize LastGraphSize();

/// Has the next recordings of this thread come to nothing, as another thread's doings may on a card.
void FailRecordings(int count);

}  // namespace dlent::cuda
