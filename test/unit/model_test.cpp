#include "core/model/model.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <limits>

#include "core/formats/safetensors.h"
#include "cpu/row_scorer.h"
#include "model_testing.h"

namespace dlent {
namespace {

constexpr const char* kSmall = R"({"preset":"fast","members":2,"epochs":1,"hidden":[6,4],
    "numeric_embedding":"piecewise_linear"})";

const Model& SmallModel() {
    static const TrainedModel trained = [] {
        Expected<TrainedModel> model = Train(MixedRows(Task::kMulticlass, 200, 3, true).Build(), kSmall);
        EXPECT_TRUE(model.ok()) << model.status().message();
        return std::move(*model);
    }();
    return trained.model;
}

const Artifact& SmallArtifact() {
    static const Artifact artifact = Artifact::Of(SmallModel());
    return artifact;
}

testing::AssertionResult SameBits(const std::vector<float>& a, const std::vector<float>& b) {
    if (a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0)
        return testing::AssertionSuccess();
    return testing::AssertionFailure() << "the bits differ";
}

struct RoundTrip {
    const char* name;
    Task task;
    const char* options;
};

void PrintTo(const RoundTrip& test, std::ostream* stream) {
    *stream << test.name;
}

class ModelRoundTrip : public testing::TestWithParam<RoundTrip> {};

TEST_P(ModelRoundTrip, TheArtifactIsTheModelToTheBit) {
    const auto trained = Train(MixedRows(GetParam().task, 600, 1).Build(), GetParam().options);
    ASSERT_TRUE(trained.ok()) << trained.status().message();
    const Artifact artifact = Artifact::Of(trained->model);
    const Expected<Model> opened = artifact.Open();
    ASSERT_TRUE(opened.ok()) << opened.status().message() << opened.status().detail();
    EXPECT_EQ(Artifact::Of(*opened), artifact);

    auto before = MakeCpuScorer(trained->model);
    auto after = MakeCpuScorer(*opened);
    ASSERT_TRUE(before.ok() && after.ok());
    const std::vector<Cell> cells = RandomCells(opened->pipeline, 200, 5);
    EXPECT_TRUE(SameBits(ScoreAll(**before, cells), ScoreAll(**after, cells)));
}

INSTANTIATE_TEST_SUITE_P(
    Every, ModelRoundTrip,
    testing::Values(
        RoundTrip{"binary", Task::kBinary, R"({"preset":"fast","members":3,"epochs":2,"hidden":[12]})"},
        RoundTrip{"regression", Task::kRegression, R"({"preset":"fast","epochs":2,"hidden":[12,8]})"},
        RoundTrip{"multiclass", Task::kMulticlass,
                  R"({"preset":"fast","epochs":2,"hidden":[12],"numeric_embedding":"none"})"},
        RoundTrip{"periodic", Task::kBinary,
                  R"({"preset":"fast","epochs":2,"hidden":[12],"numeric_embedding":"periodic"})"},
        RoundTrip{"tabm", Task::kRegression,
                  R"({"kind":"tabm","members":4,"preset":"fast","epochs":2,"hidden":[12]})"}),
    [](const auto& param) { return std::string(param.param.name); });

struct Parts {
    Json specification = Json::parse(SmallArtifact().specification);
    Json pipeline = Json::parse(SmallArtifact().pipeline);
    std::vector<NamedTensorData> tensors = *ReadSafetensors(SmallArtifact().weights);

    NamedTensorData& Tensor(const std::string& name) {
        for (NamedTensorData& tensor : tensors) {
            if (tensor.name == name)
                return tensor;
        }
        ADD_FAILURE() << "no tensor " << name;
        return tensors.front();
    }
    void Erase(const std::string& name) {
        EXPECT_EQ(std::erase_if(tensors, [&](const auto& tensor) { return tensor.name == name; }), 1u);
    }
    Json& Layer(const std::string& name) {
        for (Json& layer : specification["network"]["layers"]) {
            if (layer["name"] == name)
                return layer;
        }
        ADD_FAILURE() << "no layer " << name;
        return specification["network"]["layers"].front();
    }
    Expected<Model> Open() const {
        return Model::FromArtifact(specification, pipeline, WriteSafetensors(tensors, {}));
    }
};

struct Tampering {
    std::string name;
    std::function<void(Parts&)> change;
    std::string says;  ///< in message and detail
    StatusCode code = StatusCode::kCorrupt;
};

