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

/// dlent.prediction_log_size, in bytes: the ring of one database; 0: there is none.
size_t PredictionRingBytes();
/// dlent.prediction_log_databases: databases that have a ring at one time.
int MaxPredictionRings();
/// dlent.prediction_retention, in microseconds: how long predictions are kept.
int64_t PredictionRetention();

/// To be called once, from _PG_init().
void DefineObservationSettings();

}  // namespace dlent::pg
