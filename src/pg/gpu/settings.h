#pragma once

#include <string>

#include "pg/bridge/postgres.h"

namespace dlent::pg {

/// dlent.gpu: what a session wants of GPUs.
enum class GpuPolicy { kOff, kTry, kRequire };
GpuPolicy CurrentGpuPolicy();

/// dlent.scoring_device: where rows are scored.
enum class ScoringDevice { kCpu, kAuto, kCuda };
ScoringDevice CurrentScoringDevice();

/// What the supervisor hands its processes; from the server's configuration.
struct GpuServerSettings {
    std::string plugin;
    int memory_mb;  ///< 0: nine tenths of the card
    int jobs;
    int hang_timeout_s;
    int idle_timeout_s;
};
GpuServerSettings CurrentGpuServerSettings();

/// To be called once, from _PG_init().
void DefineGpuSettings();

}  // namespace dlent::pg
