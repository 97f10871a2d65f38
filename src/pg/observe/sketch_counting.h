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

/// Counts the answers of one version in one call: every row of a short statement; of a longer one, a row
/// drawn from each stretch of rows, for all of them. Stretches grow to dlent.sketch_interval rows.
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
    uint64_t stretch_begin_ = 0;
    uint64_t stretch_ = 1;  ///< rows that it stands for
};

}  // namespace dlent::pg
