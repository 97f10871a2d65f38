// Losses, their gradients, and probabilities. A loss with one output is computed a block of rows at a time,
// one with classes row by row.

constexpr int kLossRows = 64;

/// Losses of logits z for targets t, and their derivatives by z.
void ScalarLosses(const LossSpec& spec, const float* z, const float* t, float* losses, float* slopes) {
    switch (spec.kind) {
        case LossKind::kBinaryCrossEntropy:
        case LossKind::kSoftmaxCrossEntropy: {
            const float keep = 1.0f - spec.label_smoothing;
            const float shift = 0.5f * spec.label_smoothing;
            for (int i = 0; i < kLossRows; ++i) {
                const float target = t[i] * keep + shift;
                const float e = Exp(-Abs(z[i]));
                const float inverse = 1.0f / (1.0f + e);
                // max(z, 0) − z · target, without the cancellation of large terms.
                const float linear = z[i] < 0.0f ? -z[i] * target : z[i] * (1.0f - target);
                losses[i] = linear + LogOnePlus(e);
                slopes[i] = (z[i] < 0.0f ? e * inverse : inverse) - target;
            }
            return;
        }
        case LossKind::kFocal:
            for (int i = 0; i < kLossRows; ++i) {
                // u is the logit of the true class, p its probability, q = 1 − p.
                const float sign = t[i] >= 0.5f ? 1.0f : -1.0f;
                const float u = sign * z[i];
                const float e = Exp(-Abs(u));
                const float log = LogOnePlus(e);
                const float log_p = (u < 0.0f ? u : u - u) - log;
                const float log_q = (u < 0.0f ? u - u : -u) - log;
                const float inverse = 1.0f / (1.0f + e);
                const float p = u < 0.0f ? e * inverse : inverse;
                const float q = u < 0.0f ? inverse : e * inverse;
                const float modulation = Exp(spec.focal_gamma * log_q);
                losses[i] = -modulation * log_p;
                slopes[i] = sign * modulation * (spec.focal_gamma * p * log_p - q);
            }
            return;
        case LossKind::kSquared:
            for (int i = 0; i < kLossRows; ++i) {
                const float error = z[i] - t[i];
                losses[i] = error * error;
                slopes[i] = 2.0f * error;
            }
            return;
        case LossKind::kHuber:
            for (int i = 0; i < kLossRows; ++i) {
                const float error = z[i] - t[i];
                const float slope = Clamp(error, -spec.huber_delta, spec.huber_delta);
                losses[i] = slope * (error - 0.5f * slope);
                slopes[i] = slope;
            }
            return;
        case LossKind::kPinball:
            for (int i = 0; i < kLossRows; ++i) {
                const float error = z[i] - t[i];
                const float slope = error > 0.0f ? 1.0f - spec.quantile : -spec.quantile;
                losses[i] = slope * error;
                slopes[i] = error == 0.0f ? 0.0f : slope;
            }
            return;
    }
}

bool WeighsClasses(const LossSpec& spec) {
    return spec.class_weights != nullptr &&
           (spec.kind == LossKind::kBinaryCrossEntropy || spec.kind == LossKind::kSoftmaxCrossEntropy ||
            spec.kind == LossKind::kFocal);
}

struct LossSums {
    double loss = 0.0;
    double weight = 0.0;
};

/// `weights` of a row's target and `rows` rows from `begin` on.
struct LossRows {
    const LossSpec& spec;
    int members;
    bool has_labels;  ///< targets are int32
    const void* targets;
    const float* row_weights;

    DLENT_INLINE int Label(int row) const {
        const int target = row / members;
        return has_labels ? static_cast<const int32_t*>(targets)[target]
                          : (static_cast<const float*>(targets)[target] >= 0.5f ? 1 : 0);
    }
    DLENT_INLINE float Weight(int row) const {
        const float weight = row_weights == nullptr ? 1.0f : row_weights[row / members];
        return WeighsClasses(spec) ? weight * spec.class_weights[Label(row)] : weight;
    }
};

double TotalWeight(const LossRows& batch, int rows) {
    if (batch.row_weights == nullptr && !WeighsClasses(batch.spec))
        return rows;
    double total = 0.0;
    for (int row = 0; row < rows; row += batch.members)
        total += batch.members * static_cast<double>(batch.Weight(row));
    return total;
}

double ScalarLoss(const LossRows& batch, int rows, const float* logits, float gradient_scale,
                  float* dlogits) {
    const float* targets = static_cast<const float*>(batch.targets);
    double total = 0.0;
    for (int begin = 0; begin < rows; begin += kLossRows) {
        const int count = rows - begin < kLossRows ? rows - begin : kLossRows;
        float z[kLossRows] = {};
        float t[kLossRows] = {};
        float weights[kLossRows] = {};
        float losses[kLossRows];
        float slopes[kLossRows];
        __builtin_memcpy(z, logits + begin, static_cast<size_t>(count) * sizeof(float));
        for (int i = 0; i < count; ++i) {
            t[i] = targets[(begin + i) / batch.members];
            weights[i] = batch.Weight(begin + i);
        }
        ScalarLosses(batch.spec, z, t, losses, slopes);
        for (int i = 0; i < count; ++i)
            total += static_cast<double>(weights[i]) * static_cast<double>(losses[i]);
        if (dlogits != nullptr)
            for (int i = 0; i < count; ++i)
                dlogits[begin + i] = slopes[i] * (weights[i] * gradient_scale);
    }
    return total;
}