TEST(ModelArtifact, EveryTamperedPartIsRefusedByItsReason) {
    ASSERT_TRUE(Parts().Open().ok()) << Parts().Open().status().detail();
    std::vector<Tampering> tamperings = {
        {"not an object", [](Parts& p) { p.specification = Json::array(); }, "type_error"},
        {"another format", [](Parts& p) { p.specification["format"] = "dlent.model/2"; },
         "format is unknown"},
        {"format of another type", [](Parts& p) { p.specification["format"] = 1; }, "format is unknown"},
        {"no kind", [](Parts& p) { p.specification.erase("kind"); }, "kind"},
        {"empty kind", [](Parts& p) { p.specification["kind"] = ""; }, "kind is empty or too long"},
        {"long kind", [](Parts& p) { p.specification["kind"] = std::string(64, 'k'); },
         "kind is empty or too long"},
        {"no members", [](Parts& p) { p.specification["members"] = 0; }, "no members, or too many"},
        {"negative members", [](Parts& p) { p.specification["members"] = -1; }, "no members, or too many"},
        {"true members", [](Parts& p) { p.specification["members"] = true; }, "no members, or too many"},
        {"half members", [](Parts& p) { p.specification["members"] = 2.5; }, "no members, or too many"},
        {"endless members", [](Parts& p) { p.specification["members"] = 1e300; }, "no members, or too many"},
        {"too many members", [](Parts& p) { p.specification["members"] = 257; }, "no members, or too many"},
        {"fewer members", [](Parts& p) { p.specification["members"] = 1; }, "belongs to no member"},
        {"more members", [](Parts& p) { p.specification["members"] = 3; }, "of member 2 is missing"},
        {"no temperature", [](Parts& p) { p.specification["temperature"] = 0; }, "temperature"},
        {"negative temperature", [](Parts& p) { p.specification["temperature"] = -1; }, "temperature"},
        {"tiny temperature", [](Parts& p) { p.specification["temperature"] = 1e-40; }, "temperature"},
        {"huge temperature", [](Parts& p) { p.specification["temperature"] = 1e300; }, "temperature"},
        {"true temperature", [](Parts& p) { p.specification["temperature"] = true; }, "temperature"},
        {"null temperature", [](Parts& p) { p.specification["temperature"] = nullptr; }, "temperature"},
        {"a class more",
         [](Parts& p) {
             p.specification["target"]["labels"].push_back("fourth");
             p.specification["target"]["label_counts"].push_back(1);
         },
         "3 outputs where its target takes 4"},
        {"a class less",
         [](Parts& p) {
             p.specification["target"]["labels"].erase(0);
             p.specification["target"]["label_counts"].erase(0);
         },
         "3 outputs where its target takes 2"},
        {"another task",
         [](Parts& p) {
             p.specification["target"] = Json::parse(
                 R"({"column":"y","type":"real","kind":"numeric","task":"regression",
                     "mean":0,"standard_deviation":1,"minimum":-1,"maximum":1})");
         },
         "3 outputs where its target takes 1"},
        {"no target", [](Parts& p) { p.specification["target"] = nullptr; }, "target"},
        {"a wider output", [](Parts& p) { p.Layer("output")["units"] = 4; },
         "4 outputs where its target takes 3"},
        {"another output", [](Parts& p) { p.specification["network"]["output"] = "hidden_1"; },
         "nothing reads it"},
        {"a wider layer", [](Parts& p) { p.Layer("hidden_1")["units"] = 7; }, "does not have the shape"},
        {"an absurd layer", [](Parts& p) { p.Layer("hidden_1")["units"] = int64_t{1} << 40; }, "units"},
        {"a layer of many parameters",
         [](Parts& p) { p.Layer("hidden_1")["units"] = p.Layer("hidden_2")["units"] = 1 << 20; },
         "more than"},
        {"units of half", [](Parts& p) { p.Layer("hidden_1")["units"] = 6.5; }, "units"},
        {"an unknown layer", [](Parts& p) { p.Layer("hidden_1")["type"] = "magic"; }, "magic"},
        {"an unknown attribute", [](Parts& p) { p.Layer("hidden_1")["unit"] = 6; }, "unit"},
        {"an unknown activation", [](Parts& p) { p.Layer("hidden_1")["activation"] = "step"; }, "step"},
        {"no bias", [](Parts& p) { p.Layer("hidden_1")["bias"] = false; }, "has no tensor"},
        {"a newer network", [](Parts& p) { p.specification["network"]["version"] = 2; }, "newer",
         StatusCode::kUnsupported},
        {"a number more",
         [](Parts& p) {
             p.specification["network"]["inputs"]["numeric"] = 3;
             p.Layer("numbers")["bins"].push_back(4);
         },
         "does not read what its pipeline makes"},
        {"another cardinality", [](Parts& p) { p.specification["network"]["inputs"]["codes"][0] = 9; },
         "does not read what its pipeline makes"},
        {"a field less",
         [](Parts& p) {
             p.specification["network"]["inputs"]["codes"].clear();
             std::erase_if(p.Layer("hidden_1")["inputs"].get_ref<Json::array_t&>(),
                           [](const Json& input) { return input == "codes"; });
         },
         "does not read what its pipeline makes"},
        {"a plain input more",
         [](Parts& p) {
             p.specification["network"]["inputs"]["plain"] =
                 p.specification["network"]["inputs"]["plain"].get<int>() + 1;
         },
         "does not read what its pipeline makes"},
        {"a bin less, a bin more",
         [](Parts& p) {
             Json& bins = p.Layer("numbers")["bins"];
             bins[0] = bins[0].get<int>() - 1;
             bins[1] = bins[1].get<int>() + 1;
         },
         "does not have the bins of its pipeline"},
        {"a level more",
         [](Parts& p) {
             for (Json& input : p.pipeline["inputs"]) {
                 if (input["name"] == "city") {
                     input["levels"].push_back("Paris");
                     input["counts"].push_back(1);
                 }
             }
         },
         "does not read what its pipeline makes"},
        {"a column less", [](Parts& p) { p.pipeline["inputs"].erase(0); },
         "does not read what its pipeline makes"},
        {"a pipeline without edges", [](Parts& p) { p.pipeline["inputs"][0]["cells"][0].erase("edges"); },
         "does not have the bins of its pipeline"},
        {"a moved edge",
         [](Parts& p) {
             Json& edge = p.pipeline["inputs"][0]["cells"][0]["edges"][0];
             edge = edge.get<float>() - 1.0f;
         },
         "is not what its pipeline says"},
        {"no pipeline", [](Parts& p) { p.pipeline = nullptr; }, "pipeline"},
        {"a moved edge in the weights", [](Parts& p) { p.Tensor("1/numbers.edges").values[0] -= 1.0f; },
         "\"numbers.edges\" of member 1 is not what its pipeline says"},
        {"a missing tensor", [](Parts& p) { p.Erase("1/hidden_2.bias"); },
         "\"hidden_2.bias\" of member 1 is missing"},
        {"an extra tensor",
         [](Parts& p) {
             p.tensors.push_back({"0/hidden_3.bias", {1}, {0.0f}});
         },
         "has no tensor \"hidden_3.bias\" of member 0"},
        {"a tensor of no member",
         [](Parts& p) {
             p.tensors.push_back({"hidden_1.bias", {1}, {0.0f}});
         },
         "\"hidden_1.bias\" belongs to no member"},
        {"a member beyond",
         [](Parts& p) {
             p.tensors.push_back({"2/hidden_1.bias", {1}, {0.0f}});
         },
         "\"2/hidden_1.bias\" belongs to no member"},
        {"a negative member",
         [](Parts& p) {
             p.tensors.push_back({"-1/hidden_1.bias", {1}, {0.0f}});
         },
         "belongs to no member"},
        {"an endless member",
         [](Parts& p) {
             p.tensors.push_back({std::string(40, '1') + "/hidden_1.bias", {1}, {0.0f}});
         },
         "belongs to no member"},
        {"a member twice",
         [](Parts& p) {
             NamedTensorData copy = p.Tensor("1/hidden_1.bias");
             copy.name = "01/hidden_1.bias";
             p.tensors.push_back(copy);
         },
         "\"01/hidden_1.bias\" belongs to no member"},
        {"a transposed tensor",
         [](Parts& p) {
             NamedTensorData& tensor = p.Tensor("0/hidden_2.weight");
             std::swap(tensor.shape[0], tensor.shape[1]);
         },
         "\"hidden_2.weight\" of member 0 does not have the shape"},
        {"a flat tensor",
         [](Parts& p) {
             NamedTensorData& tensor = p.Tensor("0/hidden_2.weight");
             tensor.shape = {tensor.shape[0] * tensor.shape[1]};
         },
         "does not have the shape"},
        {"a weight that is not a number",
         [](Parts& p) { p.Tensor("0/hidden_2.weight").values[3] = std::numeric_limits<float>::quiet_NaN(); },
         "not finite"},
        {"an infinite weight",
         [](Parts& p) { p.Tensor("1/output.bias").values[0] = std::numeric_limits<float>::infinity(); },
         "not finite"},
    };
    for (const Tampering& tampering : tamperings) {
        SCOPED_TRACE(tampering.name);
        Parts parts;
        tampering.change(parts);
        const Expected<Model> model = parts.Open();
        ASSERT_FALSE(model.ok());
        EXPECT_EQ(model.status().code(), tampering.code);
        const std::string text = model.status().message() + " " + model.status().detail();
        EXPECT_NE(text.find(tampering.says), std::string::npos) << text;
    }
}

