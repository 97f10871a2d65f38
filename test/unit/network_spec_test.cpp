#include "core/nn/network_spec.h"

#include <gtest/gtest.h>

#include "network_testing.h"

namespace dlent {
namespace {

TEST(NetworkSpec, RoundTripsThroughJson) {
    for (const NetworkCase& test : kNetworkCases) {
        SCOPED_TRACE(test.name);
        Expected<NetworkSpec> spec = ParseSpec(test.spec);
        ASSERT_OK(spec.status());
        const Json json = spec->ToJson();
        Expected<NetworkSpec> again = NetworkSpec::FromJson(json);
        ASSERT_OK(again.status());
        EXPECT_EQ(again->ToJson().dump(), json.dump());
    }
}

TEST(NetworkSpec, TestsCoverEveryLayerType) {
    std::string all;
    for (const NetworkCase& test : kNetworkCases) {
        all += test.spec;
    }
    for (const std::string_view type : LayerTypes()) {
        EXPECT_NE(all.find("\"type\":\"" + std::string(type) + "\""), std::string::npos) << type;
    }
}

TEST(NetworkSpec, AcceptsSeveralOutputs) {
    const Expected<NetworkSpec> spec = ParseSpec(R"({"version":1,"inputs":{"plain":2},"layers":[
        {"name":"a","type":"dense","inputs":["plain"],"units":3},
        {"name":"b","type":"dense","inputs":["a"],"units":1}],"output":["b","a"]})");
    ASSERT_OK(spec.status());
    EXPECT_EQ(spec->outputs, (std::vector<std::string>{"b", "a"}));
    EXPECT_EQ(spec->ToJson()["output"].dump(), R"(["b","a"])");
}

struct BadSpec {
    const char* spec;
    const char* message;  ///< must be part of the error
};

/// A network of one layer over two numeric columns, one plain and codes of 3 and 2 levels.
#define LAYER(text) \
    R"({"version":1,"inputs":{"numeric":2,"plain":1,"codes":[3,2]},"layers":[)" text R"(],"output":"a"})"

