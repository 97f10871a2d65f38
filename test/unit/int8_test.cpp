// Scoring in int8: integers are exact on every instruction set, and answers stay near those of fp32.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/base/float_environment.h"
#include "core/base/random.h"
#include "core/drift/table_scorer.h"
#include "core/train/calibrate_quantization.h"
#include "cpu/int8_kernels.h"
#include "cpu/packed_model.h"
#include "cpu/row_scorer.h"
#include "model_testing.h"
#include "network_testing.h"

namespace dlent {

const Int8Kernels& EmulatedVnniInt8Kernels();

namespace {

/// The sets that this processor runs, and that of VNNI emulated.
std::vector<const Int8Kernels*> AllKernels() {
    std::vector<const Int8Kernels*> all = {&EmulatedVnniInt8Kernels()};
    for (const CpuIsa isa : {CpuIsa::kGeneric, CpuIsa::kAvx2, CpuIsa::kAvx512}) {
        const Int8Kernels* kernels = &SelectInt8Kernels(isa);
        if (std::find(all.begin(), all.end(), kernels) == all.end())
            all.push_back(kernels);
    }
    return all;
}

bool SameBits(float a, float b) {
    return std::memcmp(&a, &b, sizeof(a)) == 0;
}

/// A layer of random integers, at their limits more often than not where `extreme`.
struct IntegerLayer {
    int inputs;
    int outputs;
    int rows;
    std::vector<int8_t> weight;  ///< as the kernels read it
    std::vector<uint8_t> x;
    std::vector<int32_t> start;
    std::vector<float> scale;
    std::vector<float> bias;

    IntegerLayer(int of_inputs, int of_outputs, int of_rows, bool extreme, RandomStream* random)
        : inputs(of_inputs), outputs(of_outputs), rows(of_rows) {
        for (int i = 0; i < inputs * outputs; ++i) {
            const auto any = static_cast<int8_t>(static_cast<int>(random->NextBelow(255)) - 127);
            weight.push_back(!extreme || random->NextBelow(4) == 0 ? any : any < 0 ? -127 : 127);
        }
        for (int i = 0; i < inputs * rows; ++i) {
            const auto any = static_cast<uint8_t>(random->NextBelow(128));
            x.push_back(!extreme || random->NextBelow(4) == 0 ? any : 127);
        }
        for (int j = 0; j < outputs; ++j) {
            start.push_back(static_cast<int32_t>(random->NextBelow(200000)) - 100000);
            scale.push_back(std::abs(random->Normal()) * 1e-4f);
            bias.push_back(random->Normal());
        }
    }

