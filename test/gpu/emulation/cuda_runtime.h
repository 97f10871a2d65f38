#pragma once

// What src/gpu/cuda uses of CUDA's runtime, carried out on the CPU: kernels run block after block, the
// threads of a block as fibers that meet at barriers, shared memory is static, a stream is the order of
// calls, which waits where a copy from pinned memory is in it (as late as that may happen, so that memory
// which is used again too soon shows), and a graph is the list of what was enqueued while it was recorded.
// What a second stream does beside the first is also done as late as may be: when the first waits for it.
// Threads may use it beside each other, each its own streams; kernels of all run one at a time. Slow, and for
// one purpose: the kernels' own source meets the operators' tests where there is no card. What it cannot
// show: races between threads, memory models, what the real cuBLASLt chooses, and speed.

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#define DLENT_CUDA_EMULATION 1
#define __global__
#define __device__
#define __host__
#define __shared__ static

struct alignas(16) float4 {
    float x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) {
    return {x, y, z, w};
}

struct dim3 {
    unsigned x = 1;
    unsigned y = 1;
    unsigned z = 1;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

inline dim3 threadIdx;
inline dim3 blockIdx;
inline dim3 blockDim;
inline dim3 gridDim;

namespace cuda_emulation {

/// The threads of one block.
class Block {
 public:
    static Block& current() {
        static Block block;
        return block;
    }

    void Run(const std::function<void()>& thread) {
        body_ = &thread;
        const int count = static_cast<int>(blockDim.x * blockDim.y * blockDim.z);
        // barriers are for all threads of a block: when the first needs none, the others run to their end at
        // once
        Start(0);
        Resume(0);
        if (fibers_[0].done) {
            for (int i = 1; i < count; ++i) {
                Place(i);
                thread();
            }
            return;
        }
        for (int i = 1; i < count; ++i) {
            Start(i);
            Resume(i);
        }
        bool left = true;
        while (left) {
            left = false;
            for (int i = 0; i < count; ++i) {
                if (!fibers_[i].done) {
                    Resume(i);
                    left = left || !fibers_[i].done;
                }
            }
        }
    }

    void Barrier() {
        if (running_ < 0) {
            std::fprintf(stderr, "a barrier that not all threads of a block reach\n");
            std::abort();
        }
        swapcontext(&fibers_[running_].context, &scheduler_);
    }

 private:
    static constexpr size_t kStackBytes = 256 << 10;
    struct Fiber {
        ucontext_t context;
        std::unique_ptr<char[]> stack;
        bool done = true;
    };

    static void Place(int thread) {
        threadIdx = dim3(static_cast<unsigned>(thread) % blockDim.x,
                         static_cast<unsigned>(thread) / blockDim.x % blockDim.y,
                         static_cast<unsigned>(thread) / blockDim.x / blockDim.y);
    }
    static void Entry() {
        Block& block = current();
        (*block.body_)();
        block.fibers_[block.running_].done = true;
        swapcontext(&block.fibers_[block.running_].context, &block.scheduler_);
    }
    void Start(int index) {
        if (static_cast<int>(fibers_.size()) <= index)
            fibers_.resize(static_cast<size_t>(index) + 1);
        Fiber& fiber = fibers_[static_cast<size_t>(index)];
        if (fiber.stack == nullptr)
            fiber.stack = std::make_unique_for_overwrite<char[]>(kStackBytes);
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.get();
        fiber.context.uc_stack.ss_size = kStackBytes;
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, &Block::Entry, 0);
        fiber.done = false;
    }
    void Resume(int index) {
        running_ = index;
        Place(index);
        swapcontext(&scheduler_, &fibers_[static_cast<size_t>(index)].context);
        running_ = -1;
    }

    const std::function<void()>* body_ = nullptr;
    std::vector<Fiber> fibers_ = [] {
        std::vector<Fiber> fibers;
        fibers.reserve(1024);  // a context knows its own address
        return fibers;
    }();
    ucontext_t scheduler_{};
    int running_ = -1;
};

}  // namespace cuda_emulation

inline void __syncthreads() {
    cuda_emulation::Block::current().Barrier();
}

template <typename T>
T __shfl_down_sync(unsigned, T value, int offset) {
    static T values[1024];
    const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    values[thread] = value;
    __syncthreads();
    const T other = thread % 32 + static_cast<unsigned>(offset) < 32
                        ? values[thread + static_cast<unsigned>(offset)]
                        : value;
    __syncthreads();
    return other;
}

