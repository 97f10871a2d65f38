#include "core/explain/integrated_gradients.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>

#include "core/base/float_environment.h"
#include "core/explain/category_path.h"
#include "core/nn/device_buffer.h"

namespace dlent {
namespace {

constexpr int kFewestSteps = 1;
constexpr int kMostSteps = 100000;
constexpr int kBatch = 64;  ///< points that go through a network at a time

/// Five points of Gauss and Legendre in each of equal panels: kinks spoil one panel, smooth stretches cost
/// nothing.
constexpr int kPanelPoints = 5;
constexpr double kPanelNodes[kPanelPoints] = {-0.9061798459386640, -0.5384693101056831, 0.0,
                                              0.5384693101056831, 0.9061798459386640};
constexpr double kPanelWeights[kPanelPoints] = {0.2369268850561891, 0.4786286704993665, 0.5688888888888889,
                                                0.4786286704993665, 0.2369268850561891};

/// Encoded inputs of a row.
struct EncodedRow {
    std::vector<float> numeric;
    std::vector<float> plain;
    std::vector<int32_t> codes;

    EncodedRow(const Pipeline& pipeline, const Cell* cells)
        : numeric(static_cast<size_t>(pipeline.numeric_count())),
          plain(static_cast<size_t>(pipeline.plain_count())),
          codes(static_cast<size_t>(pipeline.field_count())) {
        pipeline.Encode(1, cells, numeric.data(), plain.data(), codes.data());
    }
};

/// One explanation: the path, the members' networks on it, and what they have answered.
class PathIntegration {
 public:
    PathIntegration(const ExplainerStatistics& statistics, const Model& model, const Cell* instance,
                    const IntegratedGradientsOptions& options, Backend& backend, const CancelToken& cancel)
        : statistics_(statistics),
          model_(model),
          options_(options),
          backend_(backend),
          cancel_(cancel),
          from_(model.pipeline, TypicalRow(statistics).data()),
          to_(model.pipeline, instance) {}

    Expected<LocalExplanation> Run() {
        DLENT_RETURN_IF_ERROR(Prepare());
        // both ends
        DLENT_RETURN_IF_ERROR(Forward({0.0, 1.0}));
        const std::vector<double> baseline(answers_.begin(), answers_.begin() + outputs_);
        const std::vector<double> prediction(answers_.begin() + outputs_, answers_.end());
        if (!std::all_of(answers_.begin(), answers_.end(), [](double value) { return std::isfinite(value); }))
            return Status(StatusCode::kNonFinite, "the network answers with what is not a number");
        const std::vector<float> outputs(prediction.begin(), prediction.end());
        DLENT_ASSIGN_OR_RETURN(
            const std::vector<int> labels,
            ChooseLabels(model_.target, options_.labels, options_.top_labels, outputs.data()));
        LocalExplanation explanation;
        explanation.link = link_;
        for (const int label : labels) {
            const double start = Linked(label, baseline.data());
            const double end = Linked(label, prediction.data());
            std::vector<double> contributions;
            int steps = options_.steps;
            while (true) {
                DLENT_ASSIGN_OR_RETURN(contributions, Integrate(label, steps));
                double sum = 0.0;
                for (const double contribution : contributions)
                    sum += contribution;
                const double gap = std::abs(sum - (end - start));
                if (gap <= options_.tolerance * std::abs(end - start) || steps * 4 > options_.max_steps)
                    break;
                steps *= 4;
            }
            explanation.samples = std::max(explanation.samples, steps);
            explanation.labels.push_back(Describe(label, start, end, contributions));
        }
        return explanation;
    }

