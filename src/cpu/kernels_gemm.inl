// Products of matrices: op(b) in packed panels of at most kPanelVectors vectors, tiles of the result held in
// registers. The sum over k of an element has one order, whatever the tile it falls in.

/// Rows of a tile by its width in vectors, so that accumulators and operands fill the register file.
constexpr int TileRows(int vectors) {
#if DLENT_VECTOR_FLOATS == 16
    return vectors == 4 ? 6 : 8;
#elif DLENT_VECTOR_FLOATS == 8
    return vectors == 2 ? 6 : 8;
#else
    return vectors == 2 ? 4 : 6;
#endif
}

constexpr int kPanelVectors = DLENT_VECTOR_FLOATS == 16 ? 4 : 2;
constexpr int kPanelColumns = kPanelVectors * kFloats;
constexpr int kBlockDepth = 128;  ///< of k, so that a panel stays in the first cache level
constexpr int kBlockRows = 512;   ///< of m, so that the block of a is read from the cache for each panel
constexpr int kMinRowsToPack = 64;
static_assert(kBlockDepth * kPanelColumns <= static_cast<int>(kGemmWorkspace));

/// What is left to do for a tile once its products are summed.
struct Epilogue {
    float alpha;
    float beta;
    float* c;
    ptrdiff_t ldc;
    const float* bias;
    const float* base;
    float* preactivation;
    GemmActivation activation;

    /// Whether all there is to do is max(sum + bias, floor).
    DLENT_INLINE bool IsPlain() const {
        return alpha == 1.0f && beta == 0.0f && base == nullptr && preactivation == nullptr &&
               activation != GemmActivation::kLeakyRelu;
    }
    DLENT_INLINE float Floor() const {
        return activation == GemmActivation::kRelu ? 0.0f : -__builtin_inff();
    }
};

template <bool kTail>
DLENT_INLINE Vector LoadSome(const float* p, int lanes) {
    if constexpr (kTail)
        return LoadTail(p, lanes);
    else
        return Load(p);
}

template <bool kTail>
DLENT_INLINE void StoreSome(float* p, int lanes, Vector v) {
    if constexpr (kTail)
        StoreTail(p, lanes, v);
    else
        Store(p, v);
}

template <bool kTail>
DLENT_INLINE void Finish(const Epilogue& e, ptrdiff_t row, ptrdiff_t column, int lanes, Vector v) {
    const ptrdiff_t at = row * e.ldc + column;
    if (e.alpha != 1.0f)
        v *= e.alpha;
    if (e.beta != 0.0f)
        v += e.beta * LoadSome<kTail>(e.c + at, lanes);
    if (e.base != nullptr)
        v += LoadSome<kTail>(e.base + at, lanes);
    if (e.bias != nullptr)
        v += LoadSome<kTail>(e.bias + column, lanes);
    if (e.preactivation != nullptr)
        StoreSome<kTail>(e.preactivation + at, lanes, v);
    if (e.activation == GemmActivation::kRelu)
        v = v < 0.0f ? Vector{} : v;
    else if (e.activation == GemmActivation::kLeakyRelu)
        v = v < 0.0f ? v * 0.01f : v;
    StoreSome<kTail>(e.c + at, lanes, v);
}

/// One tile of kRows rows; `a` points at its first row (column, when transposed) of the block of k.
template <bool kTransposeA, int kRows, int kVectors>
DLENT_INLINE void Tile(int k, const float* a, ptrdiff_t lda, const float* b, ptrdiff_t ldb, const Epilogue& e,
                       ptrdiff_t row, ptrdiff_t column, int columns) {
    Vector sum[kRows][kVectors] = {};
    for (int i = 0; i < k; ++i) {
        Vector right[kVectors];
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v)
            right[v] = Load(b + v * kFloats);
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
            const float left = kTransposeA ? a[r] : a[r * lda];
#pragma GCC unroll 8
            for (int v = 0; v < kVectors; ++v)
                sum[r][v] = MultiplyAdd(Broadcast(left), right[v], sum[r][v]);
        }
        a += kTransposeA ? lda : 1;
        b += ldb;
    }
    if (columns == kVectors * kFloats && e.IsPlain()) {
        const Vector floor = Broadcast(e.Floor());
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
            float* c = e.c + row * e.ldc + column + v * kFloats;
            const Vector bias = e.bias == nullptr ? Vector{} : Load(e.bias + column + v * kFloats);
#pragma GCC unroll 16
            for (int r = 0; r < kRows; ++r)
                Store(c + r * e.ldc, Max(floor, sum[r][v] + bias));
        }
    } else if (columns == kVectors * kFloats) {
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
            for (int v = 0; v < kVectors; ++v)
                Finish<false>(e, row + r, column + v * kFloats, kFloats, sum[r][v]);
    } else {
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
            for (int v = 0; v + 1 < kVectors; ++v)
                Finish<false>(e, row + r, column + v * kFloats, kFloats, sum[r][v]);
            Finish<true>(e, row + r, column + (kVectors - 1) * kFloats, columns - (kVectors - 1) * kFloats,
                         sum[r][kVectors - 1]);
        }
    }
}

