#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/nn/layer.h"

namespace dlent {

Status LayerError(const LayerSpec& spec, const std::string& problem);

/// Reads the attributes of a layer strictly. The first problem is kept and returned by Finish(), which also
/// refuses attributes that nobody read; until then a faulty attribute reads as its lowest valid value.
class AttributeReader {
 public:
    explicit AttributeReader(const LayerSpec& spec);

    /// Without a default the attribute must be there.
    int64_t Integer(std::string_view name, int64_t low, int64_t high,
                    std::optional<int64_t> absent = std::nullopt);
    float Number(std::string_view name, double low, double high, std::optional<double> absent = std::nullopt);
    bool Boolean(std::string_view name, bool absent);
    /// One of `choices`, the first of them when absent; its index.
    size_t Choice(std::string_view name, std::span<const std::string_view> choices);
    Activation ReadActivation(std::string_view name,
                              std::optional<Activation> absent = Activation::kIdentity);
    /// Nothing when absent.
    std::optional<std::vector<int64_t>> Integers(std::string_view name, int64_t low, int64_t high);

    /// "learning_rate", "bias_learning_rate" and "weight_decay"; only for layers with parameters.
    void ReadRates();
    TensorDeclaration Weight(std::string name, std::vector<int64_t> shape) const;
    /// A bias, scale, norm or alpha: not decayed.
    TensorDeclaration Bias(std::string name, std::vector<int64_t> shape) const;
    TensorDeclaration Undecayed(std::string name, std::vector<int64_t> shape) const;

    Status Finish() const;

 private:
    const Json* Take(std::string_view name, bool required);
    void Fail(std::string problem);

    const LayerSpec& spec_;
    std::vector<std::string> known_;
    std::string problem_;
    float learning_rate_ = 1.0f;
    float bias_learning_rate_ = 1.0f;
    float weight_decay_ = 1.0f;
};

/// That the layer has between `low` and `high` float inputs of equal members and no others.
Status RequireFloats(const LayerSite& site, size_t low, size_t high);
/// RequireFloats of one that is an input of the network: layers that pass no gradient on.
Status RequireNetworkInput(const LayerSite& site);

/// Uniform in ±1/sqrt(fan_in).
void InitializeUniform(RandomStream& random, int64_t fan_in, std::span<float> values);

/// Where to write an input's gradient with an operator that overwrites: in place when it is wanted and
/// nothing is there yet, else `scratch`; DeliverGradient then adds it where it belongs.
float* GradientTarget(const LayerContext& context, size_t input, float* scratch);
void DeliverGradient(const LayerContext& context, size_t input, const float* written, size_t count);

/// Category codes as one-hot blocks of a dense weight, never materialised.
class OneHotInput {
 public:
    /// Finds the codes input of a site, if any, and reads "fields". The error is the reader's or returned.
    static Expected<OneHotInput> Find(const LayerSite& site, AttributeReader& attributes, size_t table_index);

    bool present() const { return input_ >= 0; }
    int input() const { return input_; }
    int64_t table_rows() const { return table_rows_; }
    /// Where each field's block begins.
    const std::vector<int32_t>& offsets() const { return offsets_; }
    const std::vector<int64_t>& fields() const { return fields_; }
    /// Scratch floats a row, at the start of what Forward and Backward are given.
    int64_t scratch_per_row() const { return compact_ ? static_cast<int64_t>(fields_.size()) : 0; }

    /// out [rows × width] = the sum of the rows of `table` that the codes name.
    void Forward(const LayerContext& context, int width, const float* table, float* scratch,
                 float* out) const;
    void Backward(const LayerContext& context, int width, const float* dout, float* scratch,
                  float* dtable) const;

 private:
    const int32_t* Codes(const LayerContext& context, float* scratch) const;

    int input_ = -1;
    int all_fields_ = 0;
    size_t table_index_ = 0;
    std::vector<int64_t> fields_;
    std::vector<int32_t> offsets_;
    int64_t table_rows_ = 0;
    bool compact_ = false;  ///< the fields are not all of them in order
};

/// The fields of the codes input that a layer reads, all of them unless "fields" says otherwise.
Expected<std::vector<int64_t>> ReadFields(const LayerSite& site, AttributeReader& attributes);

}  // namespace dlent
