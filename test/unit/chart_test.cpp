#include "core/explain/chart.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/explain/number_text.h"
#include "svg_testing.h"

namespace dlent {
namespace {

const std::string kData = DLENT_UNIT_DATA "/explanation/";

std::string ReadFile(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    EXPECT_TRUE(file) << path;
    return {std::istreambuf_iterator<char>(file), {}};
}

Json ReadDocument(const std::string& name) {
    return Json::parse(ReadFile(kData + name + ".json"));
}

std::string Svg(const Json& document) {
    const Expected<std::string> svg = ExplanationSvg(document);
    EXPECT_TRUE(svg.ok()) << svg.status().detail();
    return svg.ok() ? *svg : std::string();
}

std::string Text(const Json& document) {
    const Expected<std::string> text = ExplanationText(document);
    EXPECT_TRUE(text.ok()) << text.status().detail();
    return text.ok() ? *text : std::string();
}

std::vector<std::string> Lines(const std::string& text) {
    std::vector<std::string> lines(1);
    for (const char c : text) {
        if (c == '\n')
            lines.emplace_back();
        else
            lines.back() += c;
    }
    return lines;
}

/// Pictures that were looked at and found good. To accept new ones: DLENT_WRITE_GOLDEN=1 build/dlent_unit
/// --gtest_filter='Chart.*', and look at them.
TEST(Chart, LooksAsItWasApproved) {
    for (const char* name : {"decline", "unreliable", "regression", "classes", "customer"}) {
        const Json document = ReadDocument(name);
        for (const char* suffix : {".svg", ".txt"}) {
            const bool svg = suffix[1] == 's';
            const std::string path = kData + name + suffix;
            const std::string drawn = svg ? Svg(document) : Text(document) + "\n";
            if (std::getenv("DLENT_WRITE_GOLDEN") != nullptr)
                std::ofstream(path, std::ios::binary) << drawn;
            EXPECT_EQ(drawn, ReadFile(path)) << path;
        }
        EXPECT_TRUE(IsHarmlessSvg(Svg(document))) << name;
    }
}

Json Reason(int i, double contribution) {
    return {{"feature", "feature_" + std::to_string(i)},
            {"value", i},
            {"condition", "feature_" + std::to_string(i) + " <= " + std::to_string(i)},
            {"contribution", contribution},
            {"std_error", 0.01},
            {"rank_tied", i % 4 == 0}};
}

TEST(Chart, ManyReasonsKeepTheirOrderAndPlace) {
    for (int count = 1; count <= 30; ++count) {
        Json document = ReadDocument("decline");
        Json features = Json::array();
        for (int i = 0; i < count; ++i)
            features.push_back(Reason(i, (i % 3 == 1 ? -1.0 : 1.0) / (i + 1.0)));
        document["labels"][0]["features"] = features;
        const std::string svg = Svg(document);
        EXPECT_TRUE(IsHarmlessSvg(svg));
        size_t place = 0;
        for (int i = 0; i < count; ++i) {
            place = svg.find(">feature_" + std::to_string(i) + " &lt;= ", place);
            ASSERT_NE(place, std::string::npos) << i;
        }
        const std::string text = Text(document);
        std::set<int> bars;
        int drawn = 0;
        for (const std::string& line : Lines(text)) {
            EXPECT_LE(DisplayWidth(line), 100);
            const size_t bar = line.find("\xE2\x94\x82");
            if (bar != std::string::npos) {
                bars.insert(DisplayWidth(line.substr(0, bar)));
                ++drawn;
            }
        }
        EXPECT_EQ(drawn, count);
        EXPECT_EQ(bars.size(), 1u) << "one axis\n" << text;
    }
}

TEST(Chart, BarsAreAsLongAsTheyShouldBe) {
    Json document = ReadDocument("decline");
    document["labels"][0]["features"] = Json::array({Reason(1, 0.4), Reason(2, 0.2), Reason(3, -0.1)});
    for (Json& feature : document["labels"][0]["features"])
        feature["std_error"] = 0.0;
    const std::string svg = Svg(document);
    std::vector<double> widths;
    for (const std::string& element : ElementsOf(svg, "rect")) {
        if (Attribute(element, "height") == "15")
            widths.push_back(std::stod(Attribute(element, "width")));
    }
    ASSERT_EQ(widths.size(), 3u);
    EXPECT_NEAR(widths[0] / widths[1], 2.0, 0.01);
    EXPECT_NEAR(widths[0] / widths[2], 4.0, 0.02);
    EXPECT_EQ(svg.find("\" class=\"error\""), std::string::npos) << "exact contributions have no whiskers";
}

TEST(Chart, UnreliableReasonsAreMarked) {
    for (const char* grade : {"unreliable", "something new"}) {
        Json document = ReadDocument("decline");
        document["quality"]["grade"] = grade;
        EXPECT_NE(Svg(document).find("Do not rely"), std::string::npos);
        EXPECT_NE(Svg(document).find("raises doubtful"), std::string::npos);
        EXPECT_NE(Text(document).find("! Do not rely"), std::string::npos);
    }
    EXPECT_EQ(Svg(ReadDocument("decline")).find("Do not rely"), std::string::npos);
}

/// Every text of the document, replaced by one that wants to be more than a text.
void PoisonTexts(Json* json, const std::string& text) {
    if (json->is_string()) {
        *json = text;
    } else if (json->is_structured()) {
        for (Json& element : *json)
            PoisonTexts(&element, text);
    }
}

TEST(Chart, HostileTextsStayTexts) {
    std::vector<std::string> texts = {"<script>alert(1)</script>",
                                      "\" onload=\"alert(1)",
                                      "' onload='alert(1)",
                                      "]]></style><script>",
                                      "&lt;&#60;&bogus;",
                                      "</text></svg>",
                                      "\xE2\x80\xAEgnp.exe",
                                      std::string("\0\x01\x1b[31m\x7f\r\n\t", 11),
                                      "\xff\xfe\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80",
                                      "\xEF\xBF\xBF",
                                      std::string(5000, 'x'),
                                      "\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E",
                                      ""};
    RandomStream random(3);
    for (int i = 0; i < 300; ++i) {
        std::string bytes(random.NextBelow(60), ' ');
        for (char& c : bytes)
            c = static_cast<char>(random.NextBelow(256));
        texts.push_back(bytes);
    }
    for (const std::string& text : texts) {
        for (const char* name : {"decline", "classes", "unreliable", "customer"}) {
            Json document = ReadDocument(name);
            PoisonTexts(&document, text);
            document["schema"] = "dlent.explanation/1";
            const std::string svg = Svg(document);
            ASSERT_TRUE(IsHarmlessSvg(svg)) << svg;
            for (const std::string& line : Lines(Text(document))) {
                ASSERT_LE(DisplayWidth(line), 100);
                ASSERT_EQ(Printable(line), line);
            }
        }
    }
}

TEST(Chart, AsciiIsEnough) {
    for (const char* name : {"decline", "unreliable", "regression"}) {
        const Expected<std::string> text = ExplanationText(ReadDocument(name), false);
        ASSERT_TRUE(text.ok());
        for (const char c : *text)
            ASSERT_LT(static_cast<unsigned char>(c), 0x80) << *text;
        EXPECT_NE(text->find("|##"), std::string::npos);
    }
}

TEST(Chart, ExtremeNumbersAreDrawn) {
    for (const double number : {0.0, 1e-300, -1e-300, 1e300, -1e300, 1.7e308, 1e15, 123456789.125}) {
        for (const double other : {0.0, 1.0, -1.7e308}) {
            Json document = ReadDocument("regression");
            document["labels"][0]["baseline"] = number;
            document["labels"][0]["local_prediction"] = other;
            document["labels"][0]["features"][0]["contribution"] = number;
            document["labels"][0]["features"][1]["contribution"] = other;
            document["labels"][0]["features"][1]["std_error"] = std::abs(number);
            document["prediction"]["value"] = number;
            document["prediction"]["threshold"] = other;
            const std::string svg = Svg(document);
            EXPECT_TRUE(IsHarmlessSvg(svg));
            EXPECT_EQ(svg.find("nan"), std::string::npos) << number << " " << other;
            EXPECT_EQ(svg.find("\"inf"), std::string::npos);
            EXPECT_LT(svg.size(), 40000u);
            EXPECT_LT(Text(document).size(), 10000u);
        }
    }
}

TEST(Chart, BarsOfExtremeNumbersAreAsLongAsThoseOfSmallOnes) {
    const auto bars = [](double raises, double lowers) {
        Json document = ReadDocument("decline");
        document["labels"][0]["features"] = Json::array({Reason(1, raises), Reason(2, lowers)});
        const std::string text = Text(document);
        std::vector<int> columns;
        for (size_t line = text.find("\xE2\x94\x82"); line != std::string::npos;
             line = text.find("\xE2\x94\x82", line + 1)) {
            const size_t begin = text.rfind('\n', line) + 1;
            const std::string bar = text.substr(begin, text.find('\n', line) - begin);
            columns.push_back(0);
            for (size_t at = bar.find("\xE2\x96\x88"); at != std::string::npos;
                 at = bar.find("\xE2\x96\x88", at + 1))
                ++columns.back();
        }
        return columns;
    };
    const std::vector<int> usual = bars(3.0, -1.0);
    ASSERT_EQ(usual.size(), 2u);
    EXPECT_GT(usual[0], 2 * usual[1]);
    EXPECT_GT(usual[1], 0);
    EXPECT_EQ(bars(1.5e308, -0.5e308), usual);
    EXPECT_EQ(bars(3e-300, -1e-300), usual);
}

TEST(Chart, MalformedDocumentsAreRefusedByName) {
    const auto detail = [](auto change) {
        Json document = ReadDocument("decline");
        change(document);
        const Status svg = ExplanationSvg(document).status();
        const Status text = ExplanationText(document).status();
        EXPECT_EQ(svg.code(), StatusCode::kInvalidArgument);
        EXPECT_EQ(svg.detail(), text.detail());
        EXPECT_FALSE(svg.hint().empty());
        return svg.detail();
    };
    EXPECT_EQ(detail([](Json& d) { d = Json::array(); }), "It must be a JSON object.");
    EXPECT_EQ(detail([](Json& d) { d.erase("schema"); }), "\"schema\" must be a text.");
    EXPECT_EQ(detail([](Json& d) { d["schema"] = "dlent.explanation/2"; }),
              "\"schema\" must be \"dlent.explanation/1\".");
    EXPECT_EQ(detail([](Json& d) { d.erase("labels"); }), "\"labels\" must be an array.");
    EXPECT_EQ(detail([](Json& d) { d["model"] = 5; }), "\"model\" must be an object.");
    EXPECT_EQ(detail([](Json& d) { d["labels"][0]["features"][2]["contribution"] = "much"; }),
              "\"labels[0].features[2].contribution\" must be a number.");
    EXPECT_EQ(detail([](Json& d) { d["labels"][0]["features"][2]["std_error"] = -1; }),
              "\"labels[0].features[2].std_error\" must be a number that is not negative.");
    EXPECT_EQ(detail([](Json& d) { d["labels"][0]["features"][1]["value"] = Json::array(); }),
              "\"labels[0].features[1].value\" must be a text, a number, true, false or null.");
    EXPECT_EQ(detail([](Json& d) { d["quality"]["warnings"][0] = 7; }),
              "\"quality.warnings[0]\" must be a text.");
    EXPECT_EQ(detail([](Json& d) { d["counterfactual"]["changes"] = "none"; }),
              "\"counterfactual.changes\" must be an array.");
    EXPECT_EQ(detail([](Json& d) { d["labels"] = std::vector<int>(101); }),
              "\"labels\" must be an array of at most 100 elements.");
}

/// Removing any one member either is an error or leaves a picture, and so does any member of another type.
TEST(Chart, EveryMutilatedDocumentIsAnErrorOrAPicture) {
    for (const char* name : {"decline", "classes", "customer"}) {
        const Json flat = ReadDocument(name).flatten();
        for (const auto& [pointer, value] : flat.items()) {
            for (const Json& replacement :
                 {Json(), Json(-1), Json("x"), Json::array({1}), Json::object(), Json(true)}) {
                Json document = ReadDocument(name);
                document[Json::json_pointer(pointer)] = replacement;
                const Expected<std::string> svg = ExplanationSvg(document);
                EXPECT_TRUE(!svg.ok() || IsHarmlessSvg(*svg)) << pointer;
                EXPECT_EQ(ExplanationText(document).ok(), svg.ok());
            }
        }
    }
}

TEST(NumberText, ShowsNumbersAsPeopleWriteThem) {
    EXPECT_EQ(NumberText(1890, 9), "1,890");
    EXPECT_EQ(NumberText(-1234567.5, 9), "-1,234,567.5");
    EXPECT_EQ(NumberText(0.0306, 3), "0.0306");
    EXPECT_EQ(NumberText(0.61, 4), "0.61");
    EXPECT_EQ(NumberText(-12.5, 3), "-12.5");
    EXPECT_EQ(NumberText(100, 1), "100");
    EXPECT_EQ(NumberText(3.1e-7, 3), "3.1e-07");
    EXPECT_EQ(NumberText(1e15, 3), "1e+15");
    EXPECT_EQ(NumberText(-0.0, 3), "0");
    EXPECT_EQ(FixedText(0.31, 3, true), "+0.310");
    EXPECT_EQ(FixedText(-0.0004, 3, true), "0.000");
    EXPECT_EQ(FixedText(-1234.5, 1, true),
              "\xE2\x88\x92"
              "1,234.5");
}

TEST(NumberText, CutsAndWrapsByColumns) {
    EXPECT_EQ(Shortened("amount", 6), "amount");
    EXPECT_EQ(Shortened("amount", 5), "amou\xE2\x80\xA6");
    const std::string japanese = "\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E";
    EXPECT_EQ(DisplayWidth(japanese), 6);
    EXPECT_EQ(Shortened(japanese, 5), "\xE6\x97\xA5\xE6\x9C\xAC\xE2\x80\xA6");
    EXPECT_EQ(Wrapped("one two three", 7), (std::vector<std::string>{"one two", "three"}));
    EXPECT_EQ(Wrapped("", 7), std::vector<std::string>{""});
    EXPECT_EQ(Wrapped("enormously", 5), std::vector<std::string>{"enor\xE2\x80\xA6"});
    EXPECT_EQ(Printable("a\tb\x1b"
                        "c\xff"),
              "a b\xEF\xBF\xBD"
              "c\xEF\xBF\xBD");
}

}  // namespace
}  // namespace dlent
