#include "core/explain/perturbation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/base/random.h"
#include "core/explain/elementary.h"

namespace dlent {
namespace {

constexpr double kNull = std::numeric_limits<double>::quiet_NaN();
constexpr double kReferenceDeviation = 1e-11;  ///< what the reference adds to every deviation
constexpr int kBlockRows = 4;                  ///< that one block of random numbers serves

}  // namespace

Perturbation::Perturbation(const ExplainerStatistics& statistics, const PerturbationOptions& options)
    : statistics_(statistics), options_(options) {
    for (int f = 0; f < statistics.feature_count(); ++f) {
        const ExplainedFeature& described = statistics.features()[f];
        Feature& feature = features_.emplace_back();
        std::vector<uint64_t> counts = described.CodeCounts(options.discretizer);
        const int null_code = described.NullCode(options.discretizer);
        if (options.compat && !described.categorical)
            counts[null_code] = 0;  // the reference knows no NULLs
        uint64_t total = 0;
        size_t seen = 0;
        for (const uint64_t count : counts) {
            total += count;
            seen += count > 0;
        }
        double own_rate = 0.0;
        if (options.instance != nullptr) {
            const double value = statistics.Value(f, options.instance);
            feature.instance_code = described.InstanceCode(options.discretizer, value, options.compat);
            counts.resize(std::max(counts.size(), static_cast<size_t>(feature.instance_code) + 1), 0);
            feature.unseen = counts[feature.instance_code] == 0;
            // a value without training rows is drawn as often as if all were equally frequent
            if (feature.unseen && !options.compat)
                own_rate = 1.0 / static_cast<double>(seen + 1);
        }
        double sum = 0.0;
        for (size_t code = 0; code < counts.size(); ++code) {
            double rate = total > 0 ? static_cast<double>(counts[code]) / static_cast<double>(total) : 0.0;
            rate *= 1.0 - own_rate;
            if (own_rate > 0.0 && static_cast<int>(code) == feature.instance_code)
                rate = own_rate;
            sum += rate;
            feature.limits.push_back(static_cast<uint64_t>(std::min(sum, 1.0) * 0x1.0p32));
            feature.sources.push_back(SourceOf(described, static_cast<int>(code)));
        }
        // rounding must not leave a gap at the end: it goes to the last code that is drawn
        size_t last = counts.size() - 1;
        while (last > 0 && feature.limits[last - 1] == feature.limits[last])
            --last;
        std::fill(feature.limits.begin() + static_cast<ptrdiff_t>(last), feature.limits.end(),
                  uint64_t{1} << 32);
        if (feature.unseen) {
            Source own;
            own.value = statistics.Value(f, options.instance);
            feature.sources[feature.instance_code] = own;
        }
    }
}

Perturbation::Source Perturbation::SourceOf(const ExplainedFeature& feature, int code) const {
    Source source;
    if (code == feature.NullCode(options_.discretizer)) {
        source.value = kNull;
        return source;
    }
    if (feature.categorical) {
        source.value = code;
        return source;
    }
    if (options_.discretizer == Discretizer::kNone) {
        source.kind = feature.standard_deviation > 0.0 ? Source::kNormal : Source::kConstant;
        source.value = feature.mean;
        source.deviation = feature.standard_deviation;
        return source;
    }
    const Binning::Bin& bin = feature.binning(options_.discretizer).bins[code];
    source.value = bin.mean;
    source.minimum = bin.minimum;
    source.maximum = bin.maximum;
    if (options_.compat && bin.minimum == bin.maximum) {
        // the reference hands out the limit in standard deviations
        source.value = (bin.minimum - bin.mean) / (bin.standard_deviation + kReferenceDeviation);
        return source;
    }
    if (!(bin.standard_deviation > 0.0) || !(bin.minimum < bin.maximum))
        return source;
    source.kind = Source::kTruncatedNormal;
    source.deviation = bin.standard_deviation;
    source.low = NormalCdf((bin.minimum - bin.mean) / bin.standard_deviation);
    source.span = NormalCdf((bin.maximum - bin.mean) / bin.standard_deviation) - source.low;
    return source;
}

double Perturbation::Sample(const Source& source, double u) {
    if (source.kind == Source::kConstant)
        return source.value;
    const double value = source.value + source.deviation * NormalQuantile(source.low + u * source.span);
    return source.kind == Source::kNormal ? value : std::clamp(value, source.minimum, source.maximum);
}

void Perturbation::Draw(uint32_t first, int count, int32_t* codes, Cell* cells) const {
    const uint64_t key = Mix64(options_.seed);
    const int row_cells = statistics_.cell_count();
    for (int f = 0; f < statistics_.feature_count(); ++f) {
        const Feature& feature = features_[f];
        const ExplainedFeature& described = statistics_.features()[f];
        const bool whole = CellsOf(described.kind) == 1 && described.kind != ColumnKind::kCategory;
        const bool around = options_.around_instance && !described.categorical;
        const double shift = around ? statistics_.Value(f, options_.instance) - described.mean : 0.0;
        std::array<uint32_t, kBlockRows> random{};
        for (int r = 0; r < count; ++r) {
            const uint32_t row = first + static_cast<uint32_t>(r);
            if (r == 0 || row % kBlockRows == 0)
                random = Philox4x32(key, row / kBlockRows, static_cast<uint64_t>(f));
            const uint64_t u = random[row % kBlockRows];
            size_t code = 0;
            if (feature.limits.size() > 16)
                code = static_cast<size_t>(std::upper_bound(feature.limits.begin(), feature.limits.end(), u) -
                                           feature.limits.begin());
            else
                while (u >= feature.limits[code])
                    ++code;
            const uint64_t begin = code == 0 ? 0 : feature.limits[code - 1];
            const double within =
                (static_cast<double>(u - begin) + 0.5) / static_cast<double>(feature.limits[code] - begin);
            double value = Sample(feature.sources[code], within);
            if (around && feature.sources[code].kind == Source::kNormal && shift == shift)
                value += shift;
            codes[static_cast<ptrdiff_t>(f) * count + r] = static_cast<int32_t>(code);
            Cell* row_of_cells = cells + static_cast<ptrdiff_t>(r) * row_cells;
            if (whole)
                row_of_cells[described.first_cell].f = static_cast<float>(value);
            else
                statistics_.SetValue(f, value, row_of_cells);
        }
    }
}

}  // namespace dlent
