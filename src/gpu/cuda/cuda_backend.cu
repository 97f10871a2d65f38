// The operators of Backend on a GPU. Every call enqueues on the backend's stream; the first fault is kept and told by
// Synchronize().

#include "gpu/cuda/cuda_backend.h"

#include <cub/device/device_radix_sort.cuh>
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gpu/cuda/elementwise.cuh"
#include "gpu/cuda/embedding.cuh"
#include "gpu/cuda/ensemble.cuh"
#include "gpu/cuda/loss.cuh"
#include "gpu/cuda/matmul.h"
#include "gpu/cuda/normalization.cuh"
#include "gpu/cuda/optimizer.cuh"
#include "gpu/cuda/rank_group.h"
#include "gpu/cuda/reductions.cuh"
#include "gpu/cuda/staging_ring.h"

namespace dlent::cuda {
namespace {

constexpr size_t kMaxSharedBytes = 48 << 10;  ///< of a block, without asking for more
constexpr size_t kWorkspaceBytes = size_t{32} << 20;
constexpr size_t kSideWorkspaceBytes = size_t{8} << 20;
/// Multiplications of a product up to which it leaves a part of the card to another one beside it.
constexpr size_t kBesideAtMost = size_t{1} << 28;
/// Logits of a batch up to which one block takes its whole loss.
constexpr size_t kSmallLoss = 8 * kThreads;

constexpr int kContextLost = 12;  ///< exit status

bool EndsContext(cudaError_t error) {
    switch (error) {
        case cudaErrorECCUncorrectable:
        case cudaErrorIllegalAddress:
        case cudaErrorLaunchTimeout:
        case cudaErrorAssert:
        case cudaErrorHardwareStackError:
        case cudaErrorIllegalInstruction:
        case cudaErrorMisalignedAddress:
        case cudaErrorInvalidAddressSpace:
        case cudaErrorInvalidPc:
        case cudaErrorLaunchFailure:
            return true;
        default:
            return false;
    }
}

class CudaBackend final : public Backend {
 public:
    CudaBackend(int device, gpu::Precision precision, const DlentMemoryGate& gate)
        : device_(device), gate_(gate), matmul_(precision) {}

    ~CudaBackend() override {
        group_.reset();  // which may end what the stream waits for
        cudaStreamSynchronize(stream_);
        for (const auto& [pointer, bytes] : sizes_) {
            cudaFree(pointer);
            gate_.release(gate_.context, bytes);
        }
        for (const cudaEvent_t event : {forked_, joined_}) {
            if (event != nullptr)
                cudaEventDestroy(event);
        }
        for (const cudaStream_t stream : {stream_, side_stream_}) {
            if (stream != nullptr)
                cudaStreamDestroy(stream);
        }
    }

    bool Create(std::string* reason) {
        Check(cudaSetDevice(device_));
        Check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
        Check(cudaStreamCreateWithFlags(&side_stream_, cudaStreamNonBlocking));
        Check(cudaEventCreateWithFlags(&forked_, cudaEventDisableTiming));
        Check(cudaEventCreateWithFlags(&joined_, cudaEventDisableTiming));
        Check(matmul_.Create());
        if (fault_.ok()) {
            workspace_ = {Allocate(kWorkspaceBytes), kWorkspaceBytes};
            side_workspace_ = {Allocate(kSideWorkspaceBytes), kSideWorkspaceBytes};
            ticket_ = static_cast<unsigned*>(Allocate(sizeof(*ticket_)));
        }
        if (fault_.ok() && (workspace_.data == nullptr || side_workspace_.data == nullptr || ticket_ == nullptr))
            fault_ = {StatusCode::kOutOfMemory, "out of memory for the workspace of products"};
        *reason = fault_.message();
        return fault_.ok();
    }

    Status Join(DlentGroup* group) {
        DLENT_ASSIGN_OR_RETURN(group_, RankGroup::Join(group, stream_));
        return Status::Ok();
    }

    const char* name() const override { return "cuda"; }