constexpr BadSpec kBadSpecs[] = {
    {"[]", "must be an object"},
    {"{}", "\"version\" is missing"},
    {R"({"version":"1"})", "\"version\" must be an integer"},
    {R"({"version":2})", "newer"},
    {R"({"version":0})", "\"version\""},
    {R"({"version":1,"extra":0})", "unknown key \"extra\""},
    {R"({"version":1})", "\"inputs\" must be an object"},
    {R"({"version":1,"inputs":{"images":3}})", "unknown key \"images\""},
    {R"({"version":1,"inputs":{"numeric":-1}})", "\"numeric\" must be an integer between 0"},
    {R"({"version":1,"inputs":{"numeric":18446744073709551615}})", "\"numeric\""},
    {R"({"version":1,"inputs":{"numeric":2.5}})", "\"numeric\""},
    {R"({"version":1,"inputs":{"codes":3}})", "\"codes\" must be a list"},
    {R"({"version":1,"inputs":{"codes":[-1]}})", "cardinality"},
    {R"({"version":1,"inputs":{"codes":["x"]}})", "cardinality"},
    {R"({"version":1,"inputs":{"codes":[200000000,200000000]},"layers":[],"output":"a"})", "add up"},
    {R"({"version":1,"inputs":{},"members":0})", "\"members\""},
    {R"({"version":1,"inputs":{},"members":100000})", "\"members\""},
    {R"({"version":1,"inputs":{}})", "\"layers\" must be a list"},
    {R"({"version":1,"inputs":{},"layers":[],"output":"a"})", "between 1 and 1000 layers"},
    {R"({"version":1,"inputs":{},"layers":[7],"output":"a"})", "layer 1 must be an object"},
    {LAYER(R"({"type":"dense","inputs":["plain"],"units":1})"), "\"name\" must be a text"},
    {LAYER(R"({"name":"a.b","type":"dense","inputs":["plain"],"units":1})"), "letters, digits"},
    {LAYER(R"({"name":"a","type":3,"inputs":["plain"],"units":1})"), "\"type\" must be a text"},
    {LAYER(R"({"name":"a","type":"quantum","inputs":["plain"]})"), "unknown type \"quantum\""},
    {LAYER(R"({"name":"a","type":"dense","units":1})"), "layer \"a\": \"inputs\" must be a list of names"},
    {LAYER(R"({"name":"a","type":"dense","inputs":[],"units":1})"), "list of names"},
    {LAYER(R"({"name":"a","type":"dense","inputs":["nowhere"],"units":1})"),
     "layer \"a\" (dense): input \"nowhere\""},
    {LAYER(R"({"name":"a","type":"dense","inputs":["a"],"units":1})"), "input \"a\" is not"},
    {LAYER(R"({"name":"b","type":"dense","inputs":["a"],"units":1},
              {"name":"a","type":"dense","inputs":["plain"],"units":1})"),
     "layer \"b\" (dense): input \"a\""},
    {LAYER(R"({"name":"a","type":"dense","inputs":["plain"],"units":1},
              {"name":"a","type":"dense","inputs":["plain"],"units":1})"),
     "its name is taken"},
    {LAYER(R"({"name":"plain","type":"dense","inputs":["plain"],"units":1})"), "its name is taken"},
    {LAYER(R"({"name":"a","type":"dense","inputs":["plain"]})"), "attribute \"units\" is missing"},
    {LAYER(R"({"name":"a","type":"dense","inputs":["plain"],"units":0})"),
     "\"units\" must be an integer between 1"},
    {LAYER(R"({"name":"a","type":"dense","inputs":["plain"],"units":-5})"), "\"units\""},
    {LAYER(R"({"name":"a","type":"dense","inputs":["plain"],"units":1e9})"), "\"units\""},
    {LAYER(R"({"name":"a","type":"dense","inputs":["plain"],"units":2000000})"), "\"units\""},
    {LAYER(R"({"name":"a","type":"dense","inputs":["plain"],"units":1,"unit":1})"),
     "unknown attribute \"unit\""},
    {LAYER(R"({"name":"a","type":"dense","inputs":["plain"],"units":1,"activation":"step"})"),
     "unknown activation"},
    {LAYER(R"({"name":"a","type":"dense","inputs":["plain"],"units":1,"activation":1})"),
     "name of an activation"},
    {LAYER(R"({"name":"a","type":"dense","inputs":["plain"],"units":1,"bias":"no"})"), "true or false"},
    {LAYER(R"({"name":"a","type":"dense","inputs":["plain"],"units":1,"learning_rate":-1})"),
     "\"learning_rate\""},
    {LAYER(R"({"name":"a","type":"dense","inputs":["codes","codes"],"units":1})"), "\"codes\" twice"},
    {LAYER(R"({"name":"a","type":"dense","inputs":["codes"],"units":1,"fields":[2]})"), "\"fields\""},
    {LAYER(R"({"name":"a","type":"dense","inputs":["codes"],"units":1,"fields":[0,0]})"), "a field twice"},
    {LAYER(R"({"name":"a","type":"embedding","inputs":["plain"],"dims":[1]})"), "takes \"codes\""},
    {LAYER(R"({"name":"a","type":"embedding","inputs":["codes"],"dims":[1]})"), "for each of its 2 fields"},
    {LAYER(R"({"name":"a","type":"embedding","inputs":["codes"],"dims":[1,0]})"), "\"dims\""},
    {LAYER(R"({"name":"a","type":"piecewise_linear_embedding","inputs":["numeric"],"width":2,"bins":[3]})"),
     "for each of its 2 columns"},
    {LAYER(R"({"name":"a","type":"piecewise_linear_embedding","inputs":["numeric"],"width":2,"bins":[3,0]})"),
     "\"bins\""},
    {LAYER(R"({"name":"b","type":"smooth_clip","inputs":["numeric"]},
              {"name":"a","type":"periodic_embedding","inputs":["b"],"width":2})"),
     "not another layer"},
    {LAYER(R"({"name":"a","type":"smooth_clip","inputs":["codes"]})"), "cannot read \"codes\""},
    {LAYER(R"({"name":"a","type":"smooth_clip","inputs":["numeric"],"limit":0})"),
     "\"limit\" must be a number"},
    {LAYER(R"({"name":"a","type":"smooth_clip","inputs":["numeric","plain"]})"), "takes 1 input, not 2"},
    {LAYER(R"({"name":"a","type":"dropout","inputs":["numeric"],"rate":1})"), "\"rate\""},
    {LAYER(R"({"name":"a","type":"dropout","inputs":["numeric"],"rate":null})"), "\"rate\""},
    {LAYER(R"({"name":"a","type":"add","inputs":["numeric"]})"), "takes at least 2 inputs"},
    {LAYER(R"({"name":"a","type":"add","inputs":["numeric","plain"]})"), "differ in shape (2 and 1 wide)"},
    {LAYER(R"({"name":"a","type":"batch_ensemble_dense","inputs":["codes"],"units":1})"), "one float input"},
    {LAYER(R"({"name":"b","type":"dense","inputs":["plain"],"units":1},
              {"name":"a","type":"dense","inputs":["plain"],"units":1})"),
     "layer \"b\" (dense): nothing reads it"},
    {LAYER(R"({"name":"b","type":"dense","inputs":["plain"],"units":1})"), "\"output\" \"a\" is not a layer"},
    {R"({"version":1,"inputs":{"plain":1},"layers":[{"name":"a","type":"dense","inputs":["plain"],"units":1}]})",
     "\"output\" must be a list of names"},
    {R"({"version":1,"inputs":{"plain":1},"layers":[{"name":"a","type":"dense","inputs":["plain"],"units":1}],
         "output":["a","a"]})",
     "named twice"},
    {R"({"version":1,"inputs":{"plain":1},"layers":[{"name":"a","type":"dense","inputs":["plain"],"units":1}],
         "output":"plain"})",
     "is not a layer"},
    {R"({"version":1,"inputs":{"plain":1},"layers":[{"name":"a","type":"dense","inputs":["numeric"],"units":1}],
         "output":"a"})",
     "has no columns"},
    {R"({"version":1,"inputs":{"plain":1},"members":2,"layers":[
         {"name":"a","type":"batch_ensemble_dense","inputs":["plain"],"units":1,"scale_in":false}],
         "output":"a"})",
     "needs \"scale_in\""},
    {R"({"version":1,"inputs":{"plain":1},"members":2,"layers":[
         {"name":"b","type":"batch_ensemble_dense","inputs":["plain"],"units":1},
         {"name":"a","type":"add","inputs":["b","plain"]}],"output":"a"})",
     "has 1 members where \"b\" has 2"},
    {R"({"version":1,"inputs":{"plain":100000},"layers":[
         {"name":"a","type":"dense","inputs":["plain"],"units":100000}],"output":"a"})",
     "parameters"},
    {R"({"version":1,"inputs":{"plain":1},"members":256,"layers":[
         {"name":"a","type":"batch_ensemble_dense","inputs":["plain"],"units":100000}],"output":"a"})",
     "wider"},
};

