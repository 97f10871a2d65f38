// Sums over rows, batch and layer normalisation.

/// Sums over rows are taken in blocks first, so that their rounding error hardly grows with the batch.
constexpr int kSumRows = 64;

/// `op.template operator()<kTail>(row, column, lanes)` gives the vector of a row at a column.
template <bool kTail, int kVectors, typename Op>
DLENT_INLINE void SumColumns(int rows, int column, int lanes, float* out, const Op& op) {
    Vector total[kVectors] = {};
    for (int begin = 0; begin < rows; begin += kSumRows) {
        const int end = rows - begin < kSumRows ? rows : begin + kSumRows;
        Vector sum[kVectors] = {};
        for (int row = begin; row < end; ++row)
            for (int v = 0; v < kVectors; ++v)
                sum[v] += op.template operator()<kTail>(row, column + v * kFloats, lanes);
        for (int v = 0; v < kVectors; ++v)
            total[v] += sum[v];
    }
    for (int v = 0; v < kVectors; ++v)
        StoreSome<kTail>(out + column + v * kFloats, lanes, total[v]);
}

/// out[column] = Σ_rows op(row, column).
template <typename Op>
DLENT_INLINE void SumOverRows(int rows, int columns, float* out, const Op& op) {
    int j = 0;
    for (; j + 4 * kFloats <= columns; j += 4 * kFloats)
        SumColumns<false, 4>(rows, j, kFloats, out, op);
    for (; j + kFloats <= columns; j += kFloats)
        SumColumns<false, 1>(rows, j, kFloats, out, op);
    if (j < columns)
        SumColumns<true, 1>(rows, j, columns - j, out, op);
}

/// Σ op(column) over one row; `op` as above with row 0.
template <typename Op>
DLENT_INLINE float SumOverColumns(int columns, const Op& op) {
    Vector sum{};
    int j = 0;
    for (; j + kFloats <= columns; j += kFloats)
        sum += op.template operator()<false>(j, kFloats);
    if (j < columns)
        sum += op.template operator()<true>(j, columns - j);
    return Sum(sum);
}

/// A vector of `value` in the lanes that are used, zeros in the others.
template <bool kTail>
DLENT_INLINE Vector BroadcastSome(float value, int lanes) {
    if constexpr (kTail) {
        float filled[kFloats] = {};
        for (int i = 0; i < lanes; ++i)
            filled[i] = value;
        return Load(filled);
    } else {
        return Broadcast(value);
    }
}

void ColumnSum(int rows, int columns, const float* x, float* out) {
    SumOverRows(rows, columns, out, [=]<bool kTail>(int row, int column, int lanes) {
        return LoadSome<kTail>(x + static_cast<ptrdiff_t>(row) * columns + column, lanes);
    });
}

void BatchNormForward(int rows, int columns, const float* x, const float* gamma, const float* beta,
                      float epsilon, float momentum, bool training, float* running_mean,
                      float* running_variance, float* saved_mean, float* saved_rstd, float* y) {
    if (training) {
        const float inverse = 1.0f / static_cast<float>(rows);
        ColumnSum(rows, columns, x, saved_mean);
        for (int j = 0; j < columns; ++j)
            saved_mean[j] *= inverse;
        SumOverRows(rows, columns, saved_rstd, [=]<bool kTail>(int row, int column, int lanes) {
            const Vector centred =
                LoadSome<kTail>(x + static_cast<ptrdiff_t>(row) * columns + column, lanes) -
                LoadSome<kTail>(saved_mean + column, lanes);
            return centred * centred;
        });
        const float unbiased = rows > 1 ? 1.0f / static_cast<float>(rows - 1) : 1.0f;
#pragma GCC ivdep
        for (int j = 0; j < columns; ++j) {
            running_mean[j] += momentum * (saved_mean[j] - running_mean[j]);
            running_variance[j] += momentum * (saved_rstd[j] * unbiased - running_variance[j]);
            saved_rstd[j] = 1.0f / __builtin_sqrtf(saved_rstd[j] * inverse + epsilon);
        }
    } else {
#pragma GCC ivdep
        for (int j = 0; j < columns; ++j) {
            saved_mean[j] = running_mean[j];
            saved_rstd[j] = 1.0f / __builtin_sqrtf(running_variance[j] + epsilon);
        }
    }
    for (int row = 0; row < rows; ++row, x += columns, y += columns)
#pragma GCC ivdep
        for (int j = 0; j < columns; ++j)
            y[j] = (x[j] - saved_mean[j]) * saved_rstd[j] * gamma[j] + beta[j];
}

