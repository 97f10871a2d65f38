#include "core/explain/explanation_document.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/json_text.h"
#include "core/explain/explanation_quality.h"
#include "core/formats/sha256.h"

namespace dlent {
namespace {

/// Significant digits of the largest number of a sum, which doubles hold with room to spare.
constexpr int kPrintedDigits = 10;
constexpr int kMostDecimals = 15;
/// Two-sided 95 % of the normal distribution.
constexpr double kConfidence = 1.959963984540054;

/// As close to 0 and 1 as LinkedValue() goes.
double Logit(double p) {
    constexpr double kNearest = 0x1.0p-24;
    p = std::clamp(p, kNearest, 1.0 - kNearest);
    return std::log(p) - std::log1p(-p);
}

bool IsFinite(double value) {
    return std::isfinite(value);
}

Json NumberOrNull(double value) {
    return IsFinite(value) ? Json(value) : Json();
}

/// Probabilities and what is compared with them.
double Printed(double value) {
    return PrintedSum(std::max(1.0, std::fabs(value))).Round(value);
}

/// The largest number that a label's sum is made of; probabilities are all printed to the same decimals.
double LargestOf(const LabelExplanation& label, Link link) {
    if (link == Link::kProbability)
        return 1.0;
    double largest =
        std::max({std::fabs(label.prediction), std::fabs(label.baseline), std::fabs(label.local_prediction)});
    for (const Contribution& contribution : label.contributions)
        largest = std::max(largest, std::fabs(contribution.contribution));
    return largest;
}

/// Whether the answer would fall on the other side without this contribution, as the surrogate has it.
bool Decides(double contribution, double margin) {
    return margin >= 0.0 ? contribution > margin : contribution < margin;
}

}  // namespace

PrintedSum::PrintedSum(double largest) {
    if (!IsFinite(largest) || largest >= 1e15)
        return;
    const int magnitude = largest > 0.0 ? static_cast<int>(std::ceil(std::log10(largest))) : 0;
    scale_ = std::pow(10.0, std::clamp(kPrintedDigits - magnitude, 0, kMostDecimals));
}

int64_t PrintedSum::Units(double value) const {
    return std::llround(value * scale_);
}

double PrintedSum::Print(int64_t units) const {
    // the quotient of two exact numbers is the double nearest to the decimal, whose shortest digits are its
    // own
    return static_cast<double>(units) / scale_;
}

Prediction PredictionOf(const TargetEncoder& target, const float* outputs, std::optional<double> threshold) {
    if (target.task() == Task::kRegression)
        return {.label = 0, .value = outputs[0], .threshold = threshold};
    if (target.task() == Task::kBinary) {
        const double positive = outputs[0];
        if (positive >= threshold.value_or(0.5))
            return {.label = 1, .value = positive, .threshold = threshold};
        return {.label = 0,
                .value = 1.0 - positive,
                .threshold = threshold ? std::optional(1.0 - *threshold) : std::nullopt};
    }
    const float* best = std::max_element(outputs, outputs + target.output_count());
    return {.label = static_cast<int>(best - outputs), .value = *best, .threshold = std::nullopt};
}

Expected<ExplanationWriter> ExplanationWriter::Create(Subject subject, const ExplainOptions& options,
                                                      std::vector<ReasonCode> codes) {
    ExplanationWriter writer;
    writer.subject_ = std::move(subject);
    writer.options_ = options;
    writer.codes_ = std::move(codes);
    writer.style_ = NumberStyleOf(options.locale);
    writer.group_of_.assign(writer.subject_.statistics->features().size(), -1);
    for (size_t group = 0; group < options.groups.size(); ++group) {
        for (const std::string& name : options.groups[group].features) {
            DLENT_ASSIGN_OR_RETURN(const std::vector<int> features, writer.FeaturesNamed(name, "groups"));
            for (const int f : features)
                writer.group_of_[f] = static_cast<int>(group);
        }
    }
    return writer;
}

Expected<std::vector<int>> ExplanationWriter::FeaturesNamed(const std::string& name,
                                                            const char* option) const {
    std::vector<int> found;
    const std::vector<ExplainedFeature>& features = subject_.statistics->features();
    for (size_t f = 0; f < features.size(); ++f) {
        if (features[f].name == name || subject_.pipeline->inputs()[features[f].input].name == name)
            found.push_back(static_cast<int>(f));
    }
    if (!found.empty())
        return found;
    constexpr size_t kMostListed = 30;
    std::string list;
    for (size_t i = 0; i < std::min(features.size(), kMostListed); ++i)
        list += (i > 0 ? ", " : "") + features[i].name;
    return Status::Invalid("the model has no feature \"" + name + "\" (option " + option + ")", {},
                           "Its features are " + list + (features.size() > kMostListed ? ", ..." : "") + ".");
}

std::vector<ExplanationWriter::Reason> ExplanationWriter::ReasonsOf(const ExplainedRow& row,
                                                                    const LabelExplanation& label,
                                                                    const PrintedSum& print,
                                                                    Discretizer discretizer) const {
    std::vector<Reason> reasons;
    std::vector<int> place_of_group(options_.groups.size(), -1);
    for (const Contribution& contribution : label.contributions) {
        const FeatureText text = DescribeFeature(*subject_.statistics, *subject_.pipeline,
                                                 contribution.feature, discretizer, row, style_);
        Reason reason;
        reason.name = subject_.statistics->features()[contribution.feature].name;
        reason.value = text.value;
        reason.condition = text.condition;
        reason.readable = text.readable;
        reason.bound = text.bound;
        reason.sentence = text.sentence;
        reason.contribution = print.Round(contribution.contribution);
        reason.std_error = contribution.std_error;
        reason.tied = contribution.rank_tied;
        const int group = group_of_[contribution.feature];
        if (group < 0) {
            reasons.push_back(std::move(reason));
            continue;
        }
        Json member = {{"feature", reason.name},
                       {"value", reason.value},
                       {"condition", reason.condition},
                       {"contribution", reason.contribution}};
        if (place_of_group[group] < 0) {
            place_of_group[group] = static_cast<int>(reasons.size());
            reason.name = options_.groups[group].name;
            reason.value = nullptr;
            reason.members = Json::array({std::move(member)});
            reasons.push_back(std::move(reason));
            continue;
        }
        Reason& whole = reasons[place_of_group[group]];
        whole.condition += " and " + reason.condition;
        whole.readable += ", " + reason.readable;
        whole.bound += ", " + reason.bound;
        whole.sentence += " " + reason.sentence;
        whole.contribution = print.Round(whole.contribution + reason.contribution);
        // errors of one sample go together in the worst case
        whole.std_error += reason.std_error;
        whole.members.push_back(std::move(member));
    }
    if (!options_.groups.empty())
        Rank(&reasons);
    return reasons;
}

void ExplanationWriter::Rank(std::vector<Reason>* reasons) const {
    std::stable_sort(reasons->begin(), reasons->end(), [](const Reason& a, const Reason& b) {
        return std::fabs(a.contribution) > std::fabs(b.contribution);
    });
    for (Reason& reason : *reasons)
        reason.tied = false;
    for (size_t i = 1; i < reasons->size(); ++i) {
        Reason& above = (*reasons)[i - 1];
        Reason& below = (*reasons)[i];
        const double gap = std::fabs(above.contribution) - std::fabs(below.contribution);
        if (gap <= kConfidence * std::hypot(above.std_error, below.std_error)) {
            above.tied = true;
            below.tied = true;
        }
    }
}

void ExplanationWriter::Speak(const LabelExplanation& label, std::vector<Reason>* reasons) const {
    const bool against = subject_.target->task() == Task::kBinary && label.label == 0;
    for (Reason& reason : *reasons) {
        const bool raises = (reason.contribution >= 0.0) != against;
        reason.code = FindReasonCode(codes_, reason.name, raises ? Direction::kRaises : Direction::kLowers,
                                     options_.audience, options_.locale);
        reason.text = reason.sentence;
        if (reason.code == nullptr)
            continue;
        if (!reason.code->text_template.empty())
            reason.text = FillReasonTemplate(
                reason.code->text_template,
                {ReadableName(reason.name), reason.readable, reason.condition, reason.bound});
        else if (customer())
            reason.text = ReadableName(reason.name);  // our sentence would tell the bound
    }
}

Json ExplanationWriter::MethodJson(const LocalExplanation& explanation) const {
    Json method = Json::object();
    method["name"] = ExplainMethodName(options_.method);
    if (customer())
        return method;
    if (options_.method == ExplainMethod::kIntegratedGradients) {
        method["n"] = explanation.samples;
        method["link"] = LinkName(explanation.link);
        return method;
    }
    method["probe_id"] = explanation.shared_probe ? Json(subject_.probe_id) : Json();
    method["seed"] = options_.seed;
    method["n"] = explanation.samples;
    method["kernel_width"] = explanation.kernel_width;
    method["discretizer"] = DiscretizerName(options_.discretizer);
    method["selection"] = explanation.selection;
    method["alpha"] = options_.alpha;
    method["link"] = LinkName(explanation.link);
    return method;
}

Json ExplanationWriter::PredictionJson(const Prediction& prediction, const PrintedSum& print) const {
    const bool regression = subject_.target->task() == Task::kRegression;
    const double value = regression ? print.Round(prediction.value) : Printed(prediction.value);
    Json json = Json::object();
    if (!regression)
        json["class"] = LabelName(prediction.label);
    // how near a customer is to the threshold is what an evader wants to know
    if (customer() && !regression)
        return json;
    json["value"] = value;
    if (prediction.threshold.has_value()) {
        json["threshold"] = Printed(*prediction.threshold);
        json["margin"] = Printed(value - Printed(*prediction.threshold));
    }
    return json;
}

std::optional<double> ExplanationWriter::Margin(const LabelExplanation& label, Link link,
                                                const Prediction& prediction) const {
    if (!prediction.threshold.has_value() || label.label != prediction.label)
        return std::nullopt;
    if (link == Link::kLogit)
        return Logit(prediction.value) - Logit(*prediction.threshold);
    return prediction.value - *prediction.threshold;
}

bool ExplanationWriter::Reliable(const LabelExplanation& label) const {
    return GradeOf(label, options_) != Grade::kUnreliable;
}

Json ExplanationWriter::LabelJson(const LabelExplanation& label, const PrintedSum& print,
                                  const std::vector<Reason>& reasons, const std::optional<double>& margin,
                                  bool reliable) const {
    const double baseline = print.Round(label.baseline);
    const double prediction = print.Round(label.prediction);
    double local = baseline;
    if (print.exact()) {
        int64_t units = print.Units(baseline);
        for (const Reason& reason : reasons)
            units += print.Units(reason.contribution);
        local = print.Print(units);
    } else {
        for (const Reason& reason : reasons)
            local += reason.contribution;
    }
    Json json = Json::object();
    if (subject_.target->task() != Task::kRegression)
        json["class"] = LabelName(label.label);
    if (!customer()) {
        json["prediction"] = prediction;
        json["baseline"] = baseline;
        json["local_prediction"] = local;
        json["residual"] = print.Round(prediction - local);
        json["fidelity_r2"] = NumberOrNull(label.fidelity_r2);
        if (IsFinite(label.completeness))
            json["completeness"] = label.completeness;
    }
    json["features"] = Json::array();
    int rank = 0;
    for (const Reason& reason : reasons) {
        // customers: what the dictionary says to them, in favour of the decision
        if (customer() && (reason.code == nullptr || !reliable || reason.contribution <= 0.0))
            continue;
        Json feature = Json::object();
        feature["rank"] = ++rank;
        feature["feature"] = reason.name;
        if (!customer()) {
            feature["value"] = reason.value;
            feature["condition"] = reason.condition;
            feature["contribution"] = reason.contribution;
            feature["std_error"] = print.Round(reason.std_error);
            feature["direction"] = reason.contribution < 0.0 ? "lowers" : "raises";
            feature["rank_tied"] = reason.tied;
            if (margin.has_value())
                feature["decisive"] = Decides(reason.contribution, *margin);
            if (!reason.members.is_null())
                feature["members"] = reason.members;
        }
        if (reliable) {
            if (reason.code != nullptr)
                feature["reason_code"] = reason.code->code;
            feature["text"] = reason.text;
        }
        json["features"].push_back(std::move(feature));
    }
    return json;
}

Json ExplanationWriter::ReasonsJson(const std::vector<Reason>& reasons, const PrintedSum& print,
                                    const std::optional<double>& margin) const {
    struct Principal {
        const Reason* first;
        double contribution;
        double std_error;
        bool tied;
        std::vector<std::string> features;
    };
    const bool regression = subject_.target->task() == Task::kRegression;
    std::vector<Principal> principals;
    for (const Reason& reason : reasons) {
        // what speaks for the answer, and differs from nothing
        const bool supports = !regression          ? reason.contribution > 0.0
                              : margin.has_value() ? (reason.contribution > 0.0) == (*margin >= 0.0)
                                                   : true;
        if (!supports || std::fabs(reason.contribution) <= kConfidence * reason.std_error ||
            reason.contribution == 0.0 || (customer() && reason.code == nullptr))
            continue;
        const auto same = std::find_if(principals.begin(), principals.end(), [&](const Principal& other) {
            return reason.code != nullptr && other.first->code != nullptr &&
                   other.first->code->code == reason.code->code;
        });
        if (same == principals.end()) {
            principals.push_back(
                {&reason, reason.contribution, reason.std_error, reason.tied, {reason.name}});
        } else {
            same->contribution += reason.contribution;
            same->std_error += reason.std_error;
            same->features.push_back(reason.name);
        }
    }
    std::stable_sort(principals.begin(), principals.end(), [](const Principal& a, const Principal& b) {
        return std::fabs(a.contribution) > std::fabs(b.contribution);
    });
    Json json = Json::array();
    for (const Principal& principal : principals) {
        if (static_cast<int>(json.size()) == options_.max_reasons)
            break;
        Json reason = Json::object();
        reason["rank"] = json.size() + 1;
        if (principal.first->code != nullptr) {
            reason["code"] = principal.first->code->code;
            reason["actionable"] = principal.first->code->actionable;
        }
        reason["text"] = principal.first->text;
        reason["features"] = principal.features;
        if (!customer()) {
            reason["contribution"] = print.Round(principal.contribution);
            reason["std_error"] = print.Round(principal.std_error);
            reason["rank_tied"] = principal.tied;
            if (margin.has_value())
                reason["decisive"] = Decides(principal.contribution, *margin);
        }
        json.push_back(std::move(reason));
    }
    return json;
}

Json ExplanationWriter::CounterfactualJson(const ExplainedRow& row, const Prediction& prediction,
                                           const Counterfactual& counterfactual) const {
    Json json = Json::object();
    json["changes"] = Json::array();
    for (const Counterfactual::Change& change : counterfactual.changes) {
        const ExplainedFeature& feature = subject_.statistics->features()[change.feature];
        const FeatureText text = DescribeFeature(*subject_.statistics, *subject_.pipeline, change.feature,
                                                 Discretizer::kNone, row, style_);
        json["changes"].push_back({{"feature", feature.name},
                                   {"from", text.value},
                                   {"to", ExplainedValueJson(feature, *subject_.pipeline, change.to)}});
    }
    const Prediction changed =
        PredictionOf(*subject_.target, counterfactual.outputs.data(), options_.threshold);
    const bool regression = subject_.target->task() == Task::kRegression;
    const double value =
        regression ? PrintedSum(std::fabs(changed.value)).Round(changed.value) : Printed(changed.value);
    if (!regression)
        json["class"] = LabelName(changed.label);
    if (!customer()) {
        json["value"] = value;
        json["distance"] = Printed(counterfactual.distance);
    }
    json["flips"] = regression
                        ? (changed.value >= *options_.threshold) != (prediction.value >= *options_.threshold)
                        : changed.label != prediction.label;
    return json;
}

Json ExplanationWriter::Write(const ExplainedRow& row, const Prediction& prediction,
                              const LocalExplanation& explanation, const LocalExplanation* second,
                              std::span<const Counterfactual> counterfactuals) const {
    const Discretizer discretizer =
        options_.method == ExplainMethod::kLime ? options_.discretizer : Discretizer::kNone;
    Json document = Json::object();
    document["schema"] = "dlent.explanation/1";
    document["model"] = {{"name", subject_.name}, {"version", subject_.version}};
    if (!customer())
        document["model"]["sha256"] = subject_.sha256;
    document["method"] = MethodJson(explanation);
    document["prediction"] =
        PredictionJson(prediction, PrintedSum(LargestOf(explanation.labels.front(), explanation.link)));
    document["labels"] = Json::array();
    std::vector<Reason> first_reasons;
    for (const LabelExplanation& label : explanation.labels) {
        const PrintedSum print(LargestOf(label, explanation.link));
        const bool reliable = Reliable(label);
        const std::optional<double> margin = Margin(label, explanation.link, prediction);
        std::vector<Reason> reasons = ReasonsOf(row, label, print, discretizer);
        Speak(label, &reasons);
        document["labels"].push_back(LabelJson(label, print, reasons, margin, reliable));
        if (&label == &explanation.labels.front()) {
            document["reasons"] = reliable ? ReasonsJson(reasons, print, margin) : Json::array();
            first_reasons = std::move(reasons);
        }
    }
    if (options_.counterfactuals > 0) {
        Json found = Json::array();
        for (const Counterfactual& counterfactual : counterfactuals)
            found.push_back(CounterfactualJson(row, prediction, counterfactual));
        document["counterfactual"] = found.empty() ? Json() : found[0];
        if (options_.counterfactuals > 1)
            document["counterfactuals"] = std::move(found);
    }
    document["quality"] = QualityJson(row, prediction, explanation, second, first_reasons);
    document["audit"] = {{"input_sha256", InputSha256(*row.values)}};
    return document;
}

Json ExplanationWriter::QualityJson(const ExplainedRow& row, const Prediction& prediction,
                                    const LocalExplanation& explanation, const LocalExplanation* second,
                                    const std::vector<Reason>& reasons) const {
    const LabelExplanation& label = explanation.labels.front();
    QualityInputs inputs;
    inputs.label = &label;
    inputs.link = explanation.link;
    inputs.threshold = prediction.label == label.label ? prediction.threshold : std::nullopt;
    inputs.target_deviation = subject_.target->task() == Task::kRegression
                                  ? static_cast<double>(subject_.target->standard_deviation())
                                  : 1.0;
    for (const Reason& reason : reasons)
        inputs.reasons.push_back({reason.contribution, reason.std_error, reason.tied});
    for (int f = 0; f < subject_.statistics->feature_count(); ++f) {
        if (IsUnfamiliar(*subject_.statistics, f, row.cells))
            inputs.unfamiliar.push_back(
                DescribeFeature(*subject_.statistics, *subject_.pipeline, f, Discretizer::kNone, row, style_)
                    .warning);
    }
    Json quality = DescribeQuality(inputs, options_);
    if (customer()) {
        quality.erase("warnings");
        quality.erase("min_rank_gap_z");
        quality["warnings"] = Json::array();
    } else if (second != nullptr) {
        quality["agreement"] =
            DescribeAgreement(label, second->labels.front(),
                              options_.method == ExplainMethod::kLime ? ExplainMethod::kIntegratedGradients
                                                                      : ExplainMethod::kLime,
                              subject_.statistics->feature_count());
    }
    return quality;
}

std::vector<ReasonCode> CodesUsed(const Json& document, const std::vector<ReasonCode>& codes) {
    std::vector<ReasonCode> used;
    for (const ReasonCode& code : codes) {
        const bool named =
            std::any_of(document["labels"].begin(), document["labels"].end(), [&code](const Json& label) {
                return std::any_of(
                    label["features"].begin(), label["features"].end(), [&code](const Json& entry) {
                        const std::string& feature = entry["feature"].get_ref<const std::string&>();
                        return feature == code.feature ||
                               (feature.ends_with(']') && feature.starts_with(code.feature + "["));
                    });
            });
        if (named)
            used.push_back(code);
    }
    return used;
}

std::string InputSha256(const Json& values) {
    return Sha256Hex(JsonText(values));
}

}  // namespace dlent
