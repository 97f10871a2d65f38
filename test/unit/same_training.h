#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "core/nn/named_tensor.h"
#include "core/train/trainer.h"

namespace dlent {

/// That two trainings came to the same bytes in the same way; clocks apart.
inline void ExpectSameTraining(const std::vector<NamedTensorData>& tensors, const TrainerResult& result,
                               const std::vector<NamedTensorData>& other_tensors,
                               const TrainerResult& other_result) {
    ASSERT_EQ(tensors.size(), other_tensors.size());
    for (size_t t = 0; t < tensors.size(); ++t)
        EXPECT_EQ(tensors[t].values, other_tensors[t].values) << tensors[t].name;
    EXPECT_EQ(result.validation_logits, other_result.validation_logits);
    EXPECT_EQ(result.steps, other_result.steps);
    EXPECT_EQ(result.best_epoch, other_result.best_epoch);
    EXPECT_EQ(result.stop_reason, other_result.stop_reason);
    ASSERT_EQ(result.log.size(), other_result.log.size());
    for (size_t i = 0; i < result.log.size(); ++i) {
        EXPECT_EQ(result.log[i].train_loss, other_result.log[i].train_loss);
        EXPECT_EQ(result.log[i].learning_rate, other_result.log[i].learning_rate);
        if (!result.validation_logits.empty()) {
            EXPECT_EQ(result.log[i].validation_loss, other_result.log[i].validation_loss);
        }
    }
}

}  // namespace dlent
