// Dense layers, products, element-wise operators, normalisation and ensembles. See also
// backend_parity_embedding_test.cpp and backend_parity_loss_test.cpp.

#include <bit>
#include <cstring>
#include <limits>

#include "backend_parity.h"
#include "testing.h"

namespace dlent::parity {
namespace {

INSTANTIATE_TEST_SUITE_P(All, BackendParity, ::testing::ValuesIn(AvailableBackends()), CaseName);

struct Shape {
    int rows;
    int inputs;
    int outputs;
};

constexpr Shape kShapes[] = {{1, 1, 1},   {1, 33, 17}, {17, 1, 33},  {17, 33, 1},
                             {17, 33, 5}, {5, 64, 64}, {40, 48, 70}, {3, 300, 20}};

TEST_P(BackendParity, MemoryIsAlignedZeroedAndCopied) {
    for (const size_t count : {1, 7, 1000}) {
        float* a = Make(count);
        EXPECT_EQ(reinterpret_cast<uintptr_t>(a) % 64, 0u);
        EXPECT_EQ(Get(a, count), Floats(count, 0.0f));
        const Floats values = RandomFloats(count, count);
        float* b = Put(values);
        backend_->Copy(a, b, count * sizeof(float));
        backend_->Zero(b, count * sizeof(float));
        EXPECT_EQ(Get(a, count), values);
        EXPECT_EQ(Get(b, count), Floats(count, 0.0f));
    }
    EXPECT_EQ(backend_->Allocate(std::numeric_limits<size_t>::max() - 8), nullptr);
}

TEST_P(BackendParity, Gemm) {
    for (const Shape& s : {Shape{1, 1, 1}, Shape{1, 33, 17}, Shape{17, 33, 1}, Shape{33, 1, 17},
                           Shape{37, 21, 100}, Shape{600, 5, 65}, Shape{9, 600, 3}, Shape{6, 300, 64}})
        for (const bool transpose_a : {false, true})
            for (const bool transpose_b : {false, true})
                for (const float beta : {0.0f, 1.0f, 0.5f})
                    for (const int padding : {0, 3}) {
                        const int m = s.rows;
                        const int n = s.outputs;
                        const int k = s.inputs;
                        const float alpha = beta == 0.5f ? -0.75f : 1.0f;
                        const int lda = (transpose_a ? m : k) + padding;
                        const int ldb = (transpose_b ? k : n) + padding;
                        const int ldc = n + padding;
                        const Floats a = RandomFloats(static_cast<size_t>(transpose_a ? k : m) * lda, 1);
                        const Floats b = RandomFloats(static_cast<size_t>(transpose_b ? n : k) * ldb, 2);
                        const Floats c = RandomFloats(static_cast<size_t>(m) * ldc, 3);
                        Floats start = c;
                        if (beta == 0.0f)
                            std::fill(start.begin(), start.end(), kNanFloat);  // not to be read
                        float* device = Put(start);
                        backend_->Gemm(transpose_a, transpose_b, m, n, k, alpha, Put(a), lda, Put(b), ldb,
                                       beta, device, ldc);
                        const Doubles product =
                            Multiply(transpose_a, transpose_b, m, n, k, Wide(a), lda, Wide(b), ldb);
                        const Floats result = Get(device, c.size());
                        for (int i = 0; i < m; ++i)
                            for (int j = 0; j < ldc; ++j) {
                                const float actual = result[i * ldc + j];
                                if (j >= n) {
                                    const uint32_t kept = std::bit_cast<uint32_t>(start[i * ldc + j]);
                                    ASSERT_EQ(std::bit_cast<uint32_t>(actual), kept) << "padding written";
                                    continue;
                                }
                                const double expected =
                                    alpha * product[i * n + j] + (beta != 0 ? beta * c[i * ldc + j] : 0.0);
                                ASSERT_NEAR(actual, expected,
                                            1e-5 * tolerance_factor * (5 + std::abs(expected)))
                                    << m << "x" << n << "x" << k << " at " << i << ", " << j;
                            }
                    }
}

TEST_P(BackendParity, GemmBatched) {
    constexpr int kCount = 3;
    constexpr int kM = 5;
    constexpr int kN = 2;
    constexpr int kK = 19;
    // Members are interleaved in a and c, as ensemble heads are.
    const Floats a = RandomFloats(kM * kCount * kK, 1);
    const Floats b = RandomFloats(kCount * kK * kN, 2);
    float* c = Make(kM * kCount * kN);
    backend_->GemmBatched(false, false, kM, kN, kK, 1.0f, Put(a), kCount * kK, kK, Put(b), kN, kK * kN, 0.0f,
                          c, kCount * kN, kN, kCount);
    Doubles expected(kM * kCount * kN);
    for (int i = 0; i < kM; ++i)
        for (int e = 0; e < kCount; ++e)
            for (int j = 0; j < kN; ++j)
                for (int l = 0; l < kK; ++l)
                    expected[(i * kCount + e) * kN + j] +=
                        static_cast<double>(a[(i * kCount + e) * kK + l]) * b[(e * kK + l) * kN + j];
    ExpectClose("batched product", Get(c, expected.size()), expected);
}

/// The preactivation of a dense layer.
Doubles Linear(const Shape& s, const Doubles& x, int ldx, const Doubles& weight, const Floats& bias,
               const Floats& base) {
    Doubles z = Multiply(false, false, s.rows, s.outputs, s.inputs, x, ldx, weight, s.outputs);
    for (size_t i = 0; i < z.size(); ++i)
        z[i] += (bias.empty() ? 0.0 : bias[i % s.outputs]) + (base.empty() ? 0.0 : base[i]);
    return z;
}

TEST_P(BackendParity, DenseForward) {
    for (const Shape& s : kShapes)
        for (const Activation activation : kActivations)
            for (const bool full : {false, true}) {
                const int ldx = s.inputs + (full ? 2 : 0);
                const size_t count = static_cast<size_t>(s.rows) * s.outputs;
                const Floats x = RandomFloats(static_cast<size_t>(s.rows) * ldx, 1);
                const Floats weight = RandomFloats(static_cast<size_t>(s.inputs) * s.outputs, 2, -0.3f, 0.3f);
                const Floats bias = full ? RandomFloats(s.outputs, 3) : Floats();
                const Floats base = full ? RandomFloats(count, 4) : Floats();
                float* y = Make(count);
                float* preactivation = full ? Make(count) : nullptr;
                backend_->DenseForward(s.rows, s.inputs, s.outputs, Put(x), ldx, Put(weight),
                                       full ? Put(bias) : nullptr, full ? Put(base) : nullptr, activation,
                                       preactivation, y);
                Doubles expected = Linear(s, Wide(x), ldx, Wide(weight), bias, base);
                if (full)
                    ExpectClose("preactivation", Get(preactivation, count), expected);
                for (double& value : expected)
                    value = Activate(activation, value);
                ExpectClose("dense layer", Get(y, count), expected);
            }
}

TEST_P(BackendParity, DenseBackward) {
    for (const Shape& s : kShapes)
        for (const bool accumulate : {false, true}) {
            const int ldx = s.inputs + (accumulate ? 2 : 0);
            const Floats x = RandomFloats(static_cast<size_t>(s.rows) * ldx, 1);
            const Floats weight = RandomFloats(static_cast<size_t>(s.inputs) * s.outputs, 2);
            const Floats dz = RandomFloats(static_cast<size_t>(s.rows) * s.outputs, 3);
            const Floats start = RandomFloats(x.size(), 4);
            float* dweight = Make(weight.size());
            float* dbias = Make(s.outputs);
            float* dx = Put(start);
            backend_->DenseBackward(s.rows, s.inputs, s.outputs, Put(x), ldx, Put(weight), Put(dz), dweight,
                                    dbias, dx, accumulate);
            ExpectGradient("weight", Get(dweight, weight.size()), weight,
                           [&](const Doubles& w) { return Dot(Linear(s, Wide(x), ldx, w, {}, {}), dz); });
            Doubles bias_gradient(s.outputs);
            for (size_t i = 0; i < dz.size(); ++i)
                bias_gradient[i % s.outputs] += dz[i];
            ExpectClose("bias gradient", Get(dbias, s.outputs), bias_gradient);
            // dx is linear in dz: its definition is as short as its differences.
            const Doubles product = Multiply(false, true, s.rows, s.inputs, s.outputs, Wide(dz), s.outputs,
                                             Wide(weight), s.outputs);
            Doubles expected = Wide(start);
            for (int i = 0; i < s.rows; ++i)
                for (int j = 0; j < s.inputs; ++j)
                    expected[i * ldx + j] = product[i * s.inputs + j] + (accumulate ? start[i * ldx + j] : 0);
            ExpectClose("input gradient", Get(dx, x.size()), expected);

            float* alone = Make(weight.size());
            backend_->DenseBackward(s.rows, s.inputs, s.outputs, Put(x), ldx, Put(weight), Put(dz), alone,
                                    nullptr, nullptr, false);
            // a device may take another algorithm where it sums the bias gradient in the same pass
            ExpectClose("weight gradient alone", Get(alone, weight.size()),
                        Wide(Get(dweight, weight.size())));
        }
}

TEST_P(BackendParity, ColumnSum) {
    for (const auto& [rows, columns] : {std::pair{1, 1}, {300, 1}, {17, 33}, {130, 150}}) {
        const Floats x = RandomFloats(static_cast<size_t>(rows) * columns, 1);
        float* out = Make(columns);
        backend_->ColumnSum(rows, columns, Put(x), out);
        Doubles expected(columns);
        for (size_t i = 0; i < x.size(); ++i)
            expected[i % columns] += x[i];
        ExpectClose("column sum", Get(out, columns), expected);
    }
}

TEST_P(BackendParity, ActivationIsExactToSinglePrecision) {
    Floats x = RandomFloats(997, 1, -6.0f, 6.0f);
    for (const float large : {0.0f, 1e-6f, -1e-6f, 1e-3f, -1e-3f, 15.0f, 30.0f, -30.0f, 100.0f, -100.0f})
        x.push_back(large);
    for (const Activation activation : kActivations) {
        float* y = Make(x.size());
        backend_->ActivationForward(activation, x.size(), Put(x), y);
        Doubles expected = Wide(x);
        for (double& value : expected)
            value = Activate(activation, value);
        ExpectClose("activation " + std::to_string(static_cast<int>(activation)), Get(y, x.size()), expected,
                    1e-6, 0.02);
        float* in_place = Put(x);
        backend_->ActivationForward(activation, x.size(), in_place, in_place);
        EXPECT_EQ(Get(in_place, x.size()), Get(y, x.size()));
    }
}

TEST_P(BackendParity, ActivationPassesNotANumberOn) {
    const Floats x(40, kNanFloat);
    for (const Activation activation : kActivations) {
        float* y = Put(x);
        backend_->ActivationForward(activation, x.size(), y, y);
        for (const float value : Get(y, x.size()))
            ASSERT_TRUE(std::isnan(value)) << static_cast<int>(activation);
    }
}

TEST_P(BackendParity, ActivationBackward) {
    for (const size_t count : {1, 33, 500})
        for (const Activation activation : kActivations) {
            const Floats x = RandomFloats(count, 1, -5.0f, 5.0f);
            const Floats dy = RandomFloats(count, 2);
            float* device_x = Put(x);
            float* y = Make(count);
            backend_->ActivationForward(activation, count, device_x, y);
            float* gradient = Put(dy);
            const bool needs_x = NeedsPreactivation(activation);
            backend_->ActivationBackward(activation, count, needs_x ? device_x : nullptr,
                                         needs_x ? nullptr : y, gradient, gradient);
            ExpectGradient("activation", Get(gradient, count), x, [&](const Doubles& at) {
                double sum = 0.0;
                for (size_t i = 0; i < count; ++i)
                    sum += dy[i] * Activate(activation, at[i]);
                return sum;
            });
        }
}

TEST_P(BackendParity, ParametricActivation) {
    for (const auto& [rows, columns] : {std::pair{1, 1}, {1, 33}, {17, 1}, {17, 33}})
        for (const Activation activation : kActivations) {
            const size_t count = static_cast<size_t>(rows) * columns;
            const Floats x = RandomFloats(count, 1);
            const Floats alpha = RandomFloats(columns, 2, 0.0f, 1.2f);
            const Floats dy = RandomFloats(count, 3);
            const auto reference = [&](const Doubles& at, const Doubles& a) {
                Doubles y(count);
                for (size_t i = 0; i < count; ++i)
                    y[i] = at[i] + a[i % columns] * (Activate(activation, at[i]) - at[i]);
                return y;
            };
            float* y = Make(count);
            float* dx = Put(dy);
            float* dalpha = Make(columns);
            backend_->ParametricActivationForward(activation, rows, columns, Put(x), Put(alpha), y);
            backend_->ParametricActivationBackward(activation, rows, columns, Put(x), Put(alpha), dx, dx,
                                                   dalpha);
            ExpectClose("parametric activation", Get(y, count), reference(Wide(x), Wide(alpha)));
            ExpectGradient("x", Get(dx, count), x,
                           [&](const Doubles& at) { return Dot(reference(at, Wide(alpha)), dy); });
            ExpectGradient("alpha", Get(dalpha, columns), alpha,
                           [&](const Doubles& at) { return Dot(reference(Wide(x), at), dy); });
        }
}

TEST_P(BackendParity, AxpyAndLerp) {
    for (const size_t count : {1, 33, 1000}) {
        const Floats x = RandomFloats(count, 1);
        const Floats y = RandomFloats(count, 2);
        float* sum = Put(y);
        backend_->Axpy(count, 0.3f, Put(x), sum);
        float* average = Put(y);
        backend_->Lerp(count, 0.3f, Put(x), average);
        Doubles expected_sum(count);
        Doubles expected_average(count);
        for (size_t i = 0; i < count; ++i) {
            expected_sum[i] = 0.3 * x[i] + y[i];
            expected_average[i] = 0.3 * x[i] + 0.7 * y[i];
        }
        ExpectClose("axpy", Get(sum, count), expected_sum, 1e-6);
        ExpectClose("lerp", Get(average, count), expected_average, 1e-6);
    }
}

TEST_P(BackendParity, SmoothClip) {
    const Floats x = RandomFloats(77, 1, -9.0f, 9.0f);
    const Floats dy = RandomFloats(77, 2);
    const auto reference = [](const Doubles& at) {
        Doubles y(at.size());
        for (size_t i = 0; i < at.size(); ++i)
            y[i] = at[i] / std::sqrt(1 + at[i] * at[i] / 9);
        return y;
    };
    float* y = Make(x.size());
    backend_->SmoothClipForward(x.size(), 3.0f, Put(x), y);
    ExpectClose("smooth clip", Get(y, x.size()), reference(Wide(x)), 1e-6);
    for (const bool accumulate : {false, true}) {
        float* dx = Put(Floats(x.size(), 2.0f));
        backend_->SmoothClipBackward(x.size(), 3.0f, Put(x), Put(dy), dx, accumulate);
        ExpectGradient("smooth clip", Get(dx, x.size()), x, [&](const Doubles& at) {
            double sum = Dot(reference(at), dy);
            for (const double value : at)
                sum += accumulate ? 2.0 * value : 0.0;
            return sum;
        });
    }
}

TEST_P(BackendParity, CopyColumns) {
    const Floats from = RandomFloats(9 * 7, 1);
    const Floats to = RandomFloats(9 * 20, 2);
    for (const bool accumulate : {false, true}) {
        float* device = Put(to);
        backend_->CopyColumns(9, 5, Put(from), 7, device + 3, 20, accumulate);
        Doubles expected = Wide(to);
        for (int row = 0; row < 9; ++row)
            for (int j = 0; j < 5; ++j)
                expected[row * 20 + 3 + j] = from[row * 7 + j] + (accumulate ? to[row * 20 + 3 + j] : 0.0f);
        ExpectClose("columns", Get(device, to.size()), expected, 1e-7);
    }
}

TEST_P(BackendParity, DropoutDrawsPhiloxMasks) {
    constexpr uint64_t kSeed = 0x123456789abcdef0;
    constexpr uint64_t kStep = 0x100000007;
    for (const size_t count : {1, 63, 64, 1001})
        for (const float rate : {0.0f, 0.25f, 0.9f}) {
            const Floats x = RandomFloats(count, 1);
            float* y = Put(x);
            backend_->Dropout(count, rate, kSeed, kStep, y, y);
            const Floats result = Get(y, count);
            for (size_t i = 0; i < count; ++i) {
                const uint32_t word = Philox4x32(kSeed, i / 4, kStep)[i % 4];
                const bool keep = static_cast<float>(word >> 8) * 0x1.0p-24f >= rate;
                ASSERT_EQ(result[i], keep ? x[i] * (1.0f / (1.0f - rate)) : 0.0f) << i;
            }
        }
}

TEST_P(BackendParity, BatchNorm) {
    for (const auto& [rows, columns] : {std::pair{2, 1}, {17, 33}, {150, 5}}) {
        const int n = rows;
        const int width = columns;
        const size_t count = static_cast<size_t>(rows) * columns;
        const Floats x = RandomFloats(count, 1, 1.0f, 4.0f);
        const Floats gamma = RandomFloats(columns, 2, 0.5f, 2.0f);
        const Floats beta = RandomFloats(columns, 3);
        const Floats dy = RandomFloats(count, 4);
        const Floats running_mean = RandomFloats(columns, 5);
        const Floats running_variance = RandomFloats(columns, 6, 0.5f, 2.0f);
        const auto moments = [&](const Doubles& at, int j) {
            double mean = 0.0;
            double square = 0.0;
            for (int i = 0; i < n; ++i)
                mean += at[i * width + j] / n;
            for (int i = 0; i < n; ++i)
                square += (at[i * width + j] - mean) * (at[i * width + j] - mean);
            return std::pair{mean, square};
        };
        const auto reference = [&](const Doubles& at, const Doubles& g, const Doubles& b) {
            Doubles y(count);
            for (int j = 0; j < width; ++j) {
                const auto [mean, square] = moments(at, j);
                for (int i = 0; i < n; ++i)
                    y[i * width + j] =
                        (at[i * width + j] - mean) / std::sqrt(square / n + 1e-3) * g[j] + b[j];
            }
            return y;
        };
        float* device_mean = Put(running_mean);
        float* device_variance = Put(running_variance);
        float* saved_mean = Make(columns);
        float* saved_rstd = Make(columns);
        float* y = Make(count);
        backend_->BatchNormForward(rows, columns, Put(x), Put(gamma), Put(beta), 1e-3f, 0.1f, true,
                                   device_mean, device_variance, saved_mean, saved_rstd, y);
        ExpectClose("batch norm", Get(y, count), reference(Wide(x), Wide(gamma), Wide(beta)));
        Doubles new_mean(columns);
        Doubles new_variance(columns);
        for (int j = 0; j < columns; ++j) {
            const auto [mean, square] = moments(Wide(x), j);
            new_mean[j] = 0.9 * running_mean[j] + 0.1 * mean;
            new_variance[j] = 0.9 * running_variance[j] + 0.1 * square / (rows - 1);
        }
        ExpectClose("running mean", Get(device_mean, columns), new_mean);
        ExpectClose("running variance", Get(device_variance, columns), new_variance);

        float* dx = Put(dy);
        float* dgamma = Make(columns);
        float* dbeta = Make(columns);
        backend_->BatchNormBackward(rows, columns, Put(x), Put(gamma), saved_mean, saved_rstd, dx, dx, dgamma,
                                    dbeta);
        const auto loss = [&](const Doubles& at, const Doubles& g, const Doubles& b) {
            return Dot(reference(at, g, b), dy);
        };
        ExpectGradient("x", Get(dx, count), x,
                       [&](const Doubles& at) { return loss(at, Wide(gamma), Wide(beta)); });
        ExpectGradient("gamma", Get(dgamma, columns), gamma,
                       [&](const Doubles& at) { return loss(Wide(x), at, Wide(beta)); });
        ExpectGradient("beta", Get(dbeta, columns), beta,
                       [&](const Doubles& at) { return loss(Wide(x), Wide(gamma), at); });

        backend_->BatchNormForward(rows, columns, Put(x), Put(gamma), Put(beta), 1e-3f, 0.1f, false,
                                   device_mean, device_variance, saved_mean, saved_rstd, y);
        Doubles inference(count);
        for (size_t i = 0; i < count; ++i) {
            const size_t j = i % columns;
            inference[i] = (x[i] - new_mean[j]) / std::sqrt(new_variance[j] + 1e-3) * gamma[j] + beta[j];
        }
        ExpectClose("batch norm at inference", Get(y, count), inference);
        ExpectClose("running mean at inference", Get(device_mean, columns), new_mean);
    }
}

TEST_P(BackendParity, LayerNorm) {
    for (const auto& [rows, columns] : {std::pair{1, 2}, {17, 33}, {5, 64}}) {
        const int width = columns;
        const size_t count = static_cast<size_t>(rows) * columns;
        const Floats x = RandomFloats(count, 1, 1.0f, 4.0f);
        const Floats gamma = RandomFloats(columns, 2, 0.5f, 2.0f);
        const Floats beta = RandomFloats(columns, 3);
        const Floats dy = RandomFloats(count, 4);
        const auto reference = [&](const Doubles& at, const Doubles& g, const Doubles& b) {
            Doubles y(at.size());
            for (size_t row = 0; row < at.size(); row += width) {
                double mean = 0.0;
                double variance = 0.0;
                for (int j = 0; j < width; ++j)
                    mean += at[row + j] / width;
                for (int j = 0; j < width; ++j)
                    variance += (at[row + j] - mean) * (at[row + j] - mean) / width;
                for (int j = 0; j < width; ++j)
                    y[row + j] = (at[row + j] - mean) / std::sqrt(variance + 1e-3) * g[j] + b[j];
            }
            return y;
        };
        float* saved_mean = Make(rows);
        float* saved_rstd = Make(rows);
        float* y = Make(count);
        float* dx = Put(dy);
        float* dgamma = Make(columns);
        float* dbeta = Make(columns);
        backend_->LayerNormForward(rows, columns, Put(x), Put(gamma), Put(beta), 1e-3f, saved_mean,
                                   saved_rstd, y);
        backend_->LayerNormBackward(rows, columns, Put(x), Put(gamma), saved_mean, saved_rstd, dx, dx, dgamma,
                                    dbeta);
        ExpectClose("layer norm", Get(y, count), reference(Wide(x), Wide(gamma), Wide(beta)));
        ExpectGradient("x", Get(dx, count), x,
                       [&](const Doubles& at) { return Dot(reference(at, Wide(gamma), Wide(beta)), dy); });
        ExpectGradient("gamma", Get(dgamma, columns), gamma,
                       [&](const Doubles& at) { return Dot(reference(Wide(x), at, Wide(beta)), dy); });
        ExpectGradient("beta", Get(dbeta, columns), beta,
                       [&](const Doubles& at) { return Dot(reference(Wide(x), Wide(gamma), at), dy); });
    }
}

TEST_P(BackendParity, EnsembleScaleAndBias) {
    constexpr int kBatch = 7;
    for (const auto& [members, width] : {std::pair{1, 1}, {3, 33}, {8, 16}})
        for (const bool broadcast : {false, true})
            for (const bool accumulate : {false, true}) {
                const int row_width = members * width;
                const int each = width;
                const size_t count = static_cast<size_t>(kBatch) * row_width;
                const Floats x = RandomFloats(broadcast ? kBatch * width : count, 1);
                const Floats scale = RandomFloats(row_width, 2);
                const Floats dy = RandomFloats(count, 3);
                const Floats start = RandomFloats(x.size(), 4);
                const auto reference = [&](const Doubles& at, const Doubles& s) {
                    Doubles y(count);
                    for (size_t i = 0; i < count; ++i)
                        y[i] = at[broadcast ? i / row_width * each + i % each : i] * s[i % row_width];
                    return y;
                };
                float* y = Make(count);
                backend_->EnsembleScaleForward(kBatch, members, width, Put(x), broadcast, Put(scale), y);
                ExpectClose("ensemble scale", Get(y, count), reference(Wide(x), Wide(scale)), 1e-6);
                float* dx = Put(start);
                float* dscale = Make(row_width);
                backend_->EnsembleScaleBackward(kBatch, members, width, Put(x), broadcast, Put(scale),
                                                Put(dy), dx, accumulate, dscale);
                ExpectGradient("x", Get(dx, x.size()), x, [&](const Doubles& at) {
                    return Dot(reference(at, Wide(scale)), dy) + (accumulate ? Dot(at, start) : 0.0);
                });
                ExpectGradient("scale", Get(dscale, row_width), scale,
                               [&](const Doubles& at) { return Dot(reference(Wide(x), at), dy); });

                Doubles expected = Wide(Get(y, count));
                for (size_t i = 0; i < count; ++i)
                    expected[i] += scale[i % row_width];
                backend_->EnsembleBias(kBatch, members, width, Put(scale), y);
                ExpectClose("ensemble bias", Get(y, count), expected, 1e-6);
            }
}

TEST_P(BackendParity, EnsembleOutput) {
    constexpr double kStep = 1e-7;
    // More rows and columns than are summed up at a time, with a rest of both.
    struct OutputShape {
        int batch, members, width;
    };
    for (const auto& [batch, members, width] : {OutputShape{1, 1, 1}, {7, 3, 33}, {150, 2, 300}})
        for (const Activation activation : kActivations)
            for (const bool has_base : {false, true})
                for (const bool has_scale : {false, true})
                    for (const bool member_bias : {false, true}) {
                        const size_t per_row = static_cast<size_t>(members) * width;
                        const size_t count = batch * per_row;
                        const Floats product = RandomFloats(count, 1);
                        const Floats base = RandomFloats(static_cast<size_t>(batch) * width, 2);
                        const Floats scale = RandomFloats(per_row, 3);
                        const Floats bias = RandomFloats(member_bias ? per_row : width, 4);
                        const Floats dy = RandomFloats(count, 5);
                        const EnsembleOutputSpec spec{batch, members, width, member_bias, activation};
                        const float* device_product = Put(product);
                        const float* device_base = has_base ? Put(base) : nullptr;
                        const float* device_scale = has_scale ? Put(scale) : nullptr;
                        float* preactivation = NeedsPreactivation(activation) ? Make(count) : nullptr;
                        float* y = Make(count);
                        backend_->EnsembleOutputForward(spec, device_product, device_base, device_scale,
                                                        Put(bias), preactivation, y);
                        Doubles z(count);
                        Doubles expected(count);
                        for (size_t i = 0; i < count; ++i) {
                            const size_t column = i % per_row;
                            z[i] = product[i];
                            z[i] += has_base ? base[i / per_row * width + column % width] : 0.0;
                            z[i] *= has_scale ? scale[column] : 1.0;
                            z[i] += bias[member_bias ? column : column % width];
                            expected[i] = Activate(activation, z[i]);
                        }
                        ExpectClose("ensemble output", Get(y, count), expected);
                        // The preactivation that nobody wants.
                        float* alone = Make(count);
                        backend_->EnsembleOutputForward(spec, device_product, device_base, device_scale,
                                                        Put(bias), nullptr, alone);
                        EXPECT_EQ(Get(alone, count), Get(y, count));

                        Doubles dproduct(count);
                        Doubles dscale(per_row, 0.0);
                        Doubles dbias(bias.size(), 0.0);
                        Doubles dbase(base.size(), 0.0);
                        for (size_t i = 0; i < count; ++i) {
                            const size_t column = i % per_row;
                            const size_t of_base = i / per_row * width + column % width;
                            const double slope =
                                (Activate(activation, z[i] + kStep) - Activate(activation, z[i] - kStep)) /
                                (2 * kStep);
                            const double dz = dy[i] * slope;
                            dbias[member_bias ? column : column % width] += dz;
                            dscale[column] +=
                                dz * (static_cast<double>(product[i]) + (has_base ? base[of_base] : 0.0));
                            dproduct[i] = dz * (has_scale ? scale[column] : 1.0);
                            dbase[of_base] += dproduct[i];
                        }
                        for (const bool in_place : {false, true}) {
                            float* gradient = Put(dy);
                            float* device_dproduct = in_place ? gradient : Make(count);
                            float* device_dscale = has_scale ? Make(per_row) : nullptr;
                            float* device_dbias = Make(bias.size());
                            float* device_dbase = Make(base.size());
                            backend_->EnsembleOutputBackward(spec, device_product, device_base, device_scale,
                                                             preactivation, y, gradient, device_dproduct,
                                                             device_dscale, device_dbias);
                            backend_->EnsembleSum(batch, members, width, device_dproduct, device_dbase);
                            ExpectClose("dproduct", Get(device_dproduct, count), dproduct);
                            ExpectClose("dbias", Get(device_dbias, bias.size()), dbias);
                            if (has_scale)
                                ExpectClose("dscale", Get(device_dscale, per_row), dscale);
                            ExpectClose("dbase", Get(device_dbase, base.size()), dbase);
                        }
                    }
}

TEST_P(BackendParity, GatherRows) {
    std::vector<uint32_t> order(70);
    for (size_t i = 0; i < order.size(); ++i)
        order[i] = static_cast<uint32_t>(i * 37 % 50);
    std::vector<RowGather> parts;
    std::vector<Floats> expected;
    for (const int width : {1, 3, 28, 300, 2}) {
        const Floats table = RandomFloats(50 * static_cast<size_t>(width), width);
        parts.push_back({width, Put(table), Make(33 * static_cast<size_t>(width))});
        Floats& rows = expected.emplace_back();
        for (int i = 0; i < 33; ++i)
            rows.insert(rows.end(), &table[order[20 + i] * width], &table[order[20 + i] * width] + width);
    }
    backend_->GatherRows(33, parts, Put(order), 20);
    for (size_t i = 0; i < parts.size(); ++i)
        EXPECT_EQ(Get(static_cast<float*>(parts[i].out), expected[i].size()), expected[i]);
}

TEST_P(BackendParity, PermuteRows) {
    for (const uint32_t count : {1u, 2u, 50u, 5000u}) {
        const RandomPermutation permutation(count, 7, count);
        std::vector<uint32_t> rows(count);
        std::vector<uint32_t> expected(count);
        for (uint32_t i = 0; i < count; ++i)
            rows[i] = 3 * i + 1;
        for (uint32_t i = 0; i < count; ++i)
            expected[i] = rows[permutation(i)];
        uint32_t* order = Put(std::vector<uint32_t>(count));
        backend_->PermuteRows(permutation, Put(rows), order);
        std::vector<uint32_t> permuted(count);
        backend_->Download(permuted.data(), order, count * sizeof(uint32_t));
        ASSERT_TRUE(backend_->Synchronize().ok());
        EXPECT_EQ(permuted, expected);
    }
}

TEST_P(BackendParity, AProgramsStepsAreWhatTheyEnqueue) {
    // Everything that takes a number of a step, in two programs of other sizes and beside no program at all.
    constexpr int kRows = 40;
    constexpr int kWidth = 7;
    const Floats table = RandomFloats(kRows * kWidth, 1);
    std::vector<uint32_t> order(kRows);
    for (uint32_t i = 0; i < kRows; ++i)
        order[i] = (i * 7 + 3) % kRows;
    const ParameterSegment segments[] = {{0, 30, 1.0f, 0.1f}, {32, 5, 0.5f, 0.0f}};
    struct Device {
        float* batch;
        float* parameters;
        float* first;
        float* second;
        float* momentum;
        float* average;
    };
    const float* device_table = Put(table);
    const uint32_t* device_order = Put(order);
    const float* one = Put(Floats{1.0f});
    const auto start = [&] {
        return Device{Make(kRows * kWidth), Put(RandomFloats(64, 2)), Make(64), Make(64), Make(64), Make(64)};
    };
    const auto enqueue = [&](Backend& backend, const Device& d, const StepScalars& s) {
        const RowGather rows[] = {{kWidth, device_table, d.batch}};
        backend.GatherRows(s.rows, rows, device_order, s.first_row);
        backend.Dropout(static_cast<size_t>(s.rows) * kWidth, 0.3f, 99, s.step, d.batch, d.batch);
        backend.AdamWStep({.learning_rate = s.learning_rate, .step = s.optimizer_step}, segments, d.batch,
                          one, d.parameters, d.first, d.second);
        backend.SgdStep({.learning_rate = s.learning_rate}, segments, d.batch, one, d.parameters, d.momentum);
        backend.Lerp(64, s.average_weight, d.parameters, d.average);
    };
    std::vector<StepScalars> steps;
    for (int i = 0; i < 9; ++i)
        steps.push_back({i % 3 == 2 ? 9 : 10, static_cast<uint64_t>(i), static_cast<size_t>(i * 3),
                         0.1f / (1 + i), i + 1, 1.0f / (2 + i)});
    const Device plain = start();
    for (const StepScalars& step : steps)
        enqueue(*backend_, plain, step);
    const Device recorded = start();
    {
        const std::unique_ptr<StepProgram> program = backend_->MakeStepProgram([&](const StepScalars& step) {
            enqueue(*backend_, recorded, step);
            return Status::Ok();
        });
        const std::span<const StepScalars> all(steps);
        ASSERT_TRUE(program->Run(all.first(5)).ok());
        // memory that moves in between must not matter
        void* other = backend_->Allocate(1 << 20);
        backend_->Free(other);
        ASSERT_TRUE(program->Run(all.subspan(5)).ok());
        ASSERT_TRUE(backend_->Synchronize().ok());
    }
    EXPECT_EQ(Get(recorded.parameters, 64), Get(plain.parameters, 64));
    EXPECT_EQ(Get(recorded.average, 64), Get(plain.average, 64));
    EXPECT_EQ(Get(recorded.batch, 9 * kWidth), Get(plain.batch, 9 * kWidth));
    const Status failed =
        backend_->MakeStepProgram([](const StepScalars&) { return Status::Cancelled(); })->Run(steps);
    EXPECT_EQ(failed.code(), StatusCode::kCancelled);
}

TEST_P(BackendParity, EqualInputsGiveEqualBytes) {
    const Shape s{200, 48, 100};
    const Floats x = RandomFloats(s.rows * s.inputs, 1);
    const Floats weight = RandomFloats(s.inputs * s.outputs, 2);
    const Floats dz = RandomFloats(s.rows * s.outputs, 3);
    Floats first;
    for (int run = 0; run < 2; ++run) {
        // Other addresses and other work in between must not matter.
        Make(1 + run * 100);
        float* y = Make(s.rows * s.outputs);
        float* dweight = Make(weight.size());
        backend_->DenseForward(s.rows, s.inputs, s.outputs, Put(x), s.inputs, Put(weight), nullptr, nullptr,
                               Activation::kGelu, nullptr, y);
        backend_->DenseBackward(s.rows, s.inputs, s.outputs, Put(x), s.inputs, Put(weight), Put(dz), dweight,
                                nullptr, nullptr, false);
        Floats bytes = Get(y, s.rows * s.outputs);
        const Floats gradient = Get(dweight, weight.size());
        bytes.insert(bytes.end(), gradient.begin(), gradient.end());
        if (run == 0)
            first = bytes;
        EXPECT_EQ(std::memcmp(first.data(), bytes.data(), bytes.size() * sizeof(float)), 0);
    }
}

}  // namespace
}  // namespace dlent::parity
