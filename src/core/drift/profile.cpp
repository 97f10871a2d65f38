#include "core/drift/profile.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include "core/drift/binning.h"
#include "core/drift/distances.h"
#include "core/drift/tests.h"

namespace dlent {
namespace {

constexpr double kAlpha = 0.05;
constexpr double kDlentThreshold = 0.1;
constexpr int kDlentBins = 10;
/// The exact law of Smirnov's statistic takes n·m steps.
constexpr double kExactSteps = 2e5;
/// Values that stand for a stored sketch where a statistic wants values.
constexpr size_t kExpandedValues = 10000;
constexpr double kSmallestExpected = 5.0;
constexpr size_t kEvidentlyFewRows = 1000;
constexpr size_t kEvidentlyFewValues = 5;
constexpr int kNannyChunks = 10;

struct ProfileName {
    DriftProfile profile;
    const char* name;
};
constexpr ProfileName kProfiles[] = {
    {DriftProfile::kDlent, "dlent"},     {DriftProfile::kEvidently, "evidently"},
    {DriftProfile::kNannyml, "nannyml"}, {DriftProfile::kBigquery, "bigquery"},
    {DriftProfile::kAlibi, "alibi"},     {DriftProfile::kDeequ, "deequ"}};
struct CorrectionName {
    DriftCorrection correction;
    const char* name;
};
constexpr CorrectionName kCorrections[] = {{DriftCorrection::kNone, "none"},
                                           {DriftCorrection::kBonferroni, "bonferroni"},
                                           {DriftCorrection::kBenjaminiHochberg, "bh"}};

/// Whether numbers were counted over the reference's own edges, and are not at hand.
bool IsCounted(const DriftSample& current) {
    return current.sorted.empty() && !current.sketch.counts.empty();
}

double EffectiveRows(double n, double m) {
    return n * m / (n + m);
}

/// Counts of both samples by level, over the reference's levels, then those of the current sample that it
/// does not have, each side's unlisted ones last.
Histograms AlignLevels(const DriftSample& reference, const DriftSample& current, double* unseen) {
    Histograms aligned;
    std::unordered_map<std::string_view, size_t> place;
    for (const DriftSample::Level& level : reference.levels) {
        place.emplace(level.text, place.size());
        aligned.reference.push_back(level.count);
    }
    aligned.current.assign(aligned.reference.size(), 0.0);
    double unlisted = current.other_count;
    *unseen = 0.0;
    for (const DriftSample::Level& level : current.levels) {
        const auto found = place.find(level.text);
        if (found != place.end()) {
            aligned.current[found->second] += level.count;
        } else if (reference.other_count > 0.0) {
            unlisted += level.count;  // it may be one of those
        } else {
            aligned.reference.push_back(0.0);
            aligned.current.push_back(level.count);
            *unseen += level.count;
        }
    }
    if (reference.other_count + unlisted > 0.0) {
        aligned.reference.push_back(reference.other_count);
        aligned.current.push_back(unlisted);
    }
    return aligned;
}

/// Levels that are too rare for a χ² test become one.
Histograms PoolRare(const Histograms& aligned) {
    const double n = std::accumulate(aligned.reference.begin(), aligned.reference.end(), 0.0);
    const double m = std::accumulate(aligned.current.begin(), aligned.current.end(), 0.0);
    Histograms pooled;
    double rare_reference = 0.0;
    double rare_current = 0.0;
    for (size_t i = 0; i < aligned.reference.size(); ++i) {
        const double total = aligned.reference[i] + aligned.current[i];
        if (total * std::min(n, m) / (n + m) < kSmallestExpected) {
            rare_reference += aligned.reference[i];
            rare_current += aligned.current[i];
        } else {
            pooled.reference.push_back(aligned.reference[i]);
            pooled.current.push_back(aligned.current[i]);
        }
    }
    const double rare = rare_reference + rare_current;
    if (rare > 0.0 && (rare * std::min(n, m) / (n + m) >= kSmallestExpected || pooled.reference.empty())) {
        pooled.reference.push_back(rare_reference);
        pooled.current.push_back(rare_current);
    } else if (rare > 0.0) {
        // still too rare: with the rarest of the others
        size_t smallest = 0;
        for (size_t i = 1; i < pooled.reference.size(); ++i) {
            if (pooled.reference[i] + pooled.current[i] <
                pooled.reference[smallest] + pooled.current[smallest])
                smallest = i;
        }
        pooled.reference[smallest] += rare_reference;
        pooled.current[smallest] += rare_current;
    }
    return pooled;
}

/// What a comparison says before p-values are corrected.
struct Judgement {
    DriftFinding finding;
    bool by_p_value = false;   ///< drifted needs p below α
    bool by_distance = false;  ///< drifted needs value at or above the threshold
    bool strictly = false;     ///< above the threshold
};

class Judge {
 public:
    Judge(const DriftOptions& options, const CancelToken& cancel) : options_(options), cancel_(cancel) {}

