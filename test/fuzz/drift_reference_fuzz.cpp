// Stored references are hostile bytes: whatever the JSON, FromJson answers with an error or with a reference
// that can be compared with by every profile, and that reads back as itself.

#include <cstdint>
#include <vector>

#include "core/drift/profile.h"
#include "core/drift/reference.h"
#include "fuzzing.h"

namespace {

void Compare(const dlent::DriftSample& reference) {
    const dlent::DriftSample numbers =
        dlent::DriftSample::OfNumbers(std::vector<float>{1, 2, 3, 3, -1e30f}, false);
    const dlent::DriftSample levels =
        dlent::DriftSample::OfClasses(std::vector<int32_t>{0, 1, 1, -1}, {"a", "b"}, false);
    const dlent::DriftComparison comparison{"x", "feature", &reference,
                                            reference.categorical ? &levels : &numbers};
    for (const auto profile :
         {dlent::DriftProfile::kDlent, dlent::DriftProfile::kEvidently, dlent::DriftProfile::kNannyml,
          dlent::DriftProfile::kBigquery, dlent::DriftProfile::kAlibi, dlent::DriftProfile::kDeequ}) {
        dlent::DriftOptions options;
        options.profile = profile;
        Require(dlent::CompareSamples({&comparison, 1}, options, dlent::NeverCancelled()).ok());
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const dlent::Json json = dlent::Json::parse(data, data + size, nullptr, false);
    if (json.is_discarded())
        return 0;
    const dlent::Expected<dlent::DriftReference> reference = dlent::DriftReference::FromJson(json);
    if (!reference.ok())
        return 0;
    const dlent::Json written = reference->ToJson();
    const dlent::Expected<dlent::DriftReference> again = dlent::DriftReference::FromJson(written);
    Require(again.ok() && again->ToJson() == written);
    for (const dlent::DriftReference::Feature& feature : reference->features)
        Compare(feature.sample);
    Compare(reference->target);
    if (reference->calibration)
        (void)(*reference->calibration)(0.5);
    return 0;
}
