#include "core/train/table_training_data.h"

#include <cmath>

#include "core/train/teacher.h"

namespace dlent {

void TableTrainingData::Gather(std::span<const uint32_t> rows, const HostBatch& batch) const {
    if (batch.numeric != nullptr || batch.plain != nullptr || batch.codes != nullptr)
        inputs_.Gather(rows, batch.numeric, batch.plain, batch.codes);
    if (batch.targets != nullptr) {
        if (classes_)
            target_.Classes(rows, static_cast<int32_t*>(batch.targets));
        else
            target_.Values(rows, static_cast<float*>(batch.targets));
        if (!teacher_.empty())
            Teach(rows, static_cast<float*>(batch.targets));
    }
    if (batch.weights != nullptr) {
        for (size_t i = 0; i < rows.size(); ++i)
            batch.weights[i] = table_.Float(weight_cell_, rows[i]);
    }
}

void TableTrainingData::Teach(std::span<const uint32_t> rows, float* targets) const {
    for (size_t i = 0; i < rows.size(); ++i) {
        const float says = teacher_[rows[i]];
        if (!std::isnan(says))
            targets[i] += kTeacherShare * (says - targets[i]);
    }
}

}  // namespace dlent
