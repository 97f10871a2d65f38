#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/features/task.h"
#include "core/nn/named_tensor.h"

namespace dlent {

// Whether numbers enter a network through an embedding is decided by held-out rows, and where they do not say
// clearly, some members have it and some have not (docs/recipe.md, "Inputs").

/// What the answer for each row costs: squared error, or minus the log of the probability of what was true.
/// `answers` is [rows × outputs], probabilities for classes; `values` [rows] are a number to be met, or 0 and
/// 1; `classes` [rows] are labels of a multi-class task. `weights` may be empty.
std::vector<float> RowLosses(Task task, std::span<const float> answers, std::span<const float> values,
                             std::span<const int32_t> classes, std::span<const float> weights);

struct PairedDifference {
    double mean = 0.0;
    double standard_error = 0.0;

    /// Beyond two standard errors.
    bool IsClear() const;
};

/// Of the rows' losses, b − a. `positions`, when given, are the rows' places in a source whose neighbours
/// depend on each other: then stretches of rows are the sample, not rows.
PairedDifference CompareLosses(std::span<const float> a, std::span<const float> b,
                               std::span<const uint32_t> positions);

/// A member without embedding as one with it, to the same answers: its numbers pass through the layer
/// "numbers" unchanged. `like` is a member that has the embedding, `reader` the dense layer that reads the
/// numbers first of all its inputs.
std::vector<NamedTensorData> WithIdleEmbedding(const std::vector<NamedTensorData>& plain,
                                               const std::vector<NamedTensorData>& like,
                                               const std::string& reader);

}  // namespace dlent
