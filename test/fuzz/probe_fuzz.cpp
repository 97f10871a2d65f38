// A probe's image comes from a file: whatever its bytes, Open answers with an error or with a probe whose
// every row can be read.

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "core/explain/probe.h"
#include "fuzzing.h"

namespace {}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    // on a cache line, and no longer than it is, so that reading beyond its end is noticed
    void* aligned = nullptr;
    Require(posix_memalign(&aligned, 64, size > 0 ? size : 1) == 0);
    const std::unique_ptr<void, decltype(&std::free)> owner(aligned, &std::free);
    std::memcpy(aligned, data, size);
    const dlent::Expected<dlent::Probe> probe =
        dlent::Probe::Open({static_cast<const std::byte*>(aligned), size}, nullptr);
    if (!probe.ok()) {
        Require(probe.status().code() == dlent::StatusCode::kCorrupt ||
                probe.status().code() == dlent::StatusCode::kUnsupported);
        return 0;
    }
    std::vector<uint64_t> words(static_cast<size_t>(probe->word_count()));
    double sum = 0.0;
    for (int f = 0; f < probe->feature_count(); ++f) {
        if (probe->has_numbers(f)) {
            for (int r = 0; r < probe->rows(); ++r)
                sum += probe->numbers(f)[r];
            continue;
        }
        int rows = 0;
        for (const int code : {-1, 0, 1, 2, 3, 1 << 23}) {
            probe->FindEqual(f, code, words.data());
            for (const uint64_t word : words)
                rows += __builtin_popcountll(word);
        }
        Require(rows <= probe->rows());
    }
    for (int o = 0; o < probe->output_count(); ++o) {
        for (int r = 0; r < probe->rows(); ++r)
            sum += probe->outputs(o)[r];
    }
    return sum == 12345.678 ? 1 : 0;
}
