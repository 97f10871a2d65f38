#include "core/nn/layers/support.h"

#include <algorithm>
#include <cmath>

#include "core/nn/json_integer.h"

namespace dlent {

Status LayerError(const LayerSpec& spec, const std::string& problem) {
    return Status::Invalid("layer \"" + spec.name + "\" (" + spec.type + "): " + problem);
}

AttributeReader::AttributeReader(const LayerSpec& spec) : spec_(spec) {
    if (!spec.attributes.is_object()) {
        Fail("attributes must be an object");
    }
}

void AttributeReader::Fail(std::string problem) {
    if (problem_.empty()) {
        problem_ = std::move(problem);
    }
}

const Json* AttributeReader::Take(std::string_view name, bool required) {
    known_.emplace_back(name);
    if (spec_.attributes.is_object()) {
        if (const auto found = spec_.attributes.find(std::string(name)); found != spec_.attributes.end()) {
            return &*found;
        }
    }
    if (required) {
        Fail("attribute \"" + std::string(name) + "\" is missing");
    }
    return nullptr;
}

namespace {

std::string Range(int64_t low, int64_t high) {
    return "between " + std::to_string(low) + " and " + std::to_string(high);
}

/// Shortest decimal text, as JSON writes it.
std::string NumberText(double value) {
    return Json(value).dump();
}

}  // namespace

int64_t AttributeReader::Integer(std::string_view name, int64_t low, int64_t high,
                                 std::optional<int64_t> absent) {
    const Json* json = Take(name, !absent);
    if (json == nullptr) {
        return absent.value_or(low);
    }
    const std::optional<int64_t> value = IntegerWithin(*json, low, high);
    if (!value) {
        Fail("attribute \"" + std::string(name) + "\" must be an integer " + Range(low, high));
    }
    return value.value_or(low);
}

float AttributeReader::Number(std::string_view name, double low, double high, std::optional<double> absent) {
    const Json* json = Take(name, !absent);
    if (json == nullptr) {
        return static_cast<float>(absent.value_or(low));
    }
    const double value = json->is_number() ? json->get<double>() : NAN;
    if (!(value >= low && value <= high)) {
        Fail("attribute \"" + std::string(name) + "\" must be a number between " + NumberText(low) + " and " +
             NumberText(high));
        return static_cast<float>(low);
    }
    return static_cast<float>(value);
}

bool AttributeReader::Boolean(std::string_view name, bool absent) {
    const Json* json = Take(name, false);
    if (json == nullptr) {
        return absent;
    }
    if (!json->is_boolean()) {
        Fail("attribute \"" + std::string(name) + "\" must be true or false");
        return absent;
    }
    return json->get<bool>();
}

size_t AttributeReader::Choice(std::string_view name, std::span<const std::string_view> choices) {
    const Json* json = Take(name, false);
    if (json == nullptr) {
        return 0;
    }
    std::string known;
    for (size_t i = 0; i < choices.size(); ++i) {
        if (json->is_string() && json->get_ref<const std::string&>() == choices[i]) {
            return i;
        }
        known += (known.empty() ? "\"" : ", \"") + std::string(choices[i]) + "\"";
    }
    Fail("attribute \"" + std::string(name) + "\" must be one of " + known);
    return 0;
}

Activation AttributeReader::ReadActivation(std::string_view name, std::optional<Activation> absent) {
    const Json* json = Take(name, !absent);
    if (json == nullptr) {
        return absent.value_or(Activation::kIdentity);
    }
    if (!json->is_string()) {
        Fail("attribute \"" + std::string(name) + "\" must be the name of an activation");
        return Activation::kIdentity;
    }
    const Expected<Activation> activation = ParseActivation(json->get_ref<const std::string&>());
    if (!activation.ok()) {
        Fail(activation.status().message());
        return Activation::kIdentity;
    }
    return *activation;
}

std::optional<std::vector<int64_t>> AttributeReader::Integers(std::string_view name, int64_t low,
                                                              int64_t high) {
    const Json* json = Take(name, false);
    if (json == nullptr) {
        return std::nullopt;
    }
    std::vector<int64_t> values;
    bool valid = json->is_array() && !json->empty() && json->size() <= NetworkSpec::kMaxWidth;
    if (valid) {
        values.reserve(json->size());
        for (const Json& element : *json) {
            const std::optional<int64_t> value = IntegerWithin(element, low, high);
            valid = valid && value.has_value();
            values.push_back(value.value_or(low));
        }
    }
    if (!valid) {
        Fail("attribute \"" + std::string(name) + "\" must be a list of integers " + Range(low, high));
    }
    return values;
}

void AttributeReader::ReadRates() {
    learning_rate_ = Number("learning_rate", 0.0, 1000.0, 1.0);
    bias_learning_rate_ = Number("bias_learning_rate", 0.0, 1000.0, learning_rate_);
    weight_decay_ = Number("weight_decay", 0.0, 1000.0, 1.0);
}

TensorDeclaration AttributeReader::Weight(std::string name, std::vector<int64_t> shape) const {
    return {std::move(name), std::move(shape), true, learning_rate_, weight_decay_};
}

TensorDeclaration AttributeReader::Bias(std::string name, std::vector<int64_t> shape) const {
    return {std::move(name), std::move(shape), true, bias_learning_rate_, 0.0f};
}

TensorDeclaration AttributeReader::Undecayed(std::string name, std::vector<int64_t> shape) const {
    return {std::move(name), std::move(shape), true, learning_rate_, 0.0f};
}

Status AttributeReader::Finish() const {
    if (!problem_.empty()) {
        return LayerError(spec_, problem_);
    }
    for (const auto& [name, value] : spec_.attributes.items()) {
        if (std::find(known_.begin(), known_.end(), name) == known_.end()) {
            return LayerError(spec_, "unknown attribute \"" + name + "\"");
        }
    }
    return Status::Ok();
}

Status RequireFloats(const LayerSite& site, size_t low, size_t high) {
    if (site.inputs.size() < low || site.inputs.size() > high) {
        return LayerError(site.spec, low == high
                                         ? "takes " + std::to_string(low) + " input" + (low == 1 ? "" : "s") +
                                               ", not " + std::to_string(site.inputs.size())
                                         : "takes at least " + std::to_string(low) + " inputs, not " +
                                               std::to_string(site.inputs.size()));
    }
    for (size_t i = 0; i < site.inputs.size(); ++i) {
        if (site.inputs[i].is_codes) {
            return LayerError(site.spec, "cannot read \"codes\"");
        }
        if (site.inputs[i].members != site.inputs[0].members) {
            return LayerError(site.spec, "input \"" + site.spec.inputs[i] + "\" has " +
                                             std::to_string(site.inputs[i].members) + " members where \"" +
                                             site.spec.inputs[0] + "\" has " +
                                             std::to_string(site.inputs[0].members));
        }
    }
    return Status::Ok();
}

Status RequireNetworkInput(const LayerSite& site) {
    DLENT_RETURN_IF_ERROR(RequireFloats(site, 1, 1));
    if (site.spec.inputs[0] != "numeric" && site.spec.inputs[0] != "plain") {
        return LayerError(site.spec, "reads \"numeric\" or \"plain\", not another layer");
    }
    return Status::Ok();
}

void InitializeUniform(RandomStream& random, int64_t fan_in, std::span<float> values) {
    const float bound = 1.0f / std::sqrt(static_cast<float>(std::max<int64_t>(fan_in, 1)));
    for (float& value : values) {
        value = random.Uniform(-bound, bound);
    }
}

float* GradientTarget(const LayerContext& context, size_t input, float* scratch) {
    const LayerContext::Input& to = context.inputs[input];
    return to.gradient != nullptr && !to.accumulate ? to.gradient : scratch;
}

void DeliverGradient(const LayerContext& context, size_t input, const float* written, size_t count) {
    const LayerContext::Input& to = context.inputs[input];
    if (to.gradient != nullptr && written != to.gradient) {
        context.backend->Axpy(count, 1.0f, written, to.gradient);
    }
}

Expected<std::vector<int64_t>> ReadFields(const LayerSite& site, AttributeReader& attributes) {
    const int64_t all = static_cast<int64_t>(site.network.codes.size());
    std::optional<std::vector<int64_t>> listed =
        attributes.Integers("fields", 0, std::max<int64_t>(all - 1, 0));
    std::vector<int64_t> fields;
    if (listed) {
        fields = std::move(*listed);
        std::vector<int64_t> sorted = fields;
        std::sort(sorted.begin(), sorted.end());
        if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
            return LayerError(site.spec, "attribute \"fields\" names a field twice");
        }
    } else {
        for (int64_t field = 0; field < all; ++field) {
            fields.push_back(field);
        }
    }
    return fields;
}