    Status Add(const DriftComparison& comparison) {
        comparison_ = &comparison;
        const DriftSample& reference = *comparison.reference;
        const DriftSample& current = *comparison.current;
        if (reference.present() == 0 || current.present() == 0) {
            Judgement judgement = Begin("none");
            judgement.finding.details["reason"] = current.rows == 0        ? "there are no rows"
                                                  : current.present() == 0 ? "every value is missing"
                                                                           : "the reference has no value";
            judgements_.push_back(std::move(judgement));
        } else {
            DLENT_RETURN_IF_ERROR(reference.categorical ? Levels() : Numbers());
        }
        if (options_.profile == DriftProfile::kDlent && reference.missing + current.missing > 0 &&
            reference.rows > 0 && current.rows > 0)
            Missing();
        return cancel_.IsCancelled() ? Status::Cancelled() : Status::Ok();
    }

    std::vector<DriftFinding> Decide() {
        DriftCorrection correction = options_.profile == DriftProfile::kDlent
                                         ? DriftCorrection::kBenjaminiHochberg
                                     : options_.profile == DriftProfile::kAlibi ? DriftCorrection::kBonferroni
                                                                                : DriftCorrection::kNone;
        correction = options_.correction.value_or(correction);
        std::vector<double> p_values;
        for (const Judgement& judgement : judgements_)
            p_values.push_back(judgement.by_p_value ? judgement.finding.p_value.value_or(NAN) : NAN);
        const std::vector<double> adjusted = correction == DriftCorrection::kNone ? p_values
                                             : correction == DriftCorrection::kBonferroni
                                                 ? Bonferroni(p_values)
                                                 : BenjaminiHochberg(p_values);
        const double alpha = options_.alpha.value_or(kAlpha);
        std::vector<DriftFinding> findings;
        for (size_t i = 0; i < judgements_.size(); ++i) {
            Judgement& judgement = judgements_[i];
            DriftFinding& finding = judgement.finding;
            std::optional<bool> drifted;
            if (judgement.by_distance && finding.value && finding.threshold)
                drifted = judgement.strictly ? *finding.value > *finding.threshold
                                             : *finding.value >= *finding.threshold;
            if (judgement.by_p_value) {
                finding.details["alpha"] = alpha;
                finding.details["correction"] = DriftCorrectionName(correction);
                if (finding.p_value) {
                    if (correction != DriftCorrection::kNone)
                        finding.details["adjusted_p_value"] = adjusted[i];
                    drifted = drifted.value_or(true) && adjusted[i] < alpha;
                } else {
                    drifted.reset();
                }
            }
            finding.drifted = drifted;
            findings.push_back(std::move(finding));
        }
        return findings;
    }

 private:
    Judgement Begin(const char* statistic) const {
        Judgement judgement;
        judgement.finding.feature = comparison_->feature;
        judgement.finding.kind = comparison_->kind;
        judgement.finding.statistic = statistic;
        judgement.finding.details = {{"kind", comparison_->kind},
                                     {"profile", DriftProfileName(options_.profile)},
                                     {"reference_rows", comparison_->reference->present()},
                                     {"rows", comparison_->current->present()}};
        return judgement;
    }