    /// By definition.
    float Output(int row, int j, bool relu) const {
        int64_t sum = start[j];
        for (int i = 0; i < inputs; ++i)
            sum += static_cast<int64_t>(x[row * inputs + i]) * weight[(i / 4 * outputs + j) * 4 + i % 4];
        volatile const float product = static_cast<float>(static_cast<int32_t>(sum)) * scale[j];
        const float value = product + bias[j];
        return relu && !(value > 0.0f) ? 0.0f : value + 0.0f;
    }
};

TEST(Int8Kernels, DenseIsExact) {
    RandomStream random(3);
    const ScopedFlushToZero flush;
    for (const int outputs : {16, 32, 48, 80, 256}) {
        for (const int inputs : {16, 48, 256, 1024}) {
            for (const int rows : {1, 2, 5, 6, 13, 48}) {
                const IntegerLayer layer(inputs, outputs, rows, outputs % 32 == 0, &random);
                const bool relu = inputs % 32 == 0;
                for (const Int8Kernels* kernels : AllKernels()) {
                    std::vector<float> out(static_cast<size_t>(rows) * outputs, -1.0f);
                    kernels->dense(layer.weight.data(), outputs, layer.x.data(), inputs, rows,
                                   layer.start.data(), layer.scale.data(), layer.bias.data(), relu,
                                   out.data());
                    for (int row = 0; row < rows; ++row) {
                        for (int j = 0; j < outputs; ++j)
                            ASSERT_TRUE(SameBits(out[row * outputs + j], layer.Output(row, j, relu)))
                                << kernels->name << " " << rows << "x" << inputs << "x" << outputs;
                    }
                }
            }
        }
    }
}

/// Two products of the largest integers must not saturate what holds their sum.
TEST(Int8Kernels, TheWidestSumsDoNotOverflow) {
    constexpr int kOutputs = 16;
    for (const int sign : {-1, 1}) {
        const std::vector<int8_t> weight(static_cast<size_t>(kMaxInt8Inputs) * kOutputs,
                                         static_cast<int8_t>(sign * kMaxInt8Weight));
        const std::vector<uint8_t> x(kMaxInt8Inputs, kMaxInt8Input);
        const int32_t all = sign * kMaxInt8Inputs * kMaxInt8Input * kMaxInt8Weight;
        const std::vector<float> scale(kOutputs, 1.0f);
        const std::vector<float> bias(kOutputs, 0.0f);
        for (const int32_t first : {0, all, -all}) {
            const std::vector<int32_t> start(kOutputs, first);
            for (const Int8Kernels* kernels : AllKernels()) {
                std::vector<float> out(kOutputs);
                kernels->dense(weight.data(), kOutputs, x.data(), kMaxInt8Inputs, 1, start.data(),
                               scale.data(), bias.data(), false, out.data());
                for (const float value : out)
                    ASSERT_EQ(value, static_cast<float>(int64_t{first} + all)) << kernels->name;
            }
        }
    }
}

TEST(Int8Kernels, QuantizeRoundsAndClamps) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    std::vector<float> x = {0.0f,  -0.0f, 0.24f, 0.25f, 0.26f,     -0.25f,     -0.26f,     1.0f,
                            59.0f, 58.7f, 58.8f, 1e30f, kInfinity, -kInfinity, -kInfinity, NAN};
    const std::vector<int> expected = {10, 10, 10, 11, 11, 10, 9, 12, 127, 127, 127, 127, 127, 0, 0, 0};
    RandomStream random(5);
    while (x.size() < 256)
        x.push_back(random.Normal() * 30.0f);
    for (const Int8Kernels* kernels : AllKernels()) {
        std::vector<uint8_t> out(x.size());
        kernels->quantize(x.data(), static_cast<int>(x.size()), 2.0f, 10.0f, out.data());
        for (size_t i = 0; i < expected.size(); ++i)
            EXPECT_EQ(out[i], expected[i]) << kernels->name << " " << x[i];
        for (size_t i = expected.size(); i < x.size(); ++i)
            EXPECT_EQ(out[i], std::floor(std::clamp(x[i] * 2.0f + 10.0f, 0.0f, 127.0f) + 0.5f))
                << kernels->name << " " << x[i];
    }
}

TEST(Int8Kernels, TheInstructionsOfThisProcessor) {
#if defined(__x86_64__)
    if (DetectCpuIsa() < CpuIsa::kAvx512 || !__builtin_cpu_supports("avx512vnni"))
        GTEST_SKIP()
            << "this processor has no AVX-512 VNNI: its kernels were run with the instruction emulated";
    EXPECT_STREQ(SelectInt8Kernels(CpuIsa::kAvx512).name, "avx512vnni");
#else
    EXPECT_STREQ(SelectInt8Kernels(CpuIsa::kAvx512).name, "generic");
#endif
}

TEST(InputQuantization, KeepsTheRangeAndZero) {
    EXPECT_EQ(InputQuantization::OfRange(0.0f, 12.7f).zero_point, 0);
    EXPECT_FLOAT_EQ(InputQuantization::OfRange(0.0f, 12.7f).scale, 0.1f);
    EXPECT_EQ(InputQuantization::OfRange(5.0f, 12.7f), InputQuantization::OfRange(0.0f, 12.7f));
    EXPECT_EQ(InputQuantization::OfRange(-3.0f, -1.0f).zero_point, 127);
    EXPECT_EQ(InputQuantization::OfRange(-1.0f, 1.0f).zero_point, 64);
    EXPECT_EQ(InputQuantization::OfRange(0.0f, 0.0f), InputQuantization());
    for (const float size : {1e-45f, 1e-38f, 3e38f}) {
        const InputQuantization input = InputQuantization::OfRange(-size, size);
        EXPECT_TRUE(std::isnormal(input.scale) && std::isnormal(1.0f / input.scale)) << size;
    }
}

TEST(QuantizableLayers, AreHiddenLayersThatReadHiddenLayers) {
    const auto layers = [](const std::string& more, const char* output) {
        const auto spec = ParseSpec(R"({"version":1,"inputs":{"numeric":2,"plain":2},"layers":[
            {"name":"c","type":"smooth_clip","inputs":["numeric"]},
            {"name":"h1","type":"dense","inputs":["c","plain"],"units":5},)" +
                                    more + R"(],"output":")" + output + "\"}");
        EXPECT_TRUE(spec.ok()) << spec.status().message();
        std::string names;
        for (const std::string& name : QuantizableLayers(*spec))
            names += name + " ";
        return names;
    };
    EXPECT_EQ(layers(R"({"name":"o","type":"dense","inputs":["h1"],"units":1})", "o"), "");
    EXPECT_EQ(layers(R"({"name":"d","type":"dropout","inputs":["h1"],"rate":0.5},
                        {"name":"h2","type":"dense","inputs":["d"],"units":1},
                        {"name":"h3","type":"dense","inputs":["h2"],"units":7},
                        {"name":"o","type":"dense","inputs":["h3"],"units":1})",
                     "o"),
              "h2 h3 ");
    // what is added or normalised between is no plain stack
    EXPECT_EQ(layers(R"({"name":"n","type":"layer_norm","inputs":["h1"]},
                        {"name":"h2","type":"dense","inputs":["n"],"units":5},
                        {"name":"h3","type":"dense","inputs":["h2"],"units":5},
                        {"name":"o","type":"dense","inputs":["h3"],"units":1})",
                     "o"),
              "");
    EXPECT_EQ(layers(R"({"name":"h2","type":"dense","inputs":["h1"],"units":5},
                        {"name":"o","type":"dense","inputs":["h1","h2"],"units":1})",
                     "o"),
              "");
}

