#pragma once

#include <span>
#include <string_view>

#include "core/observe/prediction_record.h"
#include "pg/bridge/postgres.h"
#include "pg/catalog/digest.h"

namespace dlent::pg {

/// A row of dlent.prediction. A text without data is NULL, in the server's encoding.
struct PredictionRow {
    int64_t request = 0;
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
    Datum probabilities = 0;  ///< jsonb; 0: none
    float latency = 0.0f;     ///< NaN: none
    std::string_view error;

    /// What a record of a version says, but for label, features and probabilities. Its texts are the
    /// record's.
    static PredictionRow Of(const PredictionRecord& record, int64_t model_id, int version);
};

/// A row of dlent.sketch.
struct SketchRow {
    int64_t version_id = 0;
    TimestampTz window_start = 0;
    TimestampTz window_end = 0;
    int64_t rows = 0;
    Datum sketch = 0;  ///< jsonb
};

// These raise PostgreSQL errors. The first three are called between BeginCatalogWrite() and
// EndCatalogWrite().

/// With `number`, requests that are equal get one new number.
void InsertPredictions(std::span<const PredictionRow> rows, bool number = false);
void InsertSketch(const SketchRow& row);
/// Deletes at most `most` of the oldest predictions that are past dlent.prediction_retention, and the
/// distributions that are; the number of predictions.
int PrunePredictions(int most);

/// The same, as a whole, for C++ frames; whether there may be more.
bool PruneOldPredictions();

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
