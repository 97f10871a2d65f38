#pragma once

#include "core/train/progress.h"
#include "pg/bridge/postgres.h"

namespace dlent::pg {

/// Reserves what dlent.progress shows, in shared memory. To be called from _PG_init(); without effect unless
/// the library is being preloaded.
void RequestProgressMemory();

/// Shows a training of this backend to other sessions while it lives (nothing without preload). The
/// destructor clears the display; it writes plain shared memory and calls nothing of PostgreSQL. An exit of
/// the process clears it too.
class ProgressDisplay {
 public:
    /// `model` in the server's encoding. For C++ frames.
    explicit ProgressDisplay(const std::string& model);
    ~ProgressDisplay();
    ProgressDisplay(const ProgressDisplay&) = delete;
    ProgressDisplay& operator=(const ProgressDisplay&) = delete;

    void ShowReading(uint64_t rows);
    void ShowTraining(const TrainingProgress& progress);
    void ShowPhase(const char* phase);

 private:
    struct ProgressSlot* slot_ = nullptr;
};

}  // namespace dlent::pg
