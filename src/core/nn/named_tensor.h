#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dlent {

/// One tensor of a network on the host, by name ("<layer>.<tensor>"), row-major.
struct NamedTensorData {
    std::string name;
    std::vector<int64_t> shape;
    std::vector<float> values;
};

}  // namespace dlent
