#include "cpu/row_scorer.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu/packed_model.h"
#include "cpu/row_network.h"
#include "model_testing.h"
#include "network_testing.h"

namespace dlent {
namespace {

constexpr int kRows = 64;
constexpr int kMembers = 2;

std::vector<CpuIsa> RunnableSets() {
    std::vector<CpuIsa> sets;
    for (const CpuIsa isa : {CpuIsa::kGeneric, CpuIsa::kAvx2, CpuIsa::kAvx512}) {
        if (isa <= DetectCpuIsa())
            sets.push_back(isa);
    }
    return sets;
}

Json FloatInput(const std::string& name, const char* block, const std::vector<float>& edges) {
    Json cell = {{"center", 0.5},  {"scale", 0.8},
                 {"minimum", -4},  {"maximum", 5},
                 {"mean", 0.5},    {"standard_deviation", 1},
                 {"nulls", 0},     {"null_indicator", false},
                 {"block", block}, {"percentiles_1_5_25_50_75_95_99", {-3, -2, 0, 0.5, 1, 3, 4}},
                 {"edges", edges}};
    return {{"name", name}, {"kind", "numeric"}, {"type", "real"}, {"width", 1}, {"cells", {cell}}};
}

/// A pipeline that makes what a network reads.
Pipeline PipelineFor(const NetworkSpec& spec, const std::vector<std::vector<float>>& edges) {
    Json inputs = Json::array();
    for (int i = 0; i < spec.numeric; ++i)
        inputs.push_back(
            FloatInput("n" + std::to_string(i), "numeric", edges.empty() ? std::vector<float>() : edges[i]));
    for (int i = 0; i < spec.plain; ++i)
        inputs.push_back(FloatInput("p" + std::to_string(i), "plain", {}));
    for (size_t field = 0; field < spec.codes.size(); ++field) {
        // the last two codes are the rare levels and NULL; in every other field neither was seen
        const bool all_seen = field % 2 != 0;
        const int level_count = spec.codes[field] - (all_seen ? 0 : 2);
        Json levels = Json::array();
        for (int level = 0; level < level_count; ++level)
            levels.push_back("level " + std::to_string(level));
        inputs.push_back({{"name", "c" + std::to_string(field)},
                          {"kind", "category"},
                          {"type", "text"},
                          {"encoding", "one_hot"},
                          {"levels", levels},
                          {"counts", std::vector<int>(level_count, 9)},
                          {"other", all_seen ? 0 : 3},
                          {"nulls", all_seen ? 0 : 3}});
    }
    Expected<Pipeline> pipeline =
        Pipeline::FromJson({{"format", 1}, {"rows", 100}, {"inputs", std::move(inputs)}});
    EXPECT_TRUE(pipeline.ok()) << pipeline.status().detail();
    return std::move(*pipeline);
}

TargetEncoder TargetFor(int outputs, bool regression) {
    Json json = {{"column", "y"}, {"type", "text"}, {"kind", "category"}};
    if (outputs == 1 && regression) {
        json = {{"column", "y"}, {"type", "real"}, {"kind", "numeric"}, {"task", "regression"},
                {"mean", 10},    {"minimum", -50}, {"maximum", 60},     {"standard_deviation", 4}};
    } else {
        const int labels = std::max(outputs, 2);
        json["task"] = outputs == 1 ? "binary" : "multiclass";
        json["labels"] = Json::array();
        for (int i = 0; i < labels; ++i)
            json["labels"].push_back(std::to_string(i));
        json["label_counts"] = std::vector<int>(labels, 5);
    }
    Expected<TargetEncoder> target = TargetEncoder::FromJson(json);
    EXPECT_TRUE(target.ok());
    return std::move(*target);
}

/// A model of two members with random weights around a network.
Model ModelAround(const NetworkSpec& spec, bool regression) {
    Model model;
    model.kind = "test";
    model.network = spec;
    model.temperature = 1.3f;
    const std::unique_ptr<Backend> backend = MakeCpuBackend();
    auto network = Network::Create(spec, *backend, 1, false);
    EXPECT_TRUE(network.ok()) << network.status().message();
    std::vector<std::vector<float>> edges;
    for (int member = 0; member < kMembers; ++member) {
        EXPECT_TRUE((*network)->Initialize(7).ok());
        Randomize(**network, 100 + member);
        auto tensors = (*network)->Save();
        EXPECT_TRUE(tensors.ok());
        model.members.push_back(std::move(*tensors));
    }
    for (const LayerSpec& layer : spec.layers) {
        if (layer.type != "piecewise_linear_embedding" || layer.inputs[0] != "numeric")
            continue;
        for (const NamedTensorData& tensor : model.members[0]) {
            if (tensor.name != layer.name + ".edges")
                continue;
            auto from = tensor.values.begin();
            for (const Json& bins : layer.attributes.at("bins")) {
                edges.emplace_back(from, from + bins.get<int>() + 1);
                from += bins.get<int>() + 1;
            }
        }
    }
    model.pipeline = PipelineFor(spec, edges);
    model.target = TargetFor((*network)->outputs(), regression);
    return model;
}

/// What the rows' answers are by definition: each member's logits from Network, on all rows at once, and the
/// mean of their probabilities in double.
std::vector<double> Reference(const Model& model, const std::vector<Cell>& cells) {
    const std::unique_ptr<Backend> backend = MakeCpuBackend(CpuIsa::kGeneric);
    const Pipeline& pipeline = model.pipeline;
    const int rows = static_cast<int>(cells.size()) / pipeline.cell_count();
    std::vector<float> numeric(rows * pipeline.numeric_count());
    std::vector<float> plain(rows * pipeline.plain_count());
    std::vector<int32_t> codes(rows * pipeline.field_count());
    pipeline.Encode(rows, cells.data(), numeric.data(), plain.data(), codes.data());
    const int outputs = model.target.output_count();
    std::vector<double> answers(static_cast<size_t>(rows) * outputs);
    int count = 0;
    for (const std::vector<NamedTensorData>& tensors : model.members) {
        auto network = Network::Create(model.network, *backend, rows, false);
        EXPECT_TRUE(network.ok());
        EXPECT_TRUE((*network)->Load(tensors).ok());
        EXPECT_TRUE((*network)->Forward({rows, numeric.data(), plain.data(), codes.data()}, false).ok());
        const std::vector<float> logits = Logits(*backend, **network, rows);
        const int inner = (*network)->members();
        count += inner;
        for (int row = 0; row < rows; ++row) {
            for (int member = 0; member < inner; ++member) {
                const float* of = &logits[(static_cast<size_t>(row) * inner + member) * outputs];
                const double highest = *std::max_element(of, of + outputs);
                double total = 0.0;
                for (int c = 0; c < outputs; ++c)
                    total += std::exp((of[c] - highest) / model.temperature);
                for (int c = 0; c < outputs; ++c) {
                    double answer = of[c];
                    if (model.target.task() == Task::kBinary)
                        answer = 1.0 / (1.0 + std::exp(-answer / model.temperature));
                    else if (model.target.task() == Task::kMulticlass)
                        answer = std::exp((answer - highest) / model.temperature) / total;
                    answers[static_cast<size_t>(row) * outputs + c] += answer;
                }
            }
        }
    }
    for (double& answer : answers) {
        answer /= count;
        if (model.target.task() == Task::kRegression)
            answer = std::clamp(answer * model.target.standard_deviation() + model.target.mean(),
                                static_cast<double>(model.target.minimum()),
                                static_cast<double>(model.target.maximum()));
    }
    return answers;
}

/// Within 1e-5 of the reference: relative to it, or where it is near 0 to what is small for such an answer, a
/// hundredth of a probability or the target's standard deviation.
void ExpectClose(const TargetEncoder& target, const std::vector<float>& scores,
                 const std::vector<double>& expected) {
    const double small = target.task() == Task::kRegression ? target.standard_deviation() : 1e-2;
    ASSERT_EQ(scores.size(), expected.size());
    for (size_t i = 0; i < scores.size(); ++i)
        ASSERT_NEAR(scores[i], expected[i], 1e-5 * std::max(std::abs(expected[i]), small)) << "output " << i;
}

/// Memory that nobody can write, as a mapped file is.
class ReadOnlyCopy {
 public:
    explicit ReadOnlyCopy(std::span<const std::byte> bytes) : bytes_(bytes.size()) {
        address_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (address_ == MAP_FAILED)
            throw std::bad_alloc();
        std::memcpy(address_, bytes.data(), bytes_);
        mprotect(address_, bytes_, PROT_READ);
    }
    ~ReadOnlyCopy() { munmap(address_, bytes_); }
    ReadOnlyCopy(const ReadOnlyCopy&) = delete;
    ReadOnlyCopy& operator=(const ReadOnlyCopy&) = delete;
    std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(address_), bytes_}; }

