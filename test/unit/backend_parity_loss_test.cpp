// Losses, probabilities, and the steps of the optimisers.

#include <limits>

#include "backend_parity.h"
#include "testing.h"

namespace dlent::parity {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct LossCase {
    LossSpec spec;
    int outputs = 1;
    int members = 1;
    bool weighted = false;
    Floats class_weights = {};
};

double LogSumExp(const double* z, int count) {
    const double largest = *std::max_element(z, z + count);
    double sum = 0.0;
    for (int j = 0; j < count; ++j)
        sum += std::exp(z[j] - largest);
    return largest + std::log(sum);
}

double RowLoss(const LossCase& c, const double* z, double target) {
    const LossSpec& s = c.spec;
    const int label = static_cast<int>(target);
    const double error = z[0] - target;
    switch (s.kind) {
        case LossKind::kBinaryCrossEntropy: {
            const double smooth = target * (1 - s.label_smoothing) + 0.5 * s.label_smoothing;
            const double pair[2] = {0.0, z[0]};
            return LogSumExp(pair, 2) - smooth * z[0];
        }
        case LossKind::kSoftmaxCrossEntropy: {
            const double sum = LogSumExp(z, c.outputs);
            double mean = 0.0;
            for (int j = 0; j < c.outputs; ++j)
                mean += (sum - z[j]) / c.outputs;
            return (1 - s.label_smoothing) * (sum - z[label]) + s.label_smoothing * mean;
        }
        case LossKind::kFocal: {
            const double pair[2] = {0.0, z[0]};
            const double* logits = c.outputs == 1 ? pair : z;
            const double log_p = logits[label] - LogSumExp(logits, std::max(2, c.outputs));
            return -std::pow(-std::expm1(log_p), s.focal_gamma) * log_p;
        }
        case LossKind::kSquared:
            return error * error;
        case LossKind::kHuber:
            return std::abs(error) <= s.huber_delta ? 0.5 * error * error
                                                    : s.huber_delta * (std::abs(error) - 0.5 * s.huber_delta);
        case LossKind::kPinball:
            return error < 0 ? -s.quantile * error : (1 - s.quantile) * error;
    }
    return 0.0;
}

std::vector<LossCase> LossCases() {
    std::vector<LossCase> cases;
    for (const int members : {1, 3})
        for (const bool weighted : {false, true}) {
            const auto add = [&](LossSpec spec, int outputs, Floats class_weights = {}) {
                cases.push_back({spec, outputs, members, weighted, std::move(class_weights)});
            };
            for (const float smoothing : {0.0f, 0.2f}) {
                add({.kind = LossKind::kBinaryCrossEntropy, .label_smoothing = smoothing}, 1);
                add({.kind = LossKind::kBinaryCrossEntropy, .label_smoothing = smoothing}, 1, {0.5f, 3.0f});
                for (const int outputs : {2, 5, 33}) {
                    add({.kind = LossKind::kSoftmaxCrossEntropy, .label_smoothing = smoothing}, outputs);
                    add({.kind = LossKind::kSoftmaxCrossEntropy, .label_smoothing = smoothing}, outputs,
                        RandomFloats(outputs, 9, 0.5f, 2.0f));
                }
            }
            for (const float gamma : {0.0f, 0.5f, 2.0f}) {
                add({.kind = LossKind::kFocal, .focal_gamma = gamma}, 1);
                add({.kind = LossKind::kFocal, .focal_gamma = gamma}, 1, {0.5f, 3.0f});
                add({.kind = LossKind::kFocal, .focal_gamma = gamma}, 4);
                add({.kind = LossKind::kFocal, .focal_gamma = gamma}, 4, {0.5f, 1.0f, 2.0f, 3.0f});
            }
            add({.kind = LossKind::kSquared}, 1);
            add({.kind = LossKind::kHuber, .huber_delta = 0.7f}, 1);
            add({.kind = LossKind::kPinball, .quantile = 0.8f}, 1);
        }
    return cases;
}

bool IsForClasses(const LossCase& c) {
    return c.spec.kind == LossKind::kBinaryCrossEntropy || c.spec.kind == LossKind::kSoftmaxCrossEntropy ||
           c.spec.kind == LossKind::kFocal;
}

TEST_P(BackendParity, Loss) {
    for (const LossCase& c : LossCases())
        for (const int targets : {1, 17, 90}) {
            SCOPED_TRACE("kind " + std::to_string(static_cast<int>(c.spec.kind)) + ", outputs " +
                         std::to_string(c.outputs) + ", rows " + std::to_string(targets));
            const int rows = targets * c.members;
            const size_t count = static_cast<size_t>(rows) * c.outputs;
            const Floats logits = RandomFloats(count, 1, -4.0f, 4.0f);
            Floats target = RandomFloats(targets, 2, -3.0f, 3.0f);
            Integers labels(targets);
            if (IsForClasses(c)) {
                RandomStream random(3);
                for (int i = 0; i < targets; ++i) {
                    labels[i] = static_cast<int32_t>(random.NextBelow(std::max(2, c.outputs)));
                    target[i] = static_cast<float>(labels[i]);
                }
            }
            const Floats row_weights = RandomFloats(targets, 4, 0.1f, 2.0f);
            const auto weight_of = [&](int row) {
                const int i = row / c.members;
                return (c.weighted ? row_weights[i] : 1.0) *
                       (c.class_weights.empty() ? 1.0 : c.class_weights[labels[i]]);
            };
            double weight = 0.0;
            for (int row = 0; row < rows; ++row)
                weight += weight_of(row);
            const auto reference = [&](const Doubles& z) {
                double sum = 0.0;
                for (int row = 0; row < rows; ++row)
                    sum += weight_of(row) * RowLoss(c, &z[row * c.outputs], target[row / c.members]);
                return sum;
            };
            LossSpec spec = c.spec;
            spec.class_weights = c.class_weights.empty() ? nullptr : Put(c.class_weights);
            const void* device_targets =
                c.outputs > 1 ? static_cast<const void*>(Put(labels)) : static_cast<const void*>(Put(target));
            const float* device_weights = c.weighted ? Put(row_weights) : nullptr;
            double* accumulator = Put(Doubles{10.0, 20.0});
            float* dlogits = Make(count);
            backend_->Loss(spec, rows, c.outputs, c.members, Put(logits), device_targets, device_weights,
                           accumulator, dlogits, nullptr);
            const Doubles sums = Get(accumulator, 2);
            const double expected = reference(Wide(logits));
            EXPECT_NEAR(sums[0] - 10.0, expected, 1e-5 * std::max(1.0, expected));
            EXPECT_NEAR(sums[1] - 20.0, weight, 1e-5 * weight);
            ExpectGradient("loss", Get(dlogits, count), logits,
                           [&](const Doubles& at) { return reference(at) / weight; });
            backend_->Loss(spec, rows, c.outputs, c.members, Put(logits), device_targets, device_weights,
                           accumulator, nullptr, nullptr);
            EXPECT_NEAR(Get(accumulator, 2)[0] - sums[0], expected, 1e-5 * std::max(1.0, expected));
            // a share of a batch: sums instead of means
            float* weight_sum = Put(Floats{-1.0f});
            backend_->Loss(spec, rows, c.outputs, c.members, Put(logits), device_targets, device_weights,
                           accumulator, dlogits, weight_sum);
            EXPECT_NEAR(Get(weight_sum, 1)[0], weight, 1e-5 * weight);
            ExpectGradient("summed loss", Get(dlogits, count), logits, reference);
        }
}

TEST_P(BackendParity, LossOfExtremeLogitsIsFinite) {
    for (const LossCase& c : LossCases()) {
        if (!c.class_weights.empty() || c.weighted || c.members > 1)
            continue;
        for (const float large : {100.0f, -100.0f, 30.0f})
            for (const int label : {0, 1}) {
                SCOPED_TRACE("kind " + std::to_string(static_cast<int>(c.spec.kind)) + ", outputs " +
                             std::to_string(c.outputs) + ", logit " + std::to_string(large));
                Floats logits(c.outputs, 0.0f);
                logits[0] = large;
                if (c.outputs > 1)
                    logits[1] = -large;
                double* accumulator = Make<double>(2);
                float* dlogits = Make(c.outputs);
                const void* target = c.outputs > 1 ? static_cast<const void*>(Put(Integers{label}))
                                                   : static_cast<const void*>(Put(Floats{float(label)}));
                backend_->Loss(c.spec, 1, c.outputs, 1, Put(logits), target, nullptr, accumulator, dlogits,
                               nullptr);
                const Doubles wide = Wide(logits);
                const double expected = RowLoss(c, wide.data(), label);
                EXPECT_NEAR(Get(accumulator, 1)[0], expected, 1e-5 * std::max(1.0, std::abs(expected)));
                ExpectGradient("loss", Get(dlogits, c.outputs), logits,
                               [&](const Doubles& at) { return RowLoss(c, at.data(), label); });
            }
    }
}

TEST_P(BackendParity, LossOfNotANumberIsNotANumber) {
    for (const LossCase& c : LossCases()) {
        double* accumulator = Make<double>(2);
        const Floats logits(static_cast<size_t>(c.members) * c.outputs, kNanFloat);
        const void* target = c.outputs > 1 ? static_cast<const void*>(Put(Integers{1}))
                                           : static_cast<const void*>(Put(Floats{1.0f}));
        backend_->Loss(c.spec, c.members, c.outputs, c.members, Put(logits), target, nullptr, accumulator,
                       nullptr, nullptr);
        EXPECT_TRUE(std::isnan(Get(accumulator, 1)[0])) << static_cast<int>(c.spec.kind);
    }
}

TEST_P(BackendParity, LossWithoutWeightHasNoGradient) {
    double* accumulator = Make<double>(2);
    float* dlogits = Put(Floats(3, 7.0f));
    backend_->Loss({.kind = LossKind::kSquared}, 3, 1, 1, Put(Floats{1, 2, 3}), Put(Floats{0, 0, 0}),
                   Put(Floats{0, 0, 0}), accumulator, dlogits, nullptr);
    EXPECT_EQ(Get(dlogits, 3), Floats(3, 0.0f));
    EXPECT_EQ(Get(accumulator, 2), Doubles(2, 0.0));
}

TEST_P(BackendParity, Probabilities) {
    for (const auto& [rows, outputs] : {std::pair{1, 1}, {100, 1}, {17, 2}, {9, 33}}) {
        Floats logits = RandomFloats(static_cast<size_t>(rows) * outputs, 1, -8.0f, 8.0f);
        logits[0] = 100.0f;
        float* probabilities = Make(logits.size());
        backend_->Probabilities(rows, outputs, 0.7f, Put(logits), probabilities);
        Doubles expected(logits.size());
        for (int row = 0; row < rows; ++row) {
            Doubles z = outputs == 1 ? Doubles{0.0} : Doubles();
            for (int j = 0; j < outputs; ++j)
                z.push_back(0.7 * logits[row * outputs + j]);
            const double sum = LogSumExp(z.data(), static_cast<int>(z.size()));
            for (int j = 0; j < outputs; ++j)
                expected[row * outputs + j] = std::exp(z[z.size() - outputs + j] - sum);
        }
        ExpectClose("probabilities", Get(probabilities, logits.size()), expected, 1e-6);
    }
}

TEST_P(BackendParity, GradientClipScale) {
    for (const size_t count : {1, 33, 5000}) {
        const Floats gradient = RandomFloats(count, 1);
        double norm = 0.0;
        for (const float value : gradient)
            norm += static_cast<double>(value) * value;
        norm = std::sqrt(norm);
        float* scale = Make(1);
        for (const double limit : {0.0, norm * 0.25, norm * 4.0}) {
            backend_->GradientClipScale(count, Put(gradient), nullptr, static_cast<float>(limit), scale);
            EXPECT_NEAR(Get(scale, 1)[0], limit > 0.0 && limit < norm ? 0.25 : 1.0, 1e-6);
        }
        for (const float bad : {kNanFloat, kInfinity, -kInfinity})
            for (const float limit : {0.0f, 1.0f}) {
                Floats broken = gradient;
                broken[count / 2] = bad;
                backend_->GradientClipScale(count, Put(broken), nullptr, limit, scale);
                EXPECT_TRUE(std::isnan(Get(scale, 1)[0]));
            }
        // the gradient of a sum, for its mean
        for (const double limit : {0.0, norm, norm * 0.025, norm * 0.4}) {
            backend_->GradientClipScale(count, Put(gradient), Put(Floats{10.0f}), static_cast<float>(limit),
                                        scale);
            EXPECT_NEAR(Get(scale, 1)[0], limit == norm * 0.025 ? 0.025 : 0.1, 1e-6);
        }
        backend_->GradientClipScale(count, Put(Floats(count, 0.0f)), Put(Floats{0.0f}), 1.0f, scale);
        EXPECT_EQ(Get(scale, 1)[0], 0.0f);
        // Squares that single precision could not hold.
        backend_->GradientClipScale(count, Put(Floats(count, 1e25f)), nullptr, 1.0f, scale);
        EXPECT_GT(Get(scale, 1)[0], 0.0f);
    }
}

TEST_P(BackendParity, CheckFinite) {
    for (const size_t count : {1, 33, 1000}) {
        const Floats values = RandomFloats(count, 1, -1.5e38f, 1.5e38f);
        auto* flag = Make<int32_t>(1);
        backend_->CheckFinite(count, Put(values), flag);
        EXPECT_EQ(Get(flag, 1)[0], 0);
        for (const float bad : {kNanFloat, -kNanFloat, kInfinity, -kInfinity})
            for (const size_t at : {size_t{0}, count / 2, count - 1}) {
                Floats broken = values;
                broken[at] = bad;
                auto* raised = Make<int32_t>(1);
                backend_->CheckFinite(count, Put(broken), raised);
                EXPECT_EQ(Get(raised, 1)[0], 1);
                backend_->CheckFinite(count, Put(values), raised);
                EXPECT_EQ(Get(raised, 1)[0], 1) << "a flag stays up";
            }
    }
}

/// Two segments with their own rates and a gap between them, which no step may touch.
constexpr ParameterSegment kSegments[] = {
    {.offset = 0, .count = 37, .learning_rate_multiplier = 1.0f, .weight_decay = 0.1f},
    {.offset = 48, .count = 5, .learning_rate_multiplier = 0.3f, .weight_decay = 0.0f}};
constexpr size_t kParameters = 64;

TEST_P(BackendParity, AdamWStep) {
    const Floats start = RandomFloats(kParameters, 1);
    float* parameters = Put(start);
    float* first = Make(kParameters);
    float* second = Make(kParameters);
    Doubles p = Wide(start);
    Doubles m(kParameters);
    Doubles v(kParameters);
    for (int step = 1; step <= 5; ++step) {
        const Floats gradient = RandomFloats(kParameters, 10 + step);
        const AdamWStepSpec spec{
            .learning_rate = 0.05f, .beta1 = 0.9f, .beta2 = 0.95f, .epsilon = 1e-8f, .step = step};
        backend_->AdamWStep(spec, kSegments, Put(gradient), Put(Floats{0.5f}), parameters, first, second);
        for (const ParameterSegment& s : kSegments)
            for (size_t i = s.offset; i < s.offset + s.count; ++i) {
                const double g = 0.5 * gradient[i];
                const double rate = 0.05 * s.learning_rate_multiplier;
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.95 * v[i] + 0.05 * g * g;
                p[i] -= rate * s.weight_decay * p[i];
                p[i] -= rate * (m[i] / (1 - std::pow(0.9, step))) /
                        (std::sqrt(v[i] / (1 - std::pow(0.95, step))) + 1e-8);
            }
    }
    ExpectClose("parameters", Get(parameters, kParameters), p);
    ExpectClose("first moment", Get(first, kParameters), m);
    ExpectClose("second moment", Get(second, kParameters), v);
}

TEST_P(BackendParity, SgdStep) {
    for (const bool nesterov : {false, true}) {
        const Floats start = RandomFloats(kParameters, 1);
        float* parameters = Put(start);
        float* momentum = Make(kParameters);
        Doubles p = Wide(start);
        Doubles buffer(kParameters);
        for (int step = 1; step <= 4; ++step) {
            const Floats gradient = RandomFloats(kParameters, 10 + step);
            backend_->SgdStep({.learning_rate = 0.05f, .momentum = 0.9f, .nesterov = nesterov}, kSegments,
                              Put(gradient), Put(Floats{0.5f}), parameters, momentum);
            for (const ParameterSegment& s : kSegments)
                for (size_t i = s.offset; i < s.offset + s.count; ++i) {
                    const double g = 0.5 * gradient[i];
                    const double rate = 0.05 * s.learning_rate_multiplier;
                    buffer[i] = 0.9 * buffer[i] + g;
                    p[i] -= rate * s.weight_decay * p[i];
                    p[i] -= rate * (nesterov ? g + 0.9 * buffer[i] : buffer[i]);
                }
        }
        ExpectClose("parameters", Get(parameters, kParameters), p);
        ExpectClose("momentum", Get(momentum, kParameters), buffer);
    }
}

TEST_P(BackendParity, StepWithNotANumberScaleSpoilsParametersVisibly) {
    float* parameters = Put(Floats(kParameters, 1.0f));
    backend_->AdamWStep({}, kSegments, Put(Floats(kParameters, 1.0f)), Put(Floats{kNanFloat}), parameters,
                        Make(kParameters), Make(kParameters));
    auto* flag = Make<int32_t>(1);
    backend_->CheckFinite(kParameters, parameters, flag);
    EXPECT_EQ(Get(flag, 1)[0], 1);
}

}  // namespace
}  // namespace dlent::parity
