#include "pg/bridge/postgres.h"

#include "pg/rollout/arm_rows.h"

#include <algorithm>
#include <cmath>

#include "pg/bridge/memory.h"
#include "pg/bridge/text.h"
#include "pg/cache/scorer_cache.h"

extern "C" {
#include "mb/pg_wchar.h"
}

namespace dlent::pg {
namespace {

/// A shadow that could not answer so many rows in a row cannot read this call, and costs no more of its time.
constexpr int kMostFailures = 20;

}  // namespace

ArmRows::ArmRows(ResolvedModel resolved, FeatureSource source, FunctionCallInfo call, MemoryContext context)
    : resolved_(std::move(resolved)),
      source_(std::move(source)),
      context_(context),
      buckets_(ToUtf8(resolved_.seed)),
      arms_(resolved_.arms.size()),
      unit_is_utf8_(GetDatabaseEncoding() == PG_UTF8 || GetDatabaseEncoding() == PG_SQL_ASCII) {
    SetRanges(resolved_);
    for (size_t i = 0; i < arms_.size(); ++i) {
        has_shadows_ = has_shadows_ || resolved_.arms[i].shadow;
        arms_[i].title = resolved_.model;
        if (i > 0)
            arms_[i].title += "@" + std::to_string(resolved_.arms[i].version.version);
    }
    Load(0, call);
    output_count_ = champion().output_count();
    Reserve(capacity_);
    if (!resolved_.unit.empty())
        unit_.emplace(resolved_.unit, source_, call, *arms_[0].features, resolved_.champion(), context_);
    Observe(call);
}

void ArmRows::Observe(FunctionCallInfo call) {
    observed_ = ObservedCall::Create(resolved_, source_, call, *arms_[0].features, context_);
}

void ArmRows::Reserve(int capacity) {
    capacity_ = capacity;
    outputs_.resize(arms_.size() * static_cast<size_t>(capacity) * output_count_);
    for (Arm& arm : arms_) {
        if (CanRead(arm))
            ReserveCells(&arm);
    }
}

void ArmRows::ReserveCells(Arm* arm) const {
    arm->cells.resize(static_cast<size_t>(capacity_) * std::max(arm->scorer->cell_count(), 1));
}

void ArmRows::Resume(const ResolvedModel& resolved, FunctionCallInfo call) {
    SetRanges(resolved);
    if (resolved.observation != resolved_.observation) {
        resolved_.observation = resolved.observation;
        Observe(call);
    }
    for (Arm& arm : arms_) {
        arm.failures = 0;
        arm.failed = false;
    }
}

void ArmRows::SetRanges(const ResolvedModel& resolved) {
    ranges_.clear();
    for (const ResolvedArm& arm : resolved.arms)
        ranges_.push_back(arm.range);
}

void ArmRows::Load(size_t index, FunctionCallInfo call) {
    Arm& arm = arms_[index];
    const VersionIdentity& version = resolved_.arms[index].version;
    arm.scorer = AcquireScorer(version);
    const Model& model = arm.scorer->model();
    // dlent_deploy() has seen to it; but what one arm answers is shown as another's
    if (index > 0 && (model.target.task() != champion().model().target.task() ||
                      model.target.labels() != champion().model().target.labels()))
        throw SqlError(ERRCODE_DATA_CORRUPTED,
                       "model \"" + arm.title + "\" has another task or other labels than the champion");
    ReserveCells(&arm);
    auto features = MakeFeatureArguments(source_, call, model.pipeline, version, arm.title, context_);
    if (source_.from_columns)
        arm.fixed = features->FixedColumns(source_.tuple);
    arm.features = std::move(features);
}

void ArmRows::Begin() {
    for (Arm& arm : arms_) {
        arm.rows = 0;
        arm.block_rows.clear();
    }
    block_rows_ = 0;
    failures_.clear();
    if (observed_ != nullptr)
        observed_->observer().Begin();
    if (has_shadows_)
        containment_.Open();
}

void ArmRows::End() {
    if (has_shadows_)
        containment_.Close();
}

bool ArmRows::ReadFor(Arm& arm, const FeatureRow& row) {
    Cell* cells = NextCells(arm);
    if (!source_.from_columns)
        return arm.features->Read(row.call, cells);
    if (row.tuple == nullptr || !arm.fixed.has_value() || !arm.fixed->Decode(row.tuple, cells)) {
        slot_getsomeattrs(row.slot, source_.attributes_needed);
        arm.features->ReadColumns(row.slot->tts_values, row.slot->tts_isnull, cells);
    }
    return true;
}

int ArmRows::ArmOf(std::string_view unit) const {
    if (unit.data() == nullptr)
        return -1;
    const char* text = unit.data();
    size_t length = unit.size();
    if (!unit_is_utf8_) {
        text = pg_server_to_any(unit.data(), static_cast<int>(unit.size()), PG_UTF8);
        length = text == unit.data() ? length : std::strlen(text);
    }
    return ArmOfBucket(buckets_.Of({text, length}), ranges_);
}

int ArmRows::Read(const FeatureRow& row) {
    const std::string_view unit = unit_.has_value() ? unit_->Read(row) : std::string_view();
    int arm = ArmOf(unit);
    const size_t answering = arm < 0 ? 0 : static_cast<size_t>(arm);
    if (!CanRead(arms_[answering]))
        Load(answering, row.call);
    Arm& answers = arms_[answering];
    if (!ReadFor(answers, row))
        return -1;
    // rows that belong to nobody are told apart by what is in them
    if (!unit_.has_value())
        arm = ArmOfBucket(buckets_.Of({reinterpret_cast<const char*>(NextCells(answers)),
                                       sizeof(Cell) * static_cast<size_t>(answers.scorer->cell_count())}),
                          ranges_);
    const int position = static_cast<int>(answering) * capacity_ + answers.rows++;
    if (observed_ != nullptr) {
        answers.block_rows.push_back(block_rows_);
        if (unit_.has_value())
            observed_->LookAt(row, unit, arm);
        else
            observed_->Look(row, arm);
    }
    if (has_shadows_ && arm >= 0) {
        for (size_t i = 1; i < arms_.size(); ++i) {
            if (resolved_.arms[i].shadow && !arms_[i].failed)
                ReadForShadow(i, row);
        }
    }
    ++block_rows_;
    return position;
}

void ArmRows::ReadForShadow(size_t index, const FeatureRow& row) {
    Arm& arm = arms_[index];
    const char* message = containment_.Run([&] {
        if (!CanRead(arm))
            Load(index, row.call);
        if (!CallPostgres([&] { return ReadFor(arm, row); }))
            return;
        ++arm.rows;
        if (observed_ != nullptr)
            arm.block_rows.push_back(block_rows_);
    });
    if (message == nullptr) {
        arm.failures = 0;
        return;
    }
    if (observed_ != nullptr)
        failures_.push_back({index, block_rows_, message});
    ReportFailure(arm, message);
}

void ArmRows::ReportFailure(Arm& arm, const char* message) {
    // what cannot be loaded now cannot be with the next row
    arm.failed = !CanRead(arm) || ++arm.failures >= kMostFailures;
    if (arm.failed)
        arm.failure = message;
    CallPostgres(
        [&] { ereport(DEBUG1, (errmsg_internal("shadow \"%s\" failed: %s", arm.title.c_str(), message))); });
}

void ArmRows::Score() {
    for (size_t i = 0; i < arms_.size(); ++i) {
        Arm& arm = arms_[i];
        if (arm.rows == 0)
            continue;
        arm.microseconds = ScoreTimed(arm.scorer.get(), arm.rows, arm.cells.data(), OutputsOf(i),
                                      observed_ != nullptr && observed_->observer().keeps_rows());
        if (resolved_.arms[i].shadow)
            CheckShadow(arm, OutputsOf(i));
    }
    if (observed_ != nullptr && block_rows_ > 0)
        Record();
}

void ArmRows::Record() {
    std::vector<ArmAnswers> answers;
    for (size_t i = 0; i < arms_.size(); ++i) {
        const Arm& arm = arms_[i];
        if (arm.failed && arm.rows == 0) {
            // also of the rows that it was not asked about
            std::erase_if(failures_, [i](const ArmFailure& failure) { return failure.arm == i; });
            failures_.push_back({i, -1, arm.failure});
        }
        if (arm.rows > 0)
            answers.push_back({.arm = i,
                               .scorer = arm.scorer.get(),
                               .count = arm.rows,
                               .rows = arm.block_rows.data(),
                               .cells = arm.cells.data(),
                               .outputs = OutputsOf(i),
                               .microseconds = arm.microseconds});
    }
    observed_->observer().Record(answers, failures_);
}

void ArmRows::CheckShadow(Arm& arm, const float* outputs) {
    const float* end = outputs + static_cast<size_t>(arm.rows) * output_count_;
    if (std::any_of(outputs, end, [](float output) { return !std::isfinite(output); }))
        ReportFailure(arm, "its answer is not finite");
}

}  // namespace dlent::pg
