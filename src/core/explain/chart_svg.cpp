#include <algorithm>
#include <cmath>
#include <cstdint>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/explain/chart.h"
#include "core/explain/chart_wording.h"
#include "core/explain/number_text.h"

namespace dlent {
namespace {

constexpr double kWidth = 820;
constexpr double kMargin = 28;
constexpr double kNamesEnd = 300;  ///< the reasons' texts end here
constexpr double kBarsBegin = 316;
constexpr double kBarsEnd = 664;
constexpr double kNumbersEnd = kWidth - kMargin;
constexpr double kRowHeight = 27;
constexpr double kBarHeight = 15;
constexpr double kLineHeight = 18;
/// Columns of text that fit, at the pessimistic 0.62 em a column of 13 px.
constexpr int kNameColumns = 33;
constexpr int kTitleColumns = 64;
constexpr size_t kMaxAlternativesShown = 3;

/// Okabe and Ito's blue and vermilion, which every common kind of colour vision tells apart, and lighter ones
/// on dark. Raising and lowering are told by side and sign too.
constexpr const char* kStyle =
    ".card{fill:#ffffff;stroke:#d5dae1}"
    "text{font-family:'Helvetica Neue',Helvetica,Arial,'DejaVu Sans',sans-serif;font-size:13px;fill:#1f2933}"
    ".title{font-size:20px;font-weight:600}"
    ".heading{font-size:15px;font-weight:600}"
    ".quiet{fill:#5c6875}"
    ".small{font-size:11.5px}"
    ".end{text-anchor:end}.middle{text-anchor:middle}"
    ".number{font-variant-numeric:tabular-nums}"
    ".raises{fill:#d55e00}.lowers{fill:#0072b2}"
    ".doubtful{fill-opacity:.32}"
    ".error{stroke:#1f2933;stroke-width:1.4}"
    ".grid{stroke:#e4e8ed}.axis{stroke:#7b8794}"
    ".track{fill:#e9edf2}"
    ".threshold{stroke:#1f2933;stroke-width:1.6;stroke-dasharray:4 3}"
    ".mark{fill:#1f2933;stroke:#ffffff;stroke-width:1.5}.hollow{fill:#ffffff;stroke:#1f2933;stroke-width:1.8}"
    ".warning{fill:#fff4d6;stroke:#d9a400}.warning-text{fill:#5f4700}.warning-sign{fill:#d9a400}"
    "@media (prefers-color-scheme:dark){"
    ".card{fill:#161b22;stroke:#30363d}text{fill:#e6edf3}.quiet{fill:#9aa6b2}"
    ".raises{fill:#f28e4b}.lowers{fill:#56a9e0}.error{stroke:#e6edf3}"
    ".grid{stroke:#262d36}.axis{stroke:#8b949e}.track{fill:#2a323c}.threshold{stroke:#e6edf3}"
    ".mark{fill:#e6edf3;stroke:#161b22}.hollow{fill:#161b22;stroke:#e6edf3}"
    ".warning{fill:#3a2f0b;stroke:#b58900}.warning-text{fill:#f3dc94}}";

std::string Coordinate(double value) {
    std::string text = NumberText(std::round(value * 10.0) / 10.0, 5);
    std::erase(text, ',');
    return text;
}

/// A text as XML has it, of ASCII alone. The text is Printable().
std::string Escaped(std::string_view text) {
    std::string escaped;
    for (size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        const auto byte = static_cast<uint8_t>(c);
        if (byte >= 0x80) {
            const int rest = byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : 1;
            uint32_t code = byte & (0x3Fu >> rest);
            for (int k = 0; k < rest && i + 1 < text.size(); ++k)
                code = code << 6 | (static_cast<uint8_t>(text[++i]) & 0x3F);
            escaped += "&#" + std::to_string(code) + ";";
            continue;
        }
        switch (c) {
            case '&':
                escaped += "&amp;";
                break;
            case '<':
                escaped += "&lt;";
                break;
            case '>':
                escaped += "&gt;";
                break;
            case '"':
                escaped += "&quot;";
                break;
            case '\'':
                escaped += "&apos;";
                break;
            default:
                escaped += c;
        }
    }
    return escaped;
}

/// A scale from values to coordinates, with round ticks.
class Axis {
 public:
    Axis(double low, double high, double begin, double end, int ticks) : begin_(begin), end_(end) {
        if (!(high > low)) {
            low -= 0.5;
            high += 0.5;
        }
        low_ = low;
        high_ = high;
        const double rough = (high - low) / ticks;
        const double power = std::pow(10.0, std::floor(std::log10(rough)));
        step_ = power * (rough / power > 5.0   ? 10.0
                         : rough / power > 2.0 ? 5.0
                         : rough / power > 1.0 ? 2.0
                                               : 1.0);
    }
    double At(double value) const {
        return begin_ + (end_ - begin_) * (std::clamp(value, low_, high_) - low_) / (high_ - low_);
    }
    template <typename Visit>
    void EachTick(Visit visit) const {
        for (double k = std::ceil(low_ / step_ - 1e-9); k * step_ <= high_ + step_ * 1e-9; ++k)
            visit(k * step_);
    }
    int decimals() const { return DecimalsFor(step_, 1); }

