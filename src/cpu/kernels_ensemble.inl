// The scales, biases and activations of ensemble members, over [batch × members × width]. These passes are
// bound by memory: each array is read or written once.

/// Columns whose sums over the batch are taken together; they stay in the first-level cache.
constexpr int kSumColumns = 256;

/// out[s][k, j] = Σ_b of what `op(b, k, column, lanes, sums)` adds to sums[s][0, lanes), the columns from
/// `column` on of member k. Those sums that `shared` names are over the members too: out[s][j].
template <int kSums, typename Op>
DLENT_INLINE void SumOverBatch(int batch, int members, int width, float* const (&out)[kSums],
                               const bool (&shared)[kSums], const Op& op) {
    for (int k = 0; k < members; ++k)
        for (int column = 0; column < width; column += kSumColumns) {
            const int lanes = width - column < kSumColumns ? width - column : kSumColumns;
            float total[kSums][kSumColumns] = {};
            for (int begin = 0; begin < batch; begin += kSumRows) {
                const int end = batch - begin < kSumRows ? batch : begin + kSumRows;
                float sums[kSums][kSumColumns] = {};
                for (int b = begin; b < end; ++b)
                    op(b, k, column, lanes, sums);
                for (int s = 0; s < kSums; ++s)
                    for (int j = 0; j < lanes; ++j)
                        total[s][j] += sums[s][j];
            }
            for (int s = 0; s < kSums; ++s) {
                if (out[s] == nullptr)
                    continue;
                float* const to = out[s] + (shared[s] ? 0 : static_cast<ptrdiff_t>(k) * width) + column;
                const bool add = shared[s] && k > 0;
                for (int j = 0; j < lanes; ++j)
                    to[j] = add ? to[j] + total[s][j] : total[s][j];
            }
        }
}

void EnsembleScaleForward(int batch, int members, int width, const float* x, bool broadcast,
                          const float* scale, float* y) {
    const ptrdiff_t step = broadcast ? 0 : width;
    for (int b = 0; b < batch; ++b, x += broadcast ? width : 0) {
        const float* s = scale;
        for (int k = 0; k < members; ++k, x += step, s += width, y += width)
#pragma GCC ivdep
            for (int j = 0; j < width; ++j)
                y[j] = x[j] * s[j];
    }
}

/// What becomes of an input's gradient.
enum class InputGradient : uint8_t { kNone, kSet, kAdd };

template <InputGradient kInput>
DLENT_INLINE void EnsembleScaleBackwardRow(int lanes, const float* x, const float* scale, const float* dy,
                                           float* dx, float* dscale) {
#pragma GCC ivdep
    for (int j = 0; j < lanes; ++j) {
        dscale[j] += dy[j] * x[j];
        if constexpr (kInput == InputGradient::kAdd)
            dx[j] += dy[j] * scale[j];
        else if constexpr (kInput == InputGradient::kSet)
            dx[j] = dy[j] * scale[j];
    }
}

void EnsembleScaleBackward(int batch, int members, int width, const float* x, bool broadcast,
                           const float* scale, const float* dy, float* dx, bool accumulate_dx,
                           float* dscale) {
    SumOverBatch<1>(batch, members, width, {dscale}, {false},
                    [=](int b, int k, int column, int lanes, float(&sums)[1][kSumColumns]) {
                        const ptrdiff_t at = (static_cast<ptrdiff_t>(b) * members + k) * width + column;
                        const ptrdiff_t from = broadcast ? static_cast<ptrdiff_t>(b) * width + column : at;
                        const float* const s = scale + static_cast<ptrdiff_t>(k) * width + column;
                        if (dx == nullptr)
                            EnsembleScaleBackwardRow<InputGradient::kNone>(lanes, x + from, s, dy + at,
                                                                           nullptr, sums[0]);
                        else if (accumulate_dx || (broadcast && k > 0))
                            EnsembleScaleBackwardRow<InputGradient::kAdd>(lanes, x + from, s, dy + at,
                                                                          dx + from, sums[0]);
                        else
                            EnsembleScaleBackwardRow<InputGradient::kSet>(lanes, x + from, s, dy + at,
                                                                          dx + from, sums[0]);
                    });
}

/// Calls `body` with whether there is a base and a scale as compile-time constants.
template <typename Body>
DLENT_INLINE void WithBaseAndScale(const float* base, const float* scale, const Body& body) {
    if (base != nullptr && scale != nullptr)
        body.template operator()<true, true>();
    else if (base != nullptr)
        body.template operator()<true, false>();
    else if (scale != nullptr)
        body.template operator()<false, true>();
    else
        body.template operator()<false, false>();
}