 private:
    Status Prepare() {
        if (options_.steps < kFewestSteps || options_.steps > kMostSteps || options_.max_steps > kMostSteps)
            return Status::Invalid("the number of steps must be between " + std::to_string(kFewestSteps) +
                                   " and " + std::to_string(kMostSteps));
        if (statistics_.feature_count() == 0)
            return {StatusCode::kUnsupported, "the model has no columns that could be explained"};
        const bool regression = model_.target.task() == Task::kRegression;
        link_ = regression                         ? Link::kIdentity
                : options_.link == Link::kIdentity ? Link::kProbability
                                                   : options_.link;
        outputs_ = model_.target.output_count();
        for (size_t member = 0; member < model_.members.size(); ++member) {
            DLENT_ASSIGN_OR_RETURN(PathNetwork path, PathNetwork::Create(model_, member, from_.codes,
                                                                         to_.codes, backend_, kBatch));
            path.network().SetCancelToken(&cancel_);
            networks_.push_back(std::move(path));
        }
        for (size_t i = 0; i < model_.pipeline.inputs().size(); ++i)
            first_feature_.push_back(-1);
        for (int f = statistics_.feature_count() - 1; f >= 0; --f)
            first_feature_[statistics_.features()[f].input] = f;
        const size_t numeric = from_.numeric.size() * kBatch;
        const size_t plain = from_.plain.size() * kBatch;
        DLENT_RETURN_IF_ERROR(numeric_.Allocate(backend_, numeric));
        DLENT_RETURN_IF_ERROR(plain_.Allocate(backend_, plain));
        DLENT_RETURN_IF_ERROR(codes_.Allocate(backend_, from_.codes.size() * kBatch));
        std::vector<int32_t> codes;
        for (int p = 0; p < kBatch; ++p)
            codes.insert(codes.end(), from_.codes.size(), p);
        backend_.Upload(codes_.data(), codes.data(), codes.size() * sizeof(int32_t));
        return Status::Ok();
    }

    /// A class's answer on the link's scale, as LinkedValue() but in double.
    double Linked(int label, const double* answers) const {
        return LinkedValue(link_, model_.target, label, answers[OutputOf(model_.target, label)]);
    }

    /// Runs all members on points of the path: answers_ [points × outputs] as the scorer gives them.
    Status Forward(const std::vector<double>& shares) {
        const size_t points = shares.size();
        const auto blend = [&](const std::vector<float>& from, const std::vector<float>& to) {
            std::vector<float> values;
            for (const double share : shares) {
                for (size_t i = 0; i < from.size(); ++i)
                    values.push_back(
                        static_cast<float>(from[i] + share * (static_cast<double>(to[i]) - from[i])));
            }
            return values;
        };
        const std::vector<float> numeric = blend(from_.numeric, to_.numeric);
        const std::vector<float> plain = blend(from_.plain, to_.plain);
        backend_.Upload(numeric_.data(), numeric.data(), numeric.size() * sizeof(float));
        backend_.Upload(plain_.data(), plain.data(), plain.size() * sizeof(float));
        answers_.assign(points * outputs_, 0.0);
        logits_.clear();
        const BatchInputs batch{static_cast<int>(points), numeric_.data(), plain_.data(), codes_.data()};
        for (PathNetwork& path : networks_) {
            Network& network = path.network();
            DLENT_RETURN_IF_ERROR(path.SetPoints(shares));
            DLENT_RETURN_IF_ERROR(network.Forward(batch, true));
            std::vector<float>& logits = logits_.emplace_back(points * network.members() * outputs_);
            backend_.Download(logits.data(), network.logits(), logits.size() * sizeof(float));
            DLENT_RETURN_IF_ERROR(backend_.Synchronize());
            const double share = 1.0 / static_cast<double>(network.members() * networks_.size());
            for (size_t i = 0; i < points * network.members(); ++i) {
                const std::vector<double> values = Probabilities(logits.data() + i * outputs_);
                double* answer = answers_.data() + i / network.members() * outputs_;
                for (int o = 0; o < outputs_; ++o)
                    answer[o] += share * values[o];
            }
        }
        if (link_ == Link::kIdentity) {
            for (double& answer : answers_)
                answer = model_.target.mean() + answer * model_.target.standard_deviation();
        }
        return Status::Ok();
    }

