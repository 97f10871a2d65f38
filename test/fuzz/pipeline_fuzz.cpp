// Stored feature pipelines and targets are hostile bytes: whatever the JSON, FromJson answers with an error
// or with a value that encodes finite numbers and codes within its fields, and that reads back as itself.

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/features/pipeline.h"
#include "core/features/target.h"
#include "fuzzing.h"

namespace {

/// The widest row that is worth encoding.
constexpr int kMaxCells = 4096;

void EncodeRow(const dlent::Pipeline& pipeline, float value, const char* text) {
    std::vector<dlent::Cell> cells(pipeline.cell_count(), {.f = value});
    for (int field = 0; field < pipeline.field_count(); ++field) {
        const int input = pipeline.field_input(field);
        cells[pipeline.first_cell(input)].code =
            std::isnan(value) ? pipeline.NullCode(input) : pipeline.CategoryCode(input, text);
    }
    std::vector<float> numeric(pipeline.numeric_count());
    std::vector<float> plain(pipeline.plain_count());
    std::vector<int32_t> codes(pipeline.field_count());
    pipeline.Encode(1, cells.data(), numeric.data(), plain.data(), codes.data());
    for (const float number : numeric)
        Require(std::isfinite(number));
    for (const float number : plain)
        Require(std::isfinite(number));
    for (int field = 0; field < pipeline.field_count(); ++field)
        Require(codes[field] >= -1 && codes[field] < pipeline.cardinality(field));
}

void CheckPipeline(const dlent::Json& json) {
    const dlent::Expected<dlent::Pipeline> pipeline = dlent::Pipeline::FromJson(json);
    if (!pipeline.ok()) {
        Require(pipeline.status().code() == dlent::StatusCode::kCorrupt);
        return;
    }
    const dlent::Json written = pipeline->ToJson();
    const dlent::Expected<dlent::Pipeline> again = dlent::Pipeline::FromJson(written);
    Require(again.ok() && again->ToJson() == written);
    for (int i = 0; i < pipeline->numeric_count(); ++i)
        Require(pipeline->edges(i).size() != 1);
    if (pipeline->cell_count() > kMaxCells)
        return;
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    for (const float value : {0.0f, -3e38f, 3e38f, kInfinity, -kInfinity, std::nanf("")})
        EncodeRow(*pipeline, value, "a");
}

void CheckTarget(const dlent::Json& json) {
    const dlent::Expected<dlent::TargetEncoder> target = dlent::TargetEncoder::FromJson(json);
    if (!target.ok()) {
        Require(target.status().code() == dlent::StatusCode::kCorrupt);
        return;
    }
    const dlent::Json written = target->ToJson();
    const dlent::Expected<dlent::TargetEncoder> again = dlent::TargetEncoder::FromJson(written);
    Require(again.ok() && again->ToJson() == written);
    if (target->task() == dlent::Task::kRegression) {
        for (const float value : {0.0f, -3e38f, 3e38f})
            Require(std::isfinite(target->Decode(value)));
        return;
    }
    Require(target->labels().size() == target->label_counts().size());
    for (const std::string& label : target->labels())
        Require(target->LabelIndex(label) >= 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const dlent::Json json = dlent::Json::parse(data, data + size, nullptr, false);
    if (json.is_discarded())
        return 0;
    CheckPipeline(json);
    CheckTarget(json);
    return 0;
}
