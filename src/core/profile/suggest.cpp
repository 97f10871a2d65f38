#include "core/profile/suggest.h"

#include <charconv>
#include <cmath>

namespace dlent {
namespace {

constexpr double kNormal95 = 1.959963984540054;
constexpr double kFewSingletons = 0.1;
constexpr double kSomeSingletons = 0.4;
constexpr double kDomainMass = 0.9;
constexpr size_t kMostLevels = 100;
constexpr double kNearlyUnique = 0.08;
constexpr uint64_t kFewRows = 20;
/// What may lie outside of the 1 and 99 % quantiles.
constexpr double kTails = 0.02;

double FloorTwoDigits(double share) {
    return std::floor(share * 100.0 + 1e-9) / 100.0;
}

std::string Number(double value) {
    char buffer[32];
    const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::general, 6);
    return std::string(buffer, end.ptr);
}

std::string InList(const std::string& quoted, const std::vector<ColumnProfile::TopValue>& values,
                   size_t count) {
    std::string list;
    for (size_t i = 0; i < count; ++i)
        list += (i > 0 ? ", " : "") + SqlLiteral(values[i].text);
    return quoted + " IN (" + list + ")";
}

void SuggestDomain(const ColumnProfile& profile, const std::string& quoted,
                   std::vector<Suggestion>* suggestions) {
    const double distinct = profile.distinct();
    const double ratio = profile.singleton_share();
    if (!profile.counts_exact() || distinct < 1.0)
        return;
    const std::vector<ColumnProfile::TopValue> top = profile.Top(kMostLevels);
    if (ratio <= kFewSingletons && distinct <= static_cast<double>(kMostLevels)) {
        suggestions->push_back(
            {"domain", InList(quoted, top, top.size()), 0.0, Json(top.size()), Json(top.size())});
        return;
    }
    if (ratio > kSomeSingletons)
        return;
    const double present = static_cast<double>(profile.present());
    double mass = 0.0;
    size_t count = 0;
    while (count < top.size() && mass < kDomainMass * present)
        mass += static_cast<double>(top[count++].count);
    if (mass < kDomainMass * present)
        return;
    const double bound = FloorTwoDigits(WilsonLowerBound(mass, present));
    suggestions->push_back(
        {"mostly_domain", InList(quoted, top, count), 1.0 - bound, Json(mass / present), Json(bound)});
}

}  // namespace

double WilsonLowerBound(double hits, double n) {
    const double p = hits / n;
    const double z2 = kNormal95 * kNormal95;
    return (p + z2 / (2.0 * n) - kNormal95 * std::sqrt(p * (1.0 - p) / n + z2 / (4.0 * n * n))) /
           (1.0 + z2 / n);
}

std::string SqlLiteral(const std::string& text) {
    const bool escape = text.find('\\') != std::string::npos;
    std::string literal = escape ? "E'" : "'";
    for (const char c : text) {
        if (c == '\'' || c == '\\')
            literal += c;
        literal += c;
    }
    return literal + "'";
}

std::vector<Suggestion> SuggestExpectations(const ColumnProfile& profile, const std::string& quoted) {
    std::vector<Suggestion> suggestions;
    const double rows = static_cast<double>(profile.rows());
    if (profile.rows() < kFewRows)
        return suggestions;
    const double present = static_cast<double>(profile.present());
    const double completeness = present / rows;
    if (profile.nulls() == 0) {
        suggestions.push_back({"complete", quoted + " IS NOT NULL", 0.0, Json(1.0), Json(1.0)});
    } else if (completeness > 0.2) {
        const double bound = FloorTwoDigits(WilsonLowerBound(present, rows));
        suggestions.push_back(
            {"mostly_complete", quoted + " IS NOT NULL", 1.0 - bound, Json(completeness), Json(bound)});
    }
    if (profile.present() < kFewRows)
        return suggestions;
    if (profile.kind() == ProfileKind::kText)
        SuggestDomain(profile, quoted, &suggestions);
    if (profile.kind() == ProfileKind::kNumeric && profile.finite() >= kFewRows) {
        if (profile.minimum() >= 0.0)
            suggestions.push_back(
                {"non_negative", quoted + " >= 0", 0.0, Json(profile.minimum()), Json(0.0)});
        const double spread = profile.Quantile(0.75) - profile.Quantile(0.25);
        if (spread > 0.0) {
            const double low = profile.Quantile(0.01) - 3.0 * spread;
            const double high = profile.Quantile(0.99) + 3.0 * spread;
            // heavy tails have their place, and so have NaN and infinities, which lie in no range
            const bool outside = profile.minimum() < low || profile.maximum() > high;
            const bool odd = profile.finite() < profile.present();
            const double finite =
                odd ? FloorTwoDigits(WilsonLowerBound(static_cast<double>(profile.finite()), present)) : 1.0;
            suggestions.push_back({"range", quoted + " BETWEEN " + Number(low) + " AND " + Number(high),
                                   1.0 - finite + (outside ? kTails : 0.0),
                                   Json::array({profile.minimum(), profile.maximum()}),
                                   Json::array({low, high})});
        }
    }
    if (std::abs(1.0 - profile.distinct() / present) <= kNearlyUnique)
        suggestions.push_back({"unique",
                               "pg_catalog.count(DISTINCT " + quoted + ") = pg_catalog.count(" + quoted + ")",
                               0.0, Json(profile.distinct() / present), Json(1.0)});
    return suggestions;
}

}  // namespace dlent
