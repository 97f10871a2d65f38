#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/status.h"
#include "core/model/model.h"
#include "core/nn/network.h"

namespace dlent {

/// A member's network rebuilt for points between two rows: wherever it selects a row of weights by a
/// category, it selects the blend of the two rows' at that point instead. Point p of a batch has code p in
/// every field. Dropout is off.
class PathNetwork {
 public:
    /// `from`, `to`: codes of the two rows, one a field; negative selects nothing. kUnsupported for layers
    /// whose gradients are not those of inference (batch_norm).
    static Expected<PathNetwork> Create(const Model& model, size_t member, std::span<const int32_t> from,
                                        std::span<const int32_t> to, Backend& backend, int max_points);

    Network& network() { return *network_; }
    /// Makes the blends: point p is shares[p] of the way.
    Status SetPoints(std::span<const double> shares);
    /// After Backward: adds, for each field, Σ_p weights[p] · (gradient at p's blend) · (to − from).
    Status AddContributions(std::span<const double> weights, std::span<double> of_field) const;

 private:
    /// The two rows of a field in one tensor.
    struct Table {
        int field = 0;
        size_t parameter = 0;  ///< of Network::parameters()
        size_t first_row = 0;  ///< that is the field's
        size_t width = 0;
        std::vector<float> from;
        std::vector<float> to;
    };

    std::unique_ptr<Network> network_;
    Backend* backend_ = nullptr;
    std::vector<Table> tables_;
    std::vector<std::vector<float>> values_;  ///< of the tensors that have tables, by parameter
    int max_points_ = 0;
};

}  // namespace dlent