    /// Judged by distance against the profile's threshold or the caller's.
    Judgement ByDistance(const char* statistic, double value, double threshold, bool strictly) const {
        Judgement judgement = Begin(statistic);
        judgement.by_distance = true;
        judgement.strictly = strictly;
        if (!std::isnan(value))
            judgement.finding.value = value;
        judgement.finding.threshold = options_.threshold.value_or(threshold);
        return judgement;
    }

    Judgement ByTest(const char* statistic, const TestResult& test) const {
        Judgement judgement = Begin(statistic);
        judgement.by_p_value = true;
        if (!std::isnan(test.statistic))
            judgement.finding.value = test.statistic;
        if (!std::isnan(test.p_value))
            judgement.finding.p_value = test.p_value;
        return judgement;
    }

    /// Distance and test, of which both must speak: the dlent profile.
    void AddDlent(const BinnedDistance& binned, const TestResult& test, const char* test_name,
                  double effective, Json more) {
        const double base = options_.threshold.value_or(kDlentThreshold);
        // what chance adds to the divergence on average
        const double noise = std::max(binned.bins - 1, 0) / (8.0 * effective * M_LN2);
        Judgement judgement = ByTest("js_distance", test);
        judgement.by_distance = true;
        judgement.finding.value = binned.distance;
        judgement.finding.threshold = std::sqrt(base * base + noise);
        Json& details = judgement.finding.details;
        details["bins"] = binned.bins;
        details["test"] = test_name;
        details["test_statistic"] = std::isnan(test.statistic) ? Json() : Json(test.statistic);
        details.update(more);
        judgements_.push_back(std::move(judgement));
    }

    Status Numbers() {
        const DriftSample& reference = *comparison_->reference;
        const DriftSample& current = *comparison_->current;
        const double n = static_cast<double>(reference.present());
        const double m = static_cast<double>(current.present());
        if (options_.profile == DriftProfile::kDlent) {
            const bool counted = IsCounted(current);
            const std::vector<double> counts =
                counted ? current.sketch.counts : reference.sketch.Count(current.sorted);
            TestResult test;
            double below_n = 0.0;
            double below_m = 0.0;
            for (size_t i = 0; i < counts.size(); ++i) {
                below_n += reference.sketch.counts[i];
                below_m += counts[i];
                test.statistic = std::max(test.statistic, std::abs(below_n / n - below_m / m));
            }
            DLENT_ASSIGN_OR_RETURN(
                test.p_value,
                KolmogorovSmirnovSf(test.statistic, static_cast<int64_t>(n), static_cast<int64_t>(m),
                                    n * m <= kExactSteps ? SmirnovMethod::kExact : SmirnovMethod::kAsymptotic,
                                    cancel_));
            const double outside =
                counted ? current.outside
                        : static_cast<double>((std::lower_bound(current.sorted.begin(), current.sorted.end(),
                                                                reference.sketch.edges.front()) -
                                               current.sorted.begin()) +
                                              (current.sorted.end() -
                                               std::upper_bound(current.sorted.begin(), current.sorted.end(),
                                                                reference.sketch.edges.back())));
            AddDlent(BinnedJensenShannon(reference.sketch, counts), test, "ks", EffectiveRows(n, m),
                     {{"outside_range", outside / m}});
            return Status::Ok();
        }

        const bool expanded = reference.sorted.empty();
        const std::vector<double> stand_in =
            expanded ? reference.sketch.Expand(kExpandedValues) : std::vector<double>();
        const std::vector<double>& x = expanded ? stand_in : reference.sorted;
        const bool counted = IsCounted(current);
        const std::vector<double> counted_values =
            counted ? current.sketch.Expand(kExpandedValues) : std::vector<double>();
        const std::vector<double>& y = counted ? counted_values : current.sorted;
        const size_t before = judgements_.size();
        switch (options_.profile) {
            case DriftProfile::kEvidently:
                DLENT_RETURN_IF_ERROR(EvidentlyNumbers(x, y));
                break;
            case DriftProfile::kNannyml: {
                const Histograms bins = NannyHistograms(x, y);
                Judgement judgement =
                    ByDistance("js_distance",
                               JensenShannonDistance(bins.reference, bins.current, LogBase::kTwo), 0.0, true);
                judgement.finding.details["bins"] = bins.reference.size();
                NannyThreshold(static_cast<int>(bins.reference.size()), x, &judgement);
                judgements_.push_back(std::move(judgement));
                break;
            }
            case DriftProfile::kBigquery: {
                const Histograms bins = AlignHistograms(TfdvHistogram(x), TfdvHistogram(y));
                Judgement judgement = ByDistance(
                    "js_divergence", JensenShannonDivergence(bins.reference, bins.current, LogBase::kTwo),
                    0.3, true);
                judgement.finding.details["bins"] = bins.reference.size();
                judgements_.push_back(std::move(judgement));
                break;
            }
            case DriftProfile::kAlibi: {
                TestResult test;
                test.statistic = KolmogorovSmirnovDistance(x, y);
                DLENT_ASSIGN_OR_RETURN(
                    test.p_value,
                    KolmogorovSmirnovSf(test.statistic, static_cast<int64_t>(n), static_cast<int64_t>(m),
                                        SmirnovMethod::kAsymptotic, cancel_));
                judgements_.push_back(ByTest("ks", test));
                break;
            }
            default:
                AddDeequ(KolmogorovSmirnovDistance(x, y), n, m);
                break;
        }
        if (expanded) {
            for (size_t i = before; i < judgements_.size(); ++i)
                judgements_[i].finding.details["reference"] = "values spread over the stored sketch";
        }
        if (counted) {
            for (size_t i = before; i < judgements_.size(); ++i)
                judgements_[i].finding.details["current"] = "values spread over the counted bins";
        }
        return Status::Ok();
    }