template <bool kTransposeA, int kVectors>
void Rows(int m, int k, const float* a, ptrdiff_t lda, const float* b, ptrdiff_t ldb, const Epilogue& e,
          ptrdiff_t row, ptrdiff_t column, int columns) {
    constexpr int kTile = TileRows(kVectors);
    const ptrdiff_t step = kTransposeA ? 1 : lda;
    int i = 0;
    for (; i + kTile <= m; i += kTile)
        Tile<kTransposeA, kTile, kVectors>(k, a + i * step, lda, b, ldb, e, row + i, column, columns);
    if constexpr (kTile > 4)
        if (m - i >= 4) {
            Tile<kTransposeA, 4, kVectors>(k, a + i * step, lda, b, ldb, e, row + i, column, columns);
            i += 4;
        }
    if (m - i >= 2) {
        Tile<kTransposeA, 2, kVectors>(k, a + i * step, lda, b, ldb, e, row + i, column, columns);
        i += 2;
    }
    if (m - i >= 1)
        Tile<kTransposeA, 1, kVectors>(k, a + i * step, lda, b, ldb, e, row + i, column, columns);
}

/// Copies k × columns of b, `width` to a row, zeros behind.
void PackRows(int k, int columns, const float* b, ptrdiff_t ldb, int width, float* packed) {
    const int tail = columns % kFloats;
    for (int i = 0; i < k; ++i, b += ldb, packed += width) {
        int j = 0;
        for (; j + kFloats <= columns; j += kFloats)
            Store(packed + j, Load(b + j));
        if (tail != 0)
            Store(packed + j, LoadTail(b + j, tail));
    }
}

/// The same of the transpose of b: `columns` rows of k values.
void PackColumns(int k, int columns, const float* b, ptrdiff_t ldb, int width, float* packed) {
    typedef float Four __attribute__((vector_size(16)));
    typedef float UnalignedFour __attribute__((vector_size(16), aligned(4)));
    typedef int32_t Index __attribute__((vector_size(16)));
    int j = 0;
    for (; j + 4 <= columns; j += 4) {
        const float* column = b + j * ldb;
        int i = 0;
        for (; i + 4 <= k; i += 4) {
            const Four r0 = *reinterpret_cast<const UnalignedFour*>(column + i);
            const Four r1 = *reinterpret_cast<const UnalignedFour*>(column + i + ldb);
            const Four r2 = *reinterpret_cast<const UnalignedFour*>(column + i + 2 * ldb);
            const Four r3 = *reinterpret_cast<const UnalignedFour*>(column + i + 3 * ldb);
            const Four low01 = __builtin_shuffle(r0, r1, Index{0, 4, 1, 5});
            const Four high01 = __builtin_shuffle(r0, r1, Index{2, 6, 3, 7});
            const Four low23 = __builtin_shuffle(r2, r3, Index{0, 4, 1, 5});
            const Four high23 = __builtin_shuffle(r2, r3, Index{2, 6, 3, 7});
            float* to = packed + static_cast<ptrdiff_t>(i) * width + j;
            *reinterpret_cast<Four*>(to) = __builtin_shuffle(low01, low23, Index{0, 1, 4, 5});
            *reinterpret_cast<Four*>(to + width) = __builtin_shuffle(low01, low23, Index{2, 3, 6, 7});
            *reinterpret_cast<Four*>(to + 2 * width) = __builtin_shuffle(high01, high23, Index{0, 1, 4, 5});
            *reinterpret_cast<Four*>(to + 3 * width) = __builtin_shuffle(high01, high23, Index{2, 3, 6, 7});
        }
        for (; i < k; ++i)
            for (int l = 0; l < 4; ++l)
                packed[static_cast<ptrdiff_t>(i) * width + j + l] = column[l * ldb + i];
    }
    for (; j < width; ++j)
        for (int i = 0; i < k; ++i)
            packed[static_cast<ptrdiff_t>(i) * width + j] = j < columns ? b[j * ldb + i] : 0.0f;
}

