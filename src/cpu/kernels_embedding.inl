// Look-ups and the embeddings of numbers.

DLENT_INLINE void AddRow(int width, const float* from, float* to) {
#pragma GCC ivdep
    for (int j = 0; j < width; ++j)
        to[j] += from[j];
}

/// The vectors of a block of columns stay in registers while all fields are added.
template <int kVectors>
DLENT_INLINE void SumRowsBlock(int fields, int width, const int32_t* codes, const int32_t* offsets,
                               const float* table, float* out, bool accumulate) {
    Vector sum[kVectors];
    for (int v = 0; v < kVectors; ++v)
        sum[v] = accumulate ? Load(out + v * kFloats) : Vector{};
    for (int f = 0; f < fields; ++f) {
        if (codes[f] < 0)
            continue;
        const float* row = table + static_cast<ptrdiff_t>(offsets[f] + codes[f]) * width;
        for (int v = 0; v < kVectors; ++v)
            sum[v] += Load(row + v * kFloats);
    }
    for (int v = 0; v < kVectors; ++v)
        Store(out + v * kFloats, sum[v]);
}

void EmbeddingSumForward(int rows, int fields, int width, const int32_t* codes, const int32_t* offsets,
                         const float* table, float* out, bool accumulate) {
    for (int row = 0; row < rows; ++row, codes += fields, out += width) {
        int j = 0;
        for (; j + 8 * kFloats <= width; j += 8 * kFloats)
            SumRowsBlock<8>(fields, width, codes, offsets, table + j, out + j, accumulate);
        for (; j + kFloats <= width; j += kFloats)
            SumRowsBlock<1>(fields, width, codes, offsets, table + j, out + j, accumulate);
        if (j == width)
            continue;
        if (!accumulate)
            __builtin_memset(out + j, 0, static_cast<size_t>(width - j) * sizeof(float));
        for (int f = 0; f < fields; ++f)
            if (codes[f] >= 0)
                AddRow(width - j, table + static_cast<ptrdiff_t>(offsets[f] + codes[f]) * width + j, out + j);
    }
}

void EmbeddingSumBackward(int rows, int fields, int width, const int32_t* codes, const int32_t* offsets,
                          const float* dout, int table_rows, float* dtable) {
    __builtin_memset(dtable, 0, static_cast<size_t>(table_rows) * static_cast<size_t>(width) * sizeof(float));
    for (int row = 0; row < rows; ++row, codes += fields, dout += width)
        for (int f = 0; f < fields; ++f)
            if (codes[f] >= 0)
                AddRow(width, dout, dtable + static_cast<ptrdiff_t>(offsets[f] + codes[f]) * width);
}

void EmbeddingForward(int rows, int width, const int32_t* codes, int code_stride, const float* table,
                      float* out, int ld_out) {
    const size_t bytes = static_cast<size_t>(width) * sizeof(float);
    for (int row = 0; row < rows; ++row, codes += code_stride, out += ld_out) {
        if (*codes >= 0)
            __builtin_memcpy(out, table + static_cast<ptrdiff_t>(*codes) * width, bytes);
        else
            __builtin_memset(out, 0, bytes);
    }
}

void EmbeddingBackward(int rows, int width, const int32_t* codes, int code_stride, const float* dout,
                       int ld_dout, int table_rows, float* dtable) {
    __builtin_memset(dtable, 0, static_cast<size_t>(table_rows) * static_cast<size_t>(width) * sizeof(float));
    for (int row = 0; row < rows; ++row, codes += code_stride, dout += ld_dout)
        if (*codes >= 0)
            AddRow(width, dout, dtable + static_cast<ptrdiff_t>(*codes) * width);
}

/// Rows whose bins are searched together.
constexpr int kSearchRows = 64;

/// The bin of a value is the number of inner edges that are not above it: no branch, and no gather.
DLENT_INLINE void LocateRows(int rows, int features, const float* x, int bin_count, const float* edges,
                             int32_t* bins, float* fractions) {
    float value[kSearchRows] = {};
    int32_t bin[kSearchRows] = {};
    for (int r = 0; r < rows; ++r)
        value[r] = x[static_cast<ptrdiff_t>(r) * features];
    for (int b = 1; b < bin_count; ++b) {
        const float edge = edges[b];
        for (int r = 0; r < kSearchRows; ++r)
            bin[r] += value[r] >= edge ? 1 : 0;
    }
    for (int r = 0; r < rows; ++r) {
        const float low = edges[bin[r]];
        const float high = edges[bin[r] + 1];
        bins[static_cast<ptrdiff_t>(r) * features] = bin[r];
        fractions[static_cast<ptrdiff_t>(r) * features] = Clamp((value[r] - low) / (high - low), 0.0f, 1.0f);
    }
}