 private:
    void* address_;
    size_t bytes_;
};

/// A scorer that reads a copy of the packed model elsewhere.
Expected<std::unique_ptr<Scorer>> MakeElsewhere(const Model& model, CpuIsa isa) {
    DLENT_ASSIGN_OR_RETURN(const PackedModel packed, PackedModel::Pack(model));
    const auto copy = std::make_shared<const ReadOnlyCopy>(packed.image());
    return MakeCpuScorer(copy->bytes(), copy, isa);
}

void ExpectScoresOfNetwork(const Model& model) {
    const std::vector<Cell> cells = RandomCells(model.pipeline, kRows, 11);
    const std::vector<double> expected = Reference(model, cells);
    for (const CpuIsa isa : RunnableSets()) {
        SCOPED_TRACE("instruction set " + std::to_string(static_cast<int>(isa)));
        auto scorer = MakeElsewhere(model, isa);
        ASSERT_TRUE(scorer.ok()) << scorer.status().message() << scorer.status().detail();
        const std::vector<float> together = ScoreAll(**scorer, cells);
        ExpectClose(model.target, together, expected);
        // a row's bits do not depend on its neighbours, nor on what was scored before
        const int width = (*scorer)->cell_count();
        std::vector<float> alone((*scorer)->output_count());
        for (int row = kRows - 1; row >= 0; --row) {
            (*scorer)->Score(1, &cells[static_cast<size_t>(row) * width], alone.data());
            ASSERT_EQ(std::memcmp(alone.data(), &together[row * alone.size()], alone.size() * sizeof(float)),
                      0)
                << row;
        }
    }
}