/// The inputs of a table's rows.
class InputRows final : public TrainingData {
 public:
    InputRows(const ColumnarTable& table, const Pipeline& pipeline)
        : rows_(table.rows()), inputs_(*pipeline.Bind(table)) {}
    size_t rows() const override { return rows_; }
    void Gather(std::span<const uint32_t> rows, const HostBatch& batch) const override {
        inputs_.Gather(rows, batch.numeric, batch.plain, batch.codes);
    }

 private:
    size_t rows_;
    Pipeline::Binding inputs_;
};

std::vector<uint32_t> EverySecond(size_t rows, uint32_t first) {
    std::vector<uint32_t> some;
    for (uint32_t row = first; row < rows; row += 2)
        some.push_back(row);
    return some;
}

constexpr size_t kTableRows = 600;

/// A trained model, quantized by every second of its rows.
Model Quantized(const ColumnarTable& table, const std::string& options) {
    auto trained = Train(table, options);
    EXPECT_TRUE(trained.ok()) << trained.status().message() << trained.status().detail();
    Model model = std::move(trained->model);
    const auto backend = MakeCpuBackend();
    const auto quantization = CalibrateQuantization(model, InputRows(table, model.pipeline),
                                                    EverySecond(table.rows(), 0), *backend, NeverCancelled());
    EXPECT_TRUE(quantization.ok()) << quantization.status().message();
    model.quantization = *quantization;
    EXPECT_TRUE(model.Validate().ok());
    return model;
}

Model Quantized(Task task, const std::string& options) {
    return Quantized(MixedRows(task, kTableRows, 1).Build(), options);
}

std::vector<float> ScoreRows(const Model& model, const ColumnarTable& table, std::span<const uint32_t> rows) {
    auto scorer = MakeCpuScorer(model);
    EXPECT_TRUE(scorer.ok()) << scorer.status().message();
    return *TableScorer::Create(scorer->get(), table)->Score(rows, NeverCancelled());
}

const NamedTensorData& TensorOf(const std::vector<NamedTensorData>& tensors, const std::string& name) {
    return *std::find_if(tensors.begin(), tensors.end(),
                         [&name](const NamedTensorData& tensor) { return tensor.name == name; });
}

double Activated(const std::string& activation, double x) {
    if (activation == "relu")
        return std::max(x, 0.0);
    if (activation == "tanh")
        return std::tanh(x);
    if (activation == "selu")
        return 1.05070098 * (x > 0.0 ? x : 1.67326324 * std::expm1(x));
    EXPECT_EQ(activation, "identity");
    return x;
}