void PiecewiseLinearForward(int rows, int features, int width, const float* x, const int32_t* bin_offsets,
                            const float* edges, const float* weight, int32_t* bins, float* fractions,
                            float* out, float* workspace) {
    // below[b] = Σ of the weights of the feature's bins under b.
    for (int f = 0; f < features; ++f) {
        const ptrdiff_t first = static_cast<ptrdiff_t>(bin_offsets[f]) * width;
        __builtin_memset(workspace + first, 0, static_cast<size_t>(width) * sizeof(float));
        for (int b = bin_offsets[f] + 1; b < bin_offsets[f + 1]; ++b) {
            const ptrdiff_t at = static_cast<ptrdiff_t>(b) * width;
            for (int j = 0; j < width; ++j)
                workspace[at + j] = workspace[at - width + j] + weight[at - width + j];
        }
    }
    for (int begin = 0; begin < rows; begin += kSearchRows) {
        const int block = rows - begin < kSearchRows ? rows - begin : kSearchRows;
        const ptrdiff_t values = static_cast<ptrdiff_t>(begin) * features;
        for (int f = 0; f < features; ++f)
            LocateRows(block, features, x + values + f, bin_offsets[f + 1] - bin_offsets[f],
                       edges + bin_offsets[f] + f, bins + values + f, fractions + values + f);
        for (int r = 0; r < block; ++r) {
            const ptrdiff_t row = values + static_cast<ptrdiff_t>(r) * features;
            for (int f = 0; f < features; ++f) {
                const ptrdiff_t at = static_cast<ptrdiff_t>(bin_offsets[f] + bins[row + f]) * width;
                const float fraction = fractions[row + f];
                float* to = out + (row + f) * width;
#pragma GCC ivdep
                for (int j = 0; j < width; ++j)
                    to[j] = workspace[at + j] + fraction * weight[at + j];
            }
        }
    }
}

void PiecewiseLinearBackward(int rows, int features, int width, const int32_t* bins, const float* fractions,
                             const int32_t* bin_offsets, const float* dout, float* dweight,
                             float* workspace) {
    const size_t bytes =
        static_cast<size_t>(bin_offsets[features]) * static_cast<size_t>(width) * sizeof(float);
    __builtin_memset(dweight, 0, bytes);
    __builtin_memset(workspace, 0, bytes);
    for (int row = 0; row < rows; ++row) {
        for (int f = 0; f < features; ++f, dout += width) {
            const ptrdiff_t at = static_cast<ptrdiff_t>(bin_offsets[f] + *bins++) * width;
            const float fraction = *fractions++;
#pragma GCC ivdep
            for (int j = 0; j < width; ++j) {
                workspace[at + j] += dout[j];
                dweight[at + j] += fraction * dout[j];
            }
        }
    }
    // A value fills all bins below its own: suffix sums.
    for (int f = 0; f < features; ++f)
        for (int b = bin_offsets[f + 1] - 2; b >= bin_offsets[f]; --b) {
            const ptrdiff_t at = static_cast<ptrdiff_t>(b) * width;
            for (int j = 0; j < width; ++j) {
                dweight[at + j] += workspace[at + width + j];
                workspace[at + j] += workspace[at + width + j];
            }
        }
}

void PiecewiseLinearInputGradient(int rows, int features, int width, const int32_t* bins,
                                  const float* fractions, const int32_t* bin_offsets, const float* edges,
                                  const float* weight, const float* dout, float* dx, bool accumulate) {
    for (int row = 0; row < rows; ++row) {
        for (int f = 0; f < features; ++f, dout += width) {
            const int bin = bin_offsets[f] + *bins++;
            const float fraction = *fractions++;
            const bool outside = (bin == bin_offsets[f] && fraction <= 0.0f) ||
                                 (bin == bin_offsets[f + 1] - 1 && fraction >= 1.0f);
            const float* w = weight + static_cast<ptrdiff_t>(bin) * width;
            float sum = 0.0f;
            for (int j = 0; j < width; ++j)
                sum += dout[j] * w[j];
            const float gradient = outside ? 0.0f : sum / (edges[bin + f + 1] - edges[bin + f]);
            *dx = accumulate ? *dx + gradient : gradient;
            ++dx;
        }
    }
}

