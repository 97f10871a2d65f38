// Explanation documents come from anybody: whatever the JSON, it is refused by name, or both pictures are
// drawn, the same each time, and the SVG is made of harmless elements only.

#include <cstdint>

#include "../unit/svg_testing.h"
#include "core/explain/chart.h"
#include "fuzzing.h"

namespace {}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const dlent::Json json = dlent::Json::parse(data, data + size, nullptr, false);
    if (json.is_discarded())
        return 0;
    const dlent::Expected<std::string> svg = dlent::ExplanationSvg(json);
    const dlent::Expected<std::string> text = dlent::ExplanationText(json);
    Require(svg.ok() == text.ok());
    if (!svg.ok()) {
        Require(svg.status().code() == dlent::StatusCode::kInvalidArgument && !svg.status().detail().empty());
        return 0;
    }
    Require(dlent::IsHarmlessSvg(*svg));
    Require(*dlent::ExplanationSvg(json) == *svg && *dlent::ExplanationText(json) == *text);
    return 0;
}
