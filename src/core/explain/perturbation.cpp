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
constexpr int kFewCodes = 16;
constexpr int kRandomRows = 4;  ///< that one block of random numbers serves

}  // namespace

Perturbation::Perturbation(const ExplainerStatistics& statistics, const PerturbationOptions& options,
                           const ExplainerKernels& kernels)
    : statistics_(statistics), options_(options), kernels_(kernels) {
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
            feature.sources[feature.instance_code] = Source{};
            feature.sources[feature.instance_code].mean = statistics.Value(f, options.instance);
        }
        uint64_t begin = 0;
        for (size_t code = 0; code < counts.size(); ++code) {
            Source& source = feature.sources[code];
            source.begin = static_cast<double>(begin);
            if (feature.limits[code] > begin)
                source.inverse_width = 1.0 / static_cast<double>(feature.limits[code] - begin);
            begin = feature.limits[code];
            feature.constants = feature.constants && source.deviation == 0.0;
        }
    }
}

Perturbation::Source Perturbation::SourceOf(const ExplainedFeature& feature, int code) const {
    Source source;
    if (code == feature.NullCode(options_.discretizer)) {
        source.mean = kNull;
        return source;
    }
    if (feature.categorical) {
        source.mean = code;
        return source;
    }
    if (options_.discretizer == Discretizer::kNone) {
        source.mean = feature.mean;
        source.deviation = feature.standard_deviation;
        source.low = 0.0;
        source.span = 1.0;
        return source;
    }
    const Binning::Bin& bin = feature.binning(options_.discretizer).bins[code];
    source.mean = bin.mean;
    if (options_.compat && bin.minimum == bin.maximum) {
        // the reference hands out the limit in standard deviations
        source.mean = (bin.minimum - bin.mean) / (bin.standard_deviation + kReferenceDeviation);
        return source;
    }
    if (!(bin.standard_deviation > 0.0) || !(bin.minimum < bin.maximum))
        return source;
    source.deviation = bin.standard_deviation;
    source.low = PortableNormalCdf((bin.minimum - bin.mean) / bin.standard_deviation);
    source.span = PortableNormalCdf((bin.maximum - bin.mean) / bin.standard_deviation) - source.low;
    source.minimum = bin.minimum;
    source.maximum = bin.maximum;
    return source;
}

void Perturbation::FindCodes(const std::vector<uint64_t>& limits, int count, const uint32_t* random,
                             int32_t* codes) {
    const int last = static_cast<int>(limits.size()) - 1;
    if (last >= kFewCodes) {
        for (int r = 0; r < count; ++r)
            codes[r] = static_cast<int32_t>(std::upper_bound(limits.begin(), limits.end(), random[r]) -
                                            limits.begin());
        return;
    }
    // a pass for each limit: branches would be guessed wrong half of the time
    std::fill_n(codes, count, 0);
    for (int code = 0; code < last; ++code) {
        if (limits[code] > UINT32_MAX)
            break;
        const auto limit = static_cast<uint32_t>(limits[code]);
        for (int r = 0; r < count; ++r)
            codes[r] += random[r] >= limit ? 1 : 0;
    }
}

void Perturbation::Draw(uint32_t first, int count, int32_t* codes, Cell* cells) const {
    const uint64_t key = Mix64(options_.seed);
    const int row_cells = statistics_.cell_count();
    uint32_t random[kBlockRows + kRandomRows];
    double values[kBlockRows];
    for (int f = 0; f < statistics_.feature_count(); ++f, codes += count) {
        const Feature& feature = features_[f];
        const ExplainedFeature& described = statistics_.features()[f];
        for (int r = 0; r < count; r += kRandomRows) {
            const std::array<uint32_t, 4> drawn =
                Philox4x32(key, (first + static_cast<uint32_t>(r)) / kRandomRows, static_cast<uint64_t>(f));
            std::copy(drawn.begin(), drawn.end(), random + r);
        }
        FindCodes(feature.limits, count, random, codes);
        if (feature.constants) {
            for (int r = 0; r < count; ++r)
                values[r] = feature.sources[codes[r]].mean;
        } else {
            for (int r = 0; r < count; ++r) {
                const Source& source = feature.sources[codes[r]];
                const double within =
                    (static_cast<double>(random[r]) - source.begin + 0.5) * source.inverse_width;
                values[r] = source.low + within * source.span;
            }
            kernels_.normal_quantiles(count, values);
            for (int r = 0; r < count; ++r) {
                const Source& source = feature.sources[codes[r]];
                const double value = source.mean + source.deviation * values[r];
                values[r] = value < source.minimum   ? source.minimum
                            : value > source.maximum ? source.maximum
                                                     : value;
            }
        }
        if (options_.around_instance && !described.categorical) {
            const double shift = statistics_.Value(f, options_.instance) - described.mean;
            for (int r = 0; r < count && !std::isnan(shift); ++r)
                values[r] += feature.unseen ? 0.0 : shift;
        }
        Cell* row = cells;
        if (CellsOf(described.kind) == 1 && described.kind != ColumnKind::kCategory) {
            for (int r = 0; r < count; ++r, row += row_cells)
                row[described.first_cell].f = static_cast<float>(values[r]);
        } else {
            for (int r = 0; r < count; ++r, row += row_cells)
                statistics_.SetValue(f, values[r], row);
        }
    }
}

}  // namespace dlent