template <bool kAccumulate>
DLENT_INLINE void NumericLinearForwardOf(int rows, int features, int width, const float* x,
                                         const float* weight, const float* bias, float* out) {
    for (int row = 0; row < rows; ++row, x += features)
        for (int f = 0; f < features; ++f, out += width) {
            const float value = x[f];
            const float* w = weight + static_cast<ptrdiff_t>(f) * width;
            const float* b = bias == nullptr ? nullptr : bias + static_cast<ptrdiff_t>(f) * width;
            if (b == nullptr)
#pragma GCC ivdep
                for (int j = 0; j < width; ++j)
                    out[j] = (kAccumulate ? out[j] : 0.0f) + value * w[j];
            else
#pragma GCC ivdep
                for (int j = 0; j < width; ++j)
                    out[j] = (kAccumulate ? out[j] + b[j] : b[j]) + value * w[j];
        }
}

void NumericLinearForward(int rows, int features, int width, const float* x, const float* weight,
                          const float* bias, float* out, bool accumulate) {
    if (accumulate)
        NumericLinearForwardOf<true>(rows, features, width, x, weight, bias, out);
    else
        NumericLinearForwardOf<false>(rows, features, width, x, weight, bias, out);
}

void NumericLinearBackward(int rows, int features, int width, const float* x, const float* dout,
                           float* dweight, float* dbias) {
    const size_t bytes = static_cast<size_t>(features) * static_cast<size_t>(width) * sizeof(float);
    __builtin_memset(dweight, 0, bytes);
    for (int row = 0; row < rows; ++row, x += features) {
        const float* gradient = dout + static_cast<ptrdiff_t>(row) * features * width;
        for (int f = 0; f < features; ++f) {
            const float value = x[f];
            const ptrdiff_t at = static_cast<ptrdiff_t>(f) * width;
#pragma GCC ivdep
            for (int j = 0; j < width; ++j)
                dweight[at + j] += value * gradient[at + j];
        }
    }
    if (dbias != nullptr)
        ColumnSum(rows, features * width, dout, dbias);
}

void NumericLinearInputGradient(int rows, int features, int width, const float* weight, const float* dout,
                                float* dx, bool accumulate) {
    for (int row = 0; row < rows; ++row) {
        for (int f = 0; f < features; ++f, dout += width) {
            const float* w = weight + static_cast<ptrdiff_t>(f) * width;
            float sum = 0.0f;
            for (int j = 0; j < width; ++j)
                sum += dout[j] * w[j];
            *dx = accumulate ? *dx + sum : sum;
            ++dx;
        }
    }
}

void PeriodicForward(int rows, int features, int frequencies, const float* x, const float* coefficients,
                     float* out) {
    for (int row = 0; row < rows; ++row, x += features)
        for (int f = 0; f < features; ++f, out += 2 * frequencies) {
            const float value = x[f];
            const float* c = coefficients + static_cast<ptrdiff_t>(f) * frequencies;
#pragma GCC ivdep
            for (int j = 0; j < frequencies; ++j) {
                float sine;
                float cosine;
                SinCosTurns(c[j] * value, sine, cosine);
                out[j] = cosine;
                out[frequencies + j] = sine;
            }
        }
}

void PeriodicBackward(int rows, int features, int frequencies, const float* x, const float* coefficients,
                      const float* dout, float* dcoefficients) {
    __builtin_memset(dcoefficients, 0,
                     static_cast<size_t>(features) * static_cast<size_t>(frequencies) * sizeof(float));
    for (int row = 0; row < rows; ++row, x += features)
        for (int f = 0; f < features; ++f, dout += 2 * frequencies) {
            const float value = x[f];
            const float* c = coefficients + static_cast<ptrdiff_t>(f) * frequencies;
            float* dc = dcoefficients + static_cast<ptrdiff_t>(f) * frequencies;
#pragma GCC ivdep
            for (int j = 0; j < frequencies; ++j) {
                float sine;
                float cosine;
                SinCosTurns(c[j] * value, sine, cosine);
                dc[j] += 6.28318531f * value * (dout[frequencies + j] * cosine - dout[j] * sine);
            }
        }
}

void PeriodicInputGradient(int rows, int features, int frequencies, const float* x, const float* coefficients,
                           const float* dout, float* dx, bool accumulate) {
    for (int row = 0; row < rows; ++row) {
        for (int f = 0; f < features; ++f, dout += 2 * frequencies) {
            const float value = *x++;
            const float* c = coefficients + static_cast<ptrdiff_t>(f) * frequencies;
            float sum = 0.0f;
            for (int j = 0; j < frequencies; ++j) {
                float sine;
                float cosine;
                SinCosTurns(c[j] * value, sine, cosine);
                sum += 6.28318531f * c[j] * (dout[frequencies + j] * cosine - dout[j] * sine);
            }
            *dx = accumulate ? *dx + sum : sum;
            ++dx;
        }
    }
}
