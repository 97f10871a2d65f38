#include "core/features/split.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <numeric>

#include "core/base/random.h"
#include "core/features/text_hash.h"

namespace dlent {
namespace {

constexpr int kTargetStrata = 10;

/// The stratum of each row: its class, or the tenth of the target that it falls in.
Expected<std::vector<int32_t>> Strata(const SplitInputs& inputs) {
    std::vector<int32_t> strata(inputs.rows.size());
    DLENT_ASSIGN_OR_RETURN(const TargetEncoder::Binding target, inputs.target->Bind(*inputs.table));
    if (inputs.target->task() != Task::kRegression) {
        target.Classes(inputs.rows, strata.data());
        return strata;
    }
    std::vector<float> values(inputs.rows.size());
    target.Values(inputs.rows, values.data());
    std::vector<float> sorted = values;
    std::sort(sorted.begin(), sorted.end());
    for (size_t i = 0; i < values.size(); ++i) {
        const auto rank = std::lower_bound(sorted.begin(), sorted.end(), values[i]) - sorted.begin();
        strata[i] = static_cast<int32_t>(static_cast<size_t>(rank) * kTargetStrata / values.size());
    }
    return strata;
}

/// Positions (in inputs.rows) by stratum, then Mix64(key ^ seed): an order that looks random and can be
/// replayed.
std::vector<uint32_t> Deal(std::span<const uint64_t> keys, std::span<const int32_t> strata, uint64_t seed) {
    std::vector<uint32_t> order(keys.size());
    std::iota(order.begin(), order.end(), 0u);
    const uint64_t mixed_seed = Mix64(seed);
    std::vector<uint64_t> mixed(keys.size());
    for (size_t i = 0; i < keys.size(); ++i)
        mixed[i] = Mix64(keys[i] ^ mixed_seed);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
        if (strata[a] != strata[b])
            return strata[a] < strata[b];
        return mixed[a] != mixed[b] ? mixed[a] < mixed[b] : a < b;
    });
    return order;
}

/// The fold of each row: dealt out in turn, equal keys together.
std::vector<int> AssignFolds(std::span<const uint64_t> keys, std::span<const int32_t> strata, uint64_t seed,
                             int count) {
    const std::vector<uint32_t> order = Deal(keys, strata, seed);
    std::vector<int> folds(keys.size());
    int next = 0;
    for (size_t i = 0; i < order.size(); ++i) {
        if (i > 0 && (keys[order[i]] != keys[order[i - 1]] || strata[order[i]] != strata[order[i - 1]]))
            next = (next + 1) % count;
        folds[order[i]] = next;
    }
    return folds;
}

std::vector<Split> SplitsOf(std::span<const uint32_t> rows, const std::vector<int>& folds, int count) {
    std::vector<Split> splits(count);
    for (size_t i = 0; i < rows.size(); ++i) {
        for (int fold = 0; fold < count; ++fold)
            (folds[i] == fold ? splits[fold].validation : splits[fold].train).push_back(rows[i]);
    }
    return splits;
}

Status CheckNotEmpty(const std::vector<Split>& splits) {
    for (const Split& split : splits) {
        if (split.train.empty() || split.validation.empty())
            return {
                StatusCode::kInsufficientData,
                "the validation split leaves no rows to train or to validate on",
                {},
                "Give more rows, another validation fraction, or {\"validation\": {\"method\": \"none\"}}."};
    }
    return Status::Ok();
}

const ColumnDefinition* FindRole(const ColumnarTable& table, ColumnRole role, int* column) {
    for (size_t c = 0; c < table.columns().size(); ++c) {
        if (table.columns()[c].role == role) {
            *column = static_cast<int>(c);
            return &table.columns()[c];
        }
    }
    return nullptr;
}

/// A key for each row's group, by the content of the group column.
Expected<std::vector<uint64_t>> GroupKeys(const SplitInputs& inputs, std::string* name) {
    int column = 0;
    const ColumnDefinition* definition = FindRole(*inputs.table, ColumnRole::kGroup, &column);
    if (definition == nullptr)
        return Status::Internal("no group column");
    *name = definition->name;
    const int cell = inputs.table->first_cell(column);
    std::vector<uint64_t> keys;
    keys.reserve(inputs.rows.size());
    if (definition->kind == ColumnKind::kCategory) {
        std::vector<uint64_t> texts;
        const Dictionary& dictionary = inputs.table->dictionary(column);
        for (int32_t code = 0; code < dictionary.size(); ++code)
            texts.push_back(HashText(dictionary.Text(code)));
        for (const uint32_t row : inputs.rows) {
            const int32_t code = inputs.table->Code(cell, row);
            keys.push_back(code >= 0 ? texts[code] : 0);
        }
    } else {
        for (const uint32_t row : inputs.rows) {
            uint64_t key = 0;
            for (int i = 0; i < definition->width; ++i) {
                const float value = inputs.table->Float(cell + i, row);
                key = Mix64(key ^ (std::isnan(value) ? 1u : std::bit_cast<uint32_t>(value)));
            }
            keys.push_back(key);
        }
    }
    return keys;
}

}  // namespace

