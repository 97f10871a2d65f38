#include "pg/bridge/postgres.h"

#include "pg/rollout/arm_rows.h"

#include <algorithm>
#include <cmath>

#include "core/features/same_cells.h"
#include "pg/bridge/memory.h"
#include "pg/cache/scorer_cache.h"

namespace dlent::pg {
namespace {

/// A shadow that could not answer so many rows in a row cannot read this call, and costs no more of its time.
constexpr int kMostFailures = 20;

}  // namespace

ArmRows::ArmRows(ResolvedModel resolved, FeatureSource source, FunctionCallInfo call, MemoryContext context)
    : resolved_(std::move(resolved)),
      source_(std::move(source)),
      context_(context),
      choice_(resolved_),
      arms_(resolved_.arms.size()) {
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
    choice_.SetStep(resolved);
    if (resolved.observation != resolved_.observation) {
        resolved_.observation = resolved.observation;
        Observe(call);
    }
    for (Arm& arm : arms_) {
        arm.failures = 0;
        arm.failed = false;
    }
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
    arm.has_champions_cells = index > 0 && HaveSameCells(model.pipeline, champion().model().pipeline);
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

void ArmRows::CountRow(Arm& arm) const {
    ++arm.rows;
    if (observed_ != nullptr)
        arm.block_rows.push_back(block_rows_);
}

int ArmRows::Read(const FeatureRow& row) {
    const std::string_view unit = unit_.has_value() ? unit_->Read(row) : std::string_view();
    int arm = choice_.OfUnit(unit);
    const size_t answering = arm < 0 ? 0 : static_cast<size_t>(arm);
    if (!CanRead(arms_[answering]))
        Load(answering, row.call);
    Arm& answers = arms_[answering];
    if (!ReadFor(answers, row))
        return -1;
    const Cell* const cells = NextCells(answers);
    if (!unit_.has_value())
        arm = choice_.OfCells({cells, static_cast<size_t>(champion().cell_count())});
    const int position = static_cast<int>(answering) * capacity_ + answers.rows;
    CountRow(answers);
    if (observed_ != nullptr) {
        if (unit_.has_value())
            observed_->LookAt(row, unit, arm);
        else
            observed_->Look(row, arm);
    }
    if (has_shadows_ && arm >= 0) {
        for (size_t i = 1; i < arms_.size(); ++i) {
            if (resolved_.arms[i].shadow && !arms_[i].failed)
                ReadForShadow(i, row, answering == 0 ? cells : nullptr);
        }
    }
    ++block_rows_;
    return position;
}

void ArmRows::ReadForShadow(size_t index, const FeatureRow& row, const Cell* champions) {
    Arm& arm = arms_[index];
    if (arm.has_champions_cells && champions != nullptr) {
        std::copy_n(champions, arm.scorer->cell_count(), NextCells(arm));
        CountRow(arm);
        arm.failures = 0;
        return;
    }
    const char* message = containment_.Run([&] {
        if (!CanRead(arm))
            Load(index, row.call);
        if (!CallPostgres([&] { return ReadFor(arm, row); }))
            return;
        CountRow(arm);
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
                               .has_champions_cells = arm.has_champions_cells,
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
