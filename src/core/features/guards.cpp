#include "core/features/guards.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "core/features/quantile_sample.h"
#include "core/metrics/metrics.h"

namespace dlent {
namespace {

constexpr size_t kMinRows = 20;
constexpr size_t kFewRows = 200;
constexpr size_t kMaxRows = 100000;
constexpr size_t kMaxBins = 64;
constexpr size_t kRowsABin = 16;
constexpr double kLeakStrength = 0.975;
constexpr double kRareShare = 0.01;
constexpr size_t kFewIntegers = 20;
/// Rows' worth of the overall mean in each bin. Rows that were not counted judge, so rare levels prove
/// nothing anyway, and more of it would hide an exact copy in a small table.
constexpr double kPriorRows = 0.5;
/// So many equal rows are no longer a chance repeat: a table of few distinct rows.
constexpr size_t kManyEqualRows = 20;
/// With fewer judged rows of a class, an AUC near 1 may be luck.
constexpr size_t kMinJudgedOfClass = 10;

/// The bin of each row of a float cell: cuts at quantiles, and a bin of its own for NULL.
int BinFloats(const ColumnarTable& table, int cell, std::span<const uint32_t> rows,
              std::vector<int32_t>* bins) {
    std::vector<float> sorted;
    for (const uint32_t row : rows) {
        const float value = table.Float(cell, row);
        if (std::isfinite(value))
            sorted.push_back(value);
    }
    std::vector<float> scratch;
    std::vector<float> cuts;
    if (!sorted.empty()) {
        SortFloats(&sorted, &scratch);
        std::set<float> distinct;
        const size_t count = std::clamp(sorted.size() / kRowsABin, size_t{2}, kMaxBins);
        for (size_t i = 1; i < count; ++i)
            distinct.insert(SortedQuantile(sorted, static_cast<double>(i) / static_cast<double>(count)));
        cuts.assign(distinct.begin(), distinct.end());
    }
    for (size_t i = 0; i < rows.size(); ++i) {
        const float value = table.Float(cell, rows[i]);
        (*bins)[i] =
            std::isnan(value)
                ? 0
                : 1 + static_cast<int32_t>(std::upper_bound(cuts.begin(), cuts.end(), value) - cuts.begin());
    }
    return static_cast<int>(cuts.size()) + 2;
}

/// Which rows bins are counted on; the others judge. Halves by hash, so that a repeated row is not known in
/// advance, unless it is repeated so often that one half would miss it.
std::vector<bool> CountedRows(std::span<const uint64_t> hashes) {
    std::vector<bool> counted(hashes.size());
    for (size_t begin = 0; begin < hashes.size();) {
        size_t end = begin;
        while (end < hashes.size() && hashes[end] == hashes[begin])
            ++end;
        for (size_t row = begin; row < end; ++row)
            counted[row] = end - begin >= kManyEqualRows ? row % 2 == 0 : (hashes[row] >> 17 & 1) == 0;
        begin = end;
    }
    return counted;
}

/// The share of the values below each, so that a few huge ones do not hide that the others are known.
std::vector<float> Ranks(const std::vector<float>& values) {
    std::vector<float> sorted = values;
    std::vector<float> scratch;
    SortFloats(&sorted, &scratch);
    std::vector<float> ranks(values.size());
    for (size_t i = 0; i < values.size(); ++i)
        ranks[i] =
            static_cast<float>(std::lower_bound(sorted.begin(), sorted.end(), values[i]) - sorted.begin()) /
            static_cast<float>(values.size());
    return ranks;
}

}  // namespace

Status CheckRowCount(const ColumnarTable& table, size_t rows_with_target) {
    if (rows_with_target >= kMinRows)
        return Status::Ok();
    const std::string detail = "The source has " + std::to_string(table.rows()) + " rows, " +
                               std::to_string(rows_with_target) + " of them with a target; at least " +
                               std::to_string(kMinRows) + " are needed.";
    return {StatusCode::kInsufficientData, "too few rows to train on", detail,
            "Give the source more rows, or check the target for NULLs."};
}

double SingleFeatureStrength(std::span<const int32_t> bins, int bin_count, std::span<const uint64_t> hashes,
                             const TargetEncoder& target, std::span<const float> values,
                             std::span<const int32_t> classes) {
    const size_t rows = bins.size();
    const std::vector<bool> counted_rows = CountedRows(hashes);
    auto counts_row = [&](size_t row) { return counted_rows[row]; };
    const auto judged = static_cast<size_t>(std::count(counted_rows.begin(), counted_rows.end(), false));
    if (judged == 0 || judged == rows)
        return 0.0;

    if (target.task() == Task::kMulticlass) {
        // Pairs rather than a table of bins × classes, which keys of rows and a thousand labels would blow
        // up.
        std::vector<uint32_t> totals(target.labels().size());
        std::vector<uint64_t> pairs;
        for (size_t row = 0; row < rows; ++row) {
            if (counts_row(row)) {
                pairs.push_back(static_cast<uint64_t>(bins[row]) << 32 | static_cast<uint32_t>(classes[row]));
                ++totals[classes[row]];
            }
        }
        std::sort(pairs.begin(), pairs.end());
        const auto majority =
            static_cast<int32_t>(std::max_element(totals.begin(), totals.end()) - totals.begin());
        std::vector<int32_t> guesses(bin_count, majority);
        std::vector<size_t> votes(bin_count);
        for (size_t begin = 0; begin < pairs.size();) {
            size_t end = begin;
            while (end < pairs.size() && pairs[end] == pairs[begin])
                ++end;
            const auto bin = static_cast<size_t>(pairs[begin] >> 32);
            if (end - begin > votes[bin]) {
                votes[bin] = end - begin;
                guesses[bin] = static_cast<int32_t>(pairs[begin] & 0xffffffffu);
            }
            begin = end;
        }
        size_t majority_errors = 0;
        size_t errors = 0;
        for (size_t row = 0; row < rows; ++row) {
            if (counts_row(row))
                continue;
            errors += guesses[bins[row]] != classes[row];
            majority_errors += majority != classes[row];
        }
        return majority_errors == 0
                   ? 0.0
                   : 1.0 - static_cast<double>(errors) / static_cast<double>(majority_errors);
    }

    double mean = 0.0;
    size_t counted = 0;
    std::vector<double> sums(bin_count);
    std::vector<double> weights(bin_count);
    for (size_t row = 0; row < rows; ++row) {
        if (counts_row(row)) {
            sums[bins[row]] += values[row];
            weights[bins[row]] += 1.0;
            mean += values[row];
            ++counted;
        }
    }
    mean /= static_cast<double>(counted);
    std::vector<float> guesses;
    std::vector<int32_t> labels;
    double squares = 0.0;
    double spread = 0.0;
    for (size_t row = 0; row < rows; ++row) {
        if (counts_row(row))
            continue;
        const double guess = (sums[bins[row]] + kPriorRows * mean) / (weights[bins[row]] + kPriorRows);
        guesses.push_back(static_cast<float>(guess));
        labels.push_back(values[row] > 0.5f);
        squares += (values[row] - guess) * (values[row] - guess);
        spread += (values[row] - mean) * (values[row] - mean);
    }
    if (target.task() == Task::kRegression)
        return spread > 0.0 ? 1.0 - squares / spread : 0.0;
    const auto positives = static_cast<size_t>(std::count(labels.begin(), labels.end(), 1));
    if (std::min(positives, labels.size() - positives) < kMinJudgedOfClass)
        return 0.0;
    const auto auc = RocAuc(guesses, labels);
    return auc ? std::abs(2.0 * *auc - 1.0) : 0.0;
}

Expected<std::vector<Finding>> FindProblems(const ColumnarTable& table, std::span<const uint32_t> all_rows,
                                            std::span<const uint64_t> all_hashes, const TargetEncoder& target,
                                            const CancelToken& cancel) {
    std::vector<Finding> findings;
    // canonical order is random, so its beginning is a sample
    const auto rows = all_rows.first(std::min(all_rows.size(), kMaxRows));
    const auto hashes = all_hashes.first(rows.size());
    DLENT_ASSIGN_OR_RETURN(const TargetEncoder::Binding binding, target.Bind(table));
    std::vector<float> values(rows.size());
    std::vector<int32_t> classes(rows.size());
    if (target.task() == Task::kMulticlass)
        binding.Classes(rows, classes.data());
    else
        binding.Values(rows, values.data());

    const std::vector<float> ranks = target.task() == Task::kRegression ? Ranks(values) : values;

    std::vector<int32_t> bins(rows.size());
    for (size_t c = 0; c < table.columns().size(); ++c) {
        const ColumnDefinition& column = table.columns()[c];
        if (column.role != ColumnRole::kFeature)
            continue;
        if (cancel.IsCancelled())
            return Status::Cancelled();
        const int first = table.first_cell(static_cast<int>(c));
        double strength = 0.0;
        for (int cell = first; cell < first + column.width; ++cell) {
            int bin_count = 0;
            if (column.kind == ColumnKind::kCategory) {
                bin_count = table.dictionary(static_cast<int>(c)).size() + 2;
                for (size_t i = 0; i < rows.size(); ++i)
                    bins[i] = std::max(table.Code(cell, rows[i]), -2) + 2;
            } else {
                bin_count = BinFloats(table, cell, rows, &bins);
            }
            strength =
                std::max(strength, SingleFeatureStrength(bins, bin_count, hashes, target, ranks, classes));
        }
        if (strength >= kLeakStrength) {
            char number[32];
            std::snprintf(number, sizeof(number), "%.3f", strength);
            findings.push_back(
                {Finding::Severity::kWarning, "LEAK_FEATURE", column.name,
                 "column \"" + column.name + "\" alone almost determines target \"" + target.column() +
                     "\" (strength " + number + " of 1)",
                 "If it is not known when rows are scored, leave it out with {\"exclude\": [\"" +
                     column.name + "\"]}."});
        }
    }

    if (target.task() == Task::kRegression && IsIntegerType(target.type_name())) {
        const std::set<float> distinct(values.begin(), values.end());
        if (distinct.size() <= kFewIntegers)
            findings.push_back({Finding::Severity::kNotice, "INTEGER_TARGET", target.column(),
                                "target \"" + target.column() + "\" is an integer with " +
                                    std::to_string(distinct.size()) + " values and is predicted as a number",
                                "If the values are classes, use {\"task\": \"multiclass\"}."});
    }
    if (!target.labels().empty()) {
        const std::vector<uint64_t>& counts = target.label_counts();
        const auto rarest = std::min_element(counts.begin(), counts.end()) - counts.begin();
        if (static_cast<double>(counts[rarest]) < kRareShare * static_cast<double>(all_rows.size()) ||
            counts[rarest] == 1)
            findings.push_back({Finding::Severity::kNotice, "IMBALANCE", target.column(),
                                "the rarest label, \"" + target.labels()[rarest] + "\", has " +
                                    std::to_string(counts[rarest]) + " of " +
                                    std::to_string(all_rows.size()) + " rows",
                                "Judge by average_precision rather than accuracy."});
    }
    if (all_rows.size() < kFewRows)
        findings.push_back(
            {Finding::Severity::kNotice,
             "FEW_ROWS",
             {},
             "there are only " + std::to_string(all_rows.size()) + " rows; metrics are uncertain",
             {}});
    return findings;
}

}  // namespace dlent
