#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/scorer.h"
#include "core/observe/prediction_record.h"
#include "core/observe/row_sampler.h"
#include "pg/bridge/postgres.h"
#include "pg/observe/observation.h"
#include "pg/observe/sketch_counting.h"
#include "pg/rollout/resolved_model.h"

namespace dlent::pg {

/// What one arm answered of a block of rows.
struct ArmAnswers {
    size_t arm = 0;  ///< index into ResolvedModel::arms
    const Scorer* scorer = nullptr;
    int count = 0;
    const int* rows = nullptr;         ///< of the block, rising; null: 0, 1, ...
    const Cell* cells = nullptr;       ///< [count × cells]
    bool has_champions_cells = false;  ///< they are what arm 0 makes of the same rows
    const float* outputs = nullptr;    ///< [count × outputs]
    float microseconds = 0.0f;         ///< of the network, a row
};

/// Scores a block; microseconds a row when that is to be `timed`, else NaN.
float ScoreTimed(Scorer* scorer, int rows, const Cell* cells, float* outputs, bool timed);

/// Why a shadow has no answer.
struct ArmFailure {
    size_t arm = 0;
    int row = 0;  ///< −1: all rows of the block that take part
    std::string message;
};

/// Records what a model answers a call, a block of rows at a time: a share of the rows as rows of
/// dlent.prediction, by way of the ring or at once, and distributions. For C++ frames; only a synchronous
/// record can fail.
class Observer {
 public:
    /// Null when nothing is recorded of the model.
    static std::unique_ptr<Observer> Create(const ResolvedModel& model);

    const Observation& observation() const { return model_.observation; }

    /// Before the rows of a block.
    void Begin();

    /// The next row of the block that has features, which `arm` answers, −1 without a rollout or a part in
    /// it: whether it is recorded. `unit` without data: none.
    bool Wants(std::string_view unit, int arm) {
        ++rows_seen_;
        if (!records_rows_ || synchronous_)
            return records_rows_;
        const bool takes_part = arm >= 0;
        if (unit.data() != nullptr)
            return RowSampler::Keeps(
                takes_part ? model_.observation.rollout_sample : model_.observation.sample, unit);
        RowSampler& sampler = takes_part ? rollout_sampler_ : sampler_;
        if (sampler.skip() > 0) {
            sampler.Pass(1);
            return false;
        }
        sampler.Take();
        return true;
    }
    /// Remembers the unit and key of the row that Wants() has just wanted, and the arm that answers it.
    void Keep(std::string_view unit, std::string_view key, int arm);

    /// Whether a row of the block is recorded, with the time that its network took.
    bool keeps_rows() const { return kept_count_ > 0; }

    /// Of the block's rows.
    void Record(std::span<const ArmAnswers> answers, std::span<const ArmFailure> failures);

 private:
    /// A row of the block that is recorded.
    struct KeptRow {
        int row = 0;
        int arm = -1;
        bool has_unit = false;
        bool has_key = false;
        std::string unit;
        std::string key;
        std::optional<uint64_t> digest;  ///< of the champion's cells, once they were looked at
    };

    explicit Observer(const ResolvedModel& model);

    PredictionRecord RecordOf(const KeptRow& row, const ResolvedArm& arm, int64_t request) const;
    int VersionNumberOf(int64_t version_id) const;
    void FillAnswer(const ArmAnswers& answers, int answer, KeptRow* row, PredictionRecord* record) const;
    /// Makes every record of the block, as long as `has_room()`, and calls `emit(record, scorer)`; requests
    /// are numbered from `first_request`.
    template <typename HasRoom, typename Emit>
    void ForEachRecord(std::span<const ArmAnswers> answers, std::span<const ArmFailure> failures,
                       int64_t first_request, HasRoom has_room, Emit emit);
    void Push(std::span<const ArmAnswers> answers, std::span<const ArmFailure> failures);
    void Insert(std::span<const ArmAnswers> answers, std::span<const ArmFailure> failures);

    const ResolvedModel model_;
    const Oid extension_;
    RowSampler sampler_;
    RowSampler rollout_sampler_;
    std::vector<SketchCounting> sketches_;  ///< of each arm

    // The block at hand.
    bool records_rows_ = false;
    bool counts_ = false;
    bool synchronous_ = false;
    int rows_seen_ = 0;
    size_t kept_count_ = 0;
    std::vector<KeptRow> kept_;  ///< the first kept_count_; the others are there for their memory
    TimestampTz now_ = 0;
    std::vector<std::byte> bytes_;
};

}  // namespace dlent::pg
