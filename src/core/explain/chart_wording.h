#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/explain/explanation_view.h"

namespace dlent {

// What both pictures say in words. All texts are Printable().

/// Half the width of a 95 % interval, in standard errors.
inline constexpr double kIntervalDeviations = 1.959964;
/// Of a line of text at most.
inline constexpr int kLineColumns = 100;

/// "fraud, version 3: true".
std::string ChartTitle(const ExplanationView& view);
/// "probability 0.931, threshold 0.800".
std::string AnswerLine(const ExplanationView& view);
/// "LIME, 5,000 samples".
std::string MethodLine(const ExplanationView& view);
/// "For and against “decline”".
std::string LabelHeading(const ExplanationView::Label& label);
/// How well the reasons add up to the answer: "fit of the reasons: R² 0.41", or "completeness gap 0.0003";
/// empty when unknown.
std::string FidelityText(const ExplanationView::Label& label);
/// The threshold on the scale of the label's answer; absent where it is about another class.
std::optional<double> ThresholdOf(const ExplanationView& view, const ExplanationView::Label& label);
/// What to say above reasons that cannot be relied on, first the verdict; empty when they can be.
std::vector<std::string> Warnings(const ExplanationView& view);
/// "amount 1,890 → 320 and is_night true → false gives accept (0.610)".
std::string AlternativeLine(const ExplanationView::Alternative& alternative);

/// Decimals that show the contributions of a label: two significant digits of the standard errors, but two
/// or three of the largest contribution.
int ContributionDecimals(const ExplanationView::Label& label);
/// Of answers on the label's scale.
std::string AnswerText(const ExplanationView& view, double value);
/// A sentence of a customer's document, numbered.
std::string SentenceLine(const ExplanationView::Label& label, size_t reason);

}  // namespace dlent