    // ---- memory ----
    void* Allocate(size_t bytes) override {
        if (bytes > std::numeric_limits<size_t>::max() / 2 || !gate_.reserve(gate_.context, bytes))
            return nullptr;
        ComeToRest();
        void* pointer = nullptr;
        if (cudaMalloc(&pointer, std::max<size_t>(bytes, 64)) != cudaSuccess) {
            cudaGetLastError();  // a refusal is an answer, not a fault
            gate_.release(gate_.context, bytes);
            return nullptr;
        }
        sizes_[pointer] = bytes;
        Check(cudaMemsetAsync(pointer, 0, std::max<size_t>(bytes, 64), stream_));
        return pointer;
    }
    void Free(void* pointer) override {
        const auto found = sizes_.find(pointer);
        if (found == sizes_.end())
            return;
        host_tables_.erase(static_cast<const int32_t*>(pointer));
        ++frees_;
        ComeToRest();
        Check(cudaFree(pointer));  // waits for what uses it
        gate_.release(gate_.context, found->second);
        sizes_.erase(found);
    }
    void Upload(void* device, const void* host, size_t bytes) override {
        if (bytes != 0)
            Check(staging_.Upload(device, host, bytes, stream_, [this](cudaEvent_t event) { return WaitFor(event); }));
    }
    void Download(void* host, const void* device, size_t bytes) override {
        ComeToRest();  // to pageable memory a copy returns when it is done
        if (bytes != 0)
            Check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_));
    }
    void Copy(void* to, const void* from, size_t bytes) override {
        if (bytes != 0)
            Check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_));
    }
    void Zero(void* device, size_t bytes) override {
        if (bytes != 0)
            Check(cudaMemsetAsync(device, 0, bytes, stream_));
    }
    Status Synchronize() override {
        ComeToRest();
        Check(cudaStreamSynchronize(stream_));
        return std::exchange(fault_, Status::Ok());
    }

    // ---- linear algebra ----
    void Gemm(bool transpose_a, bool transpose_b, int m, int n, int k, float alpha, const float* a, int lda,
              const float* b, int ldb, float beta, float* c, int ldc) override {
        GemmBatched(transpose_a, transpose_b, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1);
    }
    void GemmBatched(bool transpose_a, bool transpose_b, int m, int n, int k, float alpha, const float* a, int lda,
                     ptrdiff_t stride_a, const float* b, int ldb, ptrdiff_t stride_b, float beta, float* c, int ldc,
                     ptrdiff_t stride_c, int count) override {
        if (m == 0 || n == 0 || count == 0)
            return;
        if (k == 0) {
            for (int i = 0; i < count; ++i)
                Launch(ScaleMatrixKernel, Product(m, n), n, beta, c + i * stride_c, ldc);
            return;
        }
        MatmulCall call;
        call.transpose_a = transpose_a;
        call.transpose_b = transpose_b;
        call.m = m;
        call.n = n;
        call.k = k;
        call.alpha = alpha;
        call.a = a;
        call.lda = lda;
        call.b = b;
        call.ldb = ldb;
        call.beta = beta;
        call.c = call.d = c;
        call.ldc = call.ldd = ldc;
        call.count = count;
        call.stride_a = stride_a;
        call.stride_b = stride_b;
        call.stride_d = stride_c;
        Check(matmul_.Run(call, workspace_, stream_));
    }

    // ---- dense layer ----
    void DenseForward(int rows, int inputs, int outputs, const float* x, int ldx, const float* weight,
                      const float* bias, const float* base, Activation activation, float* preactivation,
                      float* y) override {
        if (rows == 0 || outputs == 0)
            return;
        const bool fused = preactivation == nullptr &&
                           (activation == Activation::kRelu || activation == Activation::kIdentity);
        MatmulCall call;
        call.m = rows;
        call.n = outputs;
        call.k = inputs;
        call.a = x;
        call.lda = ldx;
        call.b = weight;
        call.ldb = call.ldc = call.ldd = outputs;
        call.d = y;
        if (fused) {
            call.c = base;
            call.beta = base == nullptr ? 0.0f : 1.0f;
            call.bias = const_cast<float*>(bias);
            const bool relu = activation == Activation::kRelu;
            call.epilogue = bias != nullptr ? (relu ? MatmulCall::Epilogue::kReluBias : MatmulCall::Epilogue::kBias)
                                            : (relu ? MatmulCall::Epilogue::kRelu : MatmulCall::Epilogue::kNone);
        }
        if (inputs > 0 && RunWhole(call, workspace_, stream_) && fused)
            return;
        const float* const linear = inputs > 0 ? y : nullptr;
        WithActivation(activation, [&]<Activation kActivation>() {
            Launch(FinishDenseKernel<kActivation>, Product(rows, outputs), outputs, linear, base, bias,
                   preactivation, y);
        });
    }
    void DenseBackward(int rows, int inputs, int outputs, const float* x, int ldx, const float* weight,
                       const float* dz, float* dweight, float* dbias, float* dx, bool accumulate_dx) override {
        if (dx == nullptr)
            return WeightGradient(rows, inputs, outputs, x, ldx, dz, dweight, dbias, workspace_, stream_);
        // Small products leave the card half empty: the two gradients are computed side by side.
        const bool beside = Product(rows, inputs) * outputs <= kBesideAtMost;
        if (beside)
            Fork();
        WeightGradient(rows, inputs, outputs, x, ldx, dz, dweight, dbias, beside ? side_workspace_ : workspace_,
                       beside ? side_stream_ : stream_);
        Gemm(false, true, rows, inputs, outputs, 1.0f, dz, outputs, weight, outputs, accumulate_dx ? 1.0f : 0.0f, dx,
             ldx);
        if (beside)
            Join();
    }
    void ColumnSum(int rows, int columns, const float* x, float* out) override {
        SumOverRows<1>(rows, columns, {out}, [=] __device__(int row, int column) {
            return SumsOf(x[static_cast<size_t>(row) * columns + column]);
        });
    }

    // ---- element-wise ----
    void ActivationForward(Activation activation, size_t count, const float* x, float* y) override {
        WithActivation(activation, [&]<Activation kActivation>() {
            Launch(ActivationForwardKernel<kActivation>, count, x, y);
        });
    }
    void ActivationBackward(Activation activation, size_t count, const float* x, const float* y, const float* dy,
                            float* dx) override {
        if (activation == Activation::kIdentity) {
            if (dx != dy)
                Copy(dx, dy, count * sizeof(float));
            return;
        }
        const float* const source = NeedsPreactivation(activation) ? x : y;
        WithActivation(activation, [&]<Activation kActivation>() {
            Launch(ActivationBackwardKernel<kActivation>, count, source, dy, dx);
        });
    }
    void ParametricActivationForward(Activation activation, int rows, int columns, const float* x,
                                     const float* alpha, float* y) override {
        WithActivation(activation, [&]<Activation kActivation>() {
            Launch(ParametricForwardKernel<kActivation>, Product(rows, columns), columns, x, alpha, y);
        });
    }
    void ParametricActivationBackward(Activation activation, int rows, int columns, const float* x,
                                      const float* alpha, const float* dy, float* dx, float* dalpha) override {
        ParametricGradient(activation, rows, columns, x, dy, dalpha);  // first: dx may be dy
        WithActivation(activation, [&]<Activation kActivation>() {
            Launch(ParametricBackwardKernel<kActivation>, Product(rows, columns), columns, x, alpha, dy, dx);
        });
    }
    void Axpy(size_t count, float alpha, const float* x, float* y) override {
        Launch(AxpyKernel, count, alpha, x, y);
    }
    void SmoothClipForward(size_t count, float limit, const float* x, float* y) override {
        Launch(SmoothClipForwardKernel, count, 1.0f / limit, x, y);
    }
    void SmoothClipBackward(size_t count, float limit, const float* x, const float* dy, float* dx,
                            bool accumulate) override {
        Launch(SmoothClipBackwardKernel, count, 1.0f / limit, x, dy, dx, accumulate);
    }
    void CopyColumns(int rows, int columns, const float* from, int ld_from, float* to, int ld_to,
                     bool accumulate) override {
        Launch(CopyColumnsKernel, Product(rows, columns), columns, from, ld_from, to, ld_to, accumulate);
    }
    void Dropout(size_t count, float rate, uint64_t seed, uint64_t step, const float* x, float* y) override {
        if (rate >= 1.0f)
            return Zero(y, count * sizeof(float));
        // (word >> 8) · 2⁻²⁴ ≥ rate, in integers
        const auto least = static_cast<uint32_t>(std::ceil(rate * 16777216.0f));
        if (count > 0)
            LaunchOn(BlocksFor((count + 3) / 4), kThreads, 0, DropoutKernel, count, least, 1.0f / (1.0f - rate), seed, step, current_step_, x, y);
    }

    // ---- embeddings ----
    void EmbeddingSumForward(int rows, int fields, int width, const int32_t* codes, const int32_t* offsets,
                             const float* table, float* out, bool accumulate) override {
        Launch(EmbeddingSumForwardKernel, Product(rows, width), fields, width, codes, offsets, table, out,
               accumulate);
    }
    void EmbeddingSumBackward(int rows, int fields, int width, const int32_t* codes, const int32_t* offsets,
                              const float* dout, int table_rows, float* dtable) override {
        TableGradient(rows, fields, width, codes, fields, offsets, dout, width, table_rows, dtable);
    }
    void EmbeddingForward(int rows, int width, const int32_t* codes, int code_stride, const float* table,
                          float* out, int ld_out) override {
        Launch(EmbeddingForwardKernel, Product(rows, width), width, codes, code_stride, table, out, ld_out);
    }
    void EmbeddingBackward(int rows, int width, const int32_t* codes, int code_stride, const float* dout,
                           int ld_dout, int table_rows, float* dtable) override {
        TableGradient(rows, 1, width, codes, code_stride, nullptr, dout, ld_dout, table_rows, dtable);
    }
    void PiecewiseLinearForward(int rows, int features, int width, const float* x, const int32_t* bin_offsets,
                                const float* edges, const float* weight, int32_t* bins, float* fractions,
                                float* out) override {
        const std::vector<int32_t>* const offsets = HostTable(bin_offsets, features + 1);
        if (offsets == nullptr)
            return;
        auto* const below = Scratch<float>(Product(offsets->back(), width));
        if (below == nullptr)
            return;
        Launch(BinPrefixKernel, Product(features, width), width, bin_offsets, weight, below);
        Launch(LocateBinsKernel, Product(rows, features), features, x, bin_offsets, edges, bins, fractions);
        Launch(PiecewiseLinearKernel, Product(rows, features) * width, features, width, bin_offsets, bins,
               fractions, weight, below, out);
    }
    void PiecewiseLinearBackward(int rows, int features, int width, const int32_t* bins, const float* fractions,
                                 const int32_t* bin_offsets, const float* dout, float* dweight) override {
        const std::vector<int32_t>* const offsets = HostTable(bin_offsets, features + 1);
        if (offsets == nullptr || features == 0 || width == 0)
            return;
        int most_bins = 0;
        for (int f = 0; f < features; ++f)
            most_bins = std::max(most_bins, (*offsets)[f + 1] - (*offsets)[f]);
        const size_t total = Product(offsets->back(), width);
        const int splits = std::max(1, std::min((rows + 63) / 64, 2112 / features));
        auto* const sums = Scratch<float>(2 * static_cast<size_t>(splits) * total);
        if (sums == nullptr)
            return;
        const size_t shared = 2 * Product(most_bins, width) * sizeof(float);
        const bool in_shared = shared <= kMaxSharedBytes;
        const dim3 grid(static_cast<unsigned>(features), static_cast<unsigned>(splits));
        const int threads = std::min(kThreads, (width + 31) / 32 * 32);
        LaunchOn(grid, threads, in_shared ? shared : 0, BinSumsKernel, rows, features, width, splits, total, bins, fractions, bin_offsets, dout, in_shared, sums);
        if (splits > 1)  // into the first
            Launch(ColumnFinishKernel<2>, 2 * total, static_cast<int>(total), splits, sums,
                   ColumnSums<2>{sums, sums + total});
        Launch(BinFinishKernel, Product(features, width), width, bin_offsets, sums, sums + total, dweight);
    }
    void PiecewiseLinearInputGradient(int rows, int features, int width, const int32_t* bins, const float* fractions,
                                      const int32_t* bin_offsets, const float* edges, const float* weight,
                                      const float* dout, float* dx, bool accumulate) override {
        Launch(PiecewiseLinearInputGradientKernel, Product(rows, features), features, width, bins, fractions,
               bin_offsets, edges, weight, dout, dx, accumulate);
    }
    void NumericLinearForward(int rows, int features, int width, const float* x, const float* weight,
                              const float* bias, float* out, bool accumulate) override {
        Launch(NumericLinearForwardKernel, Product(rows, features) * width, features * width, width, x, weight,
               bias, out, accumulate);
    }
    void NumericLinearBackward(int rows, int features, int width, const float* x, const float* dout, float* dweight,
                               float* dbias) override {
        const int columns = features * width;
        SumOverRows<2>(rows, columns, {dweight, dbias}, [=] __device__(int row, int column) {
            const float gradient = dout[static_cast<size_t>(row) * columns + column];
            return SumsOf(x[static_cast<size_t>(row) * features + column / width] * gradient, gradient);
        });
    }
    void NumericLinearInputGradient(int rows, int features, int width, const float* weight, const float* dout,
                                    float* dx, bool accumulate) override {
        Launch(NumericLinearInputGradientKernel, Product(rows, features), features, width, weight, dout, dx,
               accumulate);
    }
    void PeriodicForward(int rows, int features, int frequencies, const float* x, const float* coefficients,
                         float* out) override {
        Launch(PeriodicForwardKernel, Product(rows, features) * frequencies, features, frequencies, x, coefficients,
               out);
    }
    void PeriodicBackward(int rows, int features, int frequencies, const float* x, const float* coefficients,
                          const float* dout, float* dcoefficients) override {
        SumOverRows<1>(rows, features * frequencies, {dcoefficients}, [=] __device__(int row, int column) {
            const int f = column / frequencies;
            const int j = column % frequencies;
            const size_t entry = static_cast<size_t>(row) * features + f;
            const float* const gradient = dout + entry * 2 * frequencies;
            float sine;
            float cosine;
            SinCosOfProduct(coefficients[column], x[entry], &sine, &cosine);
            return SumsOf(6.28318531f * x[entry] * (gradient[frequencies + j] * cosine - gradient[j] * sine));
        });
    }
    void PeriodicInputGradient(int rows, int features, int frequencies, const float* x, const float* coefficients,
                               const float* dout, float* dx, bool accumulate) override {
        Launch(PeriodicInputGradientKernel, Product(rows, features), features, frequencies, x, coefficients, dout, dx,
               accumulate);
    }
    void FeatureDenseForward(int rows, int features, int inputs, int outputs, const float* x, const float* weight,
                             const float* bias, float* y) override {
        GemmBatched(false, false, rows, outputs, inputs, 1.0f, x, features * inputs, inputs, weight, outputs,
                    Stride(inputs, outputs), 0.0f, y, features * outputs, outputs, features);
        if (bias != nullptr)
            Launch(AddRowKernel, Product(rows, features) * outputs, features * outputs, bias, y);
    }
    void FeatureDenseBackward(int rows, int features, int inputs, int outputs, const float* x, const float* weight,
                              const float* dy, float* dweight, float* dbias, float* dx) override {
        GemmBatched(true, false, inputs, outputs, rows, 1.0f, x, features * inputs, inputs, dy, features * outputs,
                    outputs, 0.0f, dweight, outputs, Stride(inputs, outputs), features);
        if (dx != nullptr)
            GemmBatched(false, true, rows, inputs, outputs, 1.0f, dy, features * outputs, outputs, weight, outputs,
                        Stride(inputs, outputs), 0.0f, dx, features * inputs, inputs, features);
        if (dbias != nullptr)
            ColumnSum(rows, features * outputs, dy, dbias);
    }

    // ---- normalisation ----
    void BatchNormForward(int rows, int columns, const float* x, const float* gamma, const float* beta,
                          float epsilon, float momentum, bool training, float* running_mean,
                          float* running_variance, float* saved_mean, float* saved_rstd, float* y) override {
        if (training) {
            ColumnSum(rows, columns, x, saved_mean);
            Launch(ScaleByKernel, static_cast<size_t>(columns), 1.0f / static_cast<float>(rows), saved_mean);
            SumOverRows<1>(rows, columns, {saved_rstd}, [=] __device__(int row, int column) {
                const float centred = x[static_cast<size_t>(row) * columns + column] - saved_mean[column];
                return SumsOf(centred * centred);
            });
            LaunchOn(BlocksFor(columns), kThreads, 0, BatchNormStatisticsKernel, rows, columns, epsilon, momentum, running_mean, running_variance, saved_mean, saved_rstd);
        } else {
            LaunchOn(BlocksFor(columns), kThreads, 0, BatchNormReadKernel, columns, epsilon, running_mean, running_variance, saved_mean, saved_rstd);
        }
        Launch(BatchNormForwardKernel, Product(rows, columns), columns, x, gamma, beta, saved_mean, saved_rstd, y);
    }
    void BatchNormBackward(int rows, int columns, const float* x, const float* gamma, const float* saved_mean,
                           const float* saved_rstd, const float* dy, float* dx, float* dgamma, float* dbeta) override {
        SumOverRows<2>(rows, columns, {dbeta, dgamma}, [=] __device__(int row, int column) {
            const size_t at = static_cast<size_t>(row) * columns + column;
            return SumsOf(dy[at], dy[at] * (x[at] - saved_mean[column]) * saved_rstd[column]);
        });
        Launch(BatchNormBackwardKernel, Product(rows, columns), columns, 1.0f / static_cast<float>(rows), x, gamma,
               saved_mean, saved_rstd, dy, dgamma, dbeta, dx);
    }
    void LayerNormForward(int rows, int columns, const float* x, const float* gamma, const float* beta,
                          float epsilon, float* saved_mean, float* saved_rstd, float* y) override {
        if (rows > 0)
            LaunchOn(std::min(rows, kMaxBlocks), kThreads, 0, LayerNormForwardKernel, rows, columns, x, gamma, beta, epsilon, saved_mean, saved_rstd, y);
    }
    void LayerNormBackward(int rows, int columns, const float* x, const float* gamma, const float* saved_mean,
                           const float* saved_rstd, const float* dy, float* dx, float* dgamma, float* dbeta) override {
        SumOverRows<2>(rows, columns, {dbeta, dgamma}, [=] __device__(int row, int column) {
            const size_t at = static_cast<size_t>(row) * columns + column;
            return SumsOf(dy[at], dy[at] * (x[at] - saved_mean[row]) * saved_rstd[row]);
        });
        if (rows > 0)
            LaunchOn(std::min(rows, kMaxBlocks), kThreads, 0, LayerNormBackwardKernel, rows, columns, x, gamma, saved_mean, saved_rstd, dy, dx);
    }

    // ---- batch ensembles ----
    void EnsembleScaleForward(int batch, int members, int width, const float* x, bool broadcast, const float* scale,
                              float* y) override {
        Launch(EnsembleScaleForwardKernel, Product(batch, members) * width, members, width, x, broadcast, scale, y);
    }
    void EnsembleScaleBackward(int batch, int members, int width, const float* x, bool broadcast,
                               const float* scale, const float* dy, float* dx, bool accumulate_dx,
                               float* dscale) override {
        const int columns = members * width;
        if (broadcast) {
            SumOverRows<1>(batch, columns, {dscale}, [=] __device__(int row, int column) {
                return SumsOf(dy[static_cast<size_t>(row) * columns + column] *
                              x[static_cast<size_t>(row) * width + column % width]);
            });
            if (dx != nullptr)
                Launch(EnsembleBroadcastBackwardKernel, Product(batch, width), members, width, scale, dy, dx,
                       accumulate_dx);
            return;
        }
        TakeColumnSums<1>(batch, columns, {dscale}, EnsembleScaleGradient{columns, x, scale, dy, dx, accumulate_dx});
    }
    void EnsembleOutputForward(const EnsembleOutputSpec& spec, const float* product, const float* base,
                               const float* scale, const float* bias, float* preactivation, float* y) override {
        const int columns = spec.members * spec.width;
        if (columns == 0 || spec.batch == 0)
            return;
        const int blocks = (columns + kThreads - 1) / kThreads;
        const dim3 grid(static_cast<unsigned>(blocks),
                        static_cast<unsigned>(std::min(spec.batch, std::max(1, kMaxBlocks / blocks))));
        WithActivation(spec.activation, [&]<Activation kActivation>() {
            LaunchOn(grid, kThreads, 0, EnsembleOutputForwardKernel<kActivation>, spec, product, base, scale, bias, preactivation, y);
        });
    }
    void EnsembleOutputBackward(const EnsembleOutputSpec& spec, const float* product, const float* base,
                                const float* scale, const float* preactivation, const float* y, const float* dy,
                                float* dproduct, float* dscale, float* dbias) override {
        const int columns = spec.members * spec.width;
        const float* const source = NeedsPreactivation(spec.activation) ? preactivation : y;
        const bool sums_members = !spec.member_bias && spec.members > 1;
        float* const member_bias = sums_members ? Scratch<float>(static_cast<size_t>(columns), &member_sums_) : dbias;
        if (member_bias == nullptr)
            return;
        WithActivation(spec.activation, [&]<Activation kActivation>() {
            TakeColumnSums<2>(spec.batch, columns, {member_bias, dscale},
                              EnsembleOutputGradient<kActivation>{spec, product, base, scale, source, dy, dproduct});
        });
        if (sums_members)
            EnsembleSum(1, spec.members, spec.width, member_bias, dbias);
    }
    void EnsembleSum(int batch, int members, int width, const float* x, float* out) override {
        Launch(EnsembleSumKernel, Product(batch, width), members, width, x, out);
    }
    void EnsembleBias(int batch, int members, int width, const float* bias, float* y) override {
        Launch(AddRowKernel, Product(batch, members) * width, members * width, bias, y);
    }

    // ---- losses ----
    void Loss(const LossSpec& spec, int rows, int outputs, int members, const float* logits, const void* targets,
              const float* row_weights, double* accumulator, float* dlogits, float* weight_sum) override {
        if (rows == 0)
            return;
        const bool classes = spec.kind == LossKind::kSoftmaxCrossEntropy ||
                             (spec.kind == LossKind::kFocal && outputs > 1);
        const LossRows batch = {spec.kind,  spec.label_smoothing, spec.focal_gamma, spec.huber_delta,
                                spec.quantile, spec.class_weights, rows,            outputs,
                                members,    classes,              targets,          row_weights};
        if (Product(rows, classes ? outputs : 1) <= kSmallLoss)
            return LaunchOn(1, kThreads, 0, SmallLossKernel, batch, logits, accumulator, dlogits, weight_sum);
        const int blocks = std::min(BlocksFor(rows), kSumBlocks);
        auto* const parts = Scratch<double>(2 * kSumBlocks + 1);
        if (parts == nullptr)
            return;
        auto* const factor = reinterpret_cast<float*>(parts + 2 * kSumBlocks);
        LaunchOn(blocks, kThreads, 0, LossKernel, batch, logits, parts, dlogits);
        LaunchOn(1, kThreads, 0, LossFinishKernel, blocks, parts, accumulator, factor, weight_sum);
        if (dlogits != nullptr && weight_sum == nullptr)
            Launch(LossGradientKernel, Product(rows, classes ? outputs : 1), factor, dlogits);
    }
    void Probabilities(int rows, int outputs, float inverse_temperature, const float* logits,
                       float* probabilities) override {
        if (rows > 0)
            LaunchOn(BlocksFor(rows), kThreads, 0, ProbabilitiesKernel, rows, outputs, inverse_temperature, logits, probabilities);
    }

    // ---- optimisation ----
    void GradientClipScale(size_t count, const float* gradient, const float* weight_sum, float max_norm,
                           float* scale) override {
        auto* const parts = Scratch<double>(kSumBlocks);
        if (parts == nullptr)
            return;
        const int blocks = std::max(1, std::min(BlocksFor(count), kSumBlocks));
        LaunchOn(blocks, kThreads, 0, ClipScaleKernel, count, gradient, weight_sum, max_norm, parts, ticket_, scale);
    }
    void AdamWStep(const AdamWStepSpec& spec, std::span<const ParameterSegment> segments, const float* gradient,
                   const float* gradient_scale, float* parameters, float* first_moment,
                   float* second_moment) override {
        if (const int blocks = ChunksOf(segments); blocks > 0)
            LaunchOn(blocks, kThreads, 0, AdamWKernel, chunks_, spec.learning_rate, spec.beta1, spec.beta2, spec.epsilon, spec.step,
                         current_step_, gradient_scale, gradient, parameters, first_moment, second_moment);
    }
    void SgdStep(const SgdStepSpec& spec, std::span<const ParameterSegment> segments, const float* gradient,
                 const float* gradient_scale, float* parameters, float* momentum) override {
        if (const int blocks = ChunksOf(segments); blocks > 0)
            LaunchOn(blocks, kThreads, 0, SgdKernel, chunks_, spec.learning_rate, spec.momentum,
                                                                 spec.nesterov, current_step_, gradient_scale,
                                                                 gradient, parameters, momentum);
    }
    void Lerp(size_t count, float weight, const float* source, float* target) override {
        Launch(LerpKernel, count, weight, current_step_, source, target);
    }
    void CheckFinite(size_t count, const float* values, int32_t* flag) override {
        Launch(CheckFiniteKernel, count, values, flag);
    }

    // ---- steps ----
    size_t ResidentBytes() const override {
        size_t free_bytes = 0;
        size_t total = 0;
        // half of what is free: activations, validation and other jobs want some too
        return cudaMemGetInfo(&free_bytes, &total) == cudaSuccess ? free_bytes / 2 : 0;
    }
    int StepsAhead() const override { return 64; }
    void PermuteRows(const RandomPermutation& permutation, const uint32_t* rows, uint32_t* order) override {
        Launch(PermuteRowsKernel, permutation.count(), permutation, rows, order);
    }
    void GatherRows(int rows, std::span<const RowGather> parts, const uint32_t* order, size_t first) override {
        while (!parts.empty()) {
            const auto some = parts.first(std::min<size_t>(parts.size(), GatherParts::kMost));
            GatherParts gather{};
            std::copy(some.begin(), some.end(), gather.of);
            for (const RowGather& part : some)
                gather.width += part.width;
            if (gather.width > 0)
                Launch(GatherRowsKernel, Product(rows, gather.width), gather, order, static_cast<uint64_t>(first),
                       current_step_);
            parts = parts.subspan(some.size());
        }
    }
    std::unique_ptr<StepProgram> MakeStepProgram(StepFunction enqueue) override;

    // ---- ranks ----
    int ranks() const override { return group_ == nullptr ? 1 : group_->ranks(); }
    int rank() const override { return group_ == nullptr ? 0 : group_->rank(); }
    void AllReduceSum(size_t count, float* values) override { SumOverRanks(count, values); }
    void AllReduceSum(size_t count, double* values) override { SumOverRanks(count, values); }

 private:
    friend class GraphProgram;

    static size_t Product(int a, int b) { return static_cast<size_t>(a) * static_cast<size_t>(b); }
    static ptrdiff_t Stride(int a, int b) { return static_cast<ptrdiff_t>(a) * b; }

    /// Keeps the first fault. Those that a context does not survive end the process, which all its jobs have in
    /// common: it could do nothing more, and another one takes its place.
    void Check(cudaError_t result) {
        if (result == cudaSuccess)
            return;
        if (EndsContext(result)) {
            std::fprintf(stderr, "dlent-gpud: the CUDA context is lost: %s\n", cudaGetErrorString(result));
            std::_Exit(kContextLost);
        }
        cudaGetLastError();
        if (fault_.ok())
            fault_ = {result == cudaErrorMemoryAllocation ? StatusCode::kOutOfMemory : StatusCode::kInternal,
                      std::string("CUDA: ") + cudaGetErrorString(result)};
    }
    void Check(cublasStatus_t result) {
        if (result != CUBLAS_STATUS_SUCCESS && fault_.ok())
            fault_ = {StatusCode::kInternal, std::string("cuBLASLt: ") + cublasLtGetStatusString(result)};
    }
    void Check(const Status& status) {
        if (!status.ok() && fault_.ok())
            fault_ = status;
    }

    /// In a group, before a call of CUDA's that waits for the stream: there it might wait for peers that are
    /// gone, which only the group notices.
    void ComeToRest() {
        cudaError_t result = cudaSuccess;
        if (group_ != nullptr)
            Check(group_->Wait(&result));
        Check(result);
    }
    cudaError_t WaitFor(cudaEvent_t event) {
        if (group_ == nullptr)
            return cudaEventSynchronize(event);
        cudaError_t result = cudaSuccess;
        Check(group_->WaitFor(event, &result));
        return result == cudaErrorNotReady ? cudaEventSynchronize(event) : result;
    }

    template <typename T>
    void SumOverRanks(size_t count, T* values) {
        if (group_ == nullptr)
            return;
        if (between_graphs_ != nullptr)
            return (*between_graphs_)([this, count, values] { Check(group_->Sum(count, values)); });
        Check(group_->Sum(count, values));
    }

    template <typename... Parameters, typename... Arguments>
    void LaunchOn(dim3 grid, dim3 block, size_t shared_bytes, void (*kernel)(Parameters...), Arguments... arguments) {
        cudaLaunchConfig_t config{};
        config.gridDim = grid;
        config.blockDim = block;
        config.dynamicSmemBytes = shared_bytes;
        config.stream = stream_;
        Check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...));
    }
    /// A loop kernel over `count`, its first parameter.
    template <typename... Parameters, typename... Arguments>
    void Launch(void (*kernel)(size_t, Parameters...), size_t count, Arguments... arguments) {
        if (count > 0)
            LaunchOn(BlocksFor(count), kThreads, 0, kernel, count, arguments...);
    }

    /// Memory of operators, as large as the largest call so far.
    struct Reserve {
        void* data = nullptr;
        size_t bytes = 0;
    };
    /// Memory that lasts until the next call: operators follow each other on one stream.
    template <typename T>
    T* Scratch(size_t count, Reserve* reserve) {
        const size_t bytes = std::max<size_t>(count * sizeof(T), 64);
        if (bytes > reserve->bytes) {
            if (reserve->data != nullptr)
                Free(reserve->data);
            reserve->data = Allocate(bytes);
            reserve->bytes = reserve->data == nullptr ? 0 : bytes;
            if (reserve->data == nullptr && fault_.ok())
                fault_ = {StatusCode::kOutOfMemory, "out of memory for the workspace of an operator"};
        }
        return static_cast<T*>(reserve->data);
    }
    template <typename T>
    T* Scratch(size_t count) {
        return Scratch<T>(count, &scratch_);
    }

    /// out.of[s][column] = Σ_rows op(row, column).of[s].
    template <int kCount, typename Op>
    void SumOverRows(int rows, int columns, ColumnSums<kCount> out, Op op) {
        TakeColumnSums<kCount>(rows, columns, out, ReadOnlySum<kCount, Op>{op});
    }
    /// The same of an `op` as ColumnPartsKernel has it.
    template <int kCount, typename Op>
    void TakeColumnSums(int rows, int columns, ColumnSums<kCount> out, Op op) {
        if (columns == 0)
            return;
        const int splits = RowSplits(rows, columns);
        const size_t sums = static_cast<size_t>(kCount) * static_cast<size_t>(columns);
        float* const parts = splits == 1 ? nullptr : Scratch<float>(static_cast<size_t>(splits) * sums);
        if (splits > 1 && parts == nullptr)
            return;
        const dim3 grid(static_cast<unsigned>((columns + kTileColumns - 1) / kTileColumns),
                        static_cast<unsigned>(splits));
        LaunchOn(grid, dim3(kTileColumns, kTileRows), 0, ColumnPartsKernel<kCount, Op>, rows, columns, splits, op, out, parts);
        if (splits > 1)
            Launch(ColumnFinishKernel<kCount>, sums, columns, splits, parts, out);
    }

    /// A product with all that goes with it, or, where no algorithm has that, by itself: false.
    bool RunWhole(MatmulCall call, const MatmulWorkspace& workspace, cudaStream_t stream) {
        const cublasStatus_t status = matmul_.Run(call, workspace, stream);
        if (status != CUBLAS_STATUS_NOT_SUPPORTED) {
            Check(status);
            return true;
        }
        call.c = nullptr;
        call.beta = 0.0f;
        call.bias = nullptr;
        call.epilogue = MatmulCall::Epilogue::kNone;
        Check(matmul_.Run(call, workspace, stream));
        return false;
    }

    /// The part of DenseBackward that is the parameters'; sums that no epilogue takes follow on the main stream.
    void WeightGradient(int rows, int inputs, int outputs, const float* x, int ldx, const float* dz, float* dweight,
                        float* dbias, const MatmulWorkspace& workspace, cudaStream_t stream) {
        bool bias_done = dbias == nullptr;
        if (inputs > 0 && outputs > 0 && rows > 0) {
            MatmulCall call;
            call.transpose_a = true;
            call.m = inputs;
            call.n = outputs;
            call.k = rows;
            call.a = x;
            call.lda = ldx;
            call.b = dz;
            call.ldb = call.ldc = call.ldd = outputs;
            call.d = dweight;
            call.bias = dbias;
            call.epilogue = dbias == nullptr ? MatmulCall::Epilogue::kNone : MatmulCall::Epilogue::kBiasGradient;
            bias_done = RunWhole(call, workspace, stream) || bias_done;
        }
        if (!bias_done)
            ColumnSum(rows, outputs, dz, dbias);
    }

    /// What is enqueued on the side stream from here to Join() runs beside the main stream.
    void Fork() {
        Check(cudaEventRecord(forked_, stream_));
        Check(cudaStreamWaitEvent(side_stream_, forked_, 0));
    }
    void Join() {
        Check(cudaEventRecord(joined_, side_stream_));
        Check(cudaStreamWaitEvent(stream_, joined_, 0));
    }

    void ParametricGradient(Activation activation, int rows, int columns, const float* x, const float* dy,
                            float* dalpha);

    void TableGradient(int rows, int fields, int width, const int32_t* codes, int code_stride,
                       const int32_t* offsets, const float* dout, int ld_dout, int table_rows, float* dtable) {
        if (table_rows == 0 || width == 0)
            return;
        const size_t count = Product(rows, fields);
        int bits = 1;
        while (bits < 32 && (uint64_t{1} << bits) <= static_cast<uint64_t>(table_rows))
            ++bits;
        size_t sort_bytes = 0;
        Check(cub::DeviceRadixSort::SortPairs(nullptr, sort_bytes, static_cast<const uint32_t*>(nullptr),
                                              static_cast<uint32_t*>(nullptr), static_cast<const uint32_t*>(nullptr),
                                              static_cast<uint32_t*>(nullptr), count, 0, bits, stream_));
        const size_t padded = (count + 63) / 64 * 64;
        auto* const keys = Scratch<uint32_t>(4 * padded + (sort_bytes + 3) / 4);
        if (keys == nullptr)
            return;
        uint32_t* const batch_rows = keys + padded;
        uint32_t* const sorted_keys = batch_rows + padded;
        uint32_t* const sorted_rows = sorted_keys + padded;
        if (count > 0) {
            Launch(TableKeysKernel, count, fields, codes, code_stride, offsets, static_cast<uint32_t>(table_rows),
                   keys, batch_rows);
            // stable: the rows of a key stay in order
            Check(cub::DeviceRadixSort::SortPairs(sorted_rows + padded, sort_bytes, keys, sorted_keys, batch_rows,
                                                  sorted_rows, count, 0, bits, stream_));
        }
        const dim3 grid(static_cast<unsigned>(std::min(table_rows, kMaxBlocks)), static_cast<unsigned>((width + 31) / 32));
        LaunchOn(grid, dim3(32, kSegmentGroups), 0, TableGradientKernel, count, width,
                 sorted_keys, sorted_rows, dout, ld_dout, static_cast<uint32_t>(table_rows), dtable);
    }

    /// A small table of a network on the host: read back when first seen, known until it is freed.
    const std::vector<int32_t>* HostTable(const int32_t* device, int count) {
        std::vector<int32_t>& table = host_tables_[device];
        if (table.size() != static_cast<size_t>(count)) {
            table.resize(static_cast<size_t>(count));
            Download(table.data(), device, table.size() * sizeof(int32_t));
            Check(cudaStreamSynchronize(stream_));
            if (!fault_.ok()) {
                host_tables_.erase(device);
                return nullptr;
            }
        }
        return &table;
    }

    /// The chunks of some segments on the device, and how many they are; made when the segments change.
    int ChunksOf(std::span<const ParameterSegment> segments) {
        const auto same = [](const ParameterSegment& a, const ParameterSegment& b) {
            return a.offset == b.offset && a.count == b.count &&
                   a.learning_rate_multiplier == b.learning_rate_multiplier && a.weight_decay == b.weight_decay;
        };
        if (chunks_ != nullptr && std::equal(segments.begin(), segments.end(), chunks_of_.begin(), chunks_of_.end(), same))
            return chunk_count_;
        std::vector<ParameterChunk> chunks;
        for (const ParameterSegment& segment : segments) {
            for (size_t begin = 0; begin < segment.count; begin += kChunk)
                chunks.push_back({segment.offset + begin,
                                  static_cast<int>(std::min<size_t>(kChunk, segment.count - begin)),
                                  segment.learning_rate_multiplier, segment.weight_decay});
        }
        if (chunks_ != nullptr)
            Free(chunks_);
        chunks_ = static_cast<ParameterChunk*>(Allocate(chunks.size() * sizeof(ParameterChunk)));
        chunk_count_ = 0;
        if (chunks_ == nullptr) {
            fault_ = {StatusCode::kOutOfMemory, "out of memory for the optimiser"};
            return 0;
        }
        Upload(chunks_, chunks.data(), chunks.size() * sizeof(ParameterChunk));
        chunk_count_ = static_cast<int>(chunks.size());
        chunks_of_.assign(segments.begin(), segments.end());
        return chunk_count_;
    }

    const int device_;
    const DlentMemoryGate& gate_;
    Matmul matmul_;
    cudaStream_t stream_ = nullptr;
    cudaStream_t side_stream_ = nullptr;  ///< idle between two operators
    cudaEvent_t forked_ = nullptr;
    cudaEvent_t joined_ = nullptr;
    StagingRing staging_;
    Status fault_;
    std::unordered_map<void*, size_t> sizes_;
    MatmulWorkspace workspace_;
    MatmulWorkspace side_workspace_;
    unsigned* ticket_ = nullptr;  ///< of ClipScaleKernel
    Reserve scratch_;
    Reserve member_sums_;  ///< of EnsembleOutputBackward, which has scratch memory beside them
    std::unordered_map<const int32_t*, std::vector<int32_t>> host_tables_;
    std::vector<ParameterSegment> chunks_of_;
    ParameterChunk* chunks_ = nullptr;
    int chunk_count_ = 0;
    const DeviceStep* current_step_ = nullptr;  ///< of the step that is being enqueued, when a program does it
    /// While a step is recorded: what is to happen between two of its graphs.
    const std::function<void(std::function<void()>)>* between_graphs_ = nullptr;
    std::unique_ptr<RankGroup> group_;          ///< null for a device that trains alone
    uint64_t frees_ = 0;                        ///< how often memory was freed: what was recorded before may use it
};

