#include "core/drift/table_scorer.h"

#include <algorithm>
#include <cmath>

#include "core/base/random.h"

namespace dlent {
namespace {

constexpr size_t kBlockRows = 256;
constexpr size_t kAttributedRows = 2000;
constexpr int kIndicators = 16;
/// What an encoded number may be at most in a test of whole rows, where an outlier would speak alone.
constexpr float kClip = 5.0f;

int32_t OtherCode(const PipelineInput& input) {
    return input.other_count > 0 ? static_cast<int32_t>(input.levels.size()) : -1;
}

}  // namespace

Expected<TableScorer> TableScorer::Create(Scorer* scorer, const ColumnarTable& table) {
    TableScorer result;
    result.scorer_ = scorer;
    result.table_ = &table;
    const Pipeline& pipeline = scorer->model().pipeline;
    for (size_t i = 0; i < pipeline.inputs().size(); ++i) {
        const PipelineInput& input = pipeline.inputs()[i];
        int found = -1;
        for (size_t c = 0; c < table.columns().size(); ++c) {
            const ColumnDefinition& column = table.columns()[c];
            if (column.role == ColumnRole::kFeature && column.name == input.name &&
                column.kind == input.kind && column.width == input.width)
                found = static_cast<int>(c);
        }
        if (found < 0)
            return Status::Internal("the table has no column like input \"" + input.name + "\"");
        result.columns_.push_back(found);
        result.codes_.emplace_back();
        if (input.kind == ColumnKind::kCategory) {
            const Dictionary& dictionary = table.dictionary(found);
            for (int32_t code = 0; code < dictionary.size(); ++code)
                result.codes_.back().push_back(
                    pipeline.CategoryCode(static_cast<int>(i), dictionary.Text(code)));
        }
    }
    return result;
}

void TableScorer::Gather(std::span<const uint32_t> rows, Cell* cells) const {
    const Pipeline& pipeline = scorer_->model().pipeline;
    const size_t stride = static_cast<size_t>(pipeline.cell_count());
    for (size_t i = 0; i < columns_.size(); ++i) {
        const PipelineInput& input = pipeline.inputs()[i];
        const int source = table_->first_cell(columns_[i]);
        Cell* const first = cells + pipeline.first_cell(static_cast<int>(i));
        for (size_t row = 0; row < rows.size(); ++row) {
            Cell* const out = first + row * stride;
            if (input.kind != ColumnKind::kCategory) {
                for (int cell = 0; cell < input.width; ++cell)
                    out[cell].f = table_->Float(source + cell, rows[row]);
                continue;
            }
            const int32_t code = table_->Code(source, rows[row]);
            out->code = code >= 0                          ? codes_[i][code]
                        : code == ColumnarTable::kNullCode ? pipeline.NullCode(static_cast<int>(i))
                                                           : OtherCode(input);
        }
    }
}

Expected<std::vector<float>> TableScorer::Score(std::span<const uint32_t> rows,
                                                const CancelToken& cancel) const {
    const size_t stride = static_cast<size_t>(scorer_->cell_count());
    const size_t outputs = static_cast<size_t>(scorer_->output_count());
    std::vector<Cell> cells(kBlockRows * std::max<size_t>(stride, 1));
    std::vector<float> answers(rows.size() * outputs);
    for (size_t begin = 0; begin < rows.size(); begin += kBlockRows) {
        if (cancel.IsCancelled())
            return Status::Cancelled();
        const std::span<const uint32_t> block =
            rows.subspan(begin, std::min(kBlockRows, rows.size() - begin));
        Gather(block, cells.data());
        scorer_->Score(static_cast<int>(block.size()), cells.data(), &answers[begin * outputs]);
    }
    return answers;
}

std::vector<double> TableScorer::MeanAnswers(std::span<const float> answers) const {
    const size_t outputs = static_cast<size_t>(scorer_->output_count());
    std::vector<double> means(outputs);
    for (size_t i = 0; i < answers.size(); ++i)
        means[i % outputs] += answers[i];
    for (double& mean : means)
        mean /= static_cast<double>(answers.size() / outputs);
    return means;
}

Expected<std::vector<double>> TableScorer::AttributeShift(std::span<const uint32_t> rows,
                                                          const DriftReference& reference, uint64_t seed,
                                                          const CancelToken& cancel) const {
    const Pipeline& pipeline = scorer_->model().pipeline;
    if (rows.empty() || reference.features.size() != pipeline.inputs().size())
        return std::vector<double>(pipeline.inputs().size(), 0.0);
    std::vector<uint32_t> sample;
    const size_t count = std::min(rows.size(), kAttributedRows);
    for (size_t i = 0; i < count; ++i)
        sample.push_back(rows[i * rows.size() / count]);
    const size_t stride = static_cast<size_t>(scorer_->cell_count());
    std::vector<Cell> cells(count * stride);
    Gather(sample, cells.data());
    std::vector<float> answers(count * static_cast<size_t>(scorer_->output_count()));
    const auto score = [&](const std::vector<Cell>& given) {
        for (size_t begin = 0; begin < count && !cancel.IsCancelled(); begin += kBlockRows) {
            const size_t size = std::min(kBlockRows, count - begin);
            scorer_->Score(static_cast<int>(size), &given[begin * stride],
                           &answers[begin * static_cast<size_t>(scorer_->output_count())]);
        }
        return MeanAnswers(answers);
    };
    const std::vector<double> now = score(cells);
    std::vector<double> shifts;
    std::vector<Cell> changed;
    for (size_t i = 0; i < pipeline.inputs().size(); ++i) {
        const PipelineInput& input = pipeline.inputs()[i];
        const DriftSample& feature = reference.features[i].sample;
        // only what is one number or level can be drawn anew
        const bool drawable = input.width == 1 && feature.present() > 0;
        if (!drawable) {
            shifts.push_back(NAN);
            continue;
        }
        RandomStream random(seed, i);
        changed = cells;
        const double missing = static_cast<double>(feature.missing) / static_cast<double>(feature.rows);
        double total = feature.other_count;
        for (const DriftSample::Level& level : feature.levels)
            total += level.count;
        for (size_t row = 0; row < count; ++row) {
            Cell* const cell = &changed[row * stride + pipeline.first_cell(static_cast<int>(i))];
            const bool is_missing = random.NextFloat() < missing;
            const double u = random.NextFloat();
            if (!feature.categorical) {
                cell->f = is_missing ? ColumnarTable::kNull : static_cast<float>(feature.sketch.Quantile(u));
                continue;
            }
            double left = u * total;
            const DriftSample::Level* drawn = nullptr;
            for (const DriftSample::Level& level : feature.levels) {
                left -= level.count;
                if (left < 0.0) {
                    drawn = &level;
                    break;
                }
            }
            if (input.kind == ColumnKind::kBoolean)
                cell->f = is_missing ? ColumnarTable::kNull
                                     : (drawn != nullptr && drawn->text == "true" ? 1.0f : 0.0f);
            else
                cell->code = is_missing         ? pipeline.NullCode(static_cast<int>(i))
                             : drawn != nullptr ? pipeline.CategoryCode(static_cast<int>(i), drawn->text)
                                                : OtherCode(input);
        }
        const std::vector<double> before = score(changed);
        if (cancel.IsCancelled())
            return Status::Cancelled();
        double shift = 0.0;
        for (size_t output = 0; output < now.size(); ++output) {
            if (std::abs(now[output] - before[output]) > std::abs(shift))
                shift = now[output] - before[output];
        }
        shifts.push_back(shift);
    }
    return shifts;
}

Expected<std::vector<float>> TableScorer::Encode(std::span<const uint32_t> rows, size_t* columns) const {
    const Pipeline& pipeline = scorer_->model().pipeline;
    const size_t numeric = static_cast<size_t>(pipeline.numeric_count());
    const size_t plain = static_cast<size_t>(pipeline.plain_count());
    const size_t fields = static_cast<size_t>(pipeline.field_count());
    DLENT_ASSIGN_OR_RETURN(const Pipeline::Binding binding, pipeline.Bind(*table_));
    std::vector<float> numbers(rows.size() * numeric);
    std::vector<float> others(rows.size() * plain);
    std::vector<int32_t> codes(rows.size() * fields);
    binding.Gather(rows, numeric > 0 ? numbers.data() : nullptr, plain > 0 ? others.data() : nullptr,
                   fields > 0 ? codes.data() : nullptr);
    // time goes on without anything being wrong
    const auto watched = [&pipeline](const FloatEntry& entry) {
        const ColumnKind kind = pipeline.inputs()[static_cast<size_t>(entry.input)].kind;
        return entry.indicator || entry.cell > 0 ||
               (kind != ColumnKind::kTimestamp && kind != ColumnKind::kDate);
    };
    const auto count = [&watched](const std::vector<FloatEntry>& entries) {
        return static_cast<size_t>(std::count_if(entries.begin(), entries.end(), watched));
    };
    *columns = count(pipeline.numeric_entries()) + count(pipeline.plain_entries()) + fields * kIndicators;
    std::vector<float> encoded(rows.size() * *columns, 0.0f);
    for (size_t row = 0; row < rows.size(); ++row) {
        float* out = &encoded[row * *columns];
        for (size_t i = 0; i < numeric; ++i) {
            if (watched(pipeline.numeric_entries()[i]))
                *out++ = std::clamp(numbers[row * numeric + i], -kClip, kClip);
        }
        for (size_t i = 0; i < plain; ++i) {
            if (watched(pipeline.plain_entries()[i]))
                *out++ = std::clamp(others[row * plain + i], -kClip, kClip);
        }
        for (size_t i = 0; i < fields; ++i, out += kIndicators) {
            const int32_t code = codes[row * fields + i];
            if (code >= 0 && code < kIndicators)
                out[code] = 1.0f;
        }
    }
    return encoded;
}

}  // namespace dlent
