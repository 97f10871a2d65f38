#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/status.h"
#include "core/explain/explained_features.h"
#include "core/model/scorer.h"

namespace dlent {

/// How perturbed rows are drawn.
struct ProbeOptions {
    static constexpr int kMinSamples = 16;
    static constexpr int kMaxSamples = 1 << 22;

    Discretizer discretizer = Discretizer::kQuartile;
    int samples = 5000;  ///< the instance counts as one
    uint64_t seed = 42;
    bool compat = false;  ///< the reference's treatment of degenerate bins and NULLs, for parity

    bool operator==(const ProbeOptions&) const = default;
};

/// A set of perturbed rows and the network's answers to them, drawn once and shared by every explanation of a
/// version: LIME's discretised (and plain) samples do not depend on the instance. One block of memory without
/// pointers, so that any process can map it from a file. Holds codes (or numbers), not rows; codes are bit
/// planes, so that an explanation compares 64 rows at a time.
class Probe {
 public:
    /// Draws the rows and scores them in blocks. kInvalidArgument for options out of range or entropy bins
    /// that training did not make, kNonFinite when the network's answer is not a number, kCancelled,
    /// kOutOfMemory.
    static Expected<Probe> Make(const ExplainerStatistics& statistics, const ProbeOptions& options,
                                Scorer& scorer, const CancelToken& cancel);
    /// The same for one instance (Scorer's layout): values that training has not seen are drawn as well, and,
    /// `around` it, numbers that are not discretised are centred on it.
    static Expected<Probe> MakeFor(const ExplainerStatistics& statistics, const ProbeOptions& options,
                                   const Cell* instance, bool around, Scorer& scorer,
                                   const CancelToken& cancel);
    /// Takes an image apart (on a cache line); `owner` keeps it there. Its bytes are trusted to be those of
    /// image(); that none is missing is checked. kCorrupt, kUnsupported for another version of the format.
    static Expected<Probe> Open(std::span<const std::byte> image, std::shared_ptr<const void> owner);

    std::span<const std::byte> image() const { return image_; }
    const ProbeOptions& options() const { return options_; }
    int samples() const { return options_.samples; }
    /// Without the instance.
    int rows() const { return options_.samples - 1; }
    int feature_count() const { return static_cast<int>(features_.size()); }
    int output_count() const { return output_count_; }

    /// Whether feature f's numbers are kept (no discretizer); NULL is NaN.
    bool has_numbers(int f) const { return features_[f].numbers; }
    const float* numbers(int f) const { return reinterpret_cast<const float*>(features_[f].data); }
    /// words[r / 64]: bit r % 64 says whether row r has the code; the last word is filled up with zeros.
    void FindEqual(int f, int code, uint64_t* words) const;
    int word_count() const { return (rows() + 63) / 64; }
    /// Output o of every row.
    const float* outputs(int o) const { return outputs_ + static_cast<ptrdiff_t>(o) * padded_rows(); }

 private:
    struct Feature {
        bool numbers = false;
        int planes = 0;
        const std::byte* data = nullptr;  ///< bit planes of 64-bit words, or floats
    };

    int padded_rows() const { return (rows() + 511) / 512 * 512; }
    /// That the image has room for what its table says, whose entries are read.
    Status Layout(std::span<const std::byte> image);

    ProbeOptions options_;
    int output_count_ = 0;
    std::vector<Feature> features_;
    const float* outputs_ = nullptr;
    std::span<const std::byte> image_;
    std::shared_ptr<const void> owner_;
};

}  // namespace dlent
