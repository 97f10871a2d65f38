#pragma once

#include <string>
#include <vector>

#include "core/model/model.h"
#include "pg/bridge/postgres.h"

namespace dlent::pg {

/// What a scoring function returns of a row's outputs.
enum class Answer { kValue, kLabel, kProbabilities };

/// Turns a model's outputs into SQL values.
class AnswerFormat {
 public:
    AnswerFormat() = default;
    /// For C++ frames. 42809 when the task of model `title` has no such answer.
    AnswerFormat(const Model& model, Answer answer, const std::string& title);

    /// A float8, text or jsonb of the row's `outputs`. Allocates in the current memory context and raises
    /// PostgreSQL errors.
    Datum Make(const float* outputs) const;

 private:
    Datum Label(const float* outputs) const;
    Datum Probabilities(const float* outputs) const;

    Answer answer_ = Answer::kValue;
    bool binary_ = false;
    std::vector<std::string> labels_;  ///< in the server's encoding
};

}  // namespace dlent::pg
