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
    Discretizer discretizer = Discretizer::kQuartile;
    int samples = 5000;
    uint64_t seed = 42;
    bool compat = false;  ///< the reference's treatment of degenerate bins and NULLs, for parity
};

/// A set of perturbed rows and the network's answers to them, drawn once and shared by every explanation of a
/// version: LIME's discretised (and plain) samples do not depend on the instance. One block of memory without
/// pointers, so that any process can map it from a file. Holds codes (or standardised numbers), not rows.
class Probe {
 public:
    /// Draws the rows and scores them in blocks. kCancelled, kOutOfMemory.
    static Expected<Probe> Make(const ExplainerStatistics& statistics, const ProbeOptions& options,
                                Scorer& scorer, const CancelToken& cancel);
    /// Takes an image apart (on a cache line); `owner` keeps it there. Its bytes are trusted to be those of
    /// image(); that none is missing is checked. kCorrupt, kUnsupported for another version of the format.
    static Expected<Probe> Open(std::span<const std::byte> image, std::shared_ptr<const void> owner);

    std::span<const std::byte> image() const;
    const ProbeOptions& options() const { return options_; }
    int samples() const { return options_.samples; }

 private:
    ProbeOptions options_;
    std::span<const std::byte> image_;
    std::shared_ptr<const void> owner_;
};

}  // namespace dlent
