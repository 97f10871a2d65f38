#pragma once

#include "pg/bridge/postgres.h"

#include <memory>
#include <optional>
#include <vector>

#include "core/model/scorer.h"
#include "pg/catalog/models.h"
#include "pg/functions/answer.h"
#include "pg/functions/feature_arguments.h"
#include "pg/observe/observed_call.h"
#include "pg/rollout/arm_rows.h"
#include "pg/scan/page_prefetch.h"
#include "pg/scan/score_plan.h"
#include "pg/scan/statement_device.h"

extern "C" {
#include "nodes/execnodes.h"
}

namespace dlent::pg {

/// Enough for the CPU's kernels to run at full speed while a batch stays in the second-level cache.
inline constexpr int kCpuBatchRows = 256;
/// Most rows that a batch holds when a row has `cells` input cells, up to `most`.
int ScoreBatchRows(int cells, int most = kCpuBatchRows);

/// The rows that a Custom Scan (DlentScore) has read and scored but not emitted yet. What outlives a call of
/// the node: C++ objects, which the query's memory context owns.
class ScoreBatches {
 public:
    ScoreBatches(const ScorePlan& plan, CustomScanState* node);

    /// Stores the next row in the node's scan slot; leaves it empty at the end. Raises PostgreSQL errors.
    void Next(TupleTableSlot* slot);
    /// Begins again with the child's first row.
    void Restart();
    /// Most rows of a batch; `planned` until that is known.
    int batch_rows(int planned) const { return prepared_ ? max_batch_rows_ : planned; }

 private:
    /// One model at work on the features of the rows at hand: a version, or the arms of a rollout. Neither:
    /// the model's name is NULL, and so is every score.
    struct GroupState {
        ScoreGroup plan;
        std::string title;  ///< the model's name
        std::unique_ptr<ArmRows> arms;
        std::shared_ptr<Scorer> scorer;
        std::shared_ptr<Scorer> local;  ///< the same on the CPU
        std::unique_ptr<FeatureArguments> features;
        std::unique_ptr<ObservedCall> observed;  ///< what the version answers, where it is
        std::optional<FixedTupleDecoder> fixed;  ///< reads heap tuples of the child without deforming them
        FunctionCallInfo call =
            nullptr;  ///< of features that are not columns: the call as the scalar path has it
        std::vector<int> attributes;    ///< of the call's arguments in the child's tuple; -1: a constant
        std::unique_ptr<Cell[]> cells;  ///< [rows × cells] of the rows that have features
        std::vector<float> outputs;     ///< [rows × outputs]
        std::vector<int> positions;     ///< of each row of the batch in the answers; -1: its score is NULL
        int rows = 0;
        const float* answers = nullptr;  ///< of the version, or of the arms
        int output_count = 0;

        const float* OutputsOf(int row) const {
            return positions[row] < 0 ? nullptr
                                      : answers + static_cast<size_t>(positions[row]) * output_count;
        }
    };

    struct ColumnState {
        ScoreColumn plan;
        AnswerFormat format;
    };

    /// A column of the child that is kept for the rows of a batch.
    struct PassedColumn {
        int attribute;
        int16 length;
        bool by_value;
    };

    /// Reads rows from the child until the batch is full, and scores them. No frame here holds an object with
    /// a destructor while PostgreSQL runs.
    void Fill();
    void ReadFeatures(TupleTableSlot* slot, const HeapTupleHeaderData* tuple);
    /// Whether the row has features.
    bool ReadVersion(GroupState* group, TupleTableSlot* slot, const HeapTupleHeaderData* tuple);
    int ReadArms(GroupState* group, TupleTableSlot* slot, const HeapTupleHeaderData* tuple);
    static void SetArguments(GroupState* group, const TupleTableSlot* slot);
    /// Copies the columns that are passed through.
    void Keep(TupleTableSlot* slot);
    /// Answers for all rows of the batch: the one place where a block of rows is scored.
    void Score();
    void ScoreGroups();
    /// Of a group's version; returns what a row took, in microseconds.
    float ScoreVersion(GroupState* group);
    /// Once the first row is there: a scan of nothing needs no model. A C++ frame.
    void Prepare(TupleDesc child);
    void PrepareGroup(GroupState* group, TupleDesc child);
    std::optional<ResolvedModel> Resolve(const ScoreGroup& plan);
    FeatureSource SourceOf(GroupState* group, TupleDesc child);

    CustomScanState* node_;
    StatementDevice* device_;  ///< null: the CPU
    std::vector<GroupState> groups_;
    std::vector<ColumnState> columns_;
    std::vector<PassedColumn> passed_;
    std::vector<Datum> values_;  ///< [rows × passed columns]
    std::vector<char> nulls_;
    std::optional<PagePrefetch> prefetch_;
    MemoryContext batch_context_ = nullptr;
    size_t kept_bytes_ = 0;
    int attributes_needed_ = 0;  ///< of the child's columns, by features and passed columns
    int passed_needed_ = 0;      ///< by passed columns alone
    bool all_fixed_ = true;      ///< no group needs a deformed tuple but for NULLs, or sees to that itself
    int max_batch_rows_;         ///< by the widest row, once that is known
    int batch_rows_;             ///< of the next batch
    int rows_ = 0;
    int next_ = 0;
    bool prepared_ = false;
    bool finished_ = false;
};

}  // namespace dlent::pg
