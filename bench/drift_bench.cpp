// Drift profiles beside each other: how often a report on unchanged data alarms, and which shifts are found.
//   drift_bench false-alarms [simulations]   drift_bench power [simulations]
// Prints Markdown tables (bench/results/).

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/drift/profile.h"

namespace dlent {
namespace {

constexpr DriftProfile kProfiles[] = {DriftProfile::kDlent,   DriftProfile::kEvidently,
                                      DriftProfile::kNannyml, DriftProfile::kBigquery,
                                      DriftProfile::kAlibi,   DriftProfile::kDeequ};

/// What a simulated column is made of; they come in turn.
enum Shape { kNormal, kLogNormal, kCounts, kFiveLevels, kManyLevels, kBoolean, kHeavyTail, kSparse, kShapes };

struct Shift {
    double mean = 0.0;    ///< in standard deviations
    double spread = 1.0;  ///< factor on the standard deviation
    double mass = 0.0;    ///< share of a categorical column that moves to its first level
};

DriftSample DrawLevels(int levels, size_t rows, const Shift& shift, RandomStream* random) {
    std::vector<std::string> labels;
    std::vector<double> cumulative;
    double total = 0.0;
    for (int i = 0; i < levels; ++i) {
        labels.push_back("level " + std::to_string(i));
        total += 1.0 / (i + 1.0);
        cumulative.push_back(total);
    }
    std::vector<int32_t> classes(rows);
    for (int32_t& label : classes) {
        const double u = random->NextFloat() * total;
        label = static_cast<int32_t>(std::upper_bound(cumulative.begin(), cumulative.end() - 1, u) -
                                     cumulative.begin());
        if (shift.mass > 0.0 && random->NextFloat() < shift.mass)
            label = 0;
    }
    return DriftSample::OfClasses(classes, labels, true);
}

DriftSample Draw(Shape shape, size_t rows, const Shift& shift, RandomStream* random) {
    if (shape == kFiveLevels || shape == kManyLevels || shape == kBoolean)
        return DrawLevels(shape == kFiveLevels ? 5 : shape == kManyLevels ? 30 : 2, rows, shift, random);
    std::vector<float> values(rows);
    for (float& value : values) {
        const double z = shift.mean + shift.spread * random->Normal();
        switch (shape) {
            case kLogNormal:
                value = static_cast<float>(std::exp(z));
                break;
            case kCounts:
                value = static_cast<float>(std::round(2.0 * z));
                break;
            case kHeavyTail:
                value = static_cast<float>(z / std::max(std::abs(random->Normal()), 0.05f));
                break;
            case kSparse:
                value = random->NextFloat() < 0.7f ? 0.0f : static_cast<float>(z);
                if (random->NextFloat() < 0.05f)
                    value = NAN;
                break;
            default:
                value = static_cast<float>(z);
        }
    }
    return DriftSample::OfNumbers(values, true);
}

bool Alarms(DriftProfile profile, const std::vector<DriftSample>& reference,
            const std::vector<DriftSample>& current) {
    std::vector<DriftComparison> comparisons;
    for (size_t i = 0; i < reference.size(); ++i)
        comparisons.push_back({"x" + std::to_string(i), "feature", &reference[i], &current[i]});
    DriftOptions options;
    options.profile = profile;
    const Expected<std::vector<DriftFinding>> findings =
        CompareSamples(comparisons, options, NeverCancelled());
    return findings.ok() && std::any_of(findings->begin(), findings->end(), [](const DriftFinding& finding) {
               return finding.drifted.value_or(false);
           });
}

void PrintHeader(const char* first) {
    std::printf("| %s |", first);
    for (const DriftProfile profile : kProfiles)
        std::printf(" %s |", DriftProfileName(profile));
    std::printf("\n|---|");
    for (size_t i = 0; i < std::size(kProfiles); ++i)
        std::printf("---|");
    std::printf("\n");
}

/// Share of reports with any alarm when nothing has changed. The reports are split over the grid, fewer where
/// they are large; the other profiles get a tenth of them.
void FalseAlarms(int simulations) {
    struct Cell {
        size_t rows;
        size_t features;
        double share;
    };
    const Cell grid[] = {{50, 5, .09},     {50, 20, .09},    {50, 100, .09},   {200, 5, .09},
                         {200, 20, .09},   {200, 100, .09},  {1000, 5, .09},   {1000, 20, .09},
                         {1000, 100, .06}, {5000, 5, .06},   {5000, 20, .06},  {5000, 100, .03},
                         {50000, 5, .03},  {50000, 20, .02}, {50000, 100, .02}};
    std::printf("Share of reports with any alarm when nothing has changed, %%\n\n");
    PrintHeader("rows on each side, features (reports)");
    int all = 0;
    int alarms = 0;
    uint64_t seed = 1;
    for (const Cell& cell : grid) {
        const int count = std::max(20, static_cast<int>(simulations * cell.share + 0.5));
        std::printf("| %zu, %zu (%d) |", cell.rows, cell.features, count);
        for (const DriftProfile profile : kProfiles) {
            const int runs = profile == DriftProfile::kDlent ? count : std::max(10, count / 10);
            int hits = 0;
            for (int run = 0; run < runs; ++run) {
                RandomStream random(++seed);
                std::vector<DriftSample> reference;
                std::vector<DriftSample> current;
                for (size_t i = 0; i < cell.features; ++i) {
                    const Shape shape = static_cast<Shape>(i % kShapes);
                    reference.push_back(Draw(shape, cell.rows, {}, &random));
                    current.push_back(Draw(shape, cell.rows, {}, &random));
                }
                hits += Alarms(profile, reference, current);
            }
            std::printf(" %.1f |", 100.0 * hits / runs);
            std::fflush(stdout);
            if (profile == DriftProfile::kDlent) {
                all += runs;
                alarms += hits;
            }
        }
        std::printf("\n");
    }
    std::printf("\ndlent over all %d reports: %d alarms, %.2f %%\n", all, alarms, 100.0 * alarms / all);
}

/// Share of reports on ten columns that alarm when one of them shifts. A false alarm of another column counts
/// too, as it does for who reads the report: read it beside the other table.
void Power(int simulations) {
    struct Case {
        const char* name;
        Shape shape;
        Shift shift;
    };
    const Case cases[] = {{"nothing", kNormal, {}},
                          {"mean + 0.1 sd", kNormal, {0.1, 1.0, 0.0}},
                          {"mean + 0.25 sd", kNormal, {0.25, 1.0, 0.0}},
                          {"mean + 0.5 sd", kNormal, {0.5, 1.0, 0.0}},
                          {"mean + 1 sd", kNormal, {1.0, 1.0, 0.0}},
                          {"sd x 1.5", kNormal, {0.0, 1.5, 0.0}},
                          {"sd x 2", kNormal, {0.0, 2.0, 0.0}},
                          {"10 % of mass moves", kFiveLevels, {0.0, 1.0, 0.1}},
                          {"25 % of mass moves", kFiveLevels, {0.0, 1.0, 0.25}}};
    std::printf("Share of reports on ten columns with an alarm when one column shifts, %% of %d reports\n",
                simulations);
    uint64_t seed = 1000000;
    for (const size_t rows : {size_t{100}, size_t{500}, size_t{2000}, size_t{20000}}) {
        std::printf("\n%zu rows on each side\n\n", rows);
        PrintHeader("shift");
        for (const Case& test : cases) {
            std::printf("| %s |", test.name);
            for (const DriftProfile profile : kProfiles) {
                int hits = 0;
                for (int run = 0; run < simulations; ++run) {
                    RandomStream random(++seed);
                    std::vector<DriftSample> reference;
                    std::vector<DriftSample> current;
                    for (int i = 0; i < 10; ++i) {
                        const Shape shape = i == 0 ? test.shape : static_cast<Shape>(i % kShapes);
                        reference.push_back(Draw(shape, rows, {}, &random));
                        current.push_back(Draw(shape, rows, i == 0 ? test.shift : Shift{}, &random));
                    }
                    hits += Alarms(profile, reference, current);
                }
                std::printf(" %.0f |", 100.0 * hits / simulations);
                std::fflush(stdout);
            }
            std::printf("\n");
        }
    }
}

}  // namespace
}  // namespace dlent

int main(int argc, char** argv) {
    const std::string what = argc > 1 ? argv[1] : "";
    const int simulations = argc > 2 ? std::atoi(argv[2]) : 0;
    if (what == "false-alarms") {
        dlent::FalseAlarms(simulations > 0 ? simulations : 2000);
    } else if (what == "power") {
        dlent::Power(simulations > 0 ? simulations : 100);
    } else {
        std::fprintf(stderr, "usage: drift_bench false-alarms|power [simulations]\n");
        return 2;
    }
    return 0;
}
