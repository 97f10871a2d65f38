#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/drift/expected_performance.h"
#include "core/drift/sample.h"
#include "core/features/pipeline.h"
#include "core/features/target.h"

namespace dlent {

/// What a version keeps of the rows it learnt from, to compare later rows with: a sample of each feature, of
/// the target, and of the scores of held-out rows. Bounded, readable, and without any row.
struct DriftReference {
    struct Feature {
        DriftVariable variable;
        DriftSample sample;
    };
    std::vector<Feature> features;          ///< the pipeline's inputs, in order
    DriftSample target;                     ///< classes, or the regression target
    std::optional<DriftSample> prediction;  ///< the probability or value, else the label: of held-out rows,
                                            ///< until who has a scorer puts the model's own in their place
    std::optional<IsotonicCalibrator> calibration;  ///< binary, when it makes probabilities truer
    /// Of held-out rows, binary: what EstimatePerformance() says of them, to compare later estimates with.
    std::optional<ExpectedPerformance> performance;

    Json ToJson() const;
    static Expected<DriftReference> FromJson(const Json& json);
};

/// A row's answer as drift watches it: the probability of the positive class or the value; with more classes
/// the most probable one.
DriftSample SampleAnswers(const TargetEncoder& target, std::span<const float> outputs, bool keep_order);

/// Makes the reference of a training. `rows` in canonical order, of which at most 65,536 are looked at, so
/// that it costs a second for a hundred features at most. `outputs` [held_out × output_count] in the target's
/// units, empty without held-out rows. kCancelled.
Expected<DriftReference> MakeDriftReference(const ColumnarTable& table, std::span<const uint32_t> rows,
                                            const Pipeline& pipeline, const TargetEncoder& target,
                                            std::span<const uint32_t> held_out,
                                            std::span<const float> outputs, const CancelToken& cancel);

/// The target of some rows of a table as a sample: classes by the encoder's labels, or numbers. Rows whose
/// outcome is not known, or no label of the model's, do not count: labels come late. kCancelled.
Expected<DriftSample> SampleTarget(const ColumnarTable& table, std::span<const uint32_t> rows,
                                   const TargetEncoder& target, bool keep_order, const CancelToken& cancel);

}  // namespace dlent