    /// Of one member's logits; a regression's are what they are.
    std::vector<double> Probabilities(const float* logits) const {
        std::vector<double> values(logits, logits + outputs_);
        if (link_ == Link::kIdentity)
            return values;
        if (model_.target.task() == Task::kBinary) {
            values[0] = 1.0 / (1.0 + std::exp(-values[0] / model_.temperature));
            return values;
        }
        const double highest = *std::max_element(values.begin(), values.end());
        double total = 0.0;
        for (double& value : values) {
            value = std::exp((value - highest) / model_.temperature);
            total += value;
        }
        for (double& value : values)
            value /= total;
        return values;
    }

    /// ∂(linked answer)/∂logits of one member at one point.
    void LogitGradient(int label, const float* logits, const double* answers, double share,
                       float* gradient) const {
        if (link_ == Link::kIdentity) {
            gradient[0] = static_cast<float>(share * model_.target.standard_deviation());
            return;
        }
        const bool binary = model_.target.task() == Task::kBinary;
        const std::vector<double> p = Probabilities(logits);
        double outer = share / model_.temperature;
        if (link_ == Link::kLogit) {
            const double mean = answers[OutputOf(model_.target, label)];
            // beyond, LinkedValue() stands still
            const bool saturated = mean < kNearestProbability || mean > 1.0 - kNearestProbability;
            outer = saturated ? 0.0 : outer / (mean * (1.0 - mean));
        }
        if (binary) {
            gradient[0] = static_cast<float>((label == 0 ? -outer : outer) * p[0] * (1.0 - p[0]));
            return;
        }
        for (int o = 0; o < outputs_; ++o)
            gradient[o] = static_cast<float>(outer * p[label] * ((o == label ? 1.0 : 0.0) - p[o]));
    }

    /// The contribution of every feature.
    Expected<std::vector<double>> Integrate(int label, int steps) {
        const int panels = (steps + kPanelPoints - 1) / kPanelPoints;
        std::vector<double> contributions(static_cast<size_t>(statistics_.feature_count()), 0.0);
        std::vector<double> shares;
        std::vector<double> weights;
        for (int panel = 0; panel < panels; ++panel) {
            for (int i = 0; i < kPanelPoints; ++i) {
                shares.push_back((panel + 0.5 + 0.5 * kPanelNodes[i]) / panels);
                weights.push_back(0.5 * kPanelWeights[i] / panels);
            }
            if (static_cast<int>(shares.size()) + kPanelPoints > kBatch || panel + 1 == panels) {
                DLENT_RETURN_IF_ERROR(AddPoints(label, shares, weights, &contributions));
                shares.clear();
                weights.clear();
            }
        }
        return contributions;
    }

    Status AddPoints(int label, const std::vector<double>& shares, const std::vector<double>& weights,
                     std::vector<double>* contributions) {
        DLENT_RETURN_IF_ERROR(Forward(shares));
        const Pipeline& pipeline = model_.pipeline;
        std::vector<double> of_field(from_.codes.size(), 0.0);
        for (size_t m = 0; m < networks_.size(); ++m) {
            Network& network = networks_[m].network();
            const size_t members = static_cast<size_t>(network.members());
            const double share = 1.0 / static_cast<double>(members * networks_.size());
            std::vector<float> gradient(logits_[m].size());
            for (size_t i = 0; i < shares.size() * members; ++i)
                LogitGradient(label, logits_[m].data() + i * outputs_,
                              answers_.data() + i / members * outputs_, share,
                              gradient.data() + i * outputs_);
            backend_.Upload(network.logits_gradient(), gradient.data(), gradient.size() * sizeof(float));
            for (int output = 1; output < network.output_count(); ++output) {
                const ValueShape& shape = network.output_shape(output);
                backend_.Zero(
                    network.output_gradient(output),
                    shares.size() * static_cast<size_t>(shape.width()) * shape.members * sizeof(float));
            }
            DLENT_RETURN_IF_ERROR(network.Backward());
            DLENT_RETURN_IF_ERROR(AddFloats(network.numeric_gradient(), from_.numeric, to_.numeric,
                                            pipeline.numeric_entries(), weights, contributions));
            DLENT_RETURN_IF_ERROR(AddFloats(network.plain_gradient(), from_.plain, to_.plain,
                                            pipeline.plain_entries(), weights, contributions));
            DLENT_RETURN_IF_ERROR(networks_[m].AddContributions(weights, of_field));
        }
        for (int field = 0; field < pipeline.field_count(); ++field)
            (*contributions)[first_feature_[pipeline.field_input(field)]] += of_field[field];
        return Status::Ok();
    }

