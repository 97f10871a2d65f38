#include "core/formats/safetensors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <set>

#include "core/base/json.h"

namespace dlent {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data are little-endian");

constexpr size_t kLengthBytes = 8;
constexpr size_t kQuotedBytes = 64;  ///< of an untrusted key in a message
constexpr const char* kMetadataKey = "__metadata__";

/// What the header says of one tensor.
struct Entry {
    std::string name;
    std::vector<int64_t> shape;
    uint64_t begin = 0;
    uint64_t end = 0;
};

/// Refuses headers that are too deep or repeat a key, before a tree is built of them. The header's own depth
/// is 3: object, tensor, array.
class HeaderSax : public nlohmann::json_sax<Json> {
 public:
    bool null() override { return true; }
    bool boolean(bool) override { return true; }
    bool number_integer(number_integer_t) override { return true; }
    bool number_unsigned(number_unsigned_t) override { return true; }
    bool number_float(number_float_t, const string_t&) override { return true; }
    bool string(string_t&) override { return true; }
    bool binary(binary_t&) override { return false; }
    bool start_object(size_t) override {
        keys_.emplace_back();
        return Enter();
    }
    bool key(string_t& key) override {
        if (keys_.back().insert(key).second)
            return true;
        problem = "the key \"" + key.substr(0, kQuotedBytes) + "\" is repeated";
        return false;
    }
    bool end_object() override {
        keys_.pop_back();
        --depth_;
        return true;
    }
    bool start_array(size_t) override { return Enter(); }
    bool end_array() override {
        --depth_;
        return true;
    }
    bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override {
        return false;
    }

    std::string problem = "the header is not JSON";

 private:
    bool Enter() {
        if (++depth_ <= 3)
            return true;
        problem = "the header is nested too deep";
        return false;
    }
    std::vector<std::set<std::string>> keys_;
    int depth_ = 0;
};

Status BadFile(const std::string& what) {
    return Status::Corrupt("the weights are not a valid safetensors file", "The reason: " + what + ".");
}

Status BadTensor(const std::string& name, const std::string& what) {
    return Status::Corrupt("tensor \"" + name + "\" of the weights is not valid",
                           "The reason: " + what + ".");
}

Expected<Entry> ReadEntry(const std::string& name, const Json& json, const SafetensorsLimits& limits) {
    Entry entry;
    entry.name = name;
    if (!json.is_object() || json.size() != 3 || !json.contains("dtype") || !json.contains("shape") ||
        !json.contains("data_offsets"))
        return BadTensor(name, "it must have exactly dtype, shape and data_offsets");
    if (json["dtype"] != "F32")
        return BadTensor(name, "its dtype is not F32");
    const Json& shape = json["shape"];
    if (!shape.is_array() || shape.size() > limits.dimensions)
        return BadTensor(
            name, "its shape is not an array of at most " + std::to_string(limits.dimensions) + " sizes");
    uint64_t bytes = sizeof(float);
    for (const Json& size : shape) {
        if (!size.is_number_unsigned() || size.get<uint64_t>() > limits.data_bytes ||
            __builtin_mul_overflow(bytes, size.get<uint64_t>(), &bytes) || bytes > limits.data_bytes)
            return BadTensor(name, "its shape is not made of sizes, or is too large");
        entry.shape.push_back(static_cast<int64_t>(size.get<uint64_t>()));
    }
    const Json& offsets = json["data_offsets"];
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned())
        return BadTensor(name, "its data_offsets are not two positions");
    entry.begin = offsets[0].get<uint64_t>();
    entry.end = offsets[1].get<uint64_t>();
    if (entry.end < entry.begin || entry.end - entry.begin != bytes)
        return BadTensor(name, "its data_offsets do not span what its shape needs");
    return entry;
}

}  // namespace

std::string WriteSafetensors(std::span<const NamedTensorData> tensors,
                             const std::map<std::string, std::string>& metadata) {
    Json header = Json::object();
    if (!metadata.empty())
        header[kMetadataKey] = metadata;
    uint64_t offset = 0;
    for (const NamedTensorData& tensor : tensors) {
        const uint64_t end = offset + tensor.values.size() * sizeof(float);
        header[tensor.name] = {{"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
        offset = end;
    }
    std::string text = header.dump();
    text.append((kLengthBytes - text.size() % kLengthBytes) % kLengthBytes, ' ');

    std::string file;
    file.reserve(kLengthBytes + text.size() + offset);
    const uint64_t length = text.size();
    file.append(reinterpret_cast<const char*>(&length), sizeof(length));
    file += text;
    for (const NamedTensorData& tensor : tensors)
        file.append(reinterpret_cast<const char*>(tensor.values.data()),
                    tensor.values.size() * sizeof(float));
    return file;
}

Expected<std::vector<NamedTensorData>> ReadSafetensors(std::string_view bytes,
                                                       const SafetensorsLimits& limits) {
    if (bytes.size() < kLengthBytes)
        return BadFile("it is shorter than its header length");
    uint64_t header_length = 0;
    std::memcpy(&header_length, bytes.data(), kLengthBytes);
    if (header_length > limits.header_bytes || header_length > bytes.size() - kLengthBytes)
        return BadFile("its header length runs out of the file or is beyond the limit");
    const std::string_view header_text = bytes.substr(kLengthBytes, header_length);
    const std::string_view data = bytes.substr(kLengthBytes + header_length);
    if (data.size() > limits.data_bytes)
        return BadFile("it is larger than the limit");
    if (header_text.empty() || header_text[0] != '{')
        return BadFile("its header is not a JSON object");

    HeaderSax sax;
    // to the parser a zero byte is the end of the text
    if (header_text.find('\0') != std::string_view::npos || !Json::sax_parse(header_text, &sax))
        return BadFile(sax.problem);
    const Json header = Json::parse(header_text, nullptr, /*allow_exceptions=*/false);
    if (!header.is_object() || header.size() > limits.tensors + 1)
        return BadFile("its header is not an object, or names too many tensors");

    std::vector<Entry> entries;
    for (const auto& [name, value] : header.items()) {
        if (name == kMetadataKey) {
            if (!value.is_object() ||
                !std::all_of(value.begin(), value.end(), [](const Json& text) { return text.is_string(); }))
                return BadFile("its metadata are not texts");
            continue;
        }
        if (name.empty() || name.size() > limits.name_bytes)
            return BadFile("a tensor's name is empty or too long");
        DLENT_ASSIGN_OR_RETURN(Entry entry, ReadEntry(name, value, limits));
        entries.push_back(std::move(entry));
    }
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
        return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
    });
    uint64_t expected = 0;
    for (const Entry& entry : entries) {
        if (entry.begin != expected)
            return BadTensor(entry.name, "its data overlap another tensor's or leave a hole");
        expected = entry.end;
    }
    if (expected != data.size())
        return BadFile("its tensors do not cover its data");

    std::vector<NamedTensorData> tensors;
    tensors.reserve(entries.size());
    for (Entry& entry : entries) {
        NamedTensorData tensor;
        tensor.values.resize((entry.end - entry.begin) / sizeof(float));
        if (!tensor.values.empty())
            std::memcpy(tensor.values.data(), data.data() + entry.begin, entry.end - entry.begin);
        for (const float value : tensor.values) {
            if (!std::isfinite(value))
                return BadTensor(entry.name, "it has a weight that is not finite");
        }
        tensor.name = std::move(entry.name);
        tensor.shape = std::move(entry.shape);
        tensors.push_back(std::move(tensor));
    }
    return tensors;
}

}  // namespace dlent
