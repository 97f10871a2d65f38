#include "core/explain/probe.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <new>

#include "core/explain/perturbation.h"

namespace dlent {
namespace {

constexpr size_t kLine = 64;
constexpr char kMagic[8] = {'d', 'l', 'e', 'n', 't', 'p', 'r', 'b'};
constexpr uint32_t kVersion = 1;
constexpr uint32_t kNumbers = 0xffffffffu;  ///< in the table: a column of floats
constexpr uint32_t kMaxPlanes = 24;
constexpr uint32_t kMaxOutputs = 4096;
constexpr int kBlockRows = Perturbation::kBlockRows;  ///< drawn and scored at a time, well within 20 ms

/// The image's first bytes; then the planes of each feature (uint32), padded to a cache line; then each
/// feature's planes or floats; then the outputs, one after another. All arrays have room for a multiple of
/// 512 rows.
struct ProbeHeader {
    char magic[8];
    uint32_t version;
    uint32_t discretizer;
    uint64_t seed;
    uint32_t samples;
    uint32_t features;
    uint32_t outputs;
    uint32_t compat;
    uint8_t reserved[24];
};
static_assert(sizeof(ProbeHeader) == kLine);

size_t Lines(size_t bytes) {
    return (bytes + kLine - 1) / kLine * kLine;
}

/// Memory that begins a cache line.
class Block {
 public:
    explicit Block(size_t bytes)
        : bytes_(bytes), data_(static_cast<std::byte*>(::operator new (bytes, std::align_val_t{kLine}))) {
        std::memset(data_, 0, bytes);
    }
    ~Block() { ::operator delete (data_, std::align_val_t{kLine}); }
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;

    std::byte* data() { return data_; }
    size_t size() const { return bytes_; }

 private:
    size_t bytes_;
    std::byte* data_;
};

Status Damaged() {
    return Status::Corrupt("the probe is damaged");
}

size_t FeatureBytes(uint32_t planes, size_t padded_rows) {
    return planes == kNumbers ? padded_rows * sizeof(float) : planes * (padded_rows / 8);
}

/// words[r / 64]: bit r % 64 is bit `plane` of codes[r].
void PackPlane(const int32_t* codes, int count, int plane, uint64_t* words) {
    uint8_t bits[kBlockRows + 64] = {};
    for (int r = 0; r < count; ++r)
        bits[r] = static_cast<uint8_t>(codes[r] >> plane & 1);
    for (int begin = 0; begin < count; begin += 64) {
        uint64_t word = 0;
        for (int byte = 0; byte < 8; ++byte) {
            uint64_t eight = 0;
            for (int bit = 0; bit < 8; ++bit)
                eight |= static_cast<uint64_t>(bits[begin + 8 * byte + bit]) << (8 * bit);
            // the product gathers the lowest bits of its eight bytes in the highest byte
            word |= (eight * 0x0102040810204080ULL >> 56) << (8 * byte);
        }
        words[begin / 64] = word;
    }
}

Status CheckOptions(const ExplainerStatistics& statistics, const ProbeOptions& options) {
    if (statistics.feature_count() == 0)
        return {StatusCode::kUnsupported, "the model has no columns that could be explained",
                "Rows of more than " + std::to_string(ExplainerStatistics::kMaxFeatures) +
                    " features are not explained one by one."};
    if (options.samples < ProbeOptions::kMinSamples || options.samples > ProbeOptions::kMaxSamples)
        return Status::Invalid("the number of samples must be between " +
                               std::to_string(ProbeOptions::kMinSamples) + " and " +
                               std::to_string(ProbeOptions::kMaxSamples));
    if (options.discretizer == Discretizer::kEntropy && !statistics.has_labels())
        return Status::Invalid("there are no entropy bins, because training had no labels", {},
                               "Use the discretizer \"quartile\" or \"decile\".");
    return Status::Ok();
}

}  // namespace

Expected<Probe> Probe::Make(const ExplainerStatistics& statistics, const ProbeOptions& options,
                            Scorer& scorer, const CancelToken& cancel) {
    return MakeFor(statistics, options, nullptr, false, scorer, cancel);
}

Expected<Probe> Probe::MakeFor(const ExplainerStatistics& statistics, const ProbeOptions& options,
                               const Cell* instance, bool around, Scorer& scorer, const CancelToken& cancel) {
    DLENT_RETURN_IF_ERROR(CheckOptions(statistics, options));
    try {
        const Perturbation perturbation(statistics,
                                        {options.discretizer, options.seed, options.compat, instance, around},
                                        scorer.explainer_kernels());
        const size_t features = static_cast<size_t>(statistics.feature_count());
        ProbeHeader header = {};
        std::memcpy(header.magic, kMagic, sizeof(kMagic));
        header.version = kVersion;
        header.discretizer = static_cast<uint32_t>(options.discretizer);
        header.seed = options.seed;
        header.samples = static_cast<uint32_t>(options.samples);
        header.features = static_cast<uint32_t>(features);
        header.outputs = static_cast<uint32_t>(scorer.output_count());
        header.compat = options.compat ? 1 : 0;
        std::vector<uint32_t> planes;
        const size_t padded = (static_cast<size_t>(options.samples - 1) + 511) / 512 * 512;
        size_t bytes = sizeof(header) + Lines(features * sizeof(uint32_t));
        for (size_t f = 0; f < features; ++f) {
            const bool numbers =
                options.discretizer == Discretizer::kNone && !statistics.features()[f].categorical;
            const auto greatest = static_cast<uint32_t>(perturbation.code_count(static_cast<int>(f)) - 1);
            planes.push_back(numbers ? kNumbers : static_cast<uint32_t>(std::bit_width(greatest)));
            bytes += FeatureBytes(planes.back(), padded);
        }
        bytes += header.outputs * padded * sizeof(float);

        const auto block = std::make_shared<Block>(bytes);
        std::memcpy(block->data(), &header, sizeof(header));
        std::memcpy(block->data() + sizeof(header), planes.data(), features * sizeof(uint32_t));
        DLENT_ASSIGN_OR_RETURN(Probe probe, Open({block->data(), bytes}, block));

        std::vector<Cell> cells(static_cast<size_t>(kBlockRows) * statistics.cell_count());
        std::vector<int32_t> codes(kBlockRows * features);
        std::vector<float> outputs(static_cast<size_t>(kBlockRows) * header.outputs);
        for (int first = 0; first < probe.rows(); first += kBlockRows) {
            if (cancel.IsCancelled())
                return Status::Cancelled();
            const int count = std::min(kBlockRows, probe.rows() - first);
            perturbation.Draw(static_cast<uint32_t>(first), count, codes.data(), cells.data());
            for (size_t f = 0; f < features; ++f) {
                auto* data = const_cast<std::byte*>(probe.features_[f].data);
                if (planes[f] == kNumbers) {
                    auto* numbers = reinterpret_cast<float*>(data) + first;
                    for (int r = 0; r < count; ++r)
                        numbers[r] = cells[static_cast<size_t>(r) * statistics.cell_count() +
                                           statistics.features()[f].first_cell]
                                         .f;
                    continue;
                }
                const int32_t* of_feature = codes.data() + f * static_cast<size_t>(count);
                for (uint32_t p = 0; p < planes[f]; ++p)
                    PackPlane(of_feature, count, static_cast<int>(p),
                              reinterpret_cast<uint64_t*>(data + p * (padded / 8)) + first / 64);
            }
            scorer.Score(count, cells.data(), outputs.data());
            for (uint32_t o = 0; o < header.outputs; ++o) {
                float* to = const_cast<float*>(probe.outputs(static_cast<int>(o))) + first;
                for (int r = 0; r < count; ++r) {
                    to[r] = outputs[static_cast<size_t>(r) * header.outputs + o];
                    if (!std::isfinite(to[r]))
                        return Status(StatusCode::kNonFinite,
                                      "the network answers with what is not a number");
                }
            }
        }
        return probe;
    } catch (const std::bad_alloc&) {
        return Status(StatusCode::kOutOfMemory, "out of memory for perturbed rows");
    }
}

Expected<Probe> Probe::Open(std::span<const std::byte> image, std::shared_ptr<const void> owner) {
    try {
        Probe probe;
        DLENT_RETURN_IF_ERROR(probe.Layout(image));
        probe.image_ = image;
        probe.owner_ = std::move(owner);
        return probe;
    } catch (const std::bad_alloc&) {
        return Status(StatusCode::kOutOfMemory, "out of memory for a probe");
    }
}

Status Probe::Layout(std::span<const std::byte> image) {
    ProbeHeader header;
    if (image.size() < sizeof(header))
        return Damaged();
    std::memcpy(&header, image.data(), sizeof(header));
    if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0)
        return Damaged();
    if (header.version != kVersion)
        return {StatusCode::kUnsupported, "the probe is of another version of dlent"};
    if (header.samples < static_cast<uint32_t>(ProbeOptions::kMinSamples) ||
        header.samples > static_cast<uint32_t>(ProbeOptions::kMaxSamples) || header.features == 0 ||
        header.features > static_cast<uint32_t>(ExplainerStatistics::kMaxFeatures) || header.outputs == 0 ||
        header.outputs > kMaxOutputs || header.discretizer > static_cast<uint32_t>(Discretizer::kEntropy) ||
        header.compat > 1)
        return Damaged();
    options_ = {static_cast<Discretizer>(header.discretizer), static_cast<int>(header.samples), header.seed,
                header.compat == 1};
    output_count_ = static_cast<int>(header.outputs);

