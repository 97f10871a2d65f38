#include "core/formats/safetensors.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

namespace dlent {
namespace {

std::string File(const std::string& header, const std::string& data) {
    const uint64_t length = header.size();
    std::string file(sizeof(length), '\0');
    std::memcpy(file.data(), &length, sizeof(length));
    return file + header + data;
}

std::string Floats(const std::vector<float>& values) {
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

/// Message and detail of the refusal; empty when the file is accepted.
std::string Refusal(const std::string& file, const SafetensorsLimits& limits = {}) {
    const auto tensors = ReadSafetensors(file, limits);
    if (tensors.ok())
        return {};
    EXPECT_EQ(tensors.status().code(), StatusCode::kCorrupt);
    return tensors.status().message() + " " + tensors.status().detail();
}

std::string HeaderRefusal(const std::string& header, size_t data_floats = 0) {
    return Refusal(File(header, Floats(std::vector<float>(data_floats))));
}

testing::AssertionResult Says(const std::string& text, const std::string& part) {
    if (text.find(part) != std::string::npos)
        return testing::AssertionSuccess();
    return testing::AssertionFailure() << "\"" << text << "\" does not say \"" << part << "\"";
}

const std::vector<NamedTensorData> kTensors = {
    {"0/hidden.weight", {2, 3}, {1.0f, -2.5f, 0.0f, -0.0f, 1e-40f, std::numeric_limits<float>::max()}},
    {"0/hidden.bias", {3}, {1.0f, 2.0f, 3.0f}},
    {"empty", {0, 4}, {}},
    {"scalar", {}, {7.0f}},
};

TEST(Safetensors, LaysOutBytesAsTheFormatSays) {
    const std::vector<NamedTensorData> tensors = {{"a", {2}, {1.0f, 2.0f}}, {"b", {1, 1}, {-1.0f}}};
    std::string header = R"({"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                         R"("b":{"dtype":"F32","shape":[1,1],"data_offsets":[8,12]}})";
    header.append((8 - header.size() % 8) % 8, ' ');
    EXPECT_EQ(WriteSafetensors(tensors, {{"k", "v"}}),
              File(header, std::string("\x00\x00\x80\x3f\x00\x00\x00\x40\x00\x00\x80\xbf", 12)));
    // data begin on a multiple of 8, whatever the names
    for (const char* name : {"a", "ab", "abc", "abcdefg"}) {
        const std::string file = WriteSafetensors(std::vector<NamedTensorData>{{name, {1}, {1.0f}}}, {});
        EXPECT_EQ((file.size() - 4) % 8, 0u) << name;
    }
}

TEST(Safetensors, ReadsBackToTheBit) {
    const std::string file = WriteSafetensors(kTensors, {{"format", "dlent.model/1"}});
    const auto read = ReadSafetensors(file);
    ASSERT_TRUE(read.ok()) << read.status().message() << read.status().detail();
    ASSERT_EQ(read->size(), kTensors.size());
    for (size_t i = 0; i < kTensors.size(); ++i) {
        EXPECT_EQ((*read)[i].name, kTensors[i].name);
        EXPECT_EQ((*read)[i].shape, kTensors[i].shape);
        EXPECT_EQ(Floats((*read)[i].values), Floats(kTensors[i].values));
    }
    EXPECT_EQ(WriteSafetensors(*read, {{"format", "dlent.model/1"}}), file);
    EXPECT_TRUE(ReadSafetensors(WriteSafetensors({}, {})).ok());
}

TEST(Safetensors, TakesTensorsInAnyOrderOfTheHeader) {
    const std::string header = R"({"b":{"shape":[1],"data_offsets":[4,8],"dtype":"F32"},)"
                               R"("none":{"dtype":"F32","shape":[0],"data_offsets":[4,4]},)"
                               R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
    const auto read = ReadSafetensors(File(header, Floats({1.0f, 2.0f})));
    ASSERT_TRUE(read.ok()) << read.status().detail();
    ASSERT_EQ(read->size(), 3u);
    EXPECT_EQ((*read)[0].name, "a");
    EXPECT_EQ((*read)[2].name, "b");
    EXPECT_EQ((*read)[2].values, std::vector<float>{2.0f});
}

TEST(Safetensors, RefusesBrokenFraming) {
    EXPECT_TRUE(Says(Refusal(""), "shorter than its header length"));
    EXPECT_TRUE(Says(Refusal(std::string(7, '\0')), "shorter than its header length"));
    EXPECT_TRUE(Says(Refusal(std::string(8, '\0')), "not a JSON object"));
    EXPECT_TRUE(Says(Refusal(std::string(8, '\xff') + "{}"), "runs out of the file"));
    EXPECT_TRUE(Says(Refusal(std::string("\x03\0\0\0\0\0\0\0{}", 10)), "runs out of the file"));
    EXPECT_TRUE(Says(Refusal(File("{}", "x")), "do not cover its data"));
    EXPECT_TRUE(Says(Refusal(File(" {}", "")), "not a JSON object"));
    EXPECT_TRUE(Says(Refusal(File("[]", "")), "not a JSON object"));
    EXPECT_TRUE(Says(Refusal(File("{", "")), "not JSON"));
    EXPECT_TRUE(Says(Refusal(File("{}{}", "")), "not JSON"));
    EXPECT_TRUE(Says(Refusal(File("{\"\xff\":1}", "")), "not JSON"));
    EXPECT_TRUE(Says(Refusal(File(std::string("{}\0", 3), "")), "not JSON"));
}

TEST(Safetensors, RefusesEveryCut) {
    const std::string file = WriteSafetensors(kTensors, {{"a", "b"}});
    for (size_t length = 0; length < file.size(); ++length)
        EXPECT_NE(Refusal(file.substr(0, length)), "") << length;
    EXPECT_NE(Refusal(file + '\0'), "");
}

TEST(Safetensors, RefusesHeadersThatAreNotOurs) {
    EXPECT_TRUE(Says(HeaderRefusal(R"({"a":[[[[]]]]})"), "nested too deep"));
    EXPECT_TRUE(Says(HeaderRefusal("{\"a\":" + std::string(1 << 20, '[')), "nested too deep"));
    EXPECT_TRUE(Says(HeaderRefusal(R"({"a":1,"a":2})"), "key \"a\" is repeated"));
    EXPECT_TRUE(Says(HeaderRefusal(R"({"a":{"dtype":"F32","dtype":"F32"}})"), "key \"dtype\" is repeated"));
    for (const char* metadata : {"1", "null", "\"text\"", "[]", "[\"text\"]", "{\"a\":1}", "{\"a\":{}}"})
        EXPECT_TRUE(Says(HeaderRefusal(std::string("{\"__metadata__\":") + metadata + "}"), "metadata"))
            << metadata;
    EXPECT_TRUE(Says(HeaderRefusal(R"({"":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})"),
                     "name is empty or too long"));
    EXPECT_TRUE(Says(HeaderRefusal("{\"" + std::string(257, 'n') + "\":{}}"), "name is empty or too long"));
    // a repeated key does not carry the message away
    const std::string key(1 << 20, 'k');
    EXPECT_LT(HeaderRefusal("{\"" + key + "\":1,\"" + key + "\":1}").size(), 500u);
}

TEST(Safetensors, RefusesWhatIsNotATensor) {
    for (const char* entry : {"1", "[]", "null", "{}", R"({"dtype":"F32","shape":[1]})",
                              R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1})",
                              R"({"dtype":"F32","shape":[1],"offsets":[0,4]})"})
        EXPECT_TRUE(Says(HeaderRefusal(std::string("{\"t\":") + entry + "}", 1),
                         "tensor \"t\" of the weights is not valid The reason: it must have exactly"))
            << entry;
    for (const char* dtype : {"\"F64\"", "\"f32\"", "\"BF16\"", "32", "null", "[]"})
        EXPECT_TRUE(
            Says(HeaderRefusal(
                     std::string(R"({"t":{"dtype":)") + dtype + R"(,"shape":[1],"data_offsets":[0,4]}})", 1),
                 "its dtype is not F32"))
            << dtype;
}

TEST(Safetensors, RefusesShapes) {
    auto with_shape = [](const std::string& shape) {
        return HeaderRefusal(R"({"t":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":[0,4]}})", 1);
    };
    EXPECT_EQ(with_shape("[1]"), "");
    EXPECT_EQ(with_shape("[]"), "");
    for (const char* shape : {"1", "null", "{}", "[1,1,1,1,1,1,1,1,1]"})
        EXPECT_TRUE(Says(with_shape(shape), "its shape is not an array of at most 8 sizes")) << shape;
    for (const char* shape :
         {"[-1]", "[1.0]", "[\"1\"]", "[null]", "[true]", "[18446744073709551615]", "[18446744073709551616]",
          "[4294967296,4294967296]", "[9223372036854775807,2]", "[2147483648]"})
        EXPECT_TRUE(Says(with_shape(shape), "not made of sizes, or is too large")) << shape;
    for (const char* shape : {"[2]", "[0]", "[1,2]", "[0,4294967295]"})
        EXPECT_TRUE(Says(with_shape(shape), "do not span what its shape needs")) << shape;
}