// Networks whose inputs a careless packing would mix up.
constexpr NetworkCase kTrickyCases[] = {
    {"embedding_of_plain", R"({"version":1,"inputs":{"numeric":2,"plain":2},"layers":[
        {"name":"e","type":"piecewise_linear_embedding","inputs":["plain"],"width":3,"bins":[4,2]},
        {"name":"c","type":"smooth_clip","inputs":["numeric"]},
        {"name":"b","type":"dense","inputs":["e","c"],"units":1}],"output":"b"})"},
    {"only_embedding_of_plain", R"({"version":1,"inputs":{"numeric":2,"plain":2},"layers":[
        {"name":"e","type":"piecewise_linear_embedding","inputs":["plain"],"width":3,"bins":[4,2]},
        {"name":"c","type":"dense","inputs":["e","plain"],"units":2},
        {"name":"d","type":"dense","inputs":["numeric","c"],"units":1}],"output":"d"})"},
    {"embedded_and_clipped", R"({"version":1,"inputs":{"numeric":2},"layers":[
        {"name":"e","type":"piecewise_linear_embedding","inputs":["numeric"],"width":3,"bins":[4,2]},
        {"name":"c","type":"smooth_clip","inputs":["numeric"],"limit":1.5},
        {"name":"b","type":"dense","inputs":["e","c"],"units":1}],"output":"b"})"},
    {"clipped_twice", R"({"version":1,"inputs":{"numeric":2},"layers":[
        {"name":"c","type":"smooth_clip","inputs":["numeric"],"limit":1.5},
        {"name":"d","type":"smooth_clip","inputs":["numeric"],"limit":0.5},
        {"name":"b","type":"dense","inputs":["c","d"],"units":1}],"output":"b"})"},
    {"plain_twice", R"({"version":1,"inputs":{"plain":2},"layers":[
        {"name":"b","type":"dense","inputs":["plain","plain"],"units":17,"activation":"sigmoid"},
        {"name":"c","type":"dense","inputs":["b"],"units":1,"activation":"tanh"}],"output":"c"})"},
    {"skips_a_layer", R"({"version":1,"inputs":{"plain":2},"layers":[
        {"name":"a","type":"dense","inputs":["plain"],"units":2,"activation":"relu"},
        {"name":"b","type":"dense","inputs":["a"],"units":2,"activation":"relu"},
        {"name":"c","type":"dense","inputs":["a","b"],"units":3}],"output":"c"})"},
    {"fields_out_of_order", R"({"version":1,"inputs":{"plain":1,"codes":[4,3,5]},"layers":[
        {"name":"e","type":"embedding","inputs":["codes"],"fields":[2,1],"dims":[3,2]},
        {"name":"a","type":"dense","inputs":["codes","e","plain"],"fields":[1,0],"units":33,"activation":"selu"},
        {"name":"b","type":"dense","inputs":["a"],"units":7,"activation":"leaky_relu"},
        {"name":"c","type":"dense","inputs":["b"],"units":4}],"output":"c"})"},
};