/// The largest logit; probabilities · Σ in `exponentials` when not null; returns Σ.
DLENT_INLINE float SoftmaxSum(int outputs, const float* logits, float factor, float& largest,
                              float* exponentials) {
    largest = logits[0] * factor;
    for (int j = 1; j < outputs; ++j)
        largest = largest < logits[j] * factor ? logits[j] * factor : largest;
    float sum = 0.0f;
    for (int j = 0; j < outputs; ++j) {
        const float e = Exp(logits[j] * factor - largest);
        if (exponentials != nullptr)
            exponentials[j] = e;
        sum += e;
    }
    return sum;
}

double ClassLoss(const LossRows& batch, int rows, int outputs, const float* logits, float gradient_scale,
                 float* dlogits) {
    const LossSpec& spec = batch.spec;
    double total = 0.0;
    for (int row = 0; row < rows; ++row, logits += outputs) {
        const int label = batch.Label(row);
        const float weight = batch.Weight(row);
        float largest;
        const float sum = SoftmaxSum(outputs, logits, 1.0f, largest, dlogits);
        const float inverse = 1.0f / sum;
        const float z = logits[label] - largest;
        float others = 0.0f;
        float shifted = 0.0f;
        for (int j = 0; j < outputs; ++j) {
            shifted += logits[j] - largest;
            others += j == label ? 0.0f : Exp(logits[j] - largest);
        }
        // p is the probability of the label, q = 1 − p without cancellation.
        const float p = Exp(z) * inverse;
        const float q = others * inverse;
        const float log_sum = __builtin_logf(sum);
        const float log_p = q < 0.5f ? __builtin_log1pf(-q) : z - log_sum;
        const float scale = weight * gradient_scale;
        if (spec.kind == LossKind::kFocal) {
            const float modulation = __builtin_powf(q, spec.focal_gamma);
            const float ratio = q > 0.0f ? log_p / q : -1.0f;
            total -= static_cast<double>(weight) * static_cast<double>(modulation * log_p);
            if (dlogits != nullptr) {
                const float slope = scale * modulation * (spec.focal_gamma * p * ratio - 1.0f);
                for (int j = 0; j < outputs; ++j)
                    dlogits[j] = slope * (j == label ? q : -dlogits[j] * inverse);
            }
        } else {
            const float share = spec.label_smoothing / static_cast<float>(outputs);
            const float smooth = share * (static_cast<float>(outputs) * log_sum - shifted);
            const float loss = smooth - (1.0f - spec.label_smoothing) * log_p;
            total += static_cast<double>(weight) * static_cast<double>(loss);
            if (dlogits != nullptr) {
                const float keep = 1.0f - spec.label_smoothing;
                for (int j = 0; j < outputs; ++j)
                    dlogits[j] = scale * (j == label ? -keep * q + (1.0f - keep) * p - share
                                                     : dlogits[j] * inverse - share);
            }
        }
        if (dlogits != nullptr)
            dlogits += outputs;
    }
    return total;
}

void Loss(const LossSpec& spec, int rows, int outputs, int members, const float* logits, const void* targets,
          const float* row_weights, double* accumulator, float* dlogits, float* weight_sum) {
    const bool for_classes =
        spec.kind == LossKind::kSoftmaxCrossEntropy || (spec.kind == LossKind::kFocal && outputs > 1);
    const LossRows batch{spec, members, for_classes, targets, row_weights};
    const double weight = TotalWeight(batch, rows);
    if (weight_sum != nullptr)
        *weight_sum = static_cast<float>(weight);
    const float gradient_scale = weight_sum != nullptr ? 1.0f
                                 : weight == 0.0       ? 0.0f
                                                       : static_cast<float>(1.0 / weight);
    accumulator[0] += for_classes ? ClassLoss(batch, rows, outputs, logits, gradient_scale, dlogits)
                                  : ScalarLoss(batch, rows, logits, gradient_scale, dlogits);
    accumulator[1] += weight;
}

void Probabilities(int rows, int outputs, float inverse_temperature, const float* logits,
                   float* probabilities) {
    if (outputs == 1) {
#pragma GCC ivdep
        for (int row = 0; row < rows; ++row)
            probabilities[row] = Logistic(logits[row] * inverse_temperature);
        return;
    }
    for (int row = 0; row < rows; ++row, logits += outputs, probabilities += outputs) {
        float largest;
        const float inverse = 1.0f / SoftmaxSum(outputs, logits, inverse_temperature, largest, probabilities);
        for (int j = 0; j < outputs; ++j)
            probabilities[j] *= inverse;
    }
}