/// A member's logits of one encoded row, by the definition of int8 layers; `first` are the outputs of its
/// first dense layer.
std::vector<double> NaiveLogits(const Model& model, size_t member, std::vector<double> values) {
    const Quantization& quantization = *model.quantization;
    bool reading = false;
    for (const LayerSpec& layer : model.network.layers) {
        if (layer.type != "dense")
            continue;
        if (!std::exchange(reading, true))
            continue;
        const NamedTensorData& weight = TensorOf(model.members[member], layer.name + ".weight");
        const NamedTensorData& bias = TensorOf(model.members[member], layer.name + ".bias");
        const size_t inputs = values.size();
        const size_t outputs = bias.values.size();
        const auto found = std::find(quantization.layers.begin(), quantization.layers.end(), layer.name);
        std::vector<double> next(outputs);
        for (size_t j = 0; j < outputs; ++j) {
            double largest = 0.0;
            for (size_t i = 0; i < inputs; ++i)
                largest = std::max(largest, std::abs(static_cast<double>(weight.values[i * outputs + j])));
            double sum = 0.0;
            for (size_t i = 0; i < inputs; ++i) {
                double w = weight.values[i * outputs + j];
                double x = values[i];
                if (found != quantization.layers.end()) {
                    const InputQuantization& input =
                        quantization.inputs[member][found - quantization.layers.begin()];
                    x = std::clamp(std::round(x / input.scale) + input.zero_point, 0.0, 127.0);
                    x = input.scale * (x - input.zero_point);
                    w = largest > 0.0 ? std::nearbyint(w / (largest / 127.0)) * (largest / 127.0) : 0.0;
                }
                sum += x * w;
            }
            next[j] = Activated(layer.attributes.value("activation", "identity"), sum + bias.values[j]);
        }
        values = std::move(next);
    }
    return values;
}

/// Outputs of each member's first dense layer, and from there the mean answer of all.
std::vector<double> NaiveAnswers(const Model& model, const std::vector<Cell>& cells) {
    const auto backend = MakeCpuBackend(CpuIsa::kGeneric);
    const Pipeline& pipeline = model.pipeline;
    const int rows = static_cast<int>(cells.size()) / pipeline.cell_count();
    std::vector<float> numeric(rows * pipeline.numeric_count());
    std::vector<float> plain(rows * pipeline.plain_count());
    std::vector<int32_t> codes(rows * pipeline.field_count());
    pipeline.Encode(rows, cells.data(), numeric.data(), plain.data(), codes.data());
    NetworkSpec first = model.network;
    const auto dense = std::find_if(first.layers.begin(), first.layers.end(),
                                    [](const LayerSpec& layer) { return layer.type == "dense"; });
    first.outputs = {dense->name};
    first.layers.erase(std::next(dense), first.layers.end());
    const int outputs = model.target.output_count();
    std::vector<double> answers(static_cast<size_t>(rows) * outputs);
    for (size_t member = 0; member < model.members.size(); ++member) {
        auto network = Network::Create(first, *backend, rows, false);
        EXPECT_TRUE(network.ok());
        std::vector<NamedTensorData> tensors;
        for (const ParameterInfo& parameter : (*network)->parameters())
            tensors.push_back(TensorOf(model.members[member], parameter.name));
        EXPECT_TRUE((*network)->Load(tensors).ok());
        EXPECT_TRUE((*network)->Forward({rows, numeric.data(), plain.data(), codes.data()}, false).ok());
        const int width = (*network)->outputs();
        for (int row = 0; row < rows; ++row) {
            const float* values = (*network)->logits() + static_cast<ptrdiff_t>(row) * width;
            std::vector<double> logits = NaiveLogits(model, member, {values, values + width});
            double total = 0.0;
            for (const double logit : logits)
                total += std::exp(logit / model.temperature);
            for (int c = 0; c < outputs; ++c) {
                double answer = logits[c];
                if (model.target.task() == Task::kBinary)
                    answer = 1.0 / (1.0 + std::exp(-answer / model.temperature));
                else if (model.target.task() == Task::kMulticlass)
                    answer = std::exp(answer / model.temperature) / total;
                answers[static_cast<size_t>(row) * outputs + c] +=
                    answer / static_cast<double>(model.members.size());
            }
        }
    }
    for (double& answer : answers) {
        if (model.target.task() == Task::kRegression)
            answer = std::clamp(answer * model.target.standard_deviation() + model.target.mean(),
                                static_cast<double>(model.target.minimum()),
                                static_cast<double>(model.target.maximum()));
    }
    return answers;
}

