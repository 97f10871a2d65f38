#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/model/scorer.h"
#include "pg/bridge/containment.h"
#include "pg/observe/observed_call.h"
#include "pg/rollout/arm_choice.h"
#include "pg/rollout/feature_source.h"
#include "pg/rollout/named_text.h"
#include "pg/rollout/resolved_model.h"

namespace dlent::pg {

/// The arms of a rollout at work on rows of one call, a block at a time: each row is read for the arm that
/// its unit belongs to, and beside it for the shadows. The scalar call's blocks have one row.
///
/// An arm is loaded when its first row comes. One that answers fails like a champion; what a shadow does
/// wrong ends here.
class ArmRows {
 public:
    /// Loads the champion; blocks have one row. `call` is the first row's, where features are arguments. What
    /// has to be kept is kept in `context`. For C++ frames.
    ArmRows(ResolvedModel resolved, FeatureSource source, FunctionCallInfo call, MemoryContext context);

    /// Makes room for blocks of `capacity` rows.
    void Reserve(int capacity);
    int arm_count() const { return static_cast<int>(arms_.size()); }

    int64_t rollout_id() const { return resolved_.rollout_id; }
    Scorer& champion() const { return *arms_.front().scorer; }

    /// Goes on with the same rollout, at another step perhaps; shadows that failed are tried again.
    void Resume(const ResolvedModel& resolved, FunctionCallInfo call);

    // A block: Begin(), Read() for each row, Score(), End().

    void Begin();
    /// Reads the features of the next row; says where its outputs will be, or −1 when its features are NULL.
    /// Raises PostgreSQL errors and throws: for frames without destructors, below a guard.
    int Read(const FeatureRow& row);
    void Score();
    void End();

    /// Of the row that Read() placed there.
    const float* outputs(int position) const {
        return outputs_.data() + static_cast<size_t>(position) * output_count_;
    }
    const float* outputs() const { return outputs_.data(); }

 private:
    /// A version at work.
    struct Arm {
        std::string title;  ///< in messages
        std::shared_ptr<Scorer> scorer;
        std::unique_ptr<FeatureArguments> features;
        std::optional<FixedTupleDecoder> fixed;
        bool has_champions_cells = false;  ///< rows are the same cells to both
        std::vector<Cell> cells;           ///< [rows × cells]
        int rows = 0;
        std::vector<int> block_rows;  ///< which of the block's these are, where somebody observes
        float microseconds = 0.0f;    ///< of the network, a row of the block, likewise
        int failures = 0;             ///< of a shadow, rows in a row
        bool failed = false;          ///< a shadow that is asked no more
        std::string failure;          ///< why
    };

    bool CanRead(const Arm& arm) const { return arm.features != nullptr; }
    void Load(size_t arm, FunctionCallInfo call);
    void ReserveCells(Arm* arm) const;
    /// Under the rules of Read(). False when the features as a whole are NULL.
    bool ReadFor(Arm& arm, const FeatureRow& row);
    void ReadForShadow(size_t arm, const FeatureRow& row, const Cell* champions);
    void CountRow(Arm& arm) const;
    void Observe(FunctionCallInfo call);
    void Record();
    void CheckShadow(Arm& arm, const float* outputs);
    void ReportFailure(Arm& arm, const char* message);

    Cell* NextCells(Arm& arm) const {
        return arm.cells.data() + static_cast<size_t>(arm.rows) * arm.scorer->cell_count();
    }
    float* OutputsOf(size_t arm) {
        return outputs_.data() + arm * static_cast<size_t>(capacity_) * output_count_;
    }

    ResolvedModel resolved_;
    const FeatureSource source_;
    const MemoryContext context_;
    int capacity_ = 1;
    ArmChoice choice_;
    std::vector<Arm> arms_;
    std::optional<NamedText> unit_;
    std::unique_ptr<ObservedCall> observed_;
    int block_rows_ = 0;                ///< that have features
    std::vector<ArmFailure> failures_;  ///< of the block
    std::vector<float> outputs_;        ///< [arms × capacity × outputs]
    int output_count_ = 0;
    bool has_shadows_ = false;
    Containment containment_;
};

}  // namespace dlent::pg