/// Records a step the second time that one of its number of rows is wanted (the first sizes all that is allocated on
/// demand) and repeats it from then on. Collectives are no part of graphs: those could be recorded and repeated by all
/// ranks at the same time only, while each records when its own memory has found its size.
class GraphProgram final : public StepProgram {
 public:
    GraphProgram(CudaBackend& backend, StepFunction enqueue) : backend_(backend), enqueue_(std::move(enqueue)) {}
    ~GraphProgram() override {
        for (auto& [rows, graph] : graphs_)
            Forget(&graph);
        if (steps_ != nullptr)
            backend_.Free(steps_);
    }

    Status Run(std::span<const StepScalars> steps) override {
        if (steps_ == nullptr) {
            steps_ = static_cast<DeviceSteps*>(backend_.Allocate(sizeof(DeviceSteps)));
            if (steps_ == nullptr)
                return {StatusCode::kOutOfMemory, "out of memory for the steps of a training"};
        }
        while (!steps.empty()) {
            const std::span<const StepScalars> some = steps.first(std::min<size_t>(steps.size(), DeviceSteps::kMost));
            host_.next = 0;
            for (size_t i = 0; i < some.size(); ++i)
                host_.waiting[i] = {some[i].step, some[i].first_row, some[i].optimizer_step, some[i].learning_rate,
                                    some[i].average_weight};
            backend_.Upload(steps_, &host_, offsetof(DeviceSteps, waiting) + some.size() * sizeof(DeviceStep));
            for (const StepScalars& step : some)
                DLENT_RETURN_IF_ERROR(RunOne(step));
            steps = steps.subspan(some.size());
        }
        return Status::Ok();
    }

