#include "pg/bridge/postgres.h"

#include "pg/observe/settings.h"

extern "C" {
#include "utils/guc.h"
}

namespace dlent::pg {
namespace {

constexpr int kDefaultRingKilobytes = 2048;
constexpr int kLeastRingKilobytes = 64;
constexpr int kMostRingKilobytes = 1024 * 1024;
constexpr int kDefaultRings = 4;
constexpr int kMostRings = 1024;
constexpr int kDefaultSketchKilobytes = 16 * 1024;
constexpr int kMostSketchKilobytes = 4 * 1024 * 1024;
constexpr int kDefaultWindowSeconds = 3600;
constexpr int kLongestWindowSeconds = 7 * 86400;
constexpr int kDefaultSketchInterval = 64;
constexpr int kMostSketchInterval = 65536;
constexpr int kDefaultRetentionMinutes = 90 * 24 * 60;
constexpr int64_t kMicrosecondsPerMinute = 60 * USECS_PER_SEC;

const config_enum_entry kPredictionLogNames[] = {
    {"on", static_cast<int>(PredictionLog::kOn), false},
    {"off", static_cast<int>(PredictionLog::kOff), false},
    {"synchronous", static_cast<int>(PredictionLog::kSynchronous), false},
    {nullptr, 0, false}};

int prediction_log = static_cast<int>(PredictionLog::kOn);
int ring_kilobytes = kDefaultRingKilobytes;
int rings = kDefaultRings;
int sketch_kilobytes = kDefaultSketchKilobytes;
int window_seconds = kDefaultWindowSeconds;
int sketch_interval = kDefaultSketchInterval;
int retention_minutes = kDefaultRetentionMinutes;

}  // namespace

PredictionLog CurrentPredictionLog() {
    return static_cast<PredictionLog>(prediction_log);
}

void SuspendPredictionLog() {
    // as the extension, not as the user, who may not
    (void)set_config_option("dlent.prediction_log", "off", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                            false);
}

size_t PredictionRingBytes() {
    return static_cast<size_t>(ring_kilobytes) * 1024;
}

int MaxPredictionRings() {
    return rings;
}

size_t SketchMemoryBytes() {
    return static_cast<size_t>(sketch_kilobytes) * 1024;
}

int64_t SketchWindow() {
    return window_seconds * USECS_PER_SEC;
}

int SketchInterval() {
    return sketch_interval;
}

int64_t PredictionRetention() {
    return retention_minutes * kMicrosecondsPerMinute;
}

void DefineObservationSettings() {
    // Where the library comes too late to ask for shared memory, a server's configuration may name these yet.
    const GucContext at_start = process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP;
    DefineCustomEnumVariable(
        "dlent.prediction_log", "Whether this session's answers are recorded.",
        "\"synchronous\" records every row of a model that is observed, in the session's "
        "own transaction.",
        &prediction_log, static_cast<int>(PredictionLog::kOn), kPredictionLogNames, PGC_SUSET, 0, nullptr,
        nullptr, nullptr);
    DefineCustomIntVariable("dlent.prediction_log_size",
                            "Shared memory of each database for recorded answers that wait to be written.",
                            "What finds no room is dropped and counted.", &ring_kilobytes,
                            kDefaultRingKilobytes, kLeastRingKilobytes, kMostRingKilobytes, at_start,
                            GUC_UNIT_KB, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("dlent.prediction_log_databases",
                            "Databases that may record answers at one time.", nullptr, &rings, kDefaultRings,
                            1, kMostRings, at_start, 0, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("dlent.prediction_retention", "How long recorded answers are kept.", nullptr,
                            &retention_minutes, kDefaultRetentionMinutes, 0, INT_MAX, PGC_SIGHUP,
                            GUC_UNIT_MIN, nullptr, nullptr, nullptr);
    DefineCustomIntVariable(
        "dlent.sketch_memory", "Shared memory for the distributions of what models see and answer.",
        "Versions that find no room are not counted; 0 counts none.", &sketch_kilobytes,
        kDefaultSketchKilobytes, 0, kMostSketchKilobytes, at_start, GUC_UNIT_KB, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("dlent.sketch_window", "How long a distribution is counted before it is stored.",
                            nullptr, &window_seconds, kDefaultWindowSeconds, 1, kLongestWindowSeconds,
                            PGC_SIGHUP, GUC_UNIT_S, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("dlent.sketch_interval",
                            "In long statements one row of so many is counted, for all of them.", nullptr,
                            &sketch_interval, kDefaultSketchInterval, 1, kMostSketchInterval, PGC_SUSET, 0,
                            nullptr, nullptr, nullptr);
}

}  // namespace dlent::pg