class RowScorerNetworks : public testing::TestWithParam<NetworkCase> {};

TEST_P(RowScorerNetworks, ScoresAreThoseOfTheNetwork) {
    Json json = Json::parse(GetParam().spec);
    // room for the codes of rare levels and NULL
    if (json["inputs"].contains("codes")) {
        for (Json& cardinality : json["inputs"]["codes"])
            cardinality = cardinality.get<int>() + 2;
    }
    const auto spec = NetworkSpec::FromJson(json);
    ASSERT_TRUE(spec.ok()) << spec.status().message();
    for (const bool regression : {false, true})
        ExpectScoresOfNetwork(ModelAround(*spec, regression));
}

INSTANTIATE_TEST_SUITE_P(Every, RowScorerNetworks, testing::ValuesIn(kNetworkCases),
                         [](const auto& param) { return std::string(param.param.name); });
INSTANTIATE_TEST_SUITE_P(Tricky, RowScorerNetworks, testing::ValuesIn(kTrickyCases),
                         [](const auto& param) { return std::string(param.param.name); });

struct RecipeCase {
    const char* name;
    Task task;
    const char* options;
    bool packed;  ///< whether the row kernels take it
};

void PrintTo(const RecipeCase& test, std::ostream* stream) {
    *stream << test.name;
}

class RowScorerRecipes : public testing::TestWithParam<RecipeCase> {};

TEST_P(RowScorerRecipes, ScoresAreThoseOfTheNetwork) {
    const auto trained = Train(MixedRows(GetParam().task, 600, 1).Build(), GetParam().options);
    ASSERT_TRUE(trained.ok()) << trained.status().message();
    EXPECT_EQ(RowNetworkLayout::FromSpec(trained->model.network).ok(), GetParam().packed);
    ExpectScoresOfNetwork(trained->model);
}

INSTANTIATE_TEST_SUITE_P(
    Every, RowScorerRecipes,
    testing::Values(
        RecipeCase{"mixed_members", Task::kBinary,
                   R"({"preset":"fast","members":2,"epochs":2,"hidden":[24,16]})", true},
        RecipeCase{"piecewise_linear", Task::kRegression,
                   R"({"preset":"fast","epochs":2,"hidden":[20],"numeric_embedding":"piecewise_linear"})",
                   true},
        RecipeCase{"no_embedding", Task::kMulticlass,
                   R"({"preset":"fast","epochs":2,"hidden":[20,9],"numeric_embedding":"none"})", true},
        RecipeCase{"linear_model", Task::kBinary, R"({"preset":"fast","epochs":2,"hidden":[]})", true},
        RecipeCase{"periodic", Task::kRegression,
                   R"({"preset":"fast","epochs":2,"hidden":[16],"numeric_embedding":"periodic"})", false},
        RecipeCase{"tabm", Task::kMulticlass,
                   R"({"kind":"tabm","members":3,"preset":"fast","epochs":2,"hidden":[16,16]})", false}),
    [](const auto& param) { return std::string(param.param.name); });

