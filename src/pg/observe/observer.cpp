#include "pg/bridge/postgres.h"

#include "pg/observe/observer.h"

#include <algorithm>
#include <cmath>

#include "core/observe/recorded_features.h"
#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/bridge/text.h"
#include "pg/catalog/relations.h"
#include "pg/catalog/writer.h"
#include "pg/observe/prediction_ring.h"
#include "pg/observe/prediction_store.h"
#include "pg/observe/settings.h"

extern "C" {
#include "access/xact.h"
#include "access/xlog.h"
#include "common/pg_prng.h"
#include "portability/instr_time.h"
}

namespace dlent::pg {
namespace {

/// How much of a shadow's message is recorded.
constexpr size_t kLongestError = 1024;

uint64_t Seed() {
    return pg_prng_uint64(&pg_global_prng_state);
}

/// A text without data stays so.
std::string_view View(bool there, const std::string& text) {
    return there ? std::string_view(text) : std::string_view();
}

int Argmax(const float* outputs, int count) {
    return static_cast<int>(std::max_element(outputs, outputs + count) - outputs);
}

}  // namespace

float ScoreTimed(Scorer* scorer, int rows, const Cell* cells, float* outputs, bool timed) {
    if (!timed) {
        scorer->Score(rows, cells, outputs);
        return std::numeric_limits<float>::quiet_NaN();
    }
    instr_time start;
    instr_time end;
    INSTR_TIME_SET_CURRENT(start);
    scorer->Score(rows, cells, outputs);
    INSTR_TIME_SET_CURRENT(end);
    INSTR_TIME_SUBTRACT(end, start);
    return static_cast<float>(INSTR_TIME_GET_DOUBLE(end) * 1e6 / rows);
}

Observer::Observer(const ResolvedModel& model)
    : model_(model),
      extension_(CallPostgres([] { return GetCatalogRelations().extension; })),
      sampler_(model_.observation.sample, Seed()),
      rollout_sampler_(model_.observation.rollout_sample, Seed()),
      sketches_(model_.arms.size()) {}

std::unique_ptr<Observer> Observer::Create(const ResolvedModel& model) {
    if (!model.observation.active())
        return nullptr;
    return std::unique_ptr<Observer>(new Observer(model));
}

void Observer::Begin() {
    rows_seen_ = 0;
    kept_count_ = 0;
    const PredictionLog log = CurrentPredictionLog();
    synchronous_ = log == PredictionLog::kSynchronous;
    // an index that is built, statistics of an expression: nobody asked for these answers
    const bool asked = !InSecurityRestrictedOperation();
    records_rows_ = asked && log != PredictionLog::kOff && !RecoveryInProgress() &&
                    (synchronous_ ? !XactReadOnly && !IsInParallelMode() : PredictionMemoryExists());
    counts_ = asked && log != PredictionLog::kOff && model_.observation.sketches;
}

void Observer::Keep(std::string_view unit, std::string_view key, int arm) {
    if (kept_count_ == kept_.size())
        kept_.emplace_back();
    KeptRow& row = kept_[kept_count_++];
    row.row = rows_seen_ - 1;
    row.arm = arm;
    row.digest.reset();
    row.has_unit = unit.data() != nullptr;
    row.has_key = key.data() != nullptr;
    // texts of an ordinary length take no new memory
    row.unit = unit.size() <= kLongestRecordedText ? unit : RecordedText(unit);
    row.key = key.size() <= kLongestRecordedText ? key : RecordedText(key);
}

void Observer::Record(std::span<const ArmAnswers> answers, std::span<const ArmFailure> failures) {
    for (const ArmAnswers& arm : answers) {
        if (counts_ && arm.count > 0)
            sketches_[arm.arm].Count(extension_, model_.arms[arm.arm].version.version_id, *arm.scorer,
                                     arm.count, arm.cells, arm.outputs);
    }
    if (kept_count_ == 0)
        return;
    now_ = GetCurrentTimestamp();
    if (synchronous_)
        Insert(answers, failures);
    else
        Push(answers, failures);
    kept_count_ = 0;
}

PredictionRecord Observer::RecordOf(const KeptRow& row, const ResolvedArm& arm, int64_t request) const {
    PredictionRecord record;
    record.catalog = extension_;
    record.version_id = arm.version.version_id;
    record.rollout_id = model_.rollout_id;
    record.arm = arm.shadow ? arm.arm : row.arm;
    record.shadow = arm.shadow;
    record.request = request;
    record.time = now_;
    record.unit = View(row.has_unit, row.unit);
    record.key = View(row.has_key, row.key);
    return record;
}

void Observer::FillAnswer(const ArmAnswers& answers, int answer, KeptRow* row,
                          PredictionRecord* record) const {
    const Model& model = answers.scorer->model();
    const int outputs = answers.scorer->output_count();
    const float* const output = answers.outputs + static_cast<size_t>(answer) * outputs;
    const auto cell_count = static_cast<size_t>(answers.scorer->cell_count());
    const std::span<const Cell> cells(answers.cells + static_cast<size_t>(answer) * cell_count, cell_count);
    record->digest =
        answers.has_champions_cells && row->digest.has_value() ? *row->digest : DigestOfCells(cells);
    if (answers.arm == 0)
        row->digest = record->digest;
    record->latency = answers.microseconds;
    if (model.target.task() == Task::kMulticlass) {
        record->label = Argmax(output, outputs);
        record->score = output[record->label];
        // a rollout is judged by them
        if (record->rollout_id != 0 && outputs <= static_cast<int>(PredictionRecord::kMostProbabilities))
            record->probabilities = {output, static_cast<size_t>(outputs)};
    } else {
        record->score = output[0];
        if (model.target.task() == Task::kBinary)
            record->label = output[0] >= 0.5f;
    }
    if (model_.observation.features)
        record->cells = cells;
    if (record->shadow && !std::isfinite(record->score)) {
        record->score = std::numeric_limits<float>::quiet_NaN();
        record->label = -1;
        record->probabilities = {};
        record->error = "its answer is not finite";
    }
}

int Observer::VersionNumberOf(int64_t version_id) const {
    for (const ResolvedArm& arm : model_.arms) {
        if (arm.version.version_id == version_id)
            return arm.version.version;
    }
    return 0;
}

template <typename HasRoom, typename Emit>
void Observer::ForEachRecord(std::span<const ArmAnswers> answers, std::span<const ArmFailure> failures,
                             int64_t first_request, HasRoom has_room, Emit emit) {
    const std::span<KeptRow> kept(kept_.data(), kept_count_);
    for (const ArmAnswers& arm : answers) {
        int answer = 0;
        for (size_t i = 0; i < kept.size(); ++i) {
            // both rise
            while (answer < arm.count && arm.rows != nullptr && arm.rows[answer] < kept[i].row)
                ++answer;
            if (arm.rows == nullptr)
                answer = kept[i].row;
            if (answer >= arm.count)
                break;
            if (arm.rows != nullptr && arm.rows[answer] != kept[i].row)
                continue;
            if (!has_room())
                continue;
            PredictionRecord record =
                RecordOf(kept[i], model_.arms[arm.arm], first_request + static_cast<int64_t>(i));
            FillAnswer(arm, answer, &kept[i], &record);
            emit(record, arm.scorer);
        }
    }
    for (const ArmFailure& failure : failures) {
        for (size_t i = 0; i < kept.size(); ++i) {
            if (failure.row >= 0 ? failure.row != kept[i].row : kept[i].arm < 0)
                continue;
            if (!has_room())
                continue;
            PredictionRecord record =
                RecordOf(kept[i], model_.arms[failure.arm], first_request + static_cast<int64_t>(i));
            record.error = std::string_view(failure.message).substr(0, kLongestError);
            emit(record, nullptr);
        }
    }
}

void Observer::Push(std::span<const ArmAnswers> answers, std::span<const ArmFailure> failures) {
    PredictionRing* const ring = PredictionRing::OfThisDatabase();
    if (ring == nullptr) {
        CountRefusedPredictions(kept_count_);
        return;
    }
    // where one record finds no room, the rest of the block need not be made
    bool full = false;
    uint64_t dropped = 0;
    ForEachRecord(
        answers, failures, ring->TakeRequests(static_cast<int>(kept_count_)),
        [&] {
            dropped += full;
            return !full;
        },
        [&](const PredictionRecord& record, const Scorer*) {
            record.Encode(&bytes_);
            full = !ring->records().Push(static_cast<uint32_t>(MyProcPid), bytes_);
        });
    if (dropped > 0)
        ring->records().CountDropped(dropped);
    ring->CallWriter(now_);
}

void Observer::Insert(std::span<const ArmAnswers> answers, std::span<const ArmFailure> failures) {
    std::vector<PredictionRow> rows;
    std::vector<std::unique_ptr<std::string>> labels;
    // 1, 2, ... within the block; the table's own numbers come when the rows do
    const auto has_room = [] { return true; };
    ForEachRecord(answers, failures, 1, has_room, [&](const PredictionRecord& record, const Scorer* scorer) {
        PredictionRow row = PredictionRow::Of(record, model_.model_id, VersionNumberOf(record.version_id));
        if (record.label >= 0) {
            const Model& model = scorer->model();
            labels.push_back(std::make_unique<std::string>(
                FromUtf8(model.target.labels()[static_cast<size_t>(record.label)])));
            row.label = *labels.back();
            if (!record.probabilities.empty())
                row.probabilities =
                    JsonbDatum(RecordedProbabilities(model.target.labels(), record.probabilities));
        }
        if (!record.cells.empty())
            row.features = JsonbDatum(RecordedFeatures(scorer->model().pipeline, record.cells));
        rows.push_back(row);
    });
    CallPostgres([&rows] {
        CatalogWrite write;
        BeginCatalogWrite("recording predictions", &write);
        InsertPredictions({rows.data(), rows.size()}, true);
        EndCatalogWrite(write, false);
    });
}

}  // namespace dlent::pg
