#include "core/train/validation_loss.h"

#include <cmath>

namespace dlent {
namespace {

double ValueLoss(const LossSpec& loss, double error) {
    switch (loss.kind) {
        case LossKind::kHuber: {
            const double size = std::abs(error);
            const double delta = loss.huber_delta;
            return size <= delta ? 0.5 * error * error : delta * (size - 0.5 * delta);
        }
        case LossKind::kPinball:  // error = prediction − target
            return error < 0.0 ? -loss.quantile * error : (1.0 - loss.quantile) * error;
        default:
            return error * error;
    }
}

}  // namespace

Expected<double> ValidationLoss(const LossSpec& loss, const LabelledLogits& data, const CancelToken& cancel) {
    if (IsClassification(loss.kind)) {
        return BestTemperatureLogLoss(data, cancel);
    }
    constexpr size_t kRowsPerPoll = 65536;
    double total = 0.0;
    double weights = 0.0;
    for (size_t row = 0; row < data.rows; ++row) {
        if (row % kRowsPerPoll == 0 && cancel.IsCancelled()) {
            return Status::Cancelled();
        }
        const double weight = data.row_weights != nullptr ? data.row_weights[row] : 1.0;
        for (int output = 0; output < data.outputs; ++output) {
            double prediction = 0.0;
            for (int member = 0; member < data.members; ++member) {
                prediction += data.logits[(row * data.members + member) * data.outputs + output];
            }
            prediction /= data.members;
            total += weight * ValueLoss(loss, prediction - data.targets[row]) / data.outputs;
        }
        weights += weight;
    }
    return weights > 0.0 ? total / weights : 0.0;
}

}  // namespace dlent
