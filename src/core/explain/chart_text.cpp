#include <algorithm>
#include <cmath>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/explain/chart.h"
#include "core/explain/chart_wording.h"
#include "core/explain/number_text.h"

namespace dlent {
namespace {

constexpr int kMaxNameColumns = 40;
constexpr int kBarColumns = 32;
/// Sums and products of a few of them are finite; a power of two.
constexpr double kLargeContribution = 0x1p900;

std::string Repeated(std::string_view text, int count) {
    std::string repeated;
    for (int i = 0; i < count; ++i)
        repeated += text;
    return repeated;
}

std::string PaddedRight(const std::string& text, int width) {
    return text + std::string(std::max(0, width - DisplayWidth(text)), ' ');
}

std::string PaddedLeft(const std::string& text, int width) {
    return std::string(std::max(0, width - DisplayWidth(text)), ' ') + text;
}

/// A bar that grows right, in eighths of a column.
std::string BarRight(double columns, int width) {
    static constexpr std::string_view kEighths[] = {"",
                                                    "\xE2\x96\x8F",
                                                    "\xE2\x96\x8E",
                                                    "\xE2\x96\x8D",
                                                    "\xE2\x96\x8C",
                                                    "\xE2\x96\x8B",
                                                    "\xE2\x96\x8A",
                                                    "\xE2\x96\x89"};
    const int eighths = std::min(static_cast<int>(std::lround(columns * 8.0)), width * 8);
    return PaddedRight(Repeated("\xE2\x96\x88", eighths / 8) + std::string(kEighths[eighths % 8]), width);
}

/// A bar that grows left; fonts have only the right half of a column.
std::string BarLeft(double columns, int width) {
    const int halves = std::min(static_cast<int>(std::lround(columns * 2.0)), width * 2);
    return PaddedLeft(
        std::string(halves % 2 != 0 ? "\xE2\x96\x90" : "") + Repeated("\xE2\x96\x88", halves / 2), width);
}

/// What this file writes, in ASCII.
std::string WithoutUnicode(std::string text) {
    static constexpr std::pair<std::string_view, std::string_view> kPlain[] = {
        {"\xE2\x94\x82", "|"},  {"\xE2\x96\x88", "#"},  {"\xE2\x96\x89", "#"},  {"\xE2\x96\x8A", "#"},
        {"\xE2\x96\x8B", "#"},  {"\xE2\x96\x8C", "#"},  {"\xE2\x96\x8D", " "},  {"\xE2\x96\x8E", " "},
        {"\xE2\x96\x8F", " "},  {"\xE2\x96\x90", "#"},  {"\xE2\x88\x92", "-"},  {"\xC2\xB1", "+/-"},
        {"\xE2\x89\x88", "~"},  {"\xC2\xB2", "2"},      {"\xE2\x86\x92", "->"}, {"\xE2\x80\xA6", "..."},
        {"\xE2\x80\x9C", "\""}, {"\xE2\x80\x9D", "\""}, {"\xEF\xBF\xBD", "?"}};
    for (const auto& [from, to] : kPlain) {
        for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
            text.replace(at, from.size(), to);
    }
    return text;
}

class TextChart {
 public:
    explicit TextChart(const ExplanationView& view) : view_(view) {}

    std::string Draw() {
        AddLine(ChartTitle(view_));
        const std::string answer = AnswerLine(view_);
        AddLine(answer.empty() ? MethodLine(view_) : answer + "; " + MethodLine(view_));
        for (const std::string& warning : Warnings(view_))
            AddWrapped("! ", warning);
        for (const ExplanationView::Label& label : view_.labels)
            Panel(label);
        if (!view_.alternatives.empty()) {
            AddLine("");
            AddLine("What would change the answer:");
            for (const ExplanationView::Alternative& alternative : view_.alternatives)
                AddWrapped("  ", AlternativeLine(alternative));
        }
        text_.pop_back();  // psql ends the line itself
        return std::move(text_);
    }