 private:
    /// Either is there.
    struct Part {
        cudaGraphExec_t executable = nullptr;
        std::function<void()> collective;
    };
    struct Graph {
        std::vector<Part> parts;  ///< of a step, in order
        uint64_t frees = 0;       ///< of the backend, when it was recorded
        bool sized = false;
    };

    Status RunOne(const StepScalars& step) {
        Graph& graph = graphs_[step.rows];
        if (!graph.parts.empty() && graph.frees != backend_.frees_)
            Forget(&graph);
        if (!graph.sized)
            return EnqueueFirst(step, &graph);
        if (graph.parts.empty()) {
            DLENT_ASSIGN_OR_RETURN(const bool is_recorded, Record(step, &graph));
            if (!is_recorded)
                return EnqueueFirst(step, &graph);
        }
        for (const Part& part : graph.parts) {
            if (part.executable != nullptr)
                backend_.Check(cudaGraphLaunch(part.executable, backend_.stream_));
            else
                part.collective();
        }
        return Status::Ok();
    }

    Status Enqueue(const StepScalars& step) {
        backend_.LaunchOn(1, 1, 0, NextStepKernel, steps_);
        backend_.current_step_ = &steps_->current;
        Status status = enqueue_(step);
        backend_.current_step_ = nullptr;
        return status;
    }

