// What is said of values: numbers, times, conditions, sentences, templates of the dictionary.

#include <gtest/gtest.h>

#include <cmath>

#include "core/base/json_text.h"
#include "core/explain/reason_code.h"
#include "core/explain/reason_text.h"
#include "core/explain/value_text.h"
#include "explain_scorer_testing.h"

namespace dlent {
namespace {

TEST(JsonText, NumbersAreAsShortAsTheyCanBe) {
    EXPECT_EQ(JsonText(Json(0.0104908388)), "0.0104908388");
    EXPECT_EQ(JsonText(Json(1.0)), "1.0");
    EXPECT_EQ(JsonText(Json(-0.1)), "-0.1");
    EXPECT_EQ(JsonText(Json(1e300)), "1e+300");
    EXPECT_EQ(JsonText(Json(uint64_t{18446744073709551615ULL})), "18446744073709551615");
    EXPECT_EQ(JsonText(Json(NAN)), "null");
    for (const double value : {0.1, 1.0 / 3.0, 5e-324, 1.7976931348623157e308, 123456789.125, 1e15, 0.7}) {
        const Json again = Json::parse(JsonText(Json(value)));
        EXPECT_EQ(again.get<double>(), value);
    }
}

TEST(JsonText, IsWhatAnyParserReads) {
    const Json json = {{"a\"b", {1, 2.5, true, nullptr, "line\nend", "käse", Json::array(), Json::object()}},
                       {"", -7}};
    EXPECT_EQ(Json::parse(JsonText(json)), json);
    EXPECT_EQ(JsonText(Json("bad \xff byte")), "\"bad \xEF\xBF\xBD byte\"");
}

TEST(ValueText, NumbersMeanTheFloatThatTheyAre) {
    EXPECT_EQ(FloatText(static_cast<double>(0.1f)), "0.1");
    EXPECT_EQ(FloatText(505.745), "505.745");
    EXPECT_EQ(FloatText(1890.0), "1890");
    EXPECT_EQ(FloatText(16777217.0), "16777217");
    EXPECT_EQ(FloatText(0.0), "0");
    EXPECT_EQ(FloatText(-2.5), "-2.5");
    EXPECT_EQ(FloatText(1e-9), "1e-09");
    EXPECT_EQ(FloatText(3e20), "3e+20");
}

TEST(ValueText, GroupsDigitsByLocale) {
    EXPECT_EQ(GroupedText("1890.5", NumberStyleOf("en")), "1,890.5");
    EXPECT_EQ(GroupedText("-1234567", NumberStyleOf("en-GB")), "-1,234,567");
    EXPECT_EQ(GroupedText("1234567.25", NumberStyleOf("de-AT")), "1.234.567,25");
    EXPECT_EQ(GroupedText("1890", NumberStyleOf("fr_FR")), "1\u202f890");
    EXPECT_EQ(GroupedText("999", {}), "999");
    EXPECT_EQ(GroupedText("1e-09", {}), "1e-09");
}

TEST(ValueText, TimesAreInUtc) {
    EXPECT_EQ(TimestampText(0.0), "2000-01-01 UTC");
    EXPECT_EQ(TimestampText(8766.5), "2024-01-01 12:00 UTC");
    EXPECT_EQ(TimestampText(-0.25), "1999-12-31 18:00 UTC");
    EXPECT_EQ(DateText(59.0), "2000-02-29");
    EXPECT_EQ(TimeOfDayText(52200.0), "14:30");
    EXPECT_EQ(TimeOfDayText(52201.0), "14:30:01");
    EXPECT_EQ(IntervalText(183600.0), "2 days 03:00:00");
    EXPECT_EQ(IntervalText(-30.0), "-00:00:30");
    EXPECT_EQ(IntervalText(86400.0), "1 day");
}

TEST(ReasonTemplate, IsCheckedAndFilledIn) {
    const ReasonValues values = {"amount", "1,890", "amount > 950", "950"};
    EXPECT_EQ(FillReasonTemplate("The {feature} of {value} is above {threshold} ({condition}) {{x}}", values),
              "The amount of 1,890 is above 950 (amount > 950) {x}");
    EXPECT_TRUE(CheckReasonTemplate("").ok());
    EXPECT_TRUE(CheckReasonTemplate("plain").ok());
    EXPECT_TRUE(CheckReasonTemplate("{{}}{value}").ok());
    for (const char* bad : {"{", "}", "{value", "{Value}", "{}", "{{}", "a } b", "{value {threshold}}"}) {
        const Status status = CheckReasonTemplate(bad);
        EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << bad;
        EXPECT_NE(status.hint(), "") << bad;
    }
    // values are not templates
    EXPECT_EQ(FillReasonTemplate("{value}", {"f", "{threshold}", "", "7"}), "{threshold}");
}

ReasonCode Code(const std::string& feature, Direction direction, Audience audience, const std::string& locale,
                const std::string& code) {
    return {feature, direction, audience, locale, code, "text", true};
}

TEST(ReasonCode, TheClosestEntryIsFound) {
    const std::vector<ReasonCode> codes = {
        Code("amount", Direction::kAny, Audience::kAnalyst, "en", "any"),
        Code("amount", Direction::kRaises, Audience::kAnalyst, "en", "raises"),
        Code("amount", Direction::kRaises, Audience::kCustomer, "en", "customer"),
        Code("amount", Direction::kAny, Audience::kAnalyst, "de", "deutsch"),
        Code("vector", Direction::kAny, Audience::kCustomer, "en", "vector"),
    };
    const auto find = [&](const char* feature, Direction direction, Audience audience, const char* locale) {
        const ReasonCode* found = FindReasonCode(codes, feature, direction, audience, locale);
        return found == nullptr ? std::string() : found->code;
    };
    EXPECT_EQ(find("amount", Direction::kRaises, Audience::kAnalyst, "en"), "raises");
    EXPECT_EQ(find("amount", Direction::kLowers, Audience::kAnalyst, "en"), "any");
    EXPECT_EQ(find("amount", Direction::kRaises, Audience::kAnalyst, "de-AT"), "deutsch");
    EXPECT_EQ(find("amount", Direction::kRaises, Audience::kAnalyst, "fr"), "raises");
    EXPECT_EQ(find("amount", Direction::kRaises, Audience::kCustomer, "de"), "customer");
    EXPECT_EQ(find("amount", Direction::kLowers, Audience::kCustomer, "en"), "");
    EXPECT_EQ(find("vector[3]", Direction::kLowers, Audience::kAnalyst, "en"), "vector");
    EXPECT_EQ(find("other", Direction::kLowers, Audience::kAnalyst, "en"), "");
    EXPECT_EQ(find("]", Direction::kLowers, Audience::kAnalyst, "en"), "");
}

TEST(ReasonCode, ComesBackFromJson) {
    const ReasonCode code = Code("a", Direction::kLowers, Audience::kCustomer, "de", "R1");
    EXPECT_EQ(*ReasonCode::FromJson(code.ToJson()), code);
    EXPECT_EQ(ReasonCode::FromJson(Json::array()).status().code(), StatusCode::kCorrupt);
    const Json whole = code.ToJson();
    for (const auto& [key, value] : whole.items()) {
        Json broken = whole;
        broken[key] = 7;
        EXPECT_EQ(ReasonCode::FromJson(broken).status().code(), StatusCode::kCorrupt) << key;
        broken.erase(key);
        EXPECT_EQ(ReasonCode::FromJson(broken).status().code(), StatusCode::kCorrupt) << key;
    }
    Json broken = code.ToJson();
    broken["template"] = "{";
    EXPECT_EQ(ReasonCode::FromJson(broken).status().code(), StatusCode::kCorrupt);
}

/// Numbers 1 to 100 and what else a column can be.
Explained Rows() {
    std::vector<float> amounts;
    std::vector<float> years;
    std::vector<float> flags;
    std::vector<std::string> channels;
    std::vector<float> target;
    for (int i = 1; i <= 100; ++i) {
        amounts.push_back(static_cast<float>(i) * 100.0f);
        years.push_back(i % 10 == 0 ? NAN : 1990.0f + static_cast<float>(i % 30));
        flags.push_back(i % 2 == 0 ? 1.0f : 0.0f);
        channels.push_back(i % 3 == 0 ? "web" : i % 3 == 1 ? "shop" : "NULL");
        target.push_back(i > 50 ? 1.0f : 0.0f);
    }
    return Explained(
        TableBuilder()
            .Floats("merchant_amount", amounts)
            .Floats("year", years, ColumnRole::kFeature, ColumnKind::kNumeric, "integer")
            .Floats("is_new", flags, ColumnRole::kFeature, ColumnKind::kBoolean, "boolean")
            .Texts("channel", channels)
            .Floats("target", target, ColumnRole::kTarget),
        [](const Cell* cells, float* outputs) { outputs[0] = cells[0].f > 5000.0f ? 0.9f : 0.1f; });
}

FeatureText Describe(const Explained& rows, size_t row, int feature, const Json& values,
                     Discretizer discretizer = Discretizer::kQuartile) {
    const std::vector<Cell> cells = rows.Row(row);
    return DescribeFeature(rows.statistics, rows.pipeline(), feature, discretizer, {cells.data(), &values},
                           {});
}

TEST(ReasonText, NumbersNameTheirBin) {
    const Explained rows = Rows();
    const FeatureText high = Describe(rows, 98, 0, {{"merchant_amount", 9900}});
    EXPECT_EQ(high.condition, "merchant_amount > 7525");
    EXPECT_EQ(high.sentence, "The merchant amount (9,900) is above 7,525.");
    EXPECT_EQ(high.bound, "7,525");
    EXPECT_EQ(high.value, Json(9900));
    const FeatureText low = Describe(rows, 0, 0, {{"merchant_amount", 100}});
    EXPECT_EQ(low.condition, "merchant_amount <= 2575");
    EXPECT_EQ(low.sentence, "The merchant amount (100) is at most 2,575.");
    const FeatureText middle = Describe(rows, 39, 0, {{"merchant_amount", 4000}});
    EXPECT_EQ(middle.condition, "2575 < merchant_amount <= 5050");
    EXPECT_EQ(middle.sentence, "The merchant amount (4,000) is above 2,575 and at most 5,050.");
    const FeatureText plain = Describe(rows, 39, 0, {{"merchant_amount", 4000}}, Discretizer::kNone);
    EXPECT_EQ(plain.condition, "merchant_amount = 4000");
    EXPECT_EQ(plain.sentence, "The merchant amount is 4,000.");
}

TEST(ReasonText, YearsAreNotGrouped) {
    const Explained rows = Rows();
    EXPECT_EQ(Describe(rows, 4, 1, {{"year", 1995}}, Discretizer::kNone).sentence, "The year is 1995.");
}

TEST(ReasonText, MissingValuesSaySo) {
    const Explained rows = Rows();
    const FeatureText text = Describe(rows, 9, 1, {{"year", nullptr}});
    EXPECT_EQ(text.condition, "year is missing");
    EXPECT_EQ(text.sentence, "The year is missing.");
    EXPECT_EQ(text.warning, "");
    EXPECT_TRUE(text.value.is_null());
    EXPECT_EQ(Describe(rows, 1, 3, {{"channel", nullptr}}).condition, "channel is missing");
}

TEST(ReasonText, LevelsAndTruthAreNamed) {
    const Explained rows = Rows();
    EXPECT_EQ(Describe(rows, 2, 3, {{"channel", "web"}}).condition, "channel = web");
    EXPECT_EQ(Describe(rows, 2, 3, {{"channel", "web"}}).sentence, "The channel is web.");
    EXPECT_EQ(Describe(rows, 1, 2, {{"is_new", true}}).sentence, "is_new is true.");
    std::vector<Cell> cells = rows.Row(2);
    cells[3].code = -1;
    const Json values = {{"channel", "pigeon"}};
    const FeatureText unseen = DescribeFeature(rows.statistics, rows.pipeline(), 3, Discretizer::kQuartile,
                                               {cells.data(), &values}, {});
    EXPECT_EQ(unseen.condition, "channel = pigeon");
    EXPECT_EQ(unseen.warning, "training saw no row whose channel is \"pigeon\"");
}

TEST(ReasonText, ValuesBeyondTrainingAreUnfamiliar) {
    const Explained rows = Rows();
    std::vector<Cell> cells = rows.Row(0);
    cells[0].f = 20000.0f;
    const Json values = {{"merchant_amount", 20000}};
    const FeatureText text = DescribeFeature(rows.statistics, rows.pipeline(), 0, Discretizer::kQuartile,
                                             {cells.data(), &values}, {});
    EXPECT_EQ(text.warning, "training saw no row whose merchant_amount is above 10,000");
}

TEST(ReasonText, ExplainedValuesBecomeValuesOfRows) {
    const Explained rows = Rows();
    const std::vector<ExplainedFeature>& features = rows.statistics.features();
    EXPECT_EQ(ExplainedValueJson(features[0], rows.pipeline(), static_cast<double>(0.1f)), Json(0.1));
    EXPECT_EQ(ExplainedValueJson(features[2], rows.pipeline(), 1.0), Json(true));
    EXPECT_EQ(ExplainedValueJson(features[3], rows.pipeline(), 0.0),
              Json(rows.pipeline().inputs()[3].levels[0]));
    EXPECT_TRUE(ExplainedValueJson(features[0], rows.pipeline(), NAN).is_null());
}

}  // namespace
}  // namespace dlent
