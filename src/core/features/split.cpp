#include "core/features/split.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <numeric>

#include "core/base/random.h"
#include "core/base/sort.h"
#include "core/features/text_hash.h"

namespace dlent {
namespace {

constexpr int kTargetStrata = 10;
constexpr size_t kMinOrderedRows = 200;
constexpr int kBlocksAFold = 4;
constexpr size_t kRowsPerPoll = 1 << 16;

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
    if (!CancellableSort(&sorted, *inputs.cancel))
        return Status::Cancelled();
    for (size_t i = 0; i < values.size(); ++i) {
        if (i % kRowsPerPoll == 0 && inputs.cancel->IsCancelled())
            return Status::Cancelled();
        const auto rank = std::lower_bound(sorted.begin(), sorted.end(), values[i]) - sorted.begin();
        strata[i] = static_cast<int32_t>(static_cast<size_t>(rank) * kTargetStrata / values.size());
    }
    return strata;
}

/// A key for each row that looks random and can be replayed: of its hash, the seed, and which of its equals
/// it is. Equal rows fall where chance puts them: a table with repeated rows will be asked about repeated
/// rows.
std::vector<uint64_t> RowKeys(std::span<const uint64_t> hashes, uint64_t seed) {
    const uint64_t mixed_seed = Mix64(seed);
    std::vector<uint64_t> keys(hashes.size());
    uint64_t occurrence = 0;
    for (size_t i = 0; i < hashes.size(); ++i) {
        occurrence = i > 0 && hashes[i] == hashes[i - 1] ? occurrence + 1 : 0;
        keys[i] = Mix64(Mix64(hashes[i] ^ mixed_seed) + occurrence);
    }
    return keys;
}

/// Positions (in inputs.rows) by stratum, then key.
Expected<std::vector<uint32_t>> Deal(std::span<const uint64_t> keys, std::span<const int32_t> strata,
                                     const CancelToken& cancel) {
    std::vector<uint32_t> order(keys.size());
    std::iota(order.begin(), order.end(), 0u);
    const bool sorted = CancellableSort(&order, cancel, [&](uint32_t a, uint32_t b) {
        if (strata[a] != strata[b])
            return strata[a] < strata[b];
        return keys[a] != keys[b] ? keys[a] < keys[b] : a < b;
    });
    if (!sorted)
        return Status::Cancelled();
    return order;
}

/// The fold of each row: dealt out in turn, rows with the same key together.
Expected<std::vector<int>> AssignFolds(std::span<const uint64_t> keys, std::span<const int32_t> strata,
                                       int count, const CancelToken& cancel) {
    DLENT_ASSIGN_OR_RETURN(const std::vector<uint32_t> order, Deal(keys, strata, cancel));
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
    DLENT_ASSIGN_OR_RETURN(const std::vector<int> folds,
                           AssignFolds(RowKeys(inputs.hashes, inputs.seed), strata, count, *inputs.cancel));
    plan.splits = SplitsOf(inputs.rows, folds, count);
    DLENT_RETURN_IF_ERROR(CheckNotEmpty(plan.splits));
    plan.rule = {
        {"method", "folds"},
        {"folds", count},
        {"seed", inputs.seed},
        {"rule",
         "within each class (tenth of a numeric target) rows are dealt to the folds in turn, in the order of "
         "mix64(mix64(row_hash ^ mix64(seed)) + which of its equals the row is); each row is judged by the "
         "member that did not train on it"}};
    return plan;
}

Expected<SplitPlan> MakeHoldOut(const SplitInputs& inputs, double fraction) {
    DLENT_ASSIGN_OR_RETURN(const std::vector<int32_t> strata, Strata(inputs));
    DLENT_ASSIGN_OR_RETURN(const std::vector<uint32_t> order,
                           Deal(RowKeys(inputs.hashes, inputs.seed), strata, *inputs.cancel));
    std::vector<int> folds(inputs.rows.size(), 1);
    for (size_t begin = 0; begin < order.size();) {
        size_t end = begin;
        while (end < order.size() && strata[order[end]] == strata[order[begin]])
            ++end;
        const auto wanted = static_cast<size_t>(std::lround(fraction * static_cast<double>(end - begin)));
        for (size_t i = begin; i < begin + wanted; ++i)
            folds[order[i]] = 0;
        begin = end;
    }
    SplitPlan plan;
    plan.splits = SplitsOf(inputs.rows, folds, 1);
    DLENT_RETURN_IF_ERROR(CheckNotEmpty(plan.splits));
    plan.rule = {{"method", "random"},
                 {"fraction", fraction},
                 {"seed", inputs.seed},
                 {"rule",
                  "within each class (tenth of a numeric target) the first rows validate, in the order of "
                  "mix64(mix64(row_hash ^ mix64(seed)) + which of its equals the row is)"}};
    return plan;
}

Expected<double> NeighbourDependence(const SplitInputs& inputs) {
    if (inputs.rows.size() < kMinOrderedRows)
        return 0.0;
    DLENT_ASSIGN_OR_RETURN(const TargetEncoder::Binding target, inputs.target->Bind(*inputs.table));
    std::vector<uint32_t> rows(inputs.rows.begin(), inputs.rows.end());
    if (!CancellableSort(&rows, *inputs.cancel))
        return Status::Cancelled();
    const double n = static_cast<double>(rows.size());
    double dependence = 0.0;
    if (inputs.target->task() == Task::kRegression) {
        std::vector<float> values(rows.size());
        target.Values(rows, values.data());
        double products = 0.0;
        for (size_t i = 1; i < values.size(); ++i)
            products += static_cast<double>(values[i]) * values[i - 1];
        dependence = products / n;  // values are standardised
    } else {
        std::vector<int32_t> classes(rows.size());
        target.Classes(rows, classes.data());
        std::vector<double> shares(inputs.target->labels().size());
        size_t equal = 0;
        for (size_t i = 0; i < classes.size(); ++i) {
            shares[classes[i]] += 1.0 / n;
            equal += i > 0 && classes[i] == classes[i - 1];
        }
        double chance = 0.0;
        for (const double share : shares)
            chance += share * share;
        if (chance < 1.0)
            dependence = (static_cast<double>(equal) / (n - 1.0) - chance) / (1.0 - chance);
    }
    // five standard errors of a correlation of independent rows
    return dependence > 5.0 / std::sqrt(n) ? dependence : 0.0;
}

Expected<std::optional<SplitPlan>> MakeBlockFolds(const SplitInputs& inputs, int count) {
    const std::optional<SplitPlan> unsuitable;
    const size_t rows = inputs.rows.size();
    const size_t blocks = static_cast<size_t>(count) * kBlocksAFold;
    std::vector<uint32_t> order(rows);
    std::iota(order.begin(), order.end(), 0u);
    if (!CancellableSort(&order, *inputs.cancel,
                         [&](uint32_t a, uint32_t b) { return inputs.rows[a] < inputs.rows[b]; }))
        return Status::Cancelled();
    std::vector<uint32_t> shuffled(blocks);
    std::iota(shuffled.begin(), shuffled.end(), 0u);
    RandomStream(inputs.seed).Shuffle(shuffled.data(), blocks);
    std::vector<int> folds(rows);
    for (size_t i = 0; i < rows; ++i)
        folds[order[i]] = static_cast<int>(shuffled[i * blocks / rows] % static_cast<uint32_t>(count));

    if (inputs.target->task() != Task::kRegression) {
        // a class that lies in a few blocks only cannot be learnt from the others
        DLENT_ASSIGN_OR_RETURN(const std::vector<int32_t> classes, Strata(inputs));
        const size_t class_count = inputs.target->labels().size();
        std::vector<size_t> totals(class_count);
        std::vector<size_t> in_fold(class_count * count);
        for (size_t i = 0; i < rows; ++i) {
            ++totals[classes[i]];
            ++in_fold[static_cast<size_t>(classes[i]) * count + folds[i]];
        }
        for (size_t c = 0; c < class_count; ++c) {
            for (int fold = 0; fold < count; ++fold) {
                const size_t scaled = in_fold[c * count + fold] * count;  // an even share would be totals[c]
                if (scaled * 4 < totals[c] || scaled > totals[c] * 2)
                    return unsuitable;
            }
        }
    }
    SplitPlan plan;
    plan.splits = SplitsOf(inputs.rows, folds, count);
    if (!CheckNotEmpty(plan.splits).ok())
        return unsuitable;
    plan.rule = {
        {"method", "blocks"},
        {"blocks", blocks},
        {"folds", count},
        {"seed", inputs.seed},
        {"rule",
         "the source's rows in order are cut into so many blocks of equal size, which a shuffle by the seed "
         "deals to the folds; each row is judged by a member that did not train on its block"}};
    return std::optional<SplitPlan>(std::move(plan));
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
    if (!CancellableSort(&sorted, *inputs.cancel))
        return Status::Cancelled();
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
    DLENT_ASSIGN_OR_RETURN(std::vector<uint64_t> keys, GroupKeys(inputs, &name));
    for (uint64_t& key : keys)
        key = Mix64(key ^ Mix64(inputs.seed));
    const std::vector<int32_t> one_stratum(keys.size(), 0);
    SplitPlan plan;
    DLENT_ASSIGN_OR_RETURN(const std::vector<int> folds,
                           AssignFolds(keys, one_stratum, count, *inputs.cancel));
    plan.splits = SplitsOf(inputs.rows, folds, count);
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