TEST(ModelArtifact, EveryKeyIsNeeded) {
    for (const char* key : {"format", "kind", "members", "temperature", "target", "network"}) {
        Parts parts;
        parts.specification.erase(key);
        EXPECT_EQ(parts.Open().status().code(), StatusCode::kCorrupt) << key;
    }
    for (const char* key : {"format", "rows", "inputs"}) {
        Parts parts;
        parts.pipeline.erase(key);
        EXPECT_EQ(parts.Open().status().code(), StatusCode::kCorrupt) << key;
    }
}

TEST(ModelArtifact, EveryCutOfTheWeightsIsRefused) {
    const Artifact& artifact = SmallArtifact();
    const Json specification = Json::parse(artifact.specification);
    const Json pipeline = Json::parse(artifact.pipeline);
    for (size_t length = 0; length < artifact.weights.size(); ++length)
        ASSERT_EQ(
            Model::FromArtifact(specification, pipeline, artifact.weights.substr(0, length)).status().code(),
            StatusCode::kCorrupt)
            << length;
}

/// Whatever the bytes: an error of these two codes, or a model that scores rows.
void OpenAndScore(const Json& specification, const Json& pipeline, std::string_view weights) {
    Expected<Model> model = Model::FromArtifact(specification, pipeline, weights);
    if (!model.ok()) {
        ASSERT_TRUE(model.status().code() == StatusCode::kCorrupt ||
                    model.status().code() == StatusCode::kUnsupported)
            << model.status().message();
        ASSERT_NE(model.status().message(), "");
        return;
    }
    const std::vector<Cell> cells = RandomCells(model->pipeline, 2, 9);
    auto scorer = MakeCpuScorer(*model);
    ASSERT_TRUE(scorer.ok()) << scorer.status().message();
    ScoreAll(**scorer, cells);
}