    Status EvidentlyNumbers(const std::vector<double>& x, const std::vector<double>& y) {
        const uint64_t n = comparison_->reference->present();
        size_t distinct = 0;
        for (size_t i = 0; i < x.size() && distinct <= kEvidentlyFewValues; ++i)
            distinct += i == 0 || x[i] != x[i - 1];
        if (distinct <= kEvidentlyFewValues) {
            EvidentlyLevels(EvidentlyHistograms(x, y), static_cast<size_t>(distinct));
            return Status::Ok();
        }
        if (n > kEvidentlyFewRows) {
            judgements_.push_back(ByDistance("wasserstein", NormalisedWasserstein(x, y), 0.1, false));
            return Status::Ok();
        }
        DLENT_ASSIGN_OR_RETURN(const TestResult test,
                               KolmogorovSmirnovTest(x, y, SmirnovMethod::kAuto, cancel_));
        judgements_.push_back(ByTest("ks", test));
        return Status::Ok();
    }

    /// `values`: distinct ones of the reference.
    void EvidentlyLevels(const Histograms& aligned, size_t values) {
        const double n = std::accumulate(aligned.reference.begin(), aligned.reference.end(), 0.0);
        const double m = std::accumulate(aligned.current.begin(), aligned.current.end(), 0.0);
        if (comparison_->reference->present() > kEvidentlyFewRows) {
            Judgement judgement = ByDistance(
                "js_distance", JensenShannonDistance(aligned.reference, aligned.current, LogBase::kNatural),
                0.1, false);
            judgement.finding.details["bins"] = aligned.reference.size();
            judgements_.push_back(std::move(judgement));
        } else if (values <= 2 && aligned.reference.size() <= 2) {
            judgements_.push_back(
                ByTest("z", ProportionTest(aligned.reference[0], n, aligned.current[0], m)));
        } else {
            judgements_.push_back(ByTest("chi_squared", ChiSquaredFit(aligned.reference, aligned.current)));
        }
    }