inline void __threadfence() {}
/// The old value; wraps to 0 behind `last`. One thread runs at a time.
inline unsigned atomicInc(unsigned* value, unsigned last) {
    const unsigned old = *value;
    *value = old >= last ? 0 : old + 1;
    return old;
}
template <typename T>
T __ldcg(const T* value) {
    return *value;
}
inline uint32_t __umulhi(uint32_t a, uint32_t b) {
    return static_cast<uint32_t>(uint64_t{a} * b >> 32);
}
inline float normcdff(float x) {
    return 0.5f * erfcf(-x * 0.70710678118654752440f);
}
inline void sincospif(float x, float* sine, float* cosine) {
    *sine = static_cast<float>(std::sin(3.14159265358979323846 * std::fmod(static_cast<double>(x), 2.0)));
    *cosine = static_cast<float>(std::cos(3.14159265358979323846 * std::fmod(static_cast<double>(x), 2.0)));
}
using std::isfinite;

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorMemoryAllocation = 2,
    cudaErrorECCUncorrectable = 214,
    cudaErrorNotReady = 600,
    cudaErrorIllegalAddress = 700,
    cudaErrorLaunchTimeout = 702,
    cudaErrorAssert = 710,
    cudaErrorHardwareStackError = 714,
    cudaErrorIllegalInstruction = 715,
    cudaErrorMisalignedAddress = 716,
    cudaErrorInvalidAddressSpace = 717,
    cudaErrorInvalidPc = 718,
    cudaErrorLaunchFailure = 719,
    cudaErrorStreamCaptureInvalidated = 901
};
constexpr unsigned cudaEventDisableTiming = 2;
constexpr unsigned cudaHostAllocDefault = 0;
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal };
constexpr unsigned cudaStreamNonBlocking = 1;

struct cuda_emulation_graph {
    std::vector<std::function<void()>> work;
    size_t depth = 0;  ///< of the work that is done one after the other
};
namespace cuda_emulation {
/// Of the graph that this thread has made last.
inline thread_local size_t graph_work = 0;
inline thread_local size_t graph_depth = 0;
inline thread_local int recordings_to_fail = 0;
}  // namespace cuda_emulation
typedef cuda_emulation_graph* cudaGraph_t;
typedef cuda_emulation_graph* cudaGraphExec_t;
struct cuda_emulation_stream {
    cudaGraph_t recording = nullptr;
    cuda_emulation_stream* forked_from = nullptr;  ///< whose recording this stream's is a part of
    int forks = 0;                                 ///< of this stream's recording that have not come back
    std::deque<std::function<bool()>> late;        ///< what has not happened yet; false: it cannot happen yet
    uint64_t late_done = 0;

    void Enqueue(std::function<void()> work) {
        if (recording != nullptr) {
            recording->work.push_back(std::move(work));
            ++recording->depth;
        } else if (!late.empty()) {
            EnqueueLate([work = std::move(work)] {
                work();
                return true;
            });
        } else {
            work();
        }
    }
    void EnqueueLate(std::function<bool()> work) { late.push_back(std::move(work)); }
    /// Carries out late work until so much of it is done; false when some of it must wait.
    bool Advance(uint64_t until = static_cast<uint64_t>(-1)) {
        while (!late.empty() && late_done < until) {
            if (!late.front()())
                return false;
            late.pop_front();
            ++late_done;
        }
        return true;
    }
    void Drain(uint64_t until = static_cast<uint64_t>(-1)) {
        while (!Advance(until))
            std::this_thread::yield();
    }
};
typedef cuda_emulation_stream* cudaStream_t;

struct cudaLaunchConfig_t {
    dim3 gridDim;
    dim3 blockDim;
    size_t dynamicSmemBytes = 0;
    cudaStream_t stream = nullptr;
    void* attrs = nullptr;
    unsigned numAttrs = 0;
};

inline const char* cudaGetErrorString(cudaError_t) {
    return "emulated error";
}
namespace cuda_emulation {
inline thread_local cudaError_t last_error = cudaSuccess;
}
inline cudaError_t cudaPeekAtLastError() {
    return cuda_emulation::last_error;
}
inline cudaError_t cudaGetLastError() {
    return std::exchange(cuda_emulation::last_error, cudaSuccess);
}
/// The answer of a query, which leaves "not ready" behind as the last error.
inline cudaError_t cudaEmulatedAnswer(bool is_ready) {
    if (!is_ready)
        cuda_emulation::last_error = cudaErrorNotReady;
    return is_ready ? cudaSuccess : cudaErrorNotReady;
}
inline cudaError_t cudaSetDevice(int) {
    return cudaSuccess;
}
inline cudaError_t cudaMalloc(void** pointer, size_t bytes) {
    if (bytes > size_t{8} << 30)
        return cudaErrorMemoryAllocation;
    *pointer = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (*pointer != nullptr)
        std::memset(*pointer, 0xA5, bytes);  // not zero, whatever comes of it
    return *pointer == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}
namespace cuda_emulation {
inline thread_local std::set<cudaStream_t> streams;
inline thread_local std::map<const char*, size_t> pinned;
inline std::mutex kernels;

inline bool IsPinned(const void* host) {
    const auto* const byte = static_cast<const char*>(host);
    const auto after = pinned.upper_bound(byte);
    return after != pinned.begin() && byte < std::prev(after)->first + std::prev(after)->second;
}
}  // namespace cuda_emulation