 private:
    double begin_, end_;
    double low_, high_;
    double step_;
};

class SvgChart {
 public:
    explicit SvgChart(const ExplanationView& view) : view_(view) {}

    std::string Draw() {
        y_ = kMargin;
        Header();
        for (const ExplanationView::Label& label : view_.labels)
            Panel(label);
        Footer();
        const double height = y_ + kMargin - 8;
        const std::string size = "width=\"" + Coordinate(kWidth) + "\" height=\"" + Coordinate(height) + "\"";
        const std::string title = Escaped(ChartTitle(view_));
        return "<svg xmlns=\"http://www.w3.org/2000/svg\" " + size + " viewBox=\"0 0 " + Coordinate(kWidth) +
               " " + Coordinate(height) + "\" role=\"img\" aria-label=\"" + title + "\">\n<title>" + title +
               "</title>\n<style>" + kStyle + "</style>\n<rect class=\"card\" x=\"0.5\" y=\"0.5\" width=\"" +
               Coordinate(kWidth - 1) + "\" height=\"" + Coordinate(height - 1) + "\" rx=\"8\"/>\n" + body_ +
               "</svg>\n";
    }

 private:
    void Text(double x, double y, const std::string& classes, const std::string& text) {
        body_ += "<text x=\"" + Coordinate(x) + "\" y=\"" + Coordinate(y) + "\"" +
                 (classes.empty() ? "" : " class=\"" + classes + "\"") + ">" + Escaped(text) + "</text>\n";
    }
    void Line(double x1, double y1, double x2, double y2, const char* css) {
        body_ += "<line x1=\"" + Coordinate(x1) + "\" y1=\"" + Coordinate(y1) + "\" x2=\"" + Coordinate(x2) +
                 "\" y2=\"" + Coordinate(y2) + "\" class=\"" + css + "\"/>\n";
    }
    void Rect(double x, double y, double width, double height, double radius, const std::string& css) {
        body_ += "<rect x=\"" + Coordinate(x) + "\" y=\"" + Coordinate(y) + "\" width=\"" +
                 Coordinate(width) + "\" height=\"" + Coordinate(height) + "\" rx=\"" + Coordinate(radius) +
                 "\" class=\"" + css + "\"/>\n";
    }
    void Circle(double x, double y, double radius, const char* css) {
        body_ += "<circle cx=\"" + Coordinate(x) + "\" cy=\"" + Coordinate(y) + "\" r=\"" +
                 Coordinate(radius) + "\" class=\"" + css + "\"/>\n";
    }

    void Header() {
        Text(kMargin, y_ + 16, "title", Shortened(ChartTitle(view_), kTitleColumns));
        y_ += 40;
        const std::string answer = AnswerLine(view_);
        Text(kMargin, y_, "quiet",
             Shortened(answer.empty() ? MethodLine(view_) : answer + " \xC2\xB7 " + MethodLine(view_),
                       kLineColumns));
        y_ += 18;
        std::vector<std::string> lines;
        for (const std::string& warning : Warnings(view_)) {
            for (std::string& line : Wrapped(warning, kLineColumns - 8))
                lines.push_back(std::move(line));
        }
        if (lines.empty())
            return;
        const double height = kLineHeight * static_cast<double>(lines.size()) + 14;
        Rect(kMargin, y_, kWidth - 2 * kMargin, height, 6, "warning");
        const double x = kMargin + 14;
        body_ += "<path d=\"M" + Coordinate(x + 9) + " " + Coordinate(y_ + 8) +
                 "l9 16h-18z\" class=\"warning-sign\"/>\n";
        double line_y = y_ + 21;
        for (size_t i = 0; i < lines.size(); ++i, line_y += kLineHeight)
            Text(x + 28, line_y, i == 0 && !view_.reliable() ? "warning-text heading" : "warning-text",
                 lines[i]);
        y_ += height + 10;
    }

