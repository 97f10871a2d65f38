#pragma once

#include <memory>
#include <string>

#include "core/base/status.h"
#include "core/explain/explainer_kernels.h"
#include "core/features/table.h"
#include "core/model/model.h"

namespace dlent {

/// A packed model with what scoring needs beside it: made once per process and version, then called per row
/// or per block without allocating. Not thread-safe (it owns its scratch memory).
class Scorer {
 public:
    virtual ~Scorer() = default;

    /// Without the members' weights, which are packed.
    const Model& model() const { return model_; }
    /// Cells of one row: those of model().pipeline.inputs(), in that order. Category cells hold
    /// Pipeline::CategoryCode() of the text.
    int cell_count() const { return model_.pipeline.cell_count(); }
    /// 1 for regression and binary tasks, the number of classes otherwise.
    int output_count() const { return model_.target.output_count(); }
    /// cells [rows × cell_count] → outputs [rows × output_count]: the value in the target's units, the
    /// probability of the positive class, or one probability a class. A row's result does not depend on the
    /// rows beside it.
    virtual void Score(int rows, const Cell* cells, float* outputs) = 0;
    /// Not Ok once the device behind it has failed or its caller was cancelled: answers since then are NaN.
    virtual Status status() const { return Status::Ok(); }
    /// Rows of a call with which it works well; more do no harm.
    virtual int block_rows() const { return 256; }
    /// Bytes this object holds beside the packed model, nearly, for the cache's accounting.
    virtual size_t memory_bytes() const = 0;
    /// What explanations of this device's answers compute with. All sets give the same bits.
    virtual const ExplainerKernels& explainer_kernels() const { return PortableExplainerKernels(); }

 protected:
    explicit Scorer(Model model) : model_(std::move(model)) {}
    Model model_;
};

}  // namespace dlent