    Status Levels() {
        const DriftSample& reference = *comparison_->reference;
        const DriftSample& current = *comparison_->current;
        const double n = static_cast<double>(reference.present());
        const double m = static_cast<double>(current.present());
        double unseen = 0.0;
        const Histograms aligned = AlignLevels(reference, current, &unseen);
        switch (options_.profile) {
            case DriftProfile::kDlent: {
                const Histograms pooled = PoolRare(aligned);
                TestResult test = ChiSquaredContingency(pooled.reference, pooled.current);
                if (pooled.reference.size() < 2 && aligned.reference.size() >= 2)
                    test = {NAN, NAN};  // too few rows for so many levels
                BinnedDistance binned;
                binned.distance = JensenShannonDistance(aligned.reference, aligned.current, LogBase::kTwo);
                binned.bins = static_cast<int>(aligned.reference.size());
                AddDlent(binned, test, "chi_squared", EffectiveRows(n, m), {{"unseen_levels", unseen / m}});
                break;
            }
            case DriftProfile::kEvidently:
                EvidentlyLevels(aligned, reference.levels.size());
                break;
            case DriftProfile::kNannyml: {
                Judgement judgement = ByDistance(
                    "js_distance", JensenShannonDistance(aligned.reference, aligned.current, LogBase::kTwo),
                    0.0, true);
                judgement.finding.details["bins"] = aligned.reference.size();
                NannyThreshold(static_cast<int>(aligned.reference.size()), {}, &judgement);
                judgements_.push_back(std::move(judgement));
                break;
            }
            case DriftProfile::kBigquery:
                judgements_.push_back(ByDistance(
                    "l_infinity", ChebyshevDistance(Shares(aligned.reference), Shares(aligned.current)), 0.3,
                    true));
                break;
            case DriftProfile::kAlibi:
                judgements_.push_back(
                    ByTest("chi_squared", ChiSquaredContingency(aligned.reference, aligned.current)));
                break;
            case DriftProfile::kDeequ:
                AddDeequ(ChebyshevDistance(Shares(aligned.reference), Shares(aligned.current)), n, m);
                break;
        }
        return Status::Ok();
    }

    void AddDeequ(double distance, double n, double m) {
        Judgement judgement =
            ByDistance("l_infinity_robust", std::max(0.0, distance - DeequNoise(n, m)), 0.1, true);
        judgement.finding.details["simple"] = distance;
        judgements_.push_back(std::move(judgement));
    }

    /// Mean plus three standard deviations of what ten parts of the reference, in order, are away from all of
    /// it; where only a sketch is left, of what chance would give.
    void NannyThreshold(int bins, const std::vector<double>& x, Judgement* judgement) const {
        if (options_.threshold)
            return;
        const DriftSample& reference = *comparison_->reference;
        std::vector<double> distances;
        const size_t count = reference.in_order.size();
        for (int chunk = 0; chunk < kNannyChunks && count >= 2 * kNannyChunks; ++chunk) {
            const std::vector<double> part(
                reference.in_order.begin() + static_cast<ptrdiff_t>(count * chunk / kNannyChunks),
                reference.in_order.begin() + static_cast<ptrdiff_t>(count * (chunk + 1) / kNannyChunks));
            Histograms histograms;
            if (reference.categorical) {
                for (const DriftSample::Level& level : reference.levels)
                    histograms.reference.push_back(level.count);
                histograms.reference.push_back(reference.other_count);
                histograms.current.resize(histograms.reference.size());
                for (const double level : part)
                    histograms.current[level >= 0.0 ? static_cast<size_t>(level) : reference.levels.size()] +=
                        1.0;
            } else {
                std::vector<double> sorted = part;
                std::sort(sorted.begin(), sorted.end());
                histograms = NannyHistograms(x, sorted);
            }
            distances.push_back(
                JensenShannonDistance(histograms.reference, histograms.current, LogBase::kTwo));
        }
        double mean;
        double deviation;
        if (distances.empty()) {
            const double n = static_cast<double>(reference.present());
            const double scale = 1.0 / std::sqrt(8.0 * EffectiveRows(n, n / kNannyChunks) * M_LN2);
            mean = std::sqrt(std::max(bins - 1.5, 0.5)) * scale;
            deviation = M_SQRT1_2 * scale;
            judgement->finding.details["threshold_from"] = "chance";
        } else {
            mean = std::accumulate(distances.begin(), distances.end(), 0.0) / distances.size();
            double squares = 0.0;
            for (const double distance : distances)
                squares += (distance - mean) * (distance - mean);
            deviation = std::sqrt(squares / static_cast<double>(distances.size()));
            judgement->finding.details["threshold_from"] = "parts of the reference";
        }
        judgement->finding.threshold = mean + 3.0 * deviation;
    }

