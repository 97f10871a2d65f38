#include "pg/bridge/postgres.h"

#include "pg/scan/score_batches.h"

#include <algorithm>

#include "pg/bridge/compat_rare.h"
#include "pg/bridge/error.h"
#include "pg/bridge/memory.h"
#include "pg/cache/scorer_cache.h"
#include "pg/scan/score_call.h"

extern "C" {
#include "executor/executor.h"
#include "portability/instr_time.h"
#include "utils/datum.h"
}

namespace dlent::pg {
namespace {

/// The first batch of a scan, so that whoever wants one row waits for one; each batch may be this many times
/// the one before it.
constexpr int kFirstBatchRows = 1;
constexpr int kBatchGrowth = 8;

}  // namespace

int ScoreBatchRows(int cells, int most) {
    const int64_t fitting =
        static_cast<int64_t>(work_mem) * 1024 / (static_cast<int64_t>(sizeof(Cell)) * std::max(cells, 1));
    return static_cast<int>(std::clamp<int64_t>(fitting, 1, most));
}

ScoreBatches::ScoreBatches(const ScorePlan& plan, CustomScanState* node)
    : node_(node), device_(nullptr), max_batch_rows_(kCpuBatchRows), batch_rows_(kFirstBatchRows) {
    ListCell* cell = nullptr;
    foreach (cell, plan.groups)
        groups_.push_back({*static_cast<ScoreGroup*>(lfirst(cell))});
    foreach (cell, plan.columns)
        columns_.push_back({*static_cast<ScoreColumn*>(lfirst(cell)), {}});
    foreach (cell, plan.passed)
        passed_.push_back({lfirst_int(cell) - 1, 0, true});
}

void ScoreBatches::Next(TupleTableSlot* slot) {
    ExecClearTuple(slot);
    if (next_ == rows_) {
        if (!finished_)
            Fill();
        if (next_ == rows_)
            return;
    }
    const int row = next_++;
    int attribute = 0;
    MemoryContext caller = MemoryContextSwitchTo(node_->ss.ps.ps_ExprContext->ecxt_per_tuple_memory);
    for (const ColumnState& column : columns_) {
        const float* outputs = groups_[column.plan.group].OutputsOf(row);
        slot->tts_isnull[attribute] = outputs == nullptr;
        slot->tts_values[attribute++] = outputs == nullptr ? Datum{0} : column.format.Make(outputs);
    }
    MemoryContextSwitchTo(caller);
    const size_t first = static_cast<size_t>(row) * passed_.size();
    for (size_t i = 0; i < passed_.size(); ++i) {
        slot->tts_values[attribute] = values_[first + i];
        slot->tts_isnull[attribute++] = nulls_[first + i] != 0;
    }
    ExecStoreVirtualTuple(slot);
}

void ScoreBatches::Restart() {
    next_ = rows_ = 0;
    batch_rows_ = kFirstBatchRows;
    finished_ = false;
}

void ScoreBatches::Fill() {
    next_ = rows_ = 0;
    if (batch_context_ != nullptr)
        MemoryContextReset(batch_context_);
    for (GroupState& group : groups_) {
        group.rows = 0;
        if (group.arms != nullptr)
            GuardCallback([&group] { group.arms->Begin(); });
        if (group.observed != nullptr)
            group.observed->observer().Begin();
    }
    PlanState* child = outerPlanState(node_);
    const int limit = std::min(batch_rows_, max_batch_rows_);
    while (rows_ < limit) {
        TupleTableSlot* slot = ExecProcNode(child);
        if (TupIsNull(slot)) {
            finished_ = true;
            break;
        }
        if (!prepared_) {
            GuardCallback([this, slot] { Prepare(slot->tts_tupleDescriptor); });
            prepared_ = true;
        }
        const HeapTupleData* heap_tuple = HeapTupleOf(slot);
        const HeapTupleHeaderData* tuple = heap_tuple == nullptr ? nullptr : heap_tuple->t_data;
        if (tuple != nullptr)
            prefetch_->Advance(slot, *heap_tuple);
        if (tuple == nullptr || !all_fixed_)
            slot_getsomeattrs(slot, attributes_needed_);
        else if (passed_needed_ > 0)
            slot_getsomeattrs(slot, passed_needed_);
        MemoryContext caller = MemoryContextSwitchTo(batch_context_);
        GuardCallback([=, this] { ReadFeatures(slot, tuple); });
        Keep(slot);
        MemoryContextSwitchTo(caller);
        ++rows_;
        if (kept_bytes_ > static_cast<size_t>(work_mem) * 1024)
            break;
    }
    kept_bytes_ = 0;
    batch_rows_ = std::min(limit * kBatchGrowth, max_batch_rows_);
    if (rows_ > 0)
        Score();
    for (GroupState& group : groups_) {
        if (group.arms != nullptr)
            GuardCallback([&group] { group.arms->End(); });
    }
}

void ScoreBatches::ReadFeatures(TupleTableSlot* slot, const HeapTupleHeaderData* tuple) {
    for (GroupState& group : groups_) {
        if (group.scorer == nullptr) {
            group.positions[rows_] = group.arms == nullptr ? -1 : ReadArms(&group, slot, tuple);
            continue;
        }
        const bool given = ReadVersion(&group, slot, tuple);
        group.positions[rows_] = given ? group.rows++ : -1;
        if (given && group.observed != nullptr)
            group.observed->Look({.call = group.call, .slot = slot}, -1);
    }
}

bool ScoreBatches::ReadVersion(GroupState* group, TupleTableSlot* slot, const HeapTupleHeaderData* tuple) {
    Cell* cells = group->cells.get() + static_cast<size_t>(group->rows) * group->scorer->cell_count();
    if (tuple != nullptr && group->fixed.has_value() && group->fixed->Decode(tuple, cells))
        return true;
    slot_getsomeattrs(slot, attributes_needed_);
    if (group->call == nullptr) {
        group->features->ReadColumns(slot->tts_values, slot->tts_isnull, cells);
        return true;
    }
    SetArguments(group, slot);
    return group->features->Read(group->call, cells);
}

int ScoreBatches::ReadArms(GroupState* group, TupleTableSlot* slot, const HeapTupleHeaderData* tuple) {
    if (group->call != nullptr) {
        slot_getsomeattrs(slot, attributes_needed_);
        SetArguments(group, slot);
    }
    return group->arms->Read({.call = group->call, .slot = slot, .tuple = tuple});
}

void ScoreBatches::SetArguments(GroupState* group, const TupleTableSlot* slot) {
    for (size_t i = 0; i < group->attributes.size(); ++i) {
        if (group->attributes[i] >= 0)
            group->call->args[i] = {slot->tts_values[group->attributes[i]],
                                    slot->tts_isnull[group->attributes[i]]};
    }
}

void ScoreBatches::Keep(TupleTableSlot* slot) {
    const size_t first = static_cast<size_t>(rows_) * passed_.size();
    for (size_t i = 0; i < passed_.size(); ++i) {
        const PassedColumn& column = passed_[i];
        Datum value = slot->tts_values[column.attribute];
        const bool is_null = slot->tts_isnull[column.attribute];
        if (!is_null && !column.by_value) {
            value = datumCopy(value, false, column.length);
            kept_bytes_ += datumGetSize(value, false, column.length);
        }
        values_[first + i] = value;
        nulls_[first + i] = is_null ? 1 : 0;
    }
}

void ScoreBatches::Score() {
    instr_time start;
    INSTR_TIME_SET_ZERO(start);
    NodeInstrumentation* const instrument = node_->ss.ps.instrument;
    const bool timed = instrument != nullptr && IsTimed(*instrument);
    if (timed)
        INSTR_TIME_SET_CURRENT(start);
    GuardCallback([this] { ScoreGroups(); });
    // Of a node that is not parallel-aware only these reach the leader: counters that other nodes use.
    if (instrument != nullptr) {
        instrument->ntuples2 += 1;
        if (timed) {
            instr_time end;
            INSTR_TIME_SET_CURRENT(end);
            INSTR_TIME_SUBTRACT(end, start);
            instrument->nfiltered2 += INSTR_TIME_GET_MILLISEC(end);
        }
    }
}

void ScoreBatches::ScoreGroups() {
    for (GroupState& group : groups_) {
        if (group.arms != nullptr)
            group.arms->Score();
        if (group.rows == 0)
            continue;
        const float microseconds = ScoreVersion(&group);
        if (group.observed == nullptr)
            continue;
        const ArmAnswers answers{.scorer = group.scorer.get(),
                                 .count = group.rows,
                                 .cells = group.cells.get(),
                                 .outputs = group.outputs.data(),
                                 .microseconds = microseconds};
        group.observed->observer().Record({&answers, 1}, {});
    }
}

float ScoreBatches::ScoreVersion(GroupState* group) {
    const bool timed = group->observed != nullptr && group->observed->observer().keeps_rows();
    for (;;) {
        if (device_ != nullptr && device_->on_cpu())
            group->scorer = group->local;
        const float microseconds =
            ScoreTimed(group->scorer.get(), group->rows, group->cells.get(), group->outputs.data(), timed);
        if (device_ == nullptr || device_->Stands())
            return microseconds;
    }
}

void ScoreBatches::Prepare(TupleDesc child) {
    EState* estate = node_->ss.ps.state;
    const ContextScope scope(estate->es_query_cxt);
    batch_context_ = CallPostgres(
        [&] { return AllocSetContextCreate(estate->es_query_cxt, "dlent batch", ALLOCSET_DEFAULT_SIZES); });
    prefetch_.emplace(outerPlanState(node_));
    device_ = StatementDevice::Of(estate);
    int cells = 0;
    int most = kCpuBatchRows;
    attributes_needed_ = 0;
    for (GroupState& group : groups_) {
        PrepareGroup(&group, child);
        if (group.scorer != nullptr) {
            cells += group.scorer->cell_count();
            most = std::max(most, group.scorer->block_rows());
        }
        if (group.arms != nullptr)
            cells += group.arms->champion().cell_count() * group.arms->arm_count();
        all_fixed_ = all_fixed_ && (group.fixed.has_value() || group.arms != nullptr);
    }
    for (ColumnState& column : columns_) {
        const GroupState& group = groups_[column.plan.group];
        if (group.scorer != nullptr)
            column.format = AnswerFormat(group.scorer->model(), column.plan.answer, group.title);
        else if (group.arms != nullptr)
            column.format = AnswerFormat(group.arms->champion().model(), column.plan.answer, group.title);
    }
    for (PassedColumn& column : passed_) {
        column.length = TupleDescAttr(child, column.attribute)->attlen;
        column.by_value = TupleDescAttr(child, column.attribute)->attbyval;
        passed_needed_ = std::max(passed_needed_, column.attribute + 1);
    }
    attributes_needed_ = std::max(attributes_needed_, passed_needed_);
    max_batch_rows_ = ScoreBatchRows(cells, most);
    for (GroupState& group : groups_) {
        group.positions.resize(max_batch_rows_);
        if (group.arms != nullptr) {
            group.arms->Reserve(max_batch_rows_);
            group.output_count = group.arms->champion().output_count();
            group.answers = group.arms->outputs();
            group.arms->Begin();
        } else if (group.scorer != nullptr) {
            group.output_count = group.scorer->output_count();
            // not filled with zeros: a statement may score one row
            group.cells = std::make_unique_for_overwrite<Cell[]>(static_cast<size_t>(max_batch_rows_) *
                                                                 std::max(group.scorer->cell_count(), 1));
            group.outputs.resize(static_cast<size_t>(max_batch_rows_) * group.output_count);
            group.answers = group.outputs.data();
            if (group.observed != nullptr)
                group.observed->observer().Begin();
        }
    }
    values_.resize(static_cast<size_t>(max_batch_rows_) * passed_.size());
    nulls_.resize(values_.size());
}

void ScoreBatches::PrepareGroup(GroupState* group, TupleDesc child) {
    std::optional<ResolvedModel> resolved = Resolve(group->plan);
    if (!resolved.has_value())
        return;
    group->title = resolved->model;
    FeatureSource source = SourceOf(group, child);
    if (resolved->rollout_id != 0) {
        if (device_ != nullptr)
            device_->LeaveToCpu();
        group->arms = std::make_unique<ArmRows>(*std::move(resolved), std::move(source), group->call,
                                                CurrentMemoryContext);
        return;
    }
    const VersionIdentity& version = resolved->champion();
    group->local = AcquireScorer(version);
    group->scorer = device_ != nullptr ? device_->Acquire(version, group->local) : group->local;
    group->features = MakeFeatureArguments(source, group->call, group->scorer->model().pipeline, version,
                                           group->title, CurrentMemoryContext);
    if (source.from_columns)
        group->fixed = group->features->FixedColumns(child);
    group->observed =
        ObservedCall::Create(*resolved, source, group->call, *group->features, CurrentMemoryContext);
}

std::optional<ResolvedModel> ScoreBatches::Resolve(const ScoreGroup& plan) {
    if (plan.model != nullptr || plan.digest != nullptr) {
        ResolvedModel resolved = ResolveNamed(plan.model, plan.version, plan.digest);
        // The plan may know a rollout that another session has ended since, and spell out rows for its arms:
        // then the champion of that time answers, as it does where no rollout was planned for.
        if (plan.rollout != nullptr && plan.rollout->id != resolved.rollout_id)
            return ResolveNamed(plan.model, plan.rollout->champion(), nullptr);
        return resolved;
    }
    struct Name {
        const text* value;
        bool is_null;
    };
    const Name name = CallPostgres([&] {
        Name found = {};
        auto* argument = static_cast<Expr*>(linitial(plan.call->args));
        ExprState* expression = ExecInitExpr(argument, &node_->ss.ps);
        const Datum value = ExecEvalExpr(expression, node_->ss.ps.ps_ExprContext, &found.is_null);
        found.value = found.is_null ? nullptr : DatumGetTextPP(value);
        return found;
    });
    if (name.is_null)
        return std::nullopt;
    return ResolveModel(ParseModelReference({VARDATA_ANY(name.value), VARSIZE_ANY_EXHDR(name.value)}),
                        Privilege::kPredict);
}

FeatureSource ScoreBatches::SourceOf(GroupState* group, TupleDesc child) {
    const ScoreGroup& plan = group->plan;
    FeatureSource source;
    source.first_argument = plan.first_feature;
    source.from_columns = plan.columns || plan.named;
    source.by_name = plan.named;
    source.tuple = child;
    const auto add = [&](const Node* value, const char* name) {
        const int attribute = reinterpret_cast<const Var*>(value)->varattno - 1;
        source.columns.push_back({attribute, TupleDescAttr(child, attribute)->atttypid, name});
        source.attributes_needed = std::max(source.attributes_needed, attribute + 1);
        attributes_needed_ = std::max(attributes_needed_, attribute + 1);
        return attribute;
    };
    if (plan.named) {
        const auto* row = static_cast<const RowExpr*>(llast(plan.call->args));
        for (int i = 0; i < list_length(row->args); ++i)
            add(static_cast<const Node*>(list_nth(row->args, i)), strVal(list_nth(row->colnames, i)));
        return source;
    }
    const int count = list_length(plan.call->args);
    group->attributes.assign(count, -1);
    for (int i = plan.first_feature; i < count; ++i) {
        const auto* feature = static_cast<const Node*>(list_nth(plan.call->args, i));
        if (IsA(feature, Var))
            group->attributes[i] = add(feature, "");
    }
    if (plan.columns)
        return source;
    group->call = CallPostgres([&] {
        auto* function = static_cast<FmgrInfo*>(palloc0(sizeof(FmgrInfo)));
        fmgr_info(plan.call->funcid, function);
        fmgr_info_set_expr(reinterpret_cast<Node*>(plan.call), function);
        auto* call = static_cast<FunctionCallInfo>(palloc0(SizeForFunctionCallInfo(count)));
        InitFunctionCallInfoData(*call, function, count, plan.call->inputcollid, nullptr, nullptr);
        for (int i = plan.first_feature; i < count; ++i) {
            const auto* feature = static_cast<const Node*>(list_nth(plan.call->args, i));
            if (IsA(feature, Const))
                call->args[i] = {reinterpret_cast<const Const*>(feature)->constvalue,
                                 reinterpret_cast<const Const*>(feature)->constisnull};
        }
        return call;
    });
    return source;
}

}  // namespace dlent::pg
