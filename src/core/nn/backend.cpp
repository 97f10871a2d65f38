#include "core/nn/backend.h"

#include <utility>

namespace dlent {
namespace {

/// Enqueues every step anew.
class PlainStepProgram final : public StepProgram {
 public:
    explicit PlainStepProgram(StepFunction enqueue) : enqueue_(std::move(enqueue)) {}
    Status Run(std::span<const StepScalars> steps) override {
        for (const StepScalars& step : steps)
            DLENT_RETURN_IF_ERROR(enqueue_(step));
        return Status::Ok();
    }

 private:
    StepFunction enqueue_;
};

}  // namespace

std::unique_ptr<StepProgram> Backend::MakeStepProgram(StepFunction enqueue) {
    return std::make_unique<PlainStepProgram>(std::move(enqueue));
}

}  // namespace dlent