TEST(Safetensors, RefusesOffsets) {
    auto with_offsets = [](const std::string& offsets) {
        return HeaderRefusal(R"({"t":{"dtype":"F32","shape":[1],"data_offsets":)" + offsets + "}}", 2);
    };
    for (const char* offsets :
         {"0", "[]", "[0]", "[0,4,8]", "[-4,0]", "[0.0,4.0]", "[\"0\",4]", "[0,18446744073709551616]"})
        EXPECT_TRUE(Says(with_offsets(offsets), "are not two positions")) << offsets;
    for (const char* offsets : {"[4,0]", "[0,8]", "[0,0]", "[18446744073709551612,0]"})
        EXPECT_TRUE(Says(with_offsets(offsets), "do not span")) << offsets;
    for (const char* offsets : {"[4,8]", "[1,5]", "[18446744073709551611,18446744073709551615]"})
        EXPECT_TRUE(Says(with_offsets(offsets), "overlap another tensor's or leave a hole")) << offsets;
    EXPECT_TRUE(Says(with_offsets("[0,4]"), "do not cover its data"));

    auto two = [](const char* first, const char* second) {
        return HeaderRefusal(std::string(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":)") + first +
                                 R"(},"b":{"dtype":"F32","shape":[1],"data_offsets":)" + second + "}}",
                             2);
    };
    EXPECT_EQ(two("[0,4]", "[4,8]"), "");
    EXPECT_TRUE(Says(two("[0,4]", "[0,4]"), "tensor \"b\" of the weights"));
    EXPECT_TRUE(Says(two("[0,4]", "[2,6]"), "overlap"));
    EXPECT_TRUE(Says(two("[4,8]", "[8,12]"), "tensor \"a\" of the weights"));
    EXPECT_TRUE(Says(two("[0,4]", "[8,12]"), "leave a hole"));
}

TEST(Safetensors, RefusesWeightsThatAreNotFinite) {
    for (const float value : {NAN, -NAN, INFINITY, -INFINITY}) {
        std::vector<NamedTensorData> tensors = kTensors;
        tensors[1].values[2] = value;
        EXPECT_TRUE(Says(Refusal(WriteSafetensors(tensors, {})),
                         "tensor \"0/hidden.bias\" of the weights is not valid The reason: it has a weight "
                         "that is not finite"));
    }
}

TEST(Safetensors, KeepsItsLimits) {
    const std::string file = WriteSafetensors(kTensors, {});
    EXPECT_TRUE(Says(Refusal(file, {.header_bytes = 16}), "beyond the limit"));
    EXPECT_TRUE(Says(Refusal(file, {.tensors = 1}), "too many tensors"));
    EXPECT_TRUE(Says(Refusal(file, {.dimensions = 1}), "at most 1 sizes"));
    EXPECT_TRUE(Says(Refusal(file, {.name_bytes = 5}), "too long"));
    EXPECT_TRUE(Says(Refusal(file, {.data_bytes = 39}), "larger than the limit"));
    EXPECT_EQ(Refusal(file, {.data_bytes = 40}), "");
}

}  // namespace
}  // namespace dlent
