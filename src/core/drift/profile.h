#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/drift/sample.h"

namespace dlent {

/// Which statistic, bins and threshold judge a variable (docs/drift.md). All but kDlent reproduce another
/// tool's choice; numbers can only be compared within a profile.
enum class DriftProfile { kDlent, kEvidently, kNannyml, kBigquery, kAlibi, kDeequ };
const char* DriftProfileName(DriftProfile profile);
Expected<DriftProfile> ParseDriftProfile(std::string_view name);

enum class DriftCorrection { kNone, kBonferroni, kBenjaminiHochberg };
const char* DriftCorrectionName(DriftCorrection correction);
Expected<DriftCorrection> ParseDriftCorrection(std::string_view name);

struct DriftOptions {
    DriftProfile profile = DriftProfile::kDlent;
    std::optional<double> threshold;            ///< of distances, in place of the profile's
    std::optional<double> alpha;                ///< of p-values, in place of 0.05
    std::optional<DriftCorrection> correction;  ///< in place of the profile's
};

/// A row of a report.
struct DriftFinding {
    std::string feature;    ///< a column, or "(prediction)", "(rows)", ...
    std::string kind;       ///< "feature", "missing", "prediction", "target", ...
    std::string statistic;  ///< "js_distance", "ks", "chi_squared", ...
    std::optional<double> value;
    std::optional<double> threshold;
    std::optional<double> p_value;
    std::optional<bool> drifted;  ///< absent: inconclusive
    Json details = Json::object();
};

/// Two samples of one variable.
struct DriftComparison {
    std::string feature;
    std::string kind;
    const DriftSample* reference = nullptr;
    const DriftSample* current = nullptr;
};

/// Judges every comparison by the profile. p-values are corrected over all of them, and over the shares of
/// missing values, which the dlent profile judges as variables of their own where there are any. kCancelled.
Expected<std::vector<DriftFinding>> CompareSamples(std::span<const DriftComparison> comparisons,
                                                   const DriftOptions& options, const CancelToken& cancel);

/// One number as the dlent profile has it: the Jensen-Shannon distance (base 2) of two samples over bins of
/// the reference of about equal mass, and the number of bins.
struct BinnedDistance {
    double distance = 0.0;
    int bins = 0;
};
BinnedDistance BinnedJensenShannon(const QuantileSketch& reference, std::span<const double> current_counts);

}  // namespace dlent