template <bool kTransposeA>
void Product(const GemmCall& g, float* workspace) {
    for (int row = 0; row < g.m; row += kBlockRows) {
        const int rows = g.m - row < kBlockRows ? g.m - row : kBlockRows;
        for (int column = 0; column < g.n; column += kPanelColumns) {
            const int columns = g.n - column < kPanelColumns ? g.n - column : kPanelColumns;
            const int vectors = (columns + kFloats - 1) / kFloats;
            const int width = vectors * kFloats;
            int depth = 0;
            do {
                const int block = g.k - depth < kBlockDepth ? g.k - depth : kBlockDepth;
                const bool last = depth + block == g.k;
                const float* a = g.a + (kTransposeA ? depth * g.lda + row : row * g.lda + depth);
                const float* b = workspace;
                ptrdiff_t ldb = width;
                if (g.transpose_b) {
                    PackColumns(block, columns, g.b + column * g.ldb + depth, g.ldb, width, workspace);
                } else if (columns == width && (g.ldb == width || rows < kMinRowsToPack)) {
                    b = g.b + depth * g.ldb + column;
                    ldb = g.ldb;
                } else {
                    PackRows(block, columns, g.b + depth * g.ldb + column, g.ldb, width, workspace);
                }
                const Epilogue e{g.alpha,
                                 depth == 0 ? g.beta : 1.0f,
                                 g.c,
                                 g.ldc,
                                 last ? g.bias : nullptr,
                                 last ? g.base : nullptr,
                                 last ? g.preactivation : nullptr,
                                 last ? g.activation : GemmActivation::kNone};
                switch (vectors) {
                    case 1:
                        Rows<kTransposeA, 1>(rows, block, a, g.lda, b, ldb, e, row, column, columns);
                        break;
                    case 2:
                        Rows<kTransposeA, 2>(rows, block, a, g.lda, b, ldb, e, row, column, columns);
                        break;
#if DLENT_VECTOR_FLOATS == 16
                    case 3:
                        Rows<kTransposeA, 3>(rows, block, a, g.lda, b, ldb, e, row, column, columns);
                        break;
                    default:
                        Rows<kTransposeA, 4>(rows, block, a, g.lda, b, ldb, e, row, column, columns);
                        break;
#endif
                }
                depth += block;
            } while (depth < g.k);
        }
    }
}

/// n = 1: a dot product per row of a. `b` is contiguous.
template <int kRows>
DLENT_INLINE void DotRows(const GemmCall& g, int row) {
    const float* a = g.a + row * g.lda;
    Vector sum[kRows] = {};
    int i = 0;
    for (; i + kFloats <= g.k; i += kFloats) {
        const Vector right = Load(g.b + i);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r)
            sum[r] = MultiplyAdd(Load(a + r * g.lda + i), right, sum[r]);
    }
    if (i < g.k) {
        const Vector right = LoadTail(g.b + i, g.k - i);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r)
            sum[r] = MultiplyAdd(LoadTail(a + r * g.lda + i, g.k - i), right, sum[r]);
    }
    for (int r = 0; r < kRows; ++r) {
        const ptrdiff_t at = (row + r) * g.ldc;
        float v = g.alpha * Sum(sum[r]);
        if (g.beta != 0.0f)
            v += g.beta * g.c[at];
        if (g.base != nullptr)
            v += g.base[at];
        if (g.bias != nullptr)
            v += g.bias[0];
        if (g.preactivation != nullptr)
            g.preactivation[at] = v;
        if (v < 0.0f && g.activation != GemmActivation::kNone)
            v = g.activation == GemmActivation::kRelu ? 0.0f : v * 0.01f;
        g.c[at] = v;
    }
}

void MatrixVector(const GemmCall& g) {
    int row = 0;
    for (; row + 4 <= g.m; row += 4)
        DotRows<4>(g, row);
    for (; row < g.m; ++row)
        DotRows<1>(g, row);
}

void Gemm(const GemmCall& call, float* workspace) {
    GemmCall g = call;
    if (g.base != nullptr && g.base == g.c) {
        // The base would be overwritten by the partial sums of a deep product.
        g.base = nullptr;
        g.beta = 1.0f;
    }
    const bool b_contiguous = g.n == 1 && (g.transpose_b || g.ldb == 1);
    if (b_contiguous && !g.transpose_a) {
        MatrixVector(g);
    } else if (b_contiguous && g.ldc == 1 && g.bias == nullptr) {
        // aᵀ · column = (column ᵀ · a)ᵀ: one row that is contiguous in a and in c.
        GemmCall row = g;
        row.transpose_a = false;
        row.transpose_b = false;
        row.m = 1;
        row.n = g.m;
        row.a = g.b;
        row.lda = g.k;
        row.b = g.a;
        row.ldb = g.lda;
        row.ldc = g.m;
        Product<false>(row, workspace);
    } else if (g.transpose_a) {
        Product<true>(g, workspace);
    } else {
        Product<false>(g, workspace);
    }
}
