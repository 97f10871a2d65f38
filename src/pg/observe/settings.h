#pragma once

#include "pg/bridge/postgres.h"

namespace dlent::pg {

/// dlent.prediction_log: what becomes of the records of this session's answers.
enum class PredictionLog {
    kOff,          ///< there are none
    kOn,           ///< as the models say, by way of the ring
    kSynchronous,  ///< of every row of a model that is observed, within the session's own transaction
};
PredictionLog CurrentPredictionLog();
/// Has nothing recorded until the nest level of settings (NewGUCNestLevel()) ends: who checks or watches a
/// model is not whom it answers. Raises PostgreSQL errors.
void SuspendPredictionLog();

/// dlent.prediction_log_size, in bytes: the ring of one database.
size_t PredictionRingBytes();
/// dlent.prediction_log_databases: databases that have a ring at one time.
int MaxPredictionRings();
/// dlent.prediction_retention, in microseconds: how long predictions are kept.
int64_t PredictionRetention();

/// dlent.sketch_memory, in bytes; 0: nothing is counted.
size_t SketchMemoryBytes();
/// dlent.sketch_window, in microseconds: how long a distribution is counted before it is stored.
int64_t SketchWindow();
/// dlent.sketch_interval: in long statements one row of so many is counted.
int SketchInterval();

/// To be called once, from _PG_init().
void DefineObservationSettings();

}  // namespace dlent::pg
