#include "core/explain/partial_dependence.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <numeric>

namespace dlent {
namespace {

/// Values to look at.
std::vector<double> Grid(const ExplainedFeature& feature, const Pipeline& pipeline, int points) {
    std::vector<double> grid;
    if (feature.kind == ColumnKind::kCategory) {
        const size_t levels =
            std::min(pipeline.inputs()[feature.input].levels.size(), feature.level_counts.size());
        std::vector<size_t> codes(levels);
        std::iota(codes.begin(), codes.end(), size_t{0});
        std::stable_sort(codes.begin(), codes.end(), [&](size_t a, size_t b) {
            return feature.level_counts[a] > feature.level_counts[b];
        });
        codes.resize(std::min(codes.size(), static_cast<size_t>(points)));
        grid.assign(codes.begin(), codes.end());
    } else if (feature.categorical) {
        for (const double value : {0.0, 1.0}) {
            if (feature.level_counts[static_cast<size_t>(value)] > 0)
                grid.push_back(value);
        }
    } else {
        std::vector<double> knots = {feature.minimum};
        knots.insert(knots.end(), feature.decile.edges.begin(), feature.decile.edges.end());
        knots.push_back(feature.maximum);
        const double last = static_cast<double>(knots.size() - 1);
        for (int point = 0; point < points; ++point) {
            const double place = points > 1 ? last * point / (points - 1) : last / 2.0;
            const auto below = std::min(static_cast<size_t>(place), knots.size() - 2);
            const double value =
                knots[below] + (knots[below + 1] - knots[below]) * (place - static_cast<double>(below));
            grid.push_back(feature.integral || feature.kind == ColumnKind::kDate ? std::round(value) : value);
        }
        std::sort(grid.begin(), grid.end());
        grid.erase(std::unique(grid.begin(), grid.end()), grid.end());
    }
    if (feature.null_count > 0)
        grid.push_back(std::numeric_limits<double>::quiet_NaN());
    return grid;
}

/// Linear interpolation, as numpy.quantile.
double SortedQuantile(const std::vector<float>& sorted, double share) {
    const double place = share * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<size_t>(place);
    const size_t above = std::min(below + 1, sorted.size() - 1);
    return sorted[below] +
           (static_cast<double>(sorted[above]) - sorted[below]) * (place - static_cast<double>(below));
}

DependencePoint Summarise(double value, int label, std::vector<float>* answers) {
    DependencePoint point;
    point.value = value;
    point.label = label;
    const auto n = static_cast<double>(answers->size());
    double squares = 0.0;
    for (const float answer : *answers)
        point.mean += answer / n;
    for (const float answer : *answers)
        squares += (answer - point.mean) * (answer - point.mean);
    point.std_error = n > 1.0 ? std::sqrt(squares / (n - 1.0) / n) : 0.0;
    std::sort(answers->begin(), answers->end());
    for (size_t q = 0; q < std::size(kCurveQuantiles); ++q)
        point.quantiles[q] = SortedQuantile(*answers, kCurveQuantiles[q]);
    return point;
}

}  // namespace

Expected<std::vector<DependencePoint>> DependOn(const ExplainerStatistics& statistics, Scorer& scorer,
                                                const RowSet& rows, int f, int points,
                                                const CancelToken& cancel) {
    if (points < 1)
        return Status::Invalid("the number of points must be positive");
    if (rows.rows() == 0)
        return Status(StatusCode::kInsufficientData, "there are no rows to look at");
    try {
        const auto width = static_cast<size_t>(rows.cell_count);
        const auto outputs = static_cast<size_t>(scorer.output_count());
        const size_t block_rows = std::min(static_cast<size_t>(scorer.block_rows()), rows.rows());
        std::vector<Cell> block(block_rows * width);
        std::vector<float> answers(rows.rows() * outputs);
        std::vector<float> of_label(rows.rows());
        std::vector<DependencePoint> result;
        for (const double value : Grid(statistics.features()[f], scorer.model().pipeline, points)) {
            for (size_t begin = 0; begin < rows.rows(); begin += block_rows) {
                if (cancel.IsCancelled())
                    return Status::Cancelled();
                const size_t count = std::min(block_rows, rows.rows() - begin);
                std::copy_n(rows.row(begin), count * width, block.begin());
                for (size_t i = 0; i < count; ++i)
                    statistics.SetValue(f, value, &block[i * width]);
                scorer.Score(static_cast<int>(count), block.data(), &answers[begin * outputs]);
                DLENT_RETURN_IF_ERROR(scorer.status());
            }
            for (size_t output = 0; output < outputs; ++output) {
                for (size_t row = 0; row < rows.rows(); ++row) {
                    of_label[row] = answers[row * outputs + output];
                    if (!std::isfinite(of_label[row]))
                        return Status(StatusCode::kNonFinite,
                                      "the network's answer to a row is not a number");
                }
                const bool binary = scorer.model().target.task() == Task::kBinary;
                result.push_back(Summarise(value, binary ? 1 : static_cast<int>(output), &of_label));
            }
        }
        return result;
    } catch (const std::bad_alloc&) {
        return Status(StatusCode::kOutOfMemory, "out of memory", "Partial dependence was being computed.");
    }
}

}  // namespace dlent
