#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/status.h"
#include "core/explain/explainer_kernels.h"
#include "core/explain/feature_selection.h"

namespace dlent {

/// LIME's kernel √exp(−d²/width²) of a squared distance.
double KernelWeight(double squared_distance, double width);

/// Weighted rows as a surrogate sees them; row 0 is the instance. Rows lie in slots, in an order of the
/// neighbourhood's own; empty slots weigh nothing.
class Neighbourhood {
 public:
    virtual ~Neighbourhood() = default;

    int features() const { return moments_.features; }
    int rows() const { return rows_; }
    /// A multiple of 8.
    int slots() const { return static_cast<int>(weights_.size()); }
    /// Of each slot.
    const std::vector<double>& weights() const { return weights_; }
    /// The surrogate's inputs at the instance.
    const std::vector<double>& instance() const { return instance_; }
    /// All sums but those of a target.
    const Moments& moments() const { return moments_; }
    const ExplainerKernels& kernels() const { return kernels_; }

    /// Values of rows 0 .. rows() − 1 by slot; 0 in empty ones.
    virtual std::vector<double> Arrange(std::span<const double> of_rows) const = 0;
    /// sums[f] = Σ x_f · values over slots.
    virtual void ColumnSums(const double* values, double* sums) const = 0;
    /// Feature f by slot; empty ones may hold anything finite.
    virtual void Column(int f, double* values) const = 0;

 protected:
    explicit Neighbourhood(const ExplainerKernels& kernels) : kernels_(kernels) {}

    const ExplainerKernels& kernels_;
    Moments moments_;
    int rows_ = 0;
    std::vector<double> weights_;
    std::vector<double> instance_;
};

/// Rows of zeros and ones, where 1 says "as the instance"; the instance is all ones. `equal[f · words + r /
/// 64]` holds the bits of row r of feature f, without the instance, `words` = ⌈row_count / 64⌉ a feature.
/// Distances count the zeros, so rows have few different weights and the sums over them are exact counts.
/// kCancelled.
Expected<std::unique_ptr<Neighbourhood>> MakeBinaryNeighbourhood(int features, int row_count,
                                                                 std::span<const uint64_t> equal,
                                                                 double kernel_width,
                                                                 const ExplainerKernels& kernels,
                                                                 const CancelToken& cancel);

/// Rows of numbers: columns[f · rows + r], row 0 is the instance. kCancelled.
Expected<std::unique_ptr<Neighbourhood>> MakeNumericNeighbourhood(int features, int rows,
                                                                  std::span<const double> columns,
                                                                  double kernel_width,
                                                                  const ExplainerKernels& kernels,
                                                                  const CancelToken& cancel);

struct SurrogateOptions {
    FeatureSelection selection = FeatureSelection::kAuto;
    int num_features = 10;
    double alpha = 1.0;
};

/// A weighted ridge regression with unpenalised intercept, as the reference fits it.
struct Surrogate {
    double intercept = 0.0;
    std::vector<int> features;         ///< as they were selected
    std::vector<double> coefficients;  ///< of each
    std::vector<double> covariance;  ///< sandwich estimate of theirs [k × k], from the sampling of the rows
    double r2 = 0.0;                 ///< weighted; 1 when the target is constant
    double local_prediction = 0.0;   ///< at the instance
};

/// `target`: of each row. The covariance is A·(Σ w²e²xxᵀ)·A with A the inverse of the ridge's normal
/// equations (White 1980): how the coefficients would scatter from one set of samples to the next.
Surrogate FitSurrogate(const Neighbourhood& neighbourhood, std::span<const double> target,
                       const SurrogateOptions& options);

}  // namespace dlent
