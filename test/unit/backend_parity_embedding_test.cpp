// Look-ups and the embeddings of numbers.

#include <numbers>

#include "backend_parity.h"

namespace dlent::parity {
namespace {

TEST_P(BackendParity, EmbeddingSum) {
    for (const auto& [rows, fields, width] :
         {std::tuple{1, 1, 1}, {17, 3, 33}, {40, 8, 256}, {5, 20, 7}, {9, 2, 16}})
        for (const bool accumulate : {false, true}) {
            Integers offsets(fields);
            int table_rows = 0;
            Integers codes(static_cast<size_t>(rows) * fields);
            for (int f = 0; f < fields; ++f) {
                const int levels = 2 + f * 3;
                offsets[f] = table_rows;
                table_rows += levels;
                const Integers field = RandomCodes(rows, levels, f);
                for (int row = 0; row < rows; ++row)
                    codes[row * fields + f] = field[row];
            }
            const Floats table = RandomFloats(static_cast<size_t>(table_rows) * width, 1);
            const Floats start = RandomFloats(static_cast<size_t>(rows) * width, 2);
            const Floats dout = RandomFloats(start.size(), 3);
            float* out = Put(start);
            float* dtable = Put(Floats(table.size(), 7.0f));
            backend_->EmbeddingSumForward(rows, fields, width, Put(codes), Put(offsets), Put(table), out,
                                          accumulate);
            backend_->EmbeddingSumBackward(rows, fields, width, Put(codes), Put(offsets), Put(dout),
                                           table_rows, dtable);
            Doubles expected = accumulate ? Wide(start) : Doubles(start.size());
            Doubles gradient(table.size());
            for (int row = 0; row < rows; ++row)
                for (int f = 0; f < fields; ++f) {
                    const int code = codes[row * fields + f];
                    for (int j = 0; j < width && code >= 0; ++j) {
                        expected[row * width + j] += table[(offsets[f] + code) * width + j];
                        gradient[(offsets[f] + code) * width + j] += dout[row * width + j];
                    }
                }
            ExpectClose("embedding sum", Get(out, start.size()), expected);
            ExpectClose("table gradient", Get(dtable, table.size()), gradient);
        }
}

TEST_P(BackendParity, Embedding) {
    for (const auto& [rows, width] : {std::pair{1, 1}, {17, 33}, {40, 8}}) {
        const int levels = 6;
        const int stride = 3;
        const int ld = width + 5;
        const Integers codes = RandomCodes(static_cast<size_t>(rows) * stride, levels, 1);
        const Floats table = RandomFloats(static_cast<size_t>(levels) * width, 2);
        const Floats start = RandomFloats(static_cast<size_t>(rows) * ld, 3);
        float* out = Put(start);
        float* dtable = Put(Floats(table.size(), 7.0f));
        backend_->EmbeddingForward(rows, width, Put(codes) + 1, stride, Put(table), out + 2, ld);
        backend_->EmbeddingBackward(rows, width, Put(codes) + 1, stride, Put(start) + 2, ld, levels, dtable);
        Doubles expected = Wide(start);
        Doubles gradient(table.size());
        for (int row = 0; row < rows; ++row) {
            const int code = codes[row * stride + 1];
            for (int j = 0; j < width; ++j) {
                expected[row * ld + 2 + j] = code < 0 ? 0.0 : table[code * width + j];
                if (code >= 0)
                    gradient[code * width + j] += start[row * ld + 2 + j];
            }
        }
        ExpectClose("embedding", Get(out, start.size()), expected, 1e-7);
        ExpectClose("table gradient", Get(dtable, table.size()), gradient);
    }
}

/// Features with their own numbers of bins, edges rising from about −1.
struct Bins {
    Bins(const Integers& counts, uint64_t seed) : offsets{0} {
        RandomStream random(seed);
        for (const int32_t count : counts) {
            float edge = -1.0f;
            for (int32_t b = 0; b <= count; ++b) {
                edges.push_back(edge);
                edge += random.Uniform(0.5f, 1.5f) * 2.0f / static_cast<float>(count);
            }
            offsets.push_back(offsets.back() + count);
        }
    }
    const float* Edges(int feature) const { return edges.data() + offsets[feature] + feature; }
    int Count(int feature) const { return offsets[feature + 1] - offsets[feature]; }

