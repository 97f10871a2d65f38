#pragma once

#include <memory>
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

namespace dlent::pg {

/// A version whose answers are observed.
struct ObservedArm {
    int arm = 0;  ///< of the rollout; 0 without one
    int64_t version_id = 0;
    int version = 0;
    bool shadow = false;
};

/// A model whose answers are observed.
struct ObservedModel {
    int64_t model_id = 0;
    int64_t rollout_id = 0;  ///< 0: none is under way
    std::vector<ObservedArm> arms;
    Observation observation;
};

/// What one arm answered of a block of rows.
struct ArmAnswers {
    size_t arm = 0;  ///< index into ObservedModel::arms
    const Scorer* scorer = nullptr;
    int count = 0;
    const int* rows = nullptr;       ///< of the block, rising; null: 0, 1, ...
    const Cell* cells = nullptr;     ///< [count × cells]
    const float* outputs = nullptr;  ///< [count × outputs]
    float microseconds = 0.0f;       ///< of the network, a row
};

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
    static std::unique_ptr<Observer> Create(ObservedModel model);

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
    };

    explicit Observer(ObservedModel model);

    PredictionRecord RecordOf(const KeptRow& row, const ObservedArm& arm, int64_t request) const;
    void FillAnswer(const ArmAnswers& answers, int answer, PredictionRecord* record) const;
    /// Calls `emit(record)` for every record of the block; requests are numbered from `first_request`.
    template <typename Emit>
    void ForEachRecord(std::span<const ArmAnswers> answers, std::span<const ArmFailure> failures,
                       int64_t first_request, Emit emit) const;
    void Push(std::span<const ArmAnswers> answers, std::span<const ArmFailure> failures);
    void Insert(std::span<const ArmAnswers> answers, std::span<const ArmFailure> failures);

    const ObservedModel model_;
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