    Status EnqueueFirst(const StepScalars& step, Graph* graph) {
        const uint64_t frees = backend_.frees_;
        DLENT_RETURN_IF_ERROR(Enqueue(step));
        // what grew may have moved: once more, until a step leaves memory as it is
        graph->sized = backend_.frees_ == frees;
        return Status::Ok();
    }

    /// False where that came to nothing, and nothing was carried out: what other threads do with the device may end
    /// a recording. The step can then be enqueued as it is, and a later one recorded.
    Expected<bool> Record(const StepScalars& step, Graph* graph) {
        backend_.ComeToRest();
        if (!backend_.fault_.ok())
            return backend_.Synchronize();
        bool was_carried_out = false;  // in part, where no recording began
        const std::function<void(std::function<void()>)> cut = [&](std::function<void()> collective) {
            EndPart(graph);
            graph->parts.push_back({nullptr, std::move(collective)});
            was_carried_out = !BeginPart() || was_carried_out;
        };
        Status enqueued;
        if (BeginPart()) {
            backend_.between_graphs_ = &cut;
            enqueued = Enqueue(step);
            EndPart(graph);
            backend_.between_graphs_ = nullptr;
        }
        graph->frees = backend_.frees_;
        if (enqueued.ok() && backend_.fault_.ok())
            return true;
        Forget(graph);
        DLENT_RETURN_IF_ERROR(enqueued);
        if (was_carried_out)
            return backend_.Synchronize();
        backend_.fault_ = Status::Ok();
        return false;
    }

