#include "core/drift/live_sketch.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "core/drift/watched_number.h"

namespace dlent {
namespace {

constexpr const char* kSketchFormat = "dlent.sketch/1";

}  // namespace

size_t LiveSketch::Variable::CounterOfNumber(float value) const {
    if (!std::isfinite(value))
        return kMissing;
    // how many edges are below the value, without a branch that data decide
    const float* const first = edges.data();
    size_t below = 0;
    for (size_t half = kMostEdges / 2; half > 0; half /= 2)
        below += first[below + half - 1] < value ? half : 0;
    below += first[below] < value ? 1 : 0;
    return below == 0 && value < edges[0] ? kBelow : kFirstEdge + below;
}

size_t LiveSketch::Variable::CounterOfCode(int32_t code) const {
    const size_t place = static_cast<size_t>(code + 1);
    return code >= -1 && place < counter_of_code.size() ? counter_of_code[place] : size_t{kOther};
}

Status LiveSketch::AddVariable(Variable variable, const DriftSample& sample) {
    variable.first_counter = counter_count_;
    variable.categorical = sample.categorical;
    variable.exact = sample.sketch.exact;
    variable.edge_count = sample.sketch.edges.size();
    if (variable.edge_count > kMostEdges)
        return Status::Corrupt("the stored reference has too many edges");
    for (const double edge : sample.sketch.edges)
        variable.edges.push_back(static_cast<float>(edge));
    variable.edges.resize(kMostEdges, std::numeric_limits<float>::infinity());
    for (const DriftSample::Level& level : sample.levels)
        variable.levels.push_back(level.text);
    counter_count_ += variable.counter_count();
    variables_.push_back(std::move(variable));
    return Status::Ok();
}

Expected<LiveSketch> LiveSketch::Create(const DriftReference& reference, const Pipeline& pipeline,
                                        const TargetEncoder& target) {
    const auto mismatch = [] { return Status::Corrupt("the stored reference is of another version"); };
    if (reference.features.size() != pipeline.inputs().size())
        return mismatch();
    LiveSketch sketch;
    sketch.output_count_ = target.output_count();
    // The counter of each of `texts`, after that of "none of them".
    const auto counters_of = [](const DriftSample& sample, const std::vector<std::string>& texts,
                                uint32_t none) {
        std::unordered_map<std::string_view, uint32_t> place;
        for (const DriftSample::Level& level : sample.levels)
            place.emplace(level.text, static_cast<uint32_t>(kFirstLevel + place.size()));
        std::vector<uint32_t> counters = {none};
        for (const std::string& text : texts) {
            const auto found = place.find(text);
            counters.push_back(found == place.end() ? static_cast<uint32_t>(kOther) : found->second);
        }
        return counters;
    };
    for (size_t i = 0; i < reference.features.size(); ++i) {
        const DriftReference::Feature& feature = reference.features[i];
        const PipelineInput& input = pipeline.inputs()[i];
        if (feature.variable.name != input.name || feature.variable.kind != input.kind)
            return mismatch();
        Variable variable;
        variable.name = input.name;
        variable.kind = input.kind;
        variable.width = input.width;
        variable.first_cell = pipeline.first_cell(static_cast<int>(i));
        if (input.kind == ColumnKind::kBoolean) {
            variable.counter_of_code = counters_of(feature.sample, {"false", "true"}, kMissing);
        } else if (input.kind == ColumnKind::kCategory) {
            const int32_t null_code = pipeline.NullCode(static_cast<int>(i));
            // −1 is NULL where unknown levels have a code, and either where neither was seen in training
            const bool minus_one_is_null = null_code < 0 && input.other_count > 0;
            variable.counter_of_code = counters_of(
                feature.sample, input.levels, static_cast<uint32_t>(minus_one_is_null ? kMissing : kOther));
            if (input.other_count > 0)
                variable.counter_of_code.push_back(kOther);
            if (null_code >= 0)
                variable.counter_of_code.push_back(kMissing);
        }
        DLENT_RETURN_IF_ERROR(sketch.AddVariable(std::move(variable), feature.sample));
    }
    sketch.feature_count_ = sketch.variables_.size();
    if (reference.prediction) {
        Variable answer;
        if (reference.prediction->categorical)
            answer.counter_of_code = counters_of(*reference.prediction, target.labels(), kOther);
        if (reference.prediction->categorical != (target.task() == Task::kMulticlass))
            return mismatch();
        DLENT_RETURN_IF_ERROR(sketch.AddVariable(std::move(answer), *reference.prediction));
    }
    return sketch;
}

size_t LiveSketch::CounterOf(const Variable& variable, const Cell* cells) const {
    const Cell* const first = cells + variable.first_cell;
    switch (variable.kind) {
        case ColumnKind::kNumeric:
            return variable.first_counter + variable.CounterOfNumber(first->f);
        case ColumnKind::kCategory:
            return variable.first_counter + variable.CounterOfCode(first->code);
        case ColumnKind::kBoolean:
            return variable.first_counter +
                   variable.CounterOfCode(std::isfinite(first->f) ? first->f != 0.0f : -1);
        default:
            return variable.first_counter +
                   variable.CounterOfNumber(WatchedNumber(variable.kind, variable.width,
                                                          [first](int cell) { return first[cell].f; }));
    }
}

void LiveSketch::Add(const Cell* cells, const float* outputs, uint64_t weight,
                     std::atomic<uint64_t>* counters) const {
    counters[kRows].fetch_add(weight, std::memory_order_relaxed);
    counters[kSquares].fetch_add(weight * weight, std::memory_order_relaxed);
    // first where, then the additions: each of these waits for the one before it, and would for all between
    constexpr size_t kAtOnce = 128;
    size_t where[kAtOnce];
    for (size_t begin = 0; begin < feature_count_; begin += kAtOnce) {
        const size_t count = std::min(kAtOnce, feature_count_ - begin);
        for (size_t i = 0; i < count; ++i)
            where[i] = CounterOf(variables_[begin + i], cells);
        for (size_t i = 0; i < count; ++i)
            counters[where[i]].fetch_add(weight, std::memory_order_relaxed);
    }
    if (feature_count_ == variables_.size())
        return;
    const Variable& answer = variables_.back();
    const size_t counter = answer.categorical
                               ? answer.CounterOfCode(static_cast<int32_t>(
                                     std::max_element(outputs, outputs + output_count_) - outputs))
                               : answer.CounterOfNumber(outputs[0]);
    counters[answer.first_counter + counter].fetch_add(weight, std::memory_order_relaxed);
}

Json LiveSketch::VariableJson(const Variable& variable, std::span<const uint64_t> counters) const {
    const std::span<const uint64_t> own = counters.subspan(variable.first_counter, variable.counter_count());
    Json json = Json::object();
    if (!variable.name.empty())
        json["name"] = variable.name;
    json["missing"] = own[kMissing];
    if (variable.categorical) {
        json["other"] = own[kOther];
        json["counts"] = Json(std::vector<uint64_t>(own.begin() + kFirstLevel, own.end()));
    } else {
        json["below"] = own[kBelow];
        json["counts"] = Json(std::vector<uint64_t>(own.begin() + kFirstEdge, own.end() - 1));
        json["above"] = own.back();
    }
    return json;
}

Json LiveSketch::ToJson(std::span<const uint64_t> counters) const {
    Json json = {{"format", kSketchFormat}, {"rows", counters[kRows]}, {"squares", counters[kSquares]}};
    Json features = Json::array();
    for (size_t i = 0; i < feature_count_; ++i)
        features.push_back(VariableJson(variables_[i], counters));
    json["features"] = std::move(features);
    if (feature_count_ < variables_.size())
        json["prediction"] = VariableJson(variables_.back(), counters);
    return json;
}

Status LiveSketch::AddJson(const Json& json, std::span<uint64_t> counters) const {
    const auto corrupt = [] { return Status::Corrupt("a stored distribution is damaged"); };
    const auto add = [](const Json& object, const char* key, uint64_t* counter) {
        if (!object.contains(key) || !object[key].is_number_unsigned())
            return false;
        *counter += object[key].get<uint64_t>();
        return true;
    };
    if (!json.is_object() || json.value("format", "") != kSketchFormat ||
        !add(json, "rows", &counters[kRows]) || !add(json, "squares", &counters[kSquares]) ||
        !json.contains("features") || !json["features"].is_array() ||
        json["features"].size() != feature_count_ ||
        json.contains("prediction") != (feature_count_ < variables_.size()))
        return corrupt();
    for (size_t i = 0; i < variables_.size(); ++i) {
        const Variable& variable = variables_[i];
        const Json& stored = i < feature_count_ ? json["features"][i] : json["prediction"];
        uint64_t* const own = &counters[variable.first_counter];
        const size_t count = variable.categorical ? variable.levels.size() : variable.edge_count;
        if (!stored.is_object() || !add(stored, "missing", &own[kMissing]) || !stored.contains("counts") ||
            !stored["counts"].is_array() || stored["counts"].size() != count)
            return corrupt();
        if (variable.categorical ? !add(stored, "other", &own[kOther])
                                 : !add(stored, "below", &own[kBelow]) ||
                                       !add(stored, "above", &own[variable.counter_count() - 1]))
            return corrupt();
        for (size_t k = 0; k < count; ++k) {
            if (!stored["counts"][k].is_number_unsigned())
                return corrupt();
            own[(variable.categorical ? kFirstLevel : kFirstEdge) + k] += stored["counts"][k].get<uint64_t>();
        }
    }
    return Status::Ok();
}

DriftSample LiveSketch::SampleOf(const Variable& variable, std::span<const uint64_t> counters,
                                 double scale) const {
    const std::span<const uint64_t> own = counters.subspan(variable.first_counter, variable.counter_count());
    DriftSample sample;
    sample.categorical = variable.categorical;
    double present = 0.0;
    const auto scaled = [&](size_t counter) {
        const double count = static_cast<double>(own[counter]) * scale;
        present += count;
        return count;
    };
    if (variable.categorical) {
        sample.other_count = scaled(kOther);
        for (size_t i = 0; i < variable.levels.size(); ++i) {
            const double count = scaled(kFirstLevel + i);
            if (count > 0.0)
                sample.levels.push_back({variable.levels[i], count});
        }
    } else {
        const double below = scaled(kBelow);
        for (size_t i = 0; i < variable.edge_count; ++i) {
            sample.sketch.edges.push_back(static_cast<double>(variable.edges[i]));
            sample.sketch.counts.push_back(scaled(kFirstEdge + i));
        }
        const double above = scaled(own.size() - 1);
        if (!sample.sketch.counts.empty()) {
            sample.sketch.counts.front() += below;
            sample.sketch.counts.back() += above;
        }
        sample.sketch.exact = variable.exact;
        sample.outside = below + above;
    }
    sample.missing = static_cast<uint64_t>(std::llround(static_cast<double>(own[kMissing]) * scale));
    sample.rows = sample.missing + static_cast<uint64_t>(std::llround(present));
    return sample;
}

LiveSketch::Samples LiveSketch::ToSamples(std::span<const uint64_t> counters) const {
    Samples samples;
    samples.rows = static_cast<double>(counters[kRows]);
    const auto squares = static_cast<double>(counters[kSquares]);
    samples.effective_rows = squares > 0.0 ? samples.rows * samples.rows / squares : 0.0;
    const double scale = samples.rows > 0.0 ? samples.effective_rows / samples.rows : 0.0;
    for (size_t i = 0; i < feature_count_; ++i)
        samples.features.push_back(SampleOf(variables_[i], counters, scale));
    if (feature_count_ < variables_.size())
        samples.prediction = SampleOf(variables_.back(), counters, scale);
    return samples;
}

}  // namespace dlent
