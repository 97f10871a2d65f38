#include "core/observe/recorded_features.h"

#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace dlent {
namespace {

constexpr std::chrono::sys_days kEpoch = std::chrono::sys_days(std::chrono::January / 1 / 2000);
constexpr int kSecondsPerDay = 86400;

std::string DateText(int64_t days) {
    const std::chrono::year_month_day date(kEpoch + std::chrono::days(days));
    char text[32];
    std::snprintf(text, sizeof(text), "%04d-%02u-%02u", static_cast<int>(date.year()),
                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
    return text;
}

std::string TimeText(int seconds) {
    char text[32];
    std::snprintf(text, sizeof(text), "%02d:%02d:%02d", seconds / 3600, seconds / 60 % 60, seconds % 60);
    return text;
}

/// The shortest digits that mean this float: 0.1, not 0.10000000149.
std::string FloatText(float value) {
    char text[64];
    const std::to_chars_result end = std::to_chars(text, text + sizeof(text), value);
    return {text, end.ptr};
}

std::string IntervalText(float seconds) {
    return "PT" + FloatText(seconds) + "S";
}

Json NumberJson(float value) {
    constexpr float kLargestExact = 1 << 24;
    if (!std::isfinite(value))
        return Json();
    if (value == std::trunc(value) && std::abs(value) <= kLargestExact)
        return Json(static_cast<int64_t>(value));
    return Json(std::strtod(FloatText(value).c_str(), nullptr));
}

/// The day is told by the first cell, the time of day, to the second, by the two that follow.
std::string TimestampText(const Cell* cells) {
    const double turn = std::atan2(cells[1].f, cells[2].f) / (2.0 * M_PI);
    const double share = turn < 0.0 ? turn + 1.0 : turn;
    auto days = std::llround(static_cast<double>(cells[0].f) - share);
    auto seconds = static_cast<int>(std::lround(share * kSecondsPerDay));
    if (seconds == kSecondsPerDay) {
        seconds = 0;
        ++days;
    }
    return DateText(days) + "T" + TimeText(seconds) + "Z";
}

}  // namespace

Json RecordedFeatures(const Pipeline& pipeline, std::span<const Cell> cells) {
    Json features = Json::object();
    const auto& inputs = pipeline.inputs();
    for (size_t i = 0; i < inputs.size(); ++i) {
        const PipelineInput& input = inputs[i];
        const Cell* const first = &cells[static_cast<size_t>(pipeline.first_cell(static_cast<int>(i)))];
        Json& value = features[input.name];
        switch (input.kind) {
            case ColumnKind::kCategory:
                if (first->code >= 0 && static_cast<size_t>(first->code) < input.levels.size())
                    value = input.levels[static_cast<size_t>(first->code)];
                else if (first->code != pipeline.NullCode(static_cast<int>(i)))
                    features.erase(input.name);
                break;
            case ColumnKind::kBoolean:
                if (!std::isnan(first->f))
                    value = first->f != 0.0f;
                break;
            case ColumnKind::kVector: {
                bool known = false;
                Json numbers = Json::array();
                for (int k = 0; k < input.width; ++k) {
                    known = known || !std::isnan(first[k].f);
                    numbers.push_back(NumberJson(first[k].f));
                }
                if (known)
                    value = std::move(numbers);
                break;
            }
            case ColumnKind::kTimestamp:
                if (std::isfinite(first->f))
                    value = TimestampText(first);
                break;
            case ColumnKind::kDate:
                if (std::isfinite(first->f))
                    value = DateText(static_cast<int64_t>(first->f));
                break;
            case ColumnKind::kTime:
                if (std::isfinite(first->f))
                    value = TimeText(static_cast<int>(first->f));  // 24:00:00 is one too
                break;
            case ColumnKind::kInterval:
                if (std::isfinite(first->f))
                    value = IntervalText(first->f);
                break;
            case ColumnKind::kNumeric:
                value = NumberJson(first->f);
                break;
        }
    }
    return features;
}

Json RecordedProbabilities(std::span<const std::string> labels, std::span<const float> probabilities) {
    Json recorded = Json::object();
    if (labels.size() != probabilities.size())
        return recorded;
    for (size_t i = 0; i < labels.size(); ++i)
        recorded[labels[i]] = NumberJson(probabilities[i]);
    return recorded;
}

}  // namespace dlent
