#pragma once

#include <cstdint>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace dlent {

/// While it lives, denormal numbers are zero on this thread: they are a hundred times slower and carry
/// nothing a network needs. The caller's floating-point mode comes back with the destructor.
class FlushToZeroScope {
 public:
    FlushToZeroScope() : saved_(Read()) { Write(saved_ | kMask); }
    ~FlushToZeroScope() { Write(saved_); }
    FlushToZeroScope(const FlushToZeroScope&) = delete;
    FlushToZeroScope& operator=(const FlushToZeroScope&) = delete;

 private:
#if defined(__SSE2__)
    static constexpr uint64_t kMask = 0x8040;  // FTZ and DAZ
    static uint64_t Read() {
        return _mm_getcsr();
    }
    static void Write(uint64_t mode) {
        _mm_setcsr(static_cast<unsigned>(mode));
    }
#elif defined(__aarch64__)
    static constexpr uint64_t kMask = uint64_t{1} << 24;  // FPCR.FZ
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