struct Int8Case {
    const char* name;
    Task task;
    const char* options;
};

void PrintTo(const Int8Case& test, std::ostream* stream) {
    *stream << test.name;
}

class Int8Scorer : public testing::TestWithParam<Int8Case> {};

TEST_P(Int8Scorer, ScoresByDefinitionToTheSameBitsInEveryBlock) {
    constexpr int kRows = 131;
    const Model model = Quantized(GetParam().task, GetParam().options);
    const std::vector<Cell> cells = RandomCells(model.pipeline, kRows, 11);
    const std::vector<double> expected = NaiveAnswers(model, cells);
    // one input that rounds to the next integer moves an answer by less
    const double tolerance =
        model.target.task() == Task::kRegression ? 5e-3 * model.target.standard_deviation() : 2e-3;
    std::vector<float> fused;
    for (const CpuIsa isa : {CpuIsa::kGeneric, CpuIsa::kAvx2, CpuIsa::kAvx512}) {
        auto scorer = MakeCpuScorer(model, isa);
        ASSERT_TRUE(scorer.ok()) << scorer.status().message();
        const std::vector<float> together = ScoreAll(**scorer, cells);
        size_t exact = 0;
        for (size_t i = 0; i < together.size(); ++i) {
            ASSERT_NEAR(together[i], expected[i], tolerance) << "output " << i;
            exact += std::abs(together[i] - expected[i]) < 1e-3 * tolerance ? 1 : 0;
        }
        EXPECT_GT(exact, together.size() / 2);
        const size_t width = (*scorer)->cell_count();
        const size_t outputs = (*scorer)->output_count();
        std::vector<float> alone(outputs);
        for (int row = kRows - 1; row >= 0; --row) {
            (*scorer)->Score(1, &cells[row * width], alone.data());
            for (size_t i = 0; i < outputs; ++i)
                ASSERT_TRUE(SameBits(alone[i], together[row * outputs + i])) << row;
        }
        for (const int block : {2, 7, 48, 49}) {
            std::vector<float> some(block * outputs);
            for (int row = 0; row + block <= kRows; row += block) {
                (*scorer)->Score(block, &cells[row * width], some.data());
                for (size_t i = 0; i < some.size(); ++i)
                    ASSERT_TRUE(SameBits(some[i], together[row * outputs + i])) << row << " of " << block;
            }
        }
        // fused products make the layers in fp32 differ from the portable ones, but not from each other
        if (isa == CpuIsa::kGeneric)
            continue;
        if (fused.empty())
            fused = together;
        for (size_t i = 0; i < together.size(); ++i)
            ASSERT_TRUE(SameBits(together[i], fused[i])) << i;
    }
}

TEST_P(Int8Scorer, StaysNearFp32) {
    const ColumnarTable table = MixedRows(GetParam().task, kTableRows, 1).Build();
    Model model = Quantized(table, GetParam().options);
    const std::vector<uint32_t> others = EverySecond(kTableRows, 1);
    const std::vector<float> int8 = ScoreRows(model, table, others);
    model.quantization.reset();
    const std::vector<float> fp32 = ScoreRows(model, table, others);
    double squares = 0.0;
    for (size_t i = 0; i < int8.size(); ++i)
        squares += (int8[i] - fp32[i]) * (int8[i] - fp32[i]);
    const double rms = std::sqrt(squares / static_cast<double>(int8.size()));
    const double unit = model.target.task() == Task::kRegression ? model.target.standard_deviation() : 1.0;
    EXPECT_GT(rms, 0.0) << "nothing was quantized";
    EXPECT_LT(rms, 0.005 * unit);
}

TEST_P(Int8Scorer, IsAPropertyOfTheArtifact) {
    const Model model = Quantized(GetParam().task, GetParam().options);
    const Artifact artifact = Artifact::Of(model);
    const auto read = artifact.Open();
    ASSERT_TRUE(read.ok()) << read.status().message() << read.status().detail();
    EXPECT_EQ(read->quantization, model.quantization);
    EXPECT_EQ(Artifact::Of(*read), artifact);
    const std::vector<Cell> cells = RandomCells(model.pipeline, 40, 13);
    auto before = MakeCpuScorer(model);
    auto after = MakeCpuScorer(*read);
    ASSERT_TRUE(before.ok() && after.ok());
    EXPECT_EQ(ScoreAll(**before, cells), ScoreAll(**after, cells));
}

