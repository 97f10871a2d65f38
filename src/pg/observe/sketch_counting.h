#pragma once

#include <memory>

#include "core/drift/live_sketch.h"
#include "core/model/scorer.h"
#include "pg/bridge/postgres.h"
#include "pg/observe/sketch_memory.h"

namespace dlent::pg {

/// How a version's answers are counted (core/drift/live_sketch.h), from this session's cache or the catalog.
/// Null: the version has no reference. For C++ frames.
std::shared_ptr<const LiveSketch> LiveSketchOf(Oid extension, int64_t version_id, const Model& model);

/// Counts the answers of one version in one call: every row of a short statement; of a long one, one row of
/// dlent.sketch_interval, for all of them.
class SketchCounting {
 public:
    /// Of a block of rows. For C++ frames.
    void Count(Oid extension, int64_t version_id, const Scorer& scorer, int rows, const Cell* cells,
               const float* outputs);

 private:
    bool opened_ = false;
    std::shared_ptr<const LiveSketch> sketch_;
    SketchCounters counters_;
    uint64_t rows_seen_ = 0;
    uint64_t next_row_ = 0;  ///< to be counted
};

}  // namespace dlent::pg