TEST(RowScorer, RefusesInt8WithoutRowKernels) {
    const auto spec = ParseSpec(R"({"version":1,"inputs":{"plain":2},"layers":[
        {"name":"a","type":"dense","inputs":["plain"],"units":5,"bias":false},
        {"name":"b","type":"dense","inputs":["a"],"units":5},
        {"name":"c","type":"dense","inputs":["b"],"units":1}],"output":"c"})");
    ASSERT_TRUE(spec.ok());
    Model model = ModelAround(*spec, false);
    ASSERT_TRUE(MakeCpuScorer(model).ok());
    model.quantization = Quantization{{"b"}, {{InputQuantization()}, {InputQuantization()}}};
    ASSERT_TRUE(model.Validate().ok());
    const auto scorer = MakeCpuScorer(model);
    ASSERT_FALSE(scorer.ok());
    EXPECT_EQ(scorer.status().code(), StatusCode::kUnsupported);
}

TEST(RowScorer, SaysWhatItHolds) {
    const auto spec = ParseSpec(kNetworkCases[0].spec);
    ASSERT_TRUE(spec.ok());
    auto scorer = MakeCpuScorer(ModelAround(*spec, false));
    ASSERT_TRUE(scorer.ok());
    EXPECT_EQ((*scorer)->cell_count(), 4);
    EXPECT_EQ((*scorer)->output_count(), 2);
    EXPECT_GT((*scorer)->memory_bytes(), 0U);
    for (const NamedTensorData& tensor : (*scorer)->model().members[1])
        ADD_FAILURE() << "a copy of " << tensor.name;
}

// A file may be cut short or be of another version: an error, and nothing beyond its end is read.
TEST(RowScorer, RefusesAnImageThatIsNotWhole) {
    for (const NetworkCase& network : {kNetworkCases[0], kTrickyCases[6]}) {
        Json json = Json::parse(network.spec);
        if (json["inputs"].contains("codes")) {
            for (Json& cardinality : json["inputs"]["codes"])
                cardinality = cardinality.get<int>() + 2;
        }
        const auto spec = NetworkSpec::FromJson(json);
        ASSERT_TRUE(spec.ok());
        const auto packed = PackedModel::Pack(ModelAround(*spec, false));
        ASSERT_TRUE(packed.ok());
        const std::span<const std::byte> image = packed->image();
        ASSERT_TRUE(MakeCpuScorer(image, nullptr).ok());
        for (size_t size = 0; size < image.size(); size += size < 256 ? 1 : 61) {
            AlignedArray<std::byte> cut(size);
            std::copy_n(image.begin(), size, cut.data());
            const auto scorer = MakeCpuScorer({cut.data(), size}, nullptr);
            ASSERT_FALSE(scorer.ok()) << size;
            EXPECT_EQ(scorer.status().code(), StatusCode::kCorrupt) << size;
        }
        AlignedArray<std::byte> other(image.size());
        std::copy(image.begin(), image.end(), other.data());
        other[8] = std::byte{99};
        EXPECT_EQ(MakeCpuScorer({other.data(), other.size()}, nullptr).status().code(),
                  StatusCode::kUnsupported);
    }
}

TEST(RowScorer, RefusesAModelWhosePartsDoNotFit) {
    const auto spec = ParseSpec(R"({"version":1,"inputs":{"plain":2},"layers":[
        {"name":"b","type":"dense","inputs":["plain"],"units":3}],"output":"b"})");
    ASSERT_TRUE(spec.ok());
    const Model good = ModelAround(*spec, false);
    ASSERT_TRUE(MakeCpuScorer(good).ok());
    Model model = good;
    model.target = TargetFor(2, false);  // two classes for three logits
    EXPECT_EQ(MakeCpuScorer(model).status().code(), StatusCode::kCorrupt);
    model = good;
    model.members.clear();
    EXPECT_EQ(MakeCpuScorer(model).status().code(), StatusCode::kCorrupt);
    model = good;
    model.members[1][0].values.pop_back();  // fewer than the shape says
    EXPECT_EQ(MakeCpuScorer(model).status().code(), StatusCode::kCorrupt);
}

}  // namespace
}  // namespace dlent