Expected<SplitPlan> MakeFolds(const SplitInputs& inputs, int count) {
    DLENT_ASSIGN_OR_RETURN(const std::vector<int32_t> strata, Strata(inputs));
    SplitPlan plan;
    plan.splits = SplitsOf(inputs.rows, AssignFolds(inputs.hashes, strata, inputs.seed, count), count);
    DLENT_RETURN_IF_ERROR(CheckNotEmpty(plan.splits));
    plan.rule = {
        {"method", "folds"},
        {"folds", count},
        {"seed", inputs.seed},
        {"rule",
         "within each class (tenth of a numeric target) rows are dealt to the folds in turn, in the order of "
         "mix64(row_hash ^ mix64(seed)); equal rows stay together; each row is judged by the member that did "
         "not "
         "train on it"}};
    return plan;
}

Expected<SplitPlan> MakeHoldOut(const SplitInputs& inputs, double fraction) {
    DLENT_ASSIGN_OR_RETURN(const std::vector<int32_t> strata, Strata(inputs));
    const std::vector<uint32_t> order = Deal(inputs.hashes, strata, inputs.seed);
    std::vector<int> folds(inputs.rows.size(), 1);
    for (size_t begin = 0; begin < order.size();) {
        size_t end = begin;
        while (end < order.size() && strata[order[end]] == strata[order[begin]])
            ++end;
        size_t wanted = static_cast<size_t>(std::lround(fraction * static_cast<double>(end - begin)));
        // a row's equals follow it to its side
        while (wanted > 0 && wanted < end - begin &&
               inputs.hashes[order[begin + wanted]] == inputs.hashes[order[begin + wanted - 1]])
            ++wanted;
        for (size_t i = begin; i < begin + wanted; ++i)
            folds[order[i]] = 0;
        begin = end;
    }
    SplitPlan plan;
    plan.splits = SplitsOf(inputs.rows, folds, 1);
    DLENT_RETURN_IF_ERROR(CheckNotEmpty(plan.splits));
    plan.rule = {
        {"method", "random"},
        {"fraction", fraction},
        {"seed", inputs.seed},
        {"rule",
         "within each class (tenth of a numeric target) the first rows in the order of mix64(row_hash ^ "
         "mix64(seed)) validate; equal rows stay together"}};
    return plan;
}

Expected<SplitPlan> MakeTimeHoldOut(const SplitInputs& inputs, double fraction) {
    int column = 0;
    const ColumnDefinition* definition = FindRole(*inputs.table, ColumnRole::kOrder, &column);
    if (definition == nullptr)
        return Status::Internal("no order column");
    const int cell = inputs.table->first_cell(column);
    std::vector<float> values;
    values.reserve(inputs.rows.size());
    for (const uint32_t row : inputs.rows) {
        const float value = inputs.table->Float(cell, row);
        if (std::isnan(value))
            return Status::Invalid("validation column \"" + definition->name + "\" has a NULL", {},
                                   "Leave such rows out of the source.");
        values.push_back(value);
    }
    std::vector<float> sorted = values;
    std::sort(sorted.begin(), sorted.end());
    const size_t first =
        std::min(sorted.size() - 1,
                 static_cast<size_t>(std::lround((1.0 - fraction) * static_cast<double>(sorted.size()))));
    const float cut = sorted[first];
    SplitPlan plan;
    plan.splits.resize(1);
    for (size_t i = 0; i < values.size(); ++i)
        (values[i] >= cut ? plan.splits[0].validation : plan.splits[0].train).push_back(inputs.rows[i]);
    DLENT_RETURN_IF_ERROR(CheckNotEmpty(plan.splits));
    plan.rule = {
        {"method", "time"},
        {"column", definition->name},
        {"fraction", fraction},
        {"from", cut},
        {"rule", "rows whose column is at least \"from\" validate (times in days since 2000-01-01)"}};
    return plan;
}

Expected<SplitPlan> MakeGroupFolds(const SplitInputs& inputs, int count) {
    std::string name;
    DLENT_ASSIGN_OR_RETURN(const std::vector<uint64_t> keys, GroupKeys(inputs, &name));
    const std::vector<int32_t> one_stratum(keys.size(), 0);
    SplitPlan plan;
    plan.splits = SplitsOf(inputs.rows, AssignFolds(keys, one_stratum, inputs.seed, count), count);
    DLENT_RETURN_IF_ERROR(CheckNotEmpty(plan.splits));
    plan.rule = {
        {"method", "group"},
        {"column", name},
        {"folds", count},
        {"seed", inputs.seed},
        {"rule", "groups are dealt to the folds in turn, in the order of mix64(group_hash ^ mix64(seed))"}};
    return plan;
}

Expected<SplitPlan> MakeGroupHoldOut(const SplitInputs& inputs, double fraction) {
    const int count = std::max(2, static_cast<int>(std::lround(1.0 / std::clamp(fraction, 0.01, 0.5))));
    DLENT_ASSIGN_OR_RETURN(SplitPlan plan, MakeGroupFolds(inputs, count));
    plan.splits.resize(1);
    plan.rule["rule"] =
        "groups are dealt to so many folds in turn, in the order of mix64(group_hash ^ mix64(seed)); the "
        "first fold validates";
    return plan;
}

}  // namespace dlent