 private:
    void AddLine(std::string line) {
        line = Shortened(line, kLineColumns);
        while (!line.empty() && line.back() == ' ')
            line.pop_back();
        text_ += line + "\n";
    }

    void AddWrapped(const std::string& first, const std::string& text) {
        std::string indent = first;
        for (const std::string& line : Wrapped(text, kLineColumns - DisplayWidth(first))) {
            AddLine(indent + line);
            indent.assign(indent.size(), ' ');
        }
    }

    void Panel(const ExplanationView::Label& label) {
        AddLine("");
        std::string heading = LabelHeading(label);
        const std::string fidelity = FidelityText(label);
        if (!fidelity.empty())
            heading += " (" + fidelity + ")";
        AddLine(heading);
        if (!label.has_numbers) {
            for (size_t i = 0; i < label.reasons.size(); ++i)
                AddWrapped("  ", SentenceLine(label, i));
        } else {
            Bars(label);
        }
    }

    void Bars(const ExplanationView::Label& label) {
        std::vector<std::string> numbers;
        const int decimals = ContributionDecimals(label);
        double most = 0.0;
        double least = 0.0;
        int name_columns = DisplayWidth("local prediction");
        int number_columns = 0;
        for (const ExplanationView::Reason& reason : label.reasons) {
            most = std::max(most, reason.contribution);
            least = std::min(least, reason.contribution);
            name_columns = std::max(name_columns, DisplayWidth(Printable(reason.condition)));
            numbers.push_back(FixedText(reason.contribution, decimals, true));
            if (reason.std_error.value_or(0.0) > 0.0)
                numbers.back() +=
                    " \xC2\xB1 " + FixedText(kIntervalDeviations * *reason.std_error, decimals, false);
            number_columns = std::max(number_columns, DisplayWidth(numbers.back()));
        }
        name_columns = std::min(name_columns, kMaxNameColumns);
        // by a power of two, which changes no ratio, so that nothing below overflows
        const double unit = std::max(most, -least) > kLargeContribution ? 1.0 / kLargeContribution : 1.0;
        const double span = most * unit - least * unit;
        const int left = span > 0.0 ? static_cast<int>(std::ceil(kBarColumns * -(least * unit) / span)) : 0;
        const double scale = span > 0.0 ? kBarColumns / span : 0.0;
        for (size_t i = 0; i < label.reasons.size(); ++i) {
            const ExplanationView::Reason& reason = label.reasons[i];
            const double size = std::abs(reason.contribution) * unit * scale;
            const bool lowers = reason.contribution < 0.0;
            AddLine("  " +
                    PaddedRight(Shortened(Printable(reason.condition), kMaxNameColumns), name_columns) + " " +
                    BarLeft(lowers ? size : 0.0, left) + "\xE2\x94\x82" +
                    BarRight(lowers ? 0.0 : size, kBarColumns + 1 - left) + " " +
                    PaddedLeft(numbers[i], number_columns) + (reason.rank_tied ? " \xE2\x89\x88" : ""));
        }
        Sum("baseline", label.baseline, name_columns);
        Sum("local prediction", label.local_prediction, name_columns);
        if (label.prediction)
            Sum("answer", *label.prediction, name_columns);
    }

    void Sum(const std::string& name, double value, int name_columns) {
        AddLine("  " + PaddedRight(name, name_columns) + " " + AnswerText(view_, value));
    }

    const ExplanationView& view_;
    std::string text_;
};

}  // namespace

Expected<std::string> ExplanationText(const Json& document, bool unicode) {
    DLENT_ASSIGN_OR_RETURN(const ExplanationView view, ExplanationView::FromJson(document));
    try {
        std::string text = TextChart(view).Draw();
        return unicode ? std::move(text) : WithoutUnicode(std::move(text));
    } catch (const std::bad_alloc&) {
        return Status(StatusCode::kOutOfMemory, "out of memory", "An explanation was being drawn.");
    }
}

}  // namespace dlent