TEST(ModelArtifact, FlippedBitsAreRefusedOrScored) {
    const Artifact& artifact = SmallArtifact();
    const Json specification = Json::parse(artifact.specification);
    const Json pipeline = Json::parse(artifact.pipeline);
    RandomStream random(4);
    for (size_t i = 0; i < artifact.weights.size(); ++i) {
        std::string weights = artifact.weights;
        weights[i] = static_cast<char>(weights[i] ^ (1 << random.NextBelow(8)));
        OpenAndScore(specification, pipeline, weights);
    }
    for (size_t i = 0; i < artifact.specification.size(); ++i) {
        std::string text = artifact.specification;
        text[i] = static_cast<char>(text[i] ^ (1 << random.NextBelow(8)));
        const Json json = Json::parse(text, nullptr, false);
        if (!json.is_discarded())
            OpenAndScore(json, pipeline, artifact.weights);
    }
    for (size_t i = 0; i < artifact.pipeline.size(); ++i) {
        std::string text = artifact.pipeline;
        text[i] = static_cast<char>(text[i] ^ (1 << random.NextBelow(8)));
        const Json json = Json::parse(text, nullptr, false);
        if (!json.is_discarded())
            OpenAndScore(specification, json, artifact.weights);
    }
}

TEST(Model, ValidatesWhatWasTrained) {
    EXPECT_TRUE(SmallModel().Validate().ok());
    Model model = SmallModel();
    model.members[1].push_back(model.members[1][0]);
    EXPECT_NE(model.Validate().detail().find("of member 1 is there twice"), std::string::npos);
    model = SmallModel();
    model.temperature = std::numeric_limits<float>::quiet_NaN();
    EXPECT_EQ(model.Validate().code(), StatusCode::kCorrupt);
    model = SmallModel();
    model.network.layers.clear();
    EXPECT_EQ(model.Validate().code(), StatusCode::kCorrupt);
}

}  // namespace
}  // namespace dlent