    size_t offset = sizeof(header) + Lines(header.features * sizeof(uint32_t));
    if (image.size() < offset)
        return Damaged();
    const size_t padded = static_cast<size_t>(padded_rows());
    for (uint32_t f = 0; f < header.features; ++f) {
        uint32_t planes = 0;
        std::memcpy(&planes, image.data() + sizeof(header) + f * sizeof(uint32_t), sizeof(planes));
        if (planes > kMaxPlanes && (planes != kNumbers || options_.discretizer != Discretizer::kNone))
            return Damaged();
        Feature& feature = features_.emplace_back();
        feature.numbers = planes == kNumbers;
        feature.planes = feature.numbers ? 0 : static_cast<int>(planes);
        feature.data = image.data() + offset;
        offset += FeatureBytes(planes, padded);
        if (image.size() < offset)
            return Damaged();
    }
    if (image.size() != offset + header.outputs * padded * sizeof(float))
        return Damaged();
    outputs_ = reinterpret_cast<const float*>(image.data() + offset);
    return Status::Ok();
}

void Probe::FindEqual(int f, int code, uint64_t* words) const {
    const Feature& feature = features_[f];
    const int count = word_count();
    const bool possible = code >= 0 && (code >> feature.planes) == 0;
    std::fill_n(words, count, possible ? ~uint64_t{0} : 0);
    if (!possible)
        return;
    for (int p = 0; p < feature.planes; ++p) {
        const auto* plane = reinterpret_cast<const uint64_t*>(feature.data) +
                            static_cast<ptrdiff_t>(p) * (padded_rows() / 64);
        const uint64_t flip = (code >> p & 1) != 0 ? 0 : ~uint64_t{0};
        for (int w = 0; w < count; ++w)
            words[w] &= plane[w] ^ flip;
    }
    if (rows() % 64 != 0)
        words[count - 1] &= (uint64_t{1} << rows() % 64) - 1;
}

}  // namespace dlent