    void Panel(const ExplanationView::Label& label) {
        y_ += 26;
        Text(kMargin, y_, "heading", Shortened(LabelHeading(label), kTitleColumns));
        const std::string fidelity = FidelityText(label);
        if (!fidelity.empty())
            Text(kNumbersEnd, y_, "quiet end", fidelity);
        y_ += 12;
        if (label.has_numbers) {
            Scale(label);
            Bars(label);
        } else {
            Sentences(label);
        }
    }

    void Sentences(const ExplanationView::Label& label) {
        for (size_t i = 0; i < label.reasons.size(); ++i) {
            for (const std::string& line : Wrapped(SentenceLine(label, i), kLineColumns)) {
                y_ += kLineHeight;
                Text(kMargin, y_, "", line);
            }
            y_ += 4;
        }
        if (label.reasons.empty())
            NoReasons();
    }

    void NoReasons() {
        Text(kMargin, y_ + 8, "quiet", "No reasons.");
        y_ += 18;
    }

    /// Where the answer starts (what is usual for the perturbed rows) and where it ends, and the threshold.
    void Scale(const ExplanationView::Label& label) {
        const std::optional<double> threshold = ThresholdOf(view_, label);
        std::vector<double> points = {label.baseline, label.local_prediction};
        if (label.prediction)
            points.push_back(*label.prediction);
        if (threshold)
            points.push_back(*threshold);
        double low = *std::min_element(points.begin(), points.end());
        double high = *std::max_element(points.begin(), points.end());
        if (view_.link == "probability") {
            low = std::min(low, 0.0);
            high = std::max(high, 1.0);
        } else {
            const double room = (high - low) * 0.08;
            low -= room;
            high += room;
        }
        const Axis axis(low, high, kMargin + 10, kNumbersEnd - 10, 8);
        const double y = y_ + 32;
        Rect(kMargin, y - 4, kWidth - 2 * kMargin, 8, 4, "track");
        const double answer = label.prediction.value_or(label.local_prediction);
        const double from = axis.At(label.baseline);
        const double to = axis.At(answer);
        Rect(std::min(from, to), y - 4, std::abs(to - from), 8, 0,
             std::string(answer >= label.baseline ? "raises" : "lowers") +
                 (view_.reliable() ? "" : " doubtful"));
        axis.EachTick([&](double tick) {
            Text(axis.At(tick), y + 20, "quiet small middle number", FixedText(tick, axis.decimals(), false));
        });
        // texts above the marks, apart even where the marks are close
        struct Mark {
            double x;
            std::string text;
        };
        std::vector<Mark> marks = {{from, "baseline " + AnswerText(view_, label.baseline)},
                                   {to, "answer " + AnswerText(view_, answer)}};
        if (threshold) {
            const double x = axis.At(*threshold);
            Line(x, y - 11, x, y + 8, "threshold");
            marks.push_back({x, "threshold " + AnswerText(view_, *threshold)});
        }
        Circle(from, y, 5, "hollow");
        Circle(to, y, 5.5, "mark");
        std::stable_sort(marks.begin(), marks.end(), [](const Mark& a, const Mark& b) { return a.x < b.x; });
        constexpr double kColumn = 6.6;
        auto half = [&](const Mark& mark) { return DisplayWidth(mark.text) * kColumn / 2.0; };
        std::vector<double> centres;
        double free = kMargin;
        for (const Mark& mark : marks) {
            centres.push_back(std::max(mark.x, free + half(mark)));
            free = centres.back() + half(mark) + 10;
        }
        double limit = kNumbersEnd;
        for (size_t i = marks.size(); i-- > 0;) {
            centres[i] = std::min(centres[i], limit - half(marks[i]));
            limit = centres[i] - half(marks[i]) - 10;
            Text(centres[i], y - 15, "small middle number", marks[i].text);
        }
        y_ = y + 34;
    }