INSTANTIATE_TEST_SUITE_P(
    Every, Int8Scorer,
    testing::Values(
        Int8Case{"mixed_members", Task::kBinary,
                 R"({"preset":"fast","members":2,"epochs":4,"hidden":[40,24]})"},
        // of one unit in the middle, which lives on with this seed
        Int8Case{"deep", Task::kRegression,
                 R"({"preset":"fast","hidden":[33,20,1,18],"seed":5,"epochs":6,"numeric_embedding":"none"})"},
        Int8Case{"signed_activations", Task::kMulticlass,
                 R"({"preset":"fast","epochs":4,"hidden":[24,16,12],"activation":"selu"})"},
        Int8Case{"tanh", Task::kBinary,
                 R"({"preset":"fast","epochs":4,"hidden":[24,80],"activation":"tanh"})"}),
    [](const auto& param) { return std::string(param.param.name); });

TEST(Quantization, OfAnArtifactIsNotTrusted) {
    const Model model = Quantized(Task::kBinary, R"({"preset":"fast","epochs":1,"hidden":[24,16,8]})");
    const Json specification = model.SpecificationJson();
    const std::string weights = model.WeightsBytes();
    const auto open = [&](const Json& changed) {
        return Model::FromArtifact(changed, model.PipelineJson(), weights);
    };
    ASSERT_TRUE(open(specification).ok());
    const std::pair<const char*, Json> damages[] = {
        {"", nullptr},
        {"", Json::array()},
        {"/type", "int4"},
        {"/type", nullptr},
        {"/layers", Json::array()},
        {"/layers", "hidden_2"},
        {"/layers", {"hidden_2"}},
        {"/layers", {"hidden_3", "hidden_2"}},
        {"/layers", {"hidden_2", "output"}},
        {"/layers", {"hidden_2", 3}},
        {"/inputs", Json::object()},
        {"/inputs", Json::array()},
        {"/inputs/0", Json::array()},
        {"/inputs/0", nullptr},
        {"/inputs/0/1", Json::object()},
        {"/inputs/0/1/scale", 0},
        {"/inputs/0/1/scale", -1.0},
        {"/inputs/0/1/scale", 1e-45},
        {"/inputs/0/1/scale", 1e300},
        {"/inputs/0/1/scale", "1"},
        {"/inputs/0/1/zero_point", -1},
        {"/inputs/0/1/zero_point", 128},
        {"/inputs/0/1/zero_point", 0.5},
        {"/inputs/0/1/zero_point", uint64_t{1} << 63},
    };
    for (const auto& [where, what] : damages) {
        Json changed = specification;
        changed[Json::json_pointer(std::string("/quantization") + where)] = what;
        const auto opened = open(changed);
        ASSERT_FALSE(opened.ok()) << where << " " << what;
        EXPECT_EQ(opened.status().code(), StatusCode::kCorrupt) << where << " " << what;
    }
    Json more = specification;
    more["quantization"]["inputs"].push_back(more["quantization"]["inputs"][0]);
    EXPECT_EQ(open(more).status().code(), StatusCode::kCorrupt);
}

TEST(Quantization, OfWhatHasNoInt8KernelsIsRefused) {
    const ColumnarTable table = MixedRows(Task::kBinary, 300, 1).Build();
    for (const char* options :
         {R"({"preset":"fast","epochs":1,"hidden":[16]})",
          R"({"preset":"fast","epochs":1,"hidden":[16,16],"numeric_embedding":"periodic"})",
          R"({"kind":"tabm","members":2,"preset":"fast","epochs":1,"hidden":[16,16]})"}) {
        const auto trained = Train(table, options);
        ASSERT_TRUE(trained.ok()) << trained.status().message();
        EXPECT_TRUE(QuantizableLayers(trained->model.network).empty()) << options;
        Model model = trained->model;
        model.quantization = Quantization{{"hidden_2"}, {{InputQuantization()}}};
        EXPECT_EQ(model.Validate().code(), StatusCode::kCorrupt) << options;
    }
}

}  // namespace
}  // namespace dlent