    Integers offsets;
    Floats edges;
};

TEST_P(BackendParity, PiecewiseLinear) {
    for (const auto& [rows, width, counts] :
         {std::tuple{1, 1, Integers{1}}, std::tuple{17, 3, Integers{2, 1, 5}},
          std::tuple{70, 16, Integers{48, 130, 3}}, std::tuple{130, 8, Integers{7}}}) {
        const int features = static_cast<int>(counts.size());
        const Bins layout(counts, 1);
        const size_t outputs = static_cast<size_t>(rows) * features * width;
        const Floats weight =
            RandomFloats(static_cast<size_t>(layout.offsets.back()) * width, 2, -0.5f, 0.5f);
        Floats x = RandomFloats(static_cast<size_t>(rows) * features, 3, -1.6f, 1.8f);
        if (rows > 2)
            for (int f = 0; f < features; ++f) {
                x[f] = layout.Edges(f)[0];
                x[features + f] = layout.Edges(f)[layout.Count(f)];
                x[2 * features + f] = layout.Edges(f)[layout.Count(f) / 2];
            }
        const Floats dout = RandomFloats(outputs, 4);
        Integers expected_bins(x.size());
        const auto share = [&](size_t i, int b) {
            const float* edges = layout.Edges(static_cast<int>(i) % features);
            return std::clamp((static_cast<double>(x[i]) - edges[b]) / (edges[b + 1] - edges[b]), 0.0, 1.0);
        };
        const auto reference = [&](const Doubles& w) {
            Doubles out(outputs);
            for (size_t i = 0; i < x.size(); ++i) {
                const int f = static_cast<int>(i) % features;
                for (int b = 0; b < layout.Count(f); ++b)
                    for (int j = 0; j < width; ++j)
                        out[i * width + j] += share(i, b) * w[(layout.offsets[f] + b) * width + j];
            }
            return out;
        };
        auto* bins = Make<int32_t>(x.size());
        float* fractions = Make(x.size());
        float* out = Make(outputs);
        float* dweight = Put(Floats(weight.size(), 7.0f));
        backend_->PiecewiseLinearForward(rows, features, width, Put(x), Put(layout.offsets),
                                         Put(layout.edges), Put(weight), bins, fractions, out);
        backend_->PiecewiseLinearBackward(rows, features, width, bins, fractions, Put(layout.offsets),
                                          Put(dout), dweight);
        ExpectClose("piecewise-linear embedding", Get(out, outputs), reference(Wide(weight)));
        // The embedding is linear in the weights: one difference quotient per weight is exact.
        Doubles gradient(weight.size());
        for (size_t i = 0; i < x.size(); ++i) {
            const int f = static_cast<int>(i) % features;
            for (int b = 0; b < layout.Count(f); ++b)
                for (int j = 0; j < width; ++j)
                    gradient[(layout.offsets[f] + b) * width + j] += share(i, b) * dout[i * width + j];
        }
        ExpectClose("weight gradient", Get(dweight, weight.size()), gradient, 1e-4);
        // within a bin the embedding is linear in the value; beyond the edges it is constant
        const Integers of_bins = Get<int32_t>(bins, x.size());
        const Floats of_fractions = Get(fractions, x.size());
        Doubles expected_dx(x.size());
        for (size_t i = 0; i < x.size(); ++i) {
            const int f = static_cast<int>(i) % features;
            const int bin = layout.offsets[f] + of_bins[i];
            const double bin_width = static_cast<double>(layout.edges[bin + f + 1]) - layout.edges[bin + f];
            const bool outside = (of_bins[i] == 0 && of_fractions[i] <= 0.0f) ||
                                 (of_bins[i] == layout.Count(f) - 1 && of_fractions[i] >= 1.0f);
            for (int j = 0; j < width && !outside; ++j)
                expected_dx[i] += static_cast<double>(dout[i * width + j]) *
                                  weight[static_cast<size_t>(bin) * width + j] / bin_width;
        }
        float* dx = Make(x.size());
        backend_->PiecewiseLinearInputGradient(rows, features, width, bins, fractions, Put(layout.offsets),
                                               Put(layout.edges), Put(weight), Put(dout), dx, false);
        ExpectClose("input gradient", Get(dx, x.size()), expected_dx, 1e-4);
        const Integers found = Get<int32_t>(bins, x.size());
        for (size_t i = 0; i < x.size(); ++i) {
            const int f = static_cast<int>(i) % features;
            const float* edges = layout.Edges(f);
            ASSERT_TRUE(found[i] >= 0 && found[i] < layout.Count(f));
            ASSERT_TRUE(found[i] == 0 || x[i] >= edges[found[i]]);
            ASSERT_TRUE(found[i] == layout.Count(f) - 1 || x[i] < edges[found[i] + 1]);
        }
    }
}

TEST_P(BackendParity, NumericLinear) {
    for (const auto& [rows, features, width] : {std::tuple{1, 1, 1}, {17, 3, 33}, {70, 5, 4}})
        for (const bool accumulate : {false, true})
            for (const bool with_bias : {false, true}) {
                const int each = width;
                const int columns = features * width;
                const size_t count = static_cast<size_t>(rows) * columns;
                const Floats x = RandomFloats(static_cast<size_t>(rows) * features, 1);
                const Floats weight = RandomFloats(columns, 2);
                const Floats bias = RandomFloats(columns, 3);
                const Floats start = RandomFloats(count, 4);
                const Floats dout = RandomFloats(count, 5);
                const auto reference = [&](const Doubles& w, const Doubles& b) {
                    Doubles out(count);
                    for (size_t i = 0; i < count; ++i)
                        out[i] = x[i / each] * w[i % columns] + (with_bias ? b[i % columns] : 0.0) +
                                 (accumulate ? start[i] : 0.0);
                    return out;
                };
                float* out = Put(start);
                float* dweight = Make(columns);
                float* dbias = with_bias ? Make(columns) : nullptr;
                backend_->NumericLinearForward(rows, features, width, Put(x), Put(weight),
                                               with_bias ? Put(bias) : nullptr, out, accumulate);
                backend_->NumericLinearBackward(rows, features, width, Put(x), Put(dout), dweight, dbias);
                ExpectClose("numeric linear", Get(out, count), reference(Wide(weight), Wide(bias)), 1e-6);
                ExpectGradient("weight", Get(dweight, columns), weight,
                               [&](const Doubles& at) { return Dot(reference(at, Wide(bias)), dout); });
                Doubles expected_dx(x.size());
                for (size_t i = 0; i < count; ++i)
                    expected_dx[i / each] += static_cast<double>(dout[i]) * weight[i % columns];
                for (size_t i = 0; accumulate && i < x.size(); ++i)
                    expected_dx[i] += start[i];
                float* dx = Put(start);
                backend_->NumericLinearInputGradient(rows, features, width, Put(weight), Put(dout), dx,
                                                     accumulate);
                ExpectClose("numeric linear input", Get(dx, x.size()), expected_dx, 1e-5);
                if (with_bias)
                    ExpectGradient("bias", Get(dbias, columns), bias,
                                   [&](const Doubles& at) { return Dot(reference(Wide(weight), at), dout); });
            }
}

TEST_P(BackendParity, Periodic) {
    for (const auto& [rows, features, frequencies] : {std::tuple{1, 1, 1}, {17, 3, 5}, {9, 2, 16}}) {
        const int k = frequencies;
        const int inputs = features;
        const size_t count = static_cast<size_t>(rows) * features * 2 * frequencies;
        const Floats x = RandomFloats(static_cast<size_t>(rows) * features, 1);
        const Floats coefficients = RandomFloats(static_cast<size_t>(features) * frequencies, 2, -3.0f, 3.0f);
        const Floats dout = RandomFloats(count, 3);
        const auto reference = [&](const Doubles& c) {
            Doubles out(count);
            for (size_t i = 0; i < x.size(); ++i)
                for (int j = 0; j < k; ++j) {
                    const double angle = 2 * std::numbers::pi * c[i % inputs * k + j] * x[i];
                    out[i * 2 * k + j] = std::cos(angle);
                    out[i * 2 * k + k + j] = std::sin(angle);
                }
            return out;
        };
        float* out = Make(count);
        float* gradient = Make(coefficients.size());
        backend_->PeriodicForward(rows, features, frequencies, Put(x), Put(coefficients), out);
        backend_->PeriodicBackward(rows, features, frequencies, Put(x), Put(coefficients), Put(dout),
                                   gradient);
        ExpectClose("periodic embedding", Get(out, count), reference(Wide(coefficients)), 5e-6);
        ExpectGradient("coefficients", Get(gradient, coefficients.size()), coefficients,
                       [&](const Doubles& at) { return Dot(reference(at), dout); });
        Doubles expected_dx(x.size());
        for (size_t i = 0; i < x.size(); ++i)
            for (int j = 0; j < k; ++j) {
                const double c = 2 * std::numbers::pi * coefficients[i % inputs * k + j];
                expected_dx[i] += c * (dout[i * 2 * k + k + j] * std::cos(c * x[i]) -
                                       dout[i * 2 * k + j] * std::sin(c * x[i]));
            }
        float* dx = Make(x.size());
        backend_->PeriodicInputGradient(rows, features, frequencies, Put(x), Put(coefficients), Put(dout), dx,
                                        false);
        ExpectClose("periodic input", Get(dx, x.size()), expected_dx, 2e-5);
    }
}

TEST_P(BackendParity, FeatureDense) {
    for (const auto& [rows, features, inputs, outputs] :
         {std::tuple{1, 1, 1, 1}, {17, 3, 33, 5}, {30, 4, 32, 4}, {9, 2, 3, 17}, {70, 2, 5, 1}})
        for (const bool full : {false, true}) {
            const int m = features;
            const int k = inputs;
            const int n = outputs;
            const size_t count = static_cast<size_t>(rows) * features * outputs;
            const Floats x = RandomFloats(static_cast<size_t>(rows) * features * inputs, 1);
            const Floats weight = RandomFloats(static_cast<size_t>(features) * inputs * outputs, 2);
            const Floats bias = RandomFloats(static_cast<size_t>(features) * outputs, 3);
            const Floats dy = RandomFloats(count, 4);
            const auto reference = [&](const Doubles& at, const Doubles& w, const Doubles& b) {
                Doubles y(count);
                for (size_t i = 0; i < count / n; ++i)
                    for (int j = 0; j < n; ++j) {
                        const size_t f = i % m;
                        y[i * n + j] = full ? b[f * n + j] : 0.0;
                        for (int l = 0; l < k; ++l)
                            y[i * n + j] += at[i * k + l] * w[(f * k + l) * n + j];
                    }
                return y;
            };
            float* y = Make(count);
            float* dweight = Make(weight.size());
            float* dbias = full ? Make(bias.size()) : nullptr;
            float* dx = full ? Make(x.size()) : nullptr;
            backend_->FeatureDenseForward(rows, features, inputs, outputs, Put(x), Put(weight),
                                          full ? Put(bias) : nullptr, y);
            backend_->FeatureDenseBackward(rows, features, inputs, outputs, Put(x), Put(weight), Put(dy),
                                           dweight, dbias, dx);
            ExpectClose("dense per feature", Get(y, count), reference(Wide(x), Wide(weight), Wide(bias)));
            ExpectGradient("weight", Get(dweight, weight.size()), weight,
                           [&](const Doubles& at) { return Dot(reference(Wide(x), at, Wide(bias)), dy); });
            if (!full)
                continue;
            ExpectGradient("bias", Get(dbias, bias.size()), bias,
                           [&](const Doubles& at) { return Dot(reference(Wide(x), Wide(weight), at), dy); });
            ExpectGradient("x", Get(dx, x.size()), x, [&](const Doubles& at) {
                return Dot(reference(at, Wide(weight), Wide(bias)), dy);
            });
        }
}

}  // namespace
}  // namespace dlent::parity
