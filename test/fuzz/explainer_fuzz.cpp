// The explainer's stored statistics are hostile bytes: [pipeline, statistics] as JSON. Whatever they are,
// FromJson answers with an error or with statistics that read back as themselves and from which rows can be
// drawn that the pipeline takes.

#include <cmath>
#include <cstdint>
#include <vector>

#include "core/explain/explained_features.h"
#include "core/explain/perturbation.h"
#include "core/features/pipeline.h"
#include "fuzzing.h"

namespace {

constexpr int kMaxCells = 1024;
constexpr int kRows = 32;

void DrawRows(const dlent::Pipeline& pipeline, const dlent::ExplainerStatistics& statistics,
              dlent::Discretizer discretizer, const dlent::Cell* instance) {
    const dlent::Perturbation perturbation(statistics, {discretizer, 1, false, instance, false},
                                           dlent::PortableExplainerKernels());
    std::vector<int32_t> codes(static_cast<size_t>(statistics.feature_count()) * kRows);
    std::vector<dlent::Cell> cells(static_cast<size_t>(pipeline.cell_count()) * kRows);
    perturbation.Draw(0, kRows, codes.data(), cells.data());
    for (int f = 0; f < statistics.feature_count(); ++f) {
        for (int r = 0; r < kRows; ++r) {
            const int32_t code = codes[static_cast<size_t>(f) * kRows + r];
            Require(code >= 0 && code < perturbation.code_count(f));
        }
    }
    std::vector<float> numeric(static_cast<size_t>(pipeline.numeric_count()) * kRows);
    std::vector<float> plain(static_cast<size_t>(pipeline.plain_count()) * kRows);
    std::vector<int32_t> fields(static_cast<size_t>(pipeline.field_count()) * kRows);
    pipeline.Encode(kRows, cells.data(), numeric.data(), plain.data(), fields.data());
    for (const float value : numeric)
        Require(std::isfinite(value));
    for (int r = 0; r < kRows; ++r) {
        for (int field = 0; field < pipeline.field_count(); ++field) {
            const int32_t code = fields[static_cast<size_t>(r) * pipeline.field_count() + field];
            Require(code >= -1 && code < pipeline.cardinality(field));
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const dlent::Json json = dlent::Json::parse(data, data + size, nullptr, false);
    if (!json.is_array() || json.size() != 2)
        return 0;
    const dlent::Expected<dlent::Pipeline> pipeline = dlent::Pipeline::FromJson(json[0]);
    if (!pipeline.ok())
        return 0;
    const dlent::Expected<dlent::ExplainerStatistics> statistics =
        dlent::ExplainerStatistics::FromJson(json[1], *pipeline);
    if (!statistics.ok()) {
        Require(statistics.status().code() == dlent::StatusCode::kCorrupt);
        return 0;
    }
    const dlent::Json written = statistics->ToJson();
    const dlent::Expected<dlent::ExplainerStatistics> again =
        dlent::ExplainerStatistics::FromJson(written, *pipeline);
    Require(again.ok() && again->ToJson() == written);
    if (pipeline->cell_count() > kMaxCells || statistics->feature_count() == 0)
        return 0;
    std::vector<dlent::Cell> instance(static_cast<size_t>(pipeline->cell_count()), {.f = 0.5f});
    for (int field = 0; field < pipeline->field_count(); ++field)
        instance[pipeline->first_cell(pipeline->field_input(field))].code = -1;
    for (const dlent::Discretizer discretizer :
         {dlent::Discretizer::kNone, dlent::Discretizer::kQuartile, dlent::Discretizer::kDecile}) {
        DrawRows(*pipeline, *statistics, discretizer, nullptr);
        DrawRows(*pipeline, *statistics, discretizer, instance.data());
    }
    return 0;
}
