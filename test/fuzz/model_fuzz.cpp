// A stored model is hostile bytes: whatever its specification, pipeline and weights, FromArtifact answers
// with an error, or with a model that writes itself as it was read and can be packed and scored.
//
// An input is the specification and the pipeline, a line of JSON each, then the weights.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/model.h"
#include "cpu/row_scorer.h"
#include "fuzzing.h"

namespace {

using dlent::Cell;
using dlent::Json;
using dlent::StatusCode;

/// The widest row that is worth scoring.
constexpr int kMaxCells = 4096;

void ScoreRows(dlent::Scorer& scorer) {
    const dlent::Pipeline& pipeline = scorer.model().pipeline;
    if (scorer.cell_count() > kMaxCells)
        return;
    std::vector<float> outputs(scorer.output_count());
    for (const float value : {0.0f, 1e30f, -std::numeric_limits<float>::infinity(), std::nanf("")}) {
        std::vector<Cell> cells(scorer.cell_count(), Cell{.f = value});
        for (int field = 0; field < pipeline.field_count(); ++field) {
            const int input = pipeline.field_input(field);
            cells[pipeline.first_cell(input)].code =
                std::isnan(value) ? pipeline.NullCode(input) : pipeline.CategoryCode(input, "a");
        }
        scorer.Score(1, cells.data(), outputs.data());
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string_view weights(reinterpret_cast<const char*>(data), size);
    const Json specification = Json::parse(TakeLine(&weights), nullptr, false);
    const Json pipeline = Json::parse(TakeLine(&weights), nullptr, false);
    if (specification.is_discarded() || pipeline.is_discarded())
        return 0;

    auto model = dlent::Model::FromArtifact(specification, pipeline, weights);
    if (!model.ok()) {
        const StatusCode code = model.status().code();
        Require(code == StatusCode::kCorrupt || code == StatusCode::kUnsupported);
        Require(!model.status().message().empty());
        return 0;
    }
    Require(model->Validate().ok());
    const Json written = model->SpecificationJson();
    const auto again = dlent::Model::FromArtifact(written, model->PipelineJson(), model->WeightsBytes());
    Require(again.ok() && again->SpecificationJson() == written &&
            again->WeightsBytes() == model->WeightsBytes());
    auto scorer = dlent::MakeCpuScorer(*model);
    if (!scorer.ok()) {
        // int8 asks for a plainer network than a model does
        Require(model->quantization && scorer.status().code() == StatusCode::kUnsupported);
        return 0;
    }
    ScoreRows(**scorer);
    return 0;
}
