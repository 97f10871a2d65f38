#pragma once

#include <cstdint>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace dlent {

/// While it lives, denormal numbers count as zero on this thread, as operands and as results: they are a
/// hundred times slower and carry nothing that a network needs. The caller's mode comes back with the
/// destructor. Other processors than x86-64 and ARM64 keep their denormals.
class ScopedFlushToZero {
 public:
    ScopedFlushToZero() : saved_(Read()) { Write(saved_ | kMask); }
    ~ScopedFlushToZero() { Write(saved_); }
    ScopedFlushToZero(const ScopedFlushToZero&) = delete;
    ScopedFlushToZero& operator=(const ScopedFlushToZero&) = delete;

 private:
#if defined(__SSE2__)
    static constexpr uint64_t kMask = 0x8040;  // MXCSR: flush to zero, denormals are zero
    static uint64_t Read() {
        return _mm_getcsr();
    }
    static void Write(uint64_t mode) {
        _mm_setcsr(static_cast<unsigned>(mode));
    }
#elif defined(__aarch64__)
    static constexpr uint64_t kMask = uint64_t{1} << 24;  // FPCR: flush to zero
    static uint64_t Read() {
        uint64_t mode;
        asm volatile("mrs %0, fpcr" : "=r"(mode));
        return mode;
    }
    static void Write(uint64_t mode) {
        asm volatile("msr fpcr, %0" : : "r"(mode));
    }
#else
    static constexpr uint64_t kMask = 0;
    static uint64_t Read() {
        return 0;
    }
    static void Write(uint64_t) {}
#endif

    uint64_t saved_;
};

}  // namespace dlent
