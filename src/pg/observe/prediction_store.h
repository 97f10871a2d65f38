#pragma once

#include <span>
#include <string_view>

#include "pg/bridge/postgres.h"
#include "pg/catalog/digest.h"

namespace dlent::pg {

/// A row of dlent.prediction. A text without data is NULL, in the server's encoding.
struct PredictionRow {
    int64_t request = 0;  ///< 0: a number of its own, the row's
    TimestampTz predicted_at = 0;
    int64_t model_id = 0;
    int version = 0;
    int64_t rollout_id = 0;  ///< 0: none
    int arm = -1;            ///< −1: none
    bool shadow = false;
    std::string_view unit;
    std::string_view key;
    uint64_t input_digest = 0;
    Datum features = 0;  ///< jsonb; 0: none
    double score = 0.0;  ///< NaN: none
    std::string_view label;
    float latency = 0.0f;  ///< NaN: none
    std::string_view error;
};

// These raise PostgreSQL errors. The first two are called between BeginCatalogWrite() and EndCatalogWrite().

void InsertPredictions(std::span<const PredictionRow> rows);
/// Deletes at most `most` of the oldest predictions that are past dlent.prediction_retention; their number.
int PrunePredictions(int most);

/// A version that there is, by its id; `model` is in the current memory context. False: there is none.
struct RecordedVersionRow {
    int64_t model_id;
    int number;
    VersionDigest digest;
    Oid owner;
    const char* model;
};
bool FindRecordedVersion(int64_t version_id, RecordedVersionRow* version);

}  // namespace dlent::pg
