#include "core/train/score_precision.h"

#include <utility>

namespace dlent {
namespace {

/// Times vary: int8 must cost that much less to be worth its inaccuracy.
constexpr double kFaster = 0.95;
/// And may cost that much more where rows come one by one.
constexpr double kNoSlower = 1.05;

Json ToJson(const ScoreCost& cost) {
    return {{"single", cost.single}, {"batched", cost.batched}};
}

bool IsFaster(const ScoreCost& int8, const ScoreCost& fp32) {
    return int8.batched <= kFaster * fp32.batched && int8.single <= kNoSlower * fp32.single;
}

/// Why a model is not scored in int8 where that is left open; empty: it is.
std::string ReasonAgainst(const QuantizedCandidate& candidate, const ScoreCost& int8, const ScoreCost& fp32) {
    if (!candidate.objection.empty())
        return (candidate.check.empty() ? "" : "in int8 ") + candidate.objection;
    return IsFaster(int8, fp32) ? std::string() : "int8 is not faster on this machine";
}

/// To who asked for int8.
void Warn(const QuantizedCandidate& candidate, const ScoreCost& int8, const ScoreCost& fp32,
          TrainedModel* trained) {
    const bool unchecked = candidate.check.empty();
    if (!candidate.objection.empty())
        trained->findings.push_back(
            {unchecked ? Finding::Severity::kNotice : Finding::Severity::kWarning,
             unchecked ? "INT8_UNCHECKED" : "INT8_INACCURATE",
             {},
             "scored in int8 as asked, but " + candidate.objection,
             "{\"score_precision\": \"auto\"} takes int8 only where held-out rows say that accuracy holds."});
    if (!IsFaster(int8, fp32))
        trained->findings.push_back({Finding::Severity::kNotice,
                                     "INT8_NOT_FASTER",
                                     {},
                                     "scored in int8 as asked, which is not faster on this machine",
                                     "{\"score_precision\": \"auto\"} takes int8 only where it is."});
}

}  // namespace

Status ChooseScorePrecision(const TrainingOptions& options, const ScoreCostFunction& measure,
                            TrainedModel* trained) {
    DLENT_ASSIGN_OR_RETURN(const ScoreCost fp32, measure(trained->model));
    trained->score_cost = fp32;
    if (options.score_precision == ScorePrecision::kFp32)
        return Status::Ok();
    Json& told = trained->details["score_precision"] = {{"chosen", "fp32"}};
    if (!trained->quantized) {
        told["reason"] = "the network has no layer that can be computed in int8";
        return Status::Ok();
    }
    QuantizedCandidate candidate = *std::exchange(trained->quantized, std::nullopt);
    Model& model = trained->model;
    model.quantization = std::move(candidate.quantization);
    DLENT_ASSIGN_OR_RETURN(const ScoreCost int8, measure(model));
    told.update(candidate.check);
    told["layers"] = model.quantization->layers;
    told["score_us"] = {{"fp32", ToJson(fp32)}, {"int8", ToJson(int8)}};
    if (options.score_precision == ScorePrecision::kInt8) {
        Warn(candidate, int8, fp32, trained);
    } else if (const std::string against = ReasonAgainst(candidate, int8, fp32); !against.empty()) {
        told["reason"] = against;
        model.quantization.reset();
        return Status::Ok();
    }
    told["chosen"] = "int8";
    trained->score_cost = int8;
    if (!candidate.metrics.empty())
        trained->metrics = std::move(candidate.metrics);
    return Status::Ok();
}

}  // namespace dlent