    bool BeginPart() {
        const cudaError_t result =
            cudaStreamBeginCapture(backend_.stream_, cudaStreamCaptureModeThreadLocal);
        backend_.Check(result);
        return result == cudaSuccess;
    }

    void EndPart(Graph* graph) {
        cudaGraph_t recorded = nullptr;
        backend_.Check(cudaStreamEndCapture(backend_.stream_, &recorded));
        if (recorded == nullptr)
            return;
        Part part;
        backend_.Check(cudaGraphInstantiate(&part.executable, recorded, 0));
        cudaGraphDestroy(recorded);
        if (part.executable != nullptr)
            graph->parts.push_back(std::move(part));
    }

    void Forget(Graph* graph) {
        backend_.ComeToRest();
        backend_.Check(cudaStreamSynchronize(backend_.stream_));  // what is destroyed must not be running
        for (const Part& part : graph->parts) {
            if (part.executable != nullptr)
                cudaGraphExecDestroy(part.executable);
        }
        *graph = {};
    }

    CudaBackend& backend_;
    StepFunction enqueue_;
    std::map<int, Graph> graphs_;
    DeviceSteps* steps_ = nullptr;
    DeviceSteps host_{};
};

std::unique_ptr<StepProgram> CudaBackend::MakeStepProgram(StepFunction enqueue) {
    return std::make_unique<GraphProgram>(*this, std::move(enqueue));
}

/// dalpha = Σ_rows dy · (f(x) − x).
template <Activation kActivation>
struct AlphaGradient {
    int columns;
    const float* x;
    const float* dy;
    __device__ Sums<1> operator()(int row, int column) const {
        const size_t at = static_cast<size_t>(row) * columns + column;
        return SumsOf(dy[at] * (Activate<kActivation>(x[at]) - x[at]));
    }
};

void CudaBackend::ParametricGradient(Activation activation, int rows, int columns, const float* x,
                                     const float* dy, float* dalpha) {
    WithActivation(activation, [&]<Activation kActivation>() {
        SumOverRows<1>(rows, columns, {dalpha}, AlphaGradient<kActivation>{columns, x, dy});
    });
}

}  // namespace

Status JoinCudaGroup(Backend& backend, DlentGroup* group) {
    return static_cast<CudaBackend&>(backend).Join(group);
}

std::unique_ptr<Backend> MakeCudaBackend(int device, gpu::Precision precision, const DlentMemoryGate& gate,
                                         std::string* reason) {
    auto backend = std::make_unique<CudaBackend>(device, precision, gate);
    if (!backend->Create(reason))
        return nullptr;
    return backend;
}

}  // namespace dlent::cuda