/// dgamma = Σ_rows dy · normalised x, dbeta = Σ_rows dy.
void BatchNormBackward(int rows, int columns, const float* x, const float* gamma, const float* saved_mean,
                       const float* saved_rstd, const float* dy, float* dx, float* dgamma, float* dbeta) {
    ColumnSum(rows, columns, dy, dbeta);
    SumOverRows(rows, columns, dgamma, [=]<bool kTail>(int row, int column, int lanes) {
        const ptrdiff_t at = static_cast<ptrdiff_t>(row) * columns + column;
        return LoadSome<kTail>(dy + at, lanes) *
               (LoadSome<kTail>(x + at, lanes) - LoadSome<kTail>(saved_mean + column, lanes)) *
               LoadSome<kTail>(saved_rstd + column, lanes);
    });
    const float inverse = 1.0f / static_cast<float>(rows);
    for (int row = 0; row < rows; ++row, x += columns, dy += columns, dx += columns)
#pragma GCC ivdep
        for (int j = 0; j < columns; ++j) {
            const float normalised = (x[j] - saved_mean[j]) * saved_rstd[j];
            dx[j] = gamma[j] * saved_rstd[j] * (dy[j] - inverse * (dbeta[j] + normalised * dgamma[j]));
        }
}

void LayerNormForward(int rows, int columns, const float* x, const float* gamma, const float* beta,
                      float epsilon, float* saved_mean, float* saved_rstd, float* y) {
    const float inverse = 1.0f / static_cast<float>(columns);
    for (int row = 0; row < rows; ++row, x += columns, y += columns) {
        const float mean = inverse * SumOverColumns(columns, [=]<bool kTail>(int column, int lanes) {
                               return LoadSome<kTail>(x + column, lanes);
                           });
        const float variance = inverse * SumOverColumns(columns, [=]<bool kTail>(int column, int lanes) {
                                   const Vector centred =
                                       LoadSome<kTail>(x + column, lanes) - BroadcastSome<kTail>(mean, lanes);
                                   return centred * centred;
                               });
        const float rstd = 1.0f / __builtin_sqrtf(variance + epsilon);
        saved_mean[row] = mean;
        saved_rstd[row] = rstd;
#pragma GCC ivdep
        for (int j = 0; j < columns; ++j)
            y[j] = (x[j] - mean) * rstd * gamma[j] + beta[j];
    }
}

void LayerNormBackward(int rows, int columns, const float* x, const float* gamma, const float* saved_mean,
                       const float* saved_rstd, const float* dy, float* dx, float* dgamma, float* dbeta) {
    ColumnSum(rows, columns, dy, dbeta);
    SumOverRows(rows, columns, dgamma, [=]<bool kTail>(int row, int column, int lanes) {
        const ptrdiff_t at = static_cast<ptrdiff_t>(row) * columns + column;
        return LoadSome<kTail>(dy + at, lanes) * (LoadSome<kTail>(x + at, lanes) - saved_mean[row]) *
               saved_rstd[row];
    });
    const float inverse = 1.0f / static_cast<float>(columns);
    for (int row = 0; row < rows; ++row, x += columns, dy += columns, dx += columns) {
        const float mean = saved_mean[row];
        const float rstd = saved_rstd[row];
        const float sum =
            inverse * SumOverColumns(columns, [=]<bool kTail>(int column, int lanes) {
                return LoadSome<kTail>(dy + column, lanes) * LoadSome<kTail>(gamma + column, lanes);
            });
        const float product = inverse * SumOverColumns(columns, [=]<bool kTail>(int column, int lanes) {
                                  return LoadSome<kTail>(dy + column, lanes) *
                                         LoadSome<kTail>(gamma + column, lanes) *
                                         (LoadSome<kTail>(x + column, lanes) - mean) * rstd;
                              });
#pragma GCC ivdep
        for (int j = 0; j < columns; ++j)
            dx[j] = rstd * (dy[j] * gamma[j] - sum - (x[j] - mean) * rstd * product);
    }
}
