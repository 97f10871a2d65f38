#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/model/model.h"
#include "core/nn/backend.h"
#include "core/train/recipe.h"
#include "core/train/trainer.h"

namespace dlent {

/// What a student learns of a teacher (knowledge distillation; Hinton, Vinyals and Dean 2015): its
/// probabilities of the positive class, or its values of the standardised target. [rows of the table]; NaN
/// where the student is to learn the row's own target alone.
struct TeacherLabels {
    std::vector<uint32_t> held_out;  ///< rows that the networks behind `judged` have not seen, in order
    std::vector<float> judged;       ///< to judge a student by those rows
    std::vector<float> finished;     ///< of the finished model: for the student's refit
    Json description;                ///< of the teacher: recipe, and metrics on held_out
};

/// Share of the teacher's word in a student's targets; the rest is the row's own target.
constexpr float kTeacherShare = 0.7f;

/// Whether a network of this recipe can be taught: its loss takes targets between those that rows have.
bool CanTeach(const Recipe& recipe);

/// What the model's members say of `rows` on average, written to answers[row]: `data` holds their inputs as
/// the model's pipeline makes them. Regression and binary tasks. kCancelled.
Status PredictTargets(const Model& model, const TrainingData& data, std::span<const uint32_t> rows,
                      Backend& backend, const CancelToken& cancel, std::vector<float>* answers);

}  // namespace dlent