    Status AddFloats(const float* device_gradient, const std::vector<float>& from,
                     const std::vector<float>& to, const std::vector<FloatEntry>& entries,
                     const std::vector<double>& weights, std::vector<double>* contributions) {
        std::vector<float> gradient(entries.size() * weights.size());
        backend_.Download(gradient.data(), device_gradient, gradient.size() * sizeof(float));
        DLENT_RETURN_IF_ERROR(backend_.Synchronize());
        for (size_t e = 0; e < entries.size(); ++e) {
            double sum = 0.0;
            for (size_t p = 0; p < weights.size(); ++p)
                sum += weights[p] * gradient[p * entries.size() + e];
            const int first = first_feature_[entries[e].input];
            const bool vector = statistics_.features()[first].kind == ColumnKind::kVector;
            (*contributions)[first + (vector ? entries[e].cell : 0)] +=
                sum * (static_cast<double>(to[e]) - from[e]);
        }
        return Status::Ok();
    }

    LabelExplanation Describe(int label, double start, double end,
                              const std::vector<double>& contributions) const {
        LabelExplanation explanation;
        explanation.label = label;
        explanation.prediction = end;
        explanation.baseline = start;
        explanation.fidelity_r2 = std::numeric_limits<double>::quiet_NaN();
        for (int f = 0; f < statistics_.feature_count(); ++f) {
            Contribution& contribution = explanation.contributions.emplace_back();
            contribution.feature = f;
            contribution.coefficient = contributions[f];
            contribution.contribution = contributions[f];
        }
        std::stable_sort(explanation.contributions.begin(), explanation.contributions.end(),
                         [](const Contribution& a, const Contribution& b) {
                             return std::abs(a.contribution) > std::abs(b.contribution);
                         });
        explanation.local_prediction = start;
        for (const Contribution& contribution : explanation.contributions)
            explanation.local_prediction += contribution.contribution;
        explanation.residual = end - explanation.local_prediction;
        explanation.completeness = std::abs(explanation.residual);
        return explanation;
    }

    const ExplainerStatistics& statistics_;
    const Model& model_;
    const IntegratedGradientsOptions& options_;
    Backend& backend_;
    const CancelToken& cancel_;
    const EncodedRow from_;
    const EncodedRow to_;

    Link link_ = Link::kProbability;
    int outputs_ = 1;
    std::vector<PathNetwork> networks_;
    std::vector<int> first_feature_;  ///< of each input
    DeviceBuffer<float> numeric_;
    DeviceBuffer<float> plain_;
    DeviceBuffer<int32_t> codes_;
    std::vector<double> answers_;
    std::vector<std::vector<float>> logits_;  ///< of each member [points × members × outputs]
};

}  // namespace

std::vector<Cell> TypicalRow(const ExplainerStatistics& statistics) {
    std::vector<Cell> cells(static_cast<size_t>(statistics.cell_count()), Cell{.f = 0.0f});
    for (int f = 0; f < statistics.feature_count(); ++f) {
        const ExplainedFeature& feature = statistics.features()[f];
        double value = feature.median;
        if (feature.categorical) {
            const auto most = std::max_element(feature.level_counts.begin(), feature.level_counts.end());
            value = static_cast<double>(most - feature.level_counts.begin());
        }
        statistics.SetValue(f, value, cells.data());
    }
    return cells;
}

Expected<LocalExplanation> ExplainByIntegratedGradients(const ExplainerStatistics& statistics,
                                                        const Model& model, const Cell* instance,
                                                        const IntegratedGradientsOptions& options,
                                                        Backend& backend, const CancelToken& cancel) {
    const ScopedFlushToZero flush;
    try {
        return PathIntegration(statistics, model, instance, options, backend, cancel).Run();
    } catch (const std::bad_alloc&) {
        return Status(StatusCode::kOutOfMemory, "out of memory for an explanation");
    }
}

}  // namespace dlent