/// f((product + base) ∘ scale + bias) over the width of a member.
template <Activation kActivation, bool kBase, bool kScale>
DLENT_INLINE void EnsembleOutputRow(int width, const float* product, const float* base, const float* scale,
                                    const float* bias, float* preactivation, float* y) {
#pragma GCC ivdep
    for (int j = 0; j < width; ++j) {
        float z = product[j];
        if constexpr (kBase)
            z += base[j];
        if constexpr (kScale)
            z *= scale[j];
        z += bias[j];
        if constexpr (NeedsPreactivation(kActivation))
            preactivation[j] = z;
        y[j] = Activate<kActivation>(z);
    }
}

template <Activation kActivation>
void EnsembleOutputForwardOf(const EnsembleOutputSpec& spec, const float* product, const float* base,
                             const float* scale, const float* bias, float* preactivation, float* y) {
    const int width = spec.width;
    for (int b = 0; b < spec.batch; ++b, base += base == nullptr ? 0 : width)
        for (int k = 0; k < spec.members; ++k, product += width, y += width) {
            const ptrdiff_t of_member = static_cast<ptrdiff_t>(k) * width;
            const float* const s = scale == nullptr ? nullptr : scale + of_member;
            const float* const member_bias = bias + (spec.member_bias ? of_member : 0);
            // What nobody wants goes where the answer overwrites it.
            float* const z = preactivation == nullptr ? y : preactivation;
            WithBaseAndScale(base, s, [&]<bool kBase, bool kScale>() {
                EnsembleOutputRow<kActivation, kBase, kScale>(width, product, base, s, member_bias, z, y);
            });
            preactivation += preactivation == nullptr ? 0 : width;
        }
}

void EnsembleOutputForward(const EnsembleOutputSpec& spec, const float* product, const float* base,
                           const float* scale, const float* bias, float* preactivation, float* y) {
    DLENT_SWITCH_ACTIVATION(spec.activation, EnsembleOutputForwardOf, spec, product, base, scale, bias,
                            preactivation, y)
}

template <Activation kActivation, bool kBase, bool kScale>
DLENT_INLINE void EnsembleOutputBackwardRow(int lanes, const float* product, const float* base,
                                            const float* scale, const float* source, const float* dy,
                                            float* dproduct, float* dbias, float* dscale) {
#pragma GCC ivdep
    for (int j = 0; j < lanes; ++j) {
        const float dz = dy[j] * Slope<kActivation>(source[j], source[j]);
        dbias[j] += dz;
        if constexpr (kScale && kBase)
            dscale[j] += dz * (product[j] + base[j]);
        else if constexpr (kScale)
            dscale[j] += dz * product[j];
        if constexpr (kScale)
            dproduct[j] = dz * scale[j];
        else
            dproduct[j] = dz;
    }
}

template <Activation kActivation>
void EnsembleOutputBackwardOf(const EnsembleOutputSpec& spec, const float* product, const float* base,
                              const float* scale, const float* source, const float* dy, float* dproduct,
                              float* dscale, float* dbias) {
    const int members = spec.members;
    const int width = spec.width;
    SumOverBatch<2>(
        spec.batch, members, width, {dbias, scale == nullptr ? nullptr : dscale}, {!spec.member_bias, false},
        [=](int b, int k, int column, int lanes, float(&sums)[2][kSumColumns]) {
            const ptrdiff_t at = (static_cast<ptrdiff_t>(b) * members + k) * width + column;
            const float* const of_row =
                base == nullptr ? nullptr : base + static_cast<ptrdiff_t>(b) * width + column;
            const float* const s =
                scale == nullptr ? nullptr : scale + static_cast<ptrdiff_t>(k) * width + column;
            WithBaseAndScale(of_row, s, [&]<bool kBase, bool kScale>() {
                EnsembleOutputBackwardRow<kActivation, kBase, kScale>(
                    lanes, product + at, of_row, s, source + at, dy + at, dproduct + at, sums[0], sums[1]);
            });
        });
}

void EnsembleOutputBackward(const EnsembleOutputSpec& spec, const float* product, const float* base,
                            const float* scale, const float* preactivation, const float* y, const float* dy,
                            float* dproduct, float* dscale, float* dbias) {
    const float* const source = NeedsPreactivation(spec.activation) ? preactivation : y;
    DLENT_SWITCH_ACTIVATION(spec.activation, EnsembleOutputBackwardOf, spec, product, base, scale, source, dy,
                            dproduct, dscale, dbias)
}

void EnsembleSum(int batch, int members, int width, const float* x, float* out) {
    for (int b = 0; b < batch; ++b, out += width) {
        __builtin_memcpy(out, x, static_cast<size_t>(width) * sizeof(float));
        x += width;
        for (int k = 1; k < members; ++k, x += width)
#pragma GCC ivdep
            for (int j = 0; j < width; ++j)
                out[j] += x[j];
    }
}

void EnsembleBias(int batch, int members, int width, const float* bias, float* y) {
    const int columns = members * width;
    for (int b = 0; b < batch; ++b, y += columns)
#pragma GCC ivdep
        for (int j = 0; j < columns; ++j)
            y[j] += bias[j];
}