TEST(NetworkSpec, RefusesBadSpecs) {
    for (const BadSpec& bad : kBadSpecs) {
        SCOPED_TRACE(bad.spec);
        const Expected<NetworkSpec> spec = ParseSpec(bad.spec);
        ASSERT_FALSE(spec.ok());
        EXPECT_NE(spec.status().message().find(bad.message), std::string::npos)
            << "message: " << spec.status().message();
    }
}

TEST(NetworkSpec, LimitsWhatLayersWithoutWeightsPutOut) {
    // every clip is as wide as a value may be, and "sum" keeps all of them alive
    const auto clips = [](int count) {
        NetworkSpec spec;
        spec.plain = NetworkSpec::kMaxWidth;
        std::vector<std::string> names;
        for (int i = 0; i < count; ++i) {
            names.push_back("c" + std::to_string(i));
            spec.layers.push_back({names.back(), "smooth_clip", {"plain"}});
        }
        spec.layers.push_back({"sum", "add", names});
        spec.outputs = {"sum"};
        return spec.Validate();
    };
    constexpr int kFit = NetworkSpec::kMaxActivations / NetworkSpec::kMaxWidth;
    EXPECT_TRUE(clips(kFit - 1).ok());
    const Status refused = clips(kFit);
    EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(refused.message(),
              "layer \"sum\" (add): the network's layers put out more than 16777216 values a row");
}

TEST(NetworkSpec, MessagesStayPlainAscii) {
    Json json = Json::parse(LAYER(R"({"name":"a","type":"dense","inputs":["plain"],"units":1})"));
    json["layers"][0]["inputs"] = {std::string(62, 'x') + "\xc3\xa4\xc3\xa4"};
    const Status status = NetworkSpec::FromJson(json).status();
    ASSERT_FALSE(status.ok());
    for (const char c : status.message()) {
        EXPECT_TRUE(c >= ' ' && c <= '~') << status.message();
    }
}

}  // namespace
}  // namespace dlent
