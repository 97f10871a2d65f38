#include "core/explain/chart_wording.h"

#include <algorithm>
#include <cmath>

#include "core/explain/number_text.h"

namespace dlent {
namespace {

/// As NumberText(), with a true minus.
std::string SignedText(double value, int digits) {
    return (value < 0.0 ? "\xE2\x88\x92" : "") + NumberText(std::abs(value), digits);
}

std::string MethodName(const std::string& method) {
    if (method == "lime")
        return "LIME";
    if (method == "integrated_gradients")
        return "Integrated Gradients";
    return Printable(method);
}

}  // namespace

std::string ChartTitle(const ExplanationView& view) {
    std::string title = Printable(view.model);
    if (view.version > 0)
        title += ", version " + std::to_string(view.version);
    if (!view.predicted.empty())
        title += ": " + Printable(view.predicted);
    return title;
}

std::string AnswerText(const ExplanationView& view, double value) {
    return view.link == "probability" ? FixedText(value, 3, false) : SignedText(value, 4);
}

std::string AnswerLine(const ExplanationView& view) {
    // of classes it is a probability, whatever the scale of the contributions
    const bool probability = !view.predicted.empty();
    auto text = [&](double value) { return probability ? FixedText(value, 3, false) : SignedText(value, 4); };
    std::string line;
    if (view.value)
        line = (probability ? "probability " : "prediction ") + text(*view.value);
    if (view.threshold)
        line += (line.empty() ? "threshold " : ", threshold ") + text(*view.threshold);
    return line;
}

std::optional<double> ThresholdOf(const ExplanationView& view, const ExplanationView::Label& label) {
    if (!view.threshold || (view.labels.size() > 1 && label.name != view.predicted))
        return std::nullopt;
    if (view.link != "logit")
        return view.threshold;
    const double logit = std::log(*view.threshold / (1.0 - *view.threshold));
    return std::isfinite(logit) ? std::optional<double>(logit) : std::nullopt;
}

std::string SentenceLine(const ExplanationView::Label& label, size_t reason) {
    return std::to_string(reason + 1) + ". " + Printable(label.reasons[reason].text);
}

std::string MethodLine(const ExplanationView& view) {
    std::string line = MethodName(view.method);
    if (view.samples) {
        line += ", " + NumberText(*view.samples, 9) +
                (view.method == "integrated_gradients" ? " steps" : " samples");
    }
    return line;
}

std::string LabelHeading(const ExplanationView::Label& label) {
    if (label.name.empty())
        return "What led to this value";
    return (label.has_numbers ? "For and against \xE2\x80\x9C" : "Reasons for \xE2\x80\x9C") +
           Printable(label.name) + "\xE2\x80\x9D";
}

std::string FidelityText(const ExplanationView::Label& label) {
    if (label.fidelity_r2)
        return "fit of the reasons: R\xC2\xB2 " + FixedText(*label.fidelity_r2, 2, false);
    if (label.completeness)
        return "completeness gap " + NumberText(*label.completeness, 2);
    return {};
}

std::vector<std::string> Warnings(const ExplanationView& view) {
    std::vector<std::string> warnings;
    if (!view.reliable())
        warnings.push_back("Do not rely on these reasons (grade: " + Printable(view.grade) + ").");
    for (const std::string& warning : view.warnings)
        warnings.push_back(Printable(warning));
    return warnings;
}

std::string AlternativeLine(const ExplanationView::Alternative& alternative) {
    std::string line;
    for (size_t i = 0; i < alternative.changes.size(); ++i) {
        const ExplanationView::Change& change = alternative.changes[i];
        if (i > 0)
            line += i + 1 == alternative.changes.size() ? " and " : ", ";
        line += Printable(change.feature) + " " + Printable(change.from) + " \xE2\x86\x92 " +
                Printable(change.to);
    }
    if (!alternative.name.empty()) {
        line += " gives " + Printable(alternative.name);
        if (alternative.value)
            line += " (" + FixedText(*alternative.value, 3, false) + ")";
    } else if (alternative.value) {
        line += " gives " + SignedText(*alternative.value, 4);
    }
    return line;
}

int ContributionDecimals(const ExplanationView::Label& label) {
    double largest = 0.0;
    double error = 0.0;
    for (const ExplanationView::Reason& reason : label.reasons) {
        largest = std::max(largest, std::abs(reason.contribution));
        error = std::max(error, reason.std_error.value_or(0.0));
    }
    const int of_largest = DecimalsFor(largest, 3);
    return error > 0.0 ? std::clamp(DecimalsFor(error, 2), DecimalsFor(largest, 2), of_largest) : of_largest;
}

}  // namespace dlent
