#include "pg/bridge/postgres.h"

#include "pg/observe/settings.h"

namespace dlent::pg {
namespace {

constexpr int kDefaultRingKilobytes = 2048;
constexpr int kMostRingKilobytes = 1024 * 1024;
constexpr int kDefaultRings = 4;
constexpr int kMostRings = 1024;
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
int retention_minutes = kDefaultRetentionMinutes;

}  // namespace

PredictionLog CurrentPredictionLog() {
    return static_cast<PredictionLog>(prediction_log);
}

size_t PredictionRingBytes() {
    return static_cast<size_t>(ring_kilobytes) * 1024;
}

int MaxPredictionRings() {
    return rings;
}

int64_t PredictionRetention() {
    return retention_minutes * kMicrosecondsPerMinute;
}

void DefineObservationSettings() {
    DefineCustomEnumVariable(
        "dlent.prediction_log", "Whether this session's answers are recorded.",
        "\"synchronous\" records every row of a model that is observed, in the session's "
        "own transaction.",
        &prediction_log, static_cast<int>(PredictionLog::kOn), kPredictionLogNames, PGC_USERSET, 0, nullptr,
        nullptr, nullptr);
    DefineCustomIntVariable("dlent.prediction_log_size",
                            "Shared memory of each database for recorded answers that wait to be written.",
                            "What finds no room is dropped and counted; 0 records nothing by this way.",
                            &ring_kilobytes, kDefaultRingKilobytes, 0, kMostRingKilobytes, PGC_POSTMASTER,
                            GUC_UNIT_KB, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("dlent.prediction_log_databases",
                            "Databases that may record answers at one time.", nullptr, &rings, kDefaultRings,
                            1, kMostRings, PGC_POSTMASTER, 0, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("dlent.prediction_retention", "How long recorded answers are kept.", nullptr,
                            &retention_minutes, kDefaultRetentionMinutes, 0, INT_MAX, PGC_SIGHUP,
                            GUC_UNIT_MIN, nullptr, nullptr, nullptr);
}

}  // namespace dlent::pg
