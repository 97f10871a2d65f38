#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/features/pipeline.h"
#include "core/features/table.h"
#include "core/features/target.h"
#include "core/train/trainer.h"

namespace dlent {

/// Rows of a table as the trainer wants them: pipeline inputs, encoded targets, row weights. The table must
/// outlive it.
class TableTrainingData final : public TrainingData {
 public:
    /// `classes`: targets are labels rather than floats. `weight_cell` is the table's cell of row weights;
    /// -1: there are none.
    TableTrainingData(const ColumnarTable& table, Pipeline::Binding inputs, TargetEncoder::Binding target,
                      bool classes, int weight_cell)
        : table_(table),
          inputs_(std::move(inputs)),
          target_(std::move(target)),
          classes_(classes),
          weight_cell_(weight_cell) {}

    /// From now on targets are mixed with what a teacher says of the table's rows; NaN: nothing.
    void SetTeacher(std::vector<float> says) { teacher_ = std::move(says); }

    size_t rows() const override { return table_.rows(); }
    bool has_weights() const override { return weight_cell_ >= 0; }
    void Gather(std::span<const uint32_t> rows, const HostBatch& batch) const override;

 private:
    void Teach(std::span<const uint32_t> rows, float* targets) const;

    const ColumnarTable& table_;
    Pipeline::Binding inputs_;
    TargetEncoder::Binding target_;
    bool classes_;
    int weight_cell_;
    std::vector<float> teacher_;
};

}  // namespace dlent