inline cudaError_t cudaFree(void* pointer) {
    for (const cudaStream_t stream : cuda_emulation::streams)
        stream->Drain();
    std::free(pointer);
    return cudaSuccess;
}
inline cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned) {
    *pointer = std::malloc(bytes);
    if (*pointer == nullptr)
        return cudaErrorMemoryAllocation;
    cuda_emulation::pinned[static_cast<const char*>(*pointer)] = bytes;
    return cudaSuccess;
}
inline cudaError_t cudaFreeHost(void* pointer) {
    cuda_emulation::pinned.erase(static_cast<const char*>(pointer));
    std::free(pointer);
    return cudaSuccess;
}
inline cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total) {
    *free_bytes = *total = size_t{1} << 30;
    return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                                   cudaStream_t stream) {
    if (stream->recording != nullptr && kind != cudaMemcpyDeviceToDevice) {
        std::fprintf(stderr, "a copy from or to host memory while a graph is recorded\n");
        std::abort();
    }
    if (kind == cudaMemcpyHostToDevice && cuda_emulation::IsPinned(from)) {
        stream->EnqueueLate([=] {
            std::memcpy(to, from, bytes);
            return true;
        });
        return cudaSuccess;
    }
    // with pageable memory the stream is waited for
    if (kind != cudaMemcpyDeviceToDevice)
        stream->Drain();
    stream->Enqueue([=] { std::memcpy(to, from, bytes); });
    return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
    stream->Enqueue([=] { std::memset(to, value, bytes); });
    return cudaSuccess;
}
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
    *stream = new cuda_emulation_stream;
    cuda_emulation::streams.insert(*stream);
    return cudaSuccess;
}
inline cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    stream->Drain();
    cuda_emulation::streams.erase(stream);
    delete stream;
    return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    if (stream != nullptr && stream->recording != nullptr) {
        std::fprintf(stderr, "a wait while a graph is recorded\n");
        std::abort();
    }
    if (stream != nullptr)
        stream->Drain();
    return cudaSuccess;
}

inline cudaError_t cudaStreamQuery(cudaStream_t stream) {
    return cudaEmulatedAnswer(stream->Advance());
}

/// A place in a stream; complete before it was ever recorded.
struct cuda_emulation_event {
    cudaStream_t stream = nullptr;
    uint64_t done = 0;         ///< of the stream's late work
    bool is_recorded = false;  ///< as a place in a graph
};
typedef cuda_emulation_event* cudaEvent_t;
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
    *event = new cuda_emulation_event;
    return cudaSuccess;
}
inline cudaError_t cudaEventDestroy(cudaEvent_t event) {
    delete event;
    return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    *event = {stream, stream->late_done + stream->late.size(), stream->recording != nullptr};
    return cudaSuccess;
}
inline cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
    const cudaStream_t other = event->stream;
    if (!event->is_recorded && stream->recording == nullptr) {
        stream->EnqueueLate([other, done = event->done] { return other->Advance(done); });
    } else if (event->is_recorded && stream->recording == nullptr) {
        stream->recording = new cuda_emulation_graph;
        stream->recording->depth = other->recording->depth;
        stream->forked_from = other;
        ++other->forks;
    } else if (event->is_recorded && other->forked_from == stream) {
        for (std::function<void()>& work : other->recording->work)
            stream->recording->work.push_back(std::move(work));
        stream->recording->depth = std::max(stream->recording->depth, other->recording->depth);
        delete std::exchange(other->recording, nullptr);
        other->forked_from = nullptr;
        --stream->forks;
    } else {
        std::fprintf(stderr, "a wait that no recording can have\n");
        std::abort();
    }
    return cudaSuccess;
}
inline cudaError_t cudaEventQuery(cudaEvent_t event) {
    return cudaEmulatedAnswer(event->stream == nullptr || event->stream->Advance(event->done));
}
inline cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    if (event->stream != nullptr)
        event->stream->Drain(event->done);
    return cudaSuccess;
}
inline cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    stream->recording = new cuda_emulation_graph;
    return cudaSuccess;
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
    if (stream->forks != 0) {
        std::fprintf(stderr, "a recording that another stream has left unjoined\n");
        std::abort();
    }
    *graph = std::exchange(stream->recording, nullptr);
    if (cuda_emulation::recordings_to_fail > 0) {
        --cuda_emulation::recordings_to_fail;
        delete std::exchange(*graph, nullptr);
        return cudaErrorStreamCaptureInvalidated;
    }
    return cudaSuccess;
}
inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
    *executable = new cuda_emulation_graph(*graph);
    cuda_emulation::graph_work = graph->work.size();
    cuda_emulation::graph_depth = graph->depth;
    return cudaSuccess;
}
inline cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return cudaSuccess;
}
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
    delete graph;
    return cudaSuccess;
}
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
    for (const std::function<void()>& work : graph->work)
        stream->Enqueue(work);
    return cudaSuccess;
}

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments... arguments) {
    config->stream->Enqueue([grid = config->gridDim, block = config->blockDim, kernel, arguments...] {
        const std::scoped_lock lock(cuda_emulation::kernels);
        gridDim = grid;
        blockDim = block;
        for (unsigned y = 0; y < grid.y; ++y)
            for (unsigned x = 0; x < grid.x; ++x) {
                blockIdx = dim3(x, y, 0);
                cuda_emulation::Block::current().Run([&] { kernel(static_cast<Parameters>(arguments)...); });
            }
    });
    return cudaSuccess;
}