Expected<OneHotInput> OneHotInput::Find(const LayerSite& site, AttributeReader& attributes,
                                        size_t table_index) {
    OneHotInput block;
    for (size_t i = 0; i < site.inputs.size(); ++i) {
        if (!site.inputs[i].is_codes) {
            continue;
        }
        if (block.present()) {
            return LayerError(site.spec, "reads \"codes\" twice");
        }
        block.input_ = static_cast<int>(i);
    }
    if (!block.present()) {
        return block;
    }
    DLENT_ASSIGN_OR_RETURN(block.fields_, ReadFields(site, attributes));
    block.all_fields_ = static_cast<int>(site.network.codes.size());
    block.table_index_ = table_index;
    for (const int64_t field : block.fields_) {
        block.offsets_.push_back(static_cast<int32_t>(block.table_rows_));
        block.table_rows_ += site.network.codes[field];
    }
    block.compact_ = block.fields_.size() != site.network.codes.size() ||
                     !std::is_sorted(block.fields_.begin(), block.fields_.end());
    return block;
}

const int32_t* OneHotInput::Codes(const LayerContext& context, float* scratch) const {
    const int32_t* codes = context.inputs[input_].codes;
    if (!compact_) {
        return codes;
    }
    // CopyColumns moves 32-bit elements unchanged, whatever they mean.
    const int count = static_cast<int>(fields_.size());
    for (int i = 0; i < count; ++i) {
        context.backend->CopyColumns(context.rows, 1, reinterpret_cast<const float*>(codes + fields_[i]),
                                     all_fields_, scratch + i, count, false);
    }
    return reinterpret_cast<const int32_t*>(scratch);
}

void OneHotInput::Forward(const LayerContext& context, int width, const float* table, float* scratch,
                          float* out) const {
    context.backend->EmbeddingSumForward(context.rows, static_cast<int>(fields_.size()), width,
                                         Codes(context, scratch), context.tables[table_index_], table, out,
                                         false);
}

void OneHotInput::Backward(const LayerContext& context, int width, const float* dout, float* scratch,
                           float* dtable) const {
    context.backend->EmbeddingSumBackward(context.rows, static_cast<int>(fields_.size()), width,
                                          Codes(context, scratch), context.tables[table_index_], dout,
                                          static_cast<int>(table_rows_), dtable);
}

}  // namespace dlent
