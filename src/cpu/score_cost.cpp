#include "cpu/score_cost.h"

#include <algorithm>
#include <chrono>

#include "core/base/random.h"
#include "cpu/row_scorer.h"

namespace dlent {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRows = 256;
constexpr int kSingleRows = 16;
constexpr size_t kMinRounds = 5;
constexpr size_t kMaxRounds = 200;
constexpr double kSecondsEach = 0.02;

/// Values within what training saw, and every category's levels.
std::vector<Cell> MakeCells(const Pipeline& pipeline) {
    RandomStream random(1);
    std::vector<Cell> cells;
    for (int row = 0; row < kRows; ++row) {
        for (const PipelineInput& input : pipeline.inputs()) {
            if (input.kind == ColumnKind::kCategory) {
                const uint64_t levels = std::max<size_t>(input.levels.size(), 1);
                cells.push_back({.code = static_cast<int32_t>(random.NextBelow(levels))});
            }
            for (const PipelineInput::CellStatistics& cell : input.cells)
                cells.push_back({.f = cell.mean + cell.standard_deviation * random.Normal()});
        }
    }
    return cells;
}

/// Median microseconds a row of calls that score `rows_a_call` rows.
Expected<double> Measure(Scorer* scorer, const std::vector<Cell>& cells, int rows, int rows_a_call,
                         const CancelToken& cancel) {
    std::vector<float> outputs(static_cast<size_t>(rows) * scorer->output_count());
    std::vector<double> rounds;
    const Clock::time_point begin = Clock::now();
    scorer->Score(1, cells.data(), outputs.data());  // what it touches is in the caches from now on
    while (rounds.size() < kMaxRounds) {
        if (cancel.IsCancelled())
            return Status::Cancelled();
        const Clock::time_point start = Clock::now();
        if (rounds.size() >= kMinRounds &&
            std::chrono::duration<double>(start - begin).count() > kSecondsEach)
            break;
        for (int row = 0; row < rows; row += rows_a_call)
            scorer->Score(rows_a_call, cells.data() + static_cast<size_t>(row) * scorer->cell_count(),
                          outputs.data());
        rounds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
    std::nth_element(rounds.begin(), rounds.begin() + rounds.size() / 2, rounds.end());
    return 1e6 * rounds[rounds.size() / 2] / rows;
}

}  // namespace

Expected<ScoreCost> MeasureScoreCost(const Model& model, const CancelToken& cancel) {
    DLENT_ASSIGN_OR_RETURN(const std::unique_ptr<Scorer> scorer, MakeCpuScorer(model));
    const std::vector<Cell> cells = MakeCells(model.pipeline);
    ScoreCost cost;
    DLENT_ASSIGN_OR_RETURN(cost.single, Measure(scorer.get(), cells, kSingleRows, 1, cancel));
    DLENT_ASSIGN_OR_RETURN(cost.batched, Measure(scorer.get(), cells, kRows, kRows, cancel));
    return cost;
}

}  // namespace dlent