    void Bars(const ExplanationView::Label& label) {
        if (label.reasons.empty()) {
            NoReasons();
            return;
        }
        double low = 0.0;
        double high = 0.0;
        for (const ExplanationView::Reason& reason : label.reasons) {
            const double half = kIntervalDeviations * reason.std_error.value_or(0.0);
            low = std::min(low, reason.contribution - half);
            high = std::max(high, reason.contribution + half);
        }
        const Axis axis(low, high, kBarsBegin, kBarsEnd, 5);
        const double top = y_;
        const double bottom = y_ + kRowHeight * static_cast<double>(label.reasons.size());
        axis.EachTick([&](double tick) {
            Line(axis.At(tick), top, axis.At(tick), bottom, "grid");
            Text(axis.At(tick), bottom + 16, "quiet small middle number",
                 FixedText(tick, axis.decimals(), true));
        });
        Line(axis.At(0.0), top, axis.At(0.0), bottom, "axis");
        const int decimals = ContributionDecimals(label);
        const bool any_tied =
            std::any_of(label.reasons.begin(), label.reasons.end(),
                        [](const ExplanationView::Reason& reason) { return reason.rank_tied; });
        for (const ExplanationView::Reason& reason : label.reasons)
            Bar(reason, axis, decimals, any_tied ? kNumbersEnd - 15 : kNumbersEnd);
        y_ = bottom + 24;
    }

    void Bar(const ExplanationView::Reason& reason, const Axis& axis, int decimals, double numbers_end) {
        const double middle = y_ + kRowHeight / 2;
        const std::string condition = Printable(reason.condition);
        const double half = kIntervalDeviations * reason.std_error.value_or(0.0);
        std::string number = FixedText(reason.contribution, decimals, true);
        if (half > 0.0)
            number += " \xC2\xB1 " + FixedText(half, decimals, false);
        body_ += "<g><title>" +
                 Escaped(condition + " (" + Printable(reason.feature) + " = " + Printable(reason.value) +
                         "): " + number + (reason.rank_tied ? "; its rank is not certain" : "")) +
                 "</title>\n";
        Text(kNamesEnd, middle + 4.5, "end", Shortened(condition, kNameColumns));
        const double zero = axis.At(0.0);
        const double end = axis.At(reason.contribution);
        Rect(std::min(zero, end), middle - kBarHeight / 2, std::max(std::abs(end - zero), 0.5), kBarHeight, 0,
             std::string(reason.contribution >= 0.0 ? "raises" : "lowers") +
                 (view_.reliable() ? "" : " doubtful"));
        if (half > 0.0) {
            const double left = axis.At(reason.contribution - half);
            const double right = axis.At(reason.contribution + half);
            Line(left, middle, right, middle, "error");
            Line(left, middle - 3.5, left, middle + 3.5, "error");
            Line(right, middle - 3.5, right, middle + 3.5, "error");
        }
        Text(numbers_end, middle + 4.5, "end number", number);
        if (reason.rank_tied)
            Text(kNumbersEnd, middle + 4.5, "end", "\xE2\x89\x88");
        body_ += "</g>\n";
        y_ += kRowHeight;
    }

    void Footer() {
        bool tied = false;
        bool errors = false;
        bool bars = false;
        for (const ExplanationView::Label& label : view_.labels) {
            bars = bars || (label.has_numbers && !label.reasons.empty());
            for (const ExplanationView::Reason& reason : label.reasons) {
                tied = tied || reason.rank_tied;
                errors = errors || reason.std_error.value_or(0.0) > 0.0;
            }
        }
        y_ += 14;
        if (bars) {
            Rect(kMargin, y_ - 9, 11, 11, 0, "raises");
            Text(kMargin + 17, y_, "quiet small", "raises the answer");
            Rect(kMargin + 130, y_ - 9, 11, 11, 0, "lowers");
            Text(kMargin + 147, y_, "quiet small", "lowers it");
        }
        std::string notes = errors ? "whiskers: 95 % interval of the sampling error" : "";
        if (tied)
            notes += std::string(notes.empty() ? "" : "; ") + "\xE2\x89\x88 rank not certain";
        Text(kNumbersEnd, y_, "quiet small end", notes);
        const size_t shown = std::min(view_.alternatives.size(), kMaxAlternativesShown);
        if (shown > 0) {
            y_ += 30;
            Text(kMargin, y_, "heading",
                 shown == 1 ? "What would change the answer" : "What would change the answer, each alone");
            for (size_t i = 0; i < shown; ++i) {
                y_ += kLineHeight + 2;
                Text(kMargin, y_, "", Shortened(AlternativeLine(view_.alternatives[i]), kLineColumns));
            }
        }
        y_ += 8;
    }

    const ExplanationView& view_;
    std::string body_;
    double y_ = 0.0;
};

}  // namespace

Expected<std::string> ExplanationSvg(const Json& document) {
    DLENT_ASSIGN_OR_RETURN(const ExplanationView view, ExplanationView::FromJson(document));
    try {
        return SvgChart(view).Draw();
    } catch (const std::bad_alloc&) {
        return Status(StatusCode::kOutOfMemory, "out of memory", "An explanation was being drawn.");
    }
}

}  // namespace dlent