    /// Whether values are missing more or less often, as a variable of two levels.
    void Missing() {
        const DriftSample& reference = *comparison_->reference;
        const DriftSample& current = *comparison_->current;
        const std::vector<double> before = {static_cast<double>(reference.present()),
                                            static_cast<double>(reference.missing)};
        const std::vector<double> now = {static_cast<double>(current.present()),
                                         static_cast<double>(current.missing)};
        const DriftComparison comparison{comparison_->feature, "missing", &reference, &current};
        const DriftComparison* const whole = std::exchange(comparison_, &comparison);
        AddDlent({JensenShannonDistance(before, now, LogBase::kTwo), 2}, ChiSquaredContingency(before, now),
                 "chi_squared",
                 EffectiveRows(static_cast<double>(reference.rows), static_cast<double>(current.rows)),
                 {{"reference_rows", reference.rows},
                  {"rows", current.rows},
                  {"reference_share", before[1] / static_cast<double>(reference.rows)},
                  {"share", now[1] / static_cast<double>(current.rows)}});
        comparison_ = whole;
    }

    const DriftOptions& options_;
    const CancelToken& cancel_;
    const DriftComparison* comparison_ = nullptr;
    std::vector<Judgement> judgements_;
};

}  // namespace

const char* DriftProfileName(DriftProfile profile) {
    return kProfiles[static_cast<int>(profile)].name;
}

Expected<DriftProfile> ParseDriftProfile(std::string_view name) {
    std::string all;
    for (const ProfileName& entry : kProfiles) {
        if (name == entry.name)
            return entry.profile;
        all += (all.empty() ? "" : ", ") + std::string(entry.name);
    }
    return Status::Invalid("unknown drift profile \"" + std::string(name) + "\"", {},
                           "Valid profiles are " + all + ".");
}

const char* DriftCorrectionName(DriftCorrection correction) {
    return kCorrections[static_cast<int>(correction)].name;
}

Expected<DriftCorrection> ParseDriftCorrection(std::string_view name) {
    for (const CorrectionName& entry : kCorrections) {
        if (name == entry.name)
            return entry.correction;
    }
    return Status::Invalid("unknown correction \"" + std::string(name) + "\"", {},
                           "Valid corrections are none, bonferroni, bh.");
}

BinnedDistance BinnedJensenShannon(const QuantileSketch& reference, std::span<const double> current_counts) {
    const double total = reference.total();
    std::vector<double> before;
    std::vector<double> now;
    double cumulative = 0.0;
    int last_tenth = -1;
    for (size_t i = 0; i < reference.counts.size(); ++i) {
        // an interval belongs to the tenth that its middle lies in
        const int tenth = static_cast<int>(kDlentBins * (cumulative + 0.5 * reference.counts[i]) / total);
        if (tenth != last_tenth) {
            before.push_back(0.0);
            now.push_back(0.0);
            last_tenth = tenth;
        }
        before.back() += reference.counts[i];
        now.back() += current_counts[i];
        cumulative += reference.counts[i];
    }
    return {JensenShannonDistance(before, now, LogBase::kTwo), static_cast<int>(before.size())};
}

Expected<std::vector<DriftFinding>> CompareSamples(std::span<const DriftComparison> comparisons,
                                                   const DriftOptions& options, const CancelToken& cancel) {
    Judge judge(options, cancel);
    for (const DriftComparison& comparison : comparisons)
        DLENT_RETURN_IF_ERROR(judge.Add(comparison));
    return judge.Decide();
}

}  // namespace dlent
