// Documents "dlent.explanation/1": what adds up, what is said, what is kept from whom; their rows for tables.

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "core/base/json_text.h"
#include "core/explain/explanation_rows.h"
#include "core/explain/row_explainer.h"
#include "explain_scorer_testing.h"
#include "testing.h"

namespace dlent {
namespace {

/// A network that declines large amounts from the web at night.
Explained Payments() {
    std::vector<float> amounts;
    std::vector<float> hours;
    std::vector<std::string> channels;
    std::vector<std::string> decisions;
    for (int i = 0; i < 400; ++i) {
        amounts.push_back(static_cast<float>(i * 7 % 400));
        hours.push_back(static_cast<float>(i % 24));
        channels.push_back(i % 3 == 0 ? "web" : i % 3 == 1 ? "shop" : "phone");
        decisions.push_back(i * 7 % 400 > 200 ? "decline" : "accept");
    }
    return Explained(TableBuilder()
                         .Floats("amount", amounts)
                         .Floats("hour", hours, ColumnRole::kFeature, ColumnKind::kNumeric, "integer")
                         .Texts("channel", channels)
                         .Texts("decision", decisions, ColumnRole::kTarget),
                     [](const Cell* cells, float* outputs) {
                         const double z = (cells[0].f - 200.0) / 60.0 + (cells[2].code == 0 ? 1.0 : -0.5);
                         outputs[0] = static_cast<float>(1.0 / (1.0 + std::exp(-z)));
                     });
}

constexpr size_t kDeclined = 153;  // amount 271

Json Values(const Explained& rows, size_t row) {
    const std::vector<Cell> cells = rows.Row(row);
    return {{"amount", static_cast<int>(cells[0].f)},
            {"hour", static_cast<int>(cells[1].f)},
            {"channel", rows.pipeline().inputs()[2].levels[static_cast<size_t>(cells[2].code)]}};
}

Expected<Json> Explain(const Explained& rows, const Json& options, const std::vector<ReasonCode>& codes = {},
                       size_t row = kDeclined) {
    const Expected<ExplainOptions> parsed = ExplainOptions::Parse(options, ExplainOptions::Use::kRow);
    if (!parsed.ok())
        return parsed.status();
    const Expected<Probe> probe =
        Probe::Make(rows.statistics, parsed->probe_options(), *rows.scorer, NeverCancelled());
    EXPECT_TRUE(probe.ok());
    const ExplainedModel model = {.statistics = &rows.statistics,
                                  .scorer = rows.scorer.get(),
                                  .probe = &*probe,
                                  .probe_id = "probe",
                                  .name = "fraud",
                                  .version = 3,
                                  .sha256 = "abc"};
    DLENT_ASSIGN_OR_RETURN(const RowExplainer explainer, RowExplainer::Create(model, *parsed, codes));
    const std::vector<Cell> cells = rows.Row(row);
    const Json values = Values(rows, row);
    return explainer.Explain({cells.data(), &values}, NeverCancelled());
}

/// In units of the last printed decimal, as a reader of the text would add them.
int64_t Units(const Json& number) {
    return std::llround(number.get<double>() * 1e10);
}

TEST(PrintedSum, PrintsDecimalsThatAddUp) {
    const PrintedSum print(1.0);
    EXPECT_EQ(JsonText(Json(print.Round(0.123456789012345))), "0.123456789");
    EXPECT_EQ(JsonText(Json(print.Round(1.0 / 3.0))), "0.3333333333");
    int64_t units = 0;
    double sum = 0.0;
    for (int i = 1; i < 200; ++i) {
        const double part = print.Round(std::sin(i) / 7.0);
        units += print.Units(part);
        sum += part;
    }
    EXPECT_NEAR(print.Print(units), sum, 1e-12);
    const PrintedSum large(123456.0);
    EXPECT_EQ(JsonText(Json(large.Round(98765.432109876))), "98765.4321");
    EXPECT_FALSE(PrintedSum(1e16).exact());
    EXPECT_FALSE(PrintedSum(INFINITY).exact());
    EXPECT_EQ(PrintedSum(1e20).Round(1.23456e19), 1.23456e19);
}

TEST(ExplanationDocument, SumsHoldToTheLastDigit) {
    const Explained rows = Payments();
    for (const Json& options :
         {Json::object(), Json{{"labels", {"accept", "decline"}}}, Json{{"num_features", 1}},
          Json{{"groups", {{"both", {"amount", "hour"}}}}},
          Json{{"discretizer", "decile"}, {"threshold", 0.3}}, Json{{"discretizer", "none"}},
          Json{{"top_labels", 2}}, Json{{"fresh", true}}}) {
        for (const size_t row : {size_t{0}, kDeclined, size_t{399}}) {
            const Expected<Json> document = Explain(rows, options, {}, row);
            ASSERT_TRUE(document.ok()) << document.status().message();
            for (const Json& label : (*document)["labels"]) {
                int64_t sum = Units(label["baseline"]);
                for (const Json& feature : label["features"])
                    sum += Units(feature["contribution"]);
                EXPECT_EQ(sum, Units(label["local_prediction"])) << options;
                EXPECT_EQ(Units(label["local_prediction"]) + Units(label["residual"]),
                          Units(label["prediction"]));
            }
            const Json& first = (*document)["labels"][0];
            if (first["class"] == (*document)["prediction"]["class"]) {
                EXPECT_EQ(first["prediction"], (*document)["prediction"]["value"]);
            }
        }
    }
}

TEST(ExplanationDocument, LogitsAddUpToo) {
    const Explained rows = Payments();
    const Json document = *Explain(rows, {{"link", "logit"}, {"threshold", 0.5}});
    const Json& label = document["labels"][0];
    double sum = label["baseline"].get<double>();
    for (const Json& feature : label["features"])
        sum += feature["contribution"].get<double>();
    EXPECT_NEAR(sum, label["local_prediction"].get<double>(), 1e-9);
    const double p = document["prediction"]["value"].get<double>();
    EXPECT_NEAR(label["prediction"].get<double>(), std::log(p / (1 - p)), 1e-6);
}

TEST(ExplanationDocument, HasTheMembersThatItPromises) {
    const Explained rows = Payments();
    const Json document = *Explain(rows, {{"threshold", 0.4}, {"counterfactuals", 1}});
    const auto keys = [](const Json& object) {
        std::set<std::string> names;
        for (const auto& [key, value] : object.items())
            names.insert(key);
        return names;
    };
    EXPECT_EQ(keys(document), (std::set<std::string>{"schema", "model", "method", "prediction", "labels",
                                                     "reasons", "counterfactual", "quality", "audit"}));
    EXPECT_EQ(document["model"], (Json{{"name", "fraud"}, {"version", 3}, {"sha256", "abc"}}));
    EXPECT_EQ(keys(document["method"]),
              (std::set<std::string>{"name", "probe_id", "seed", "n", "kernel_width", "discretizer",
                                     "selection", "alpha", "link"}));
    EXPECT_EQ(document["method"]["probe_id"], "probe");
    EXPECT_EQ(keys(document["prediction"]), (std::set<std::string>{"class", "value", "threshold", "margin"}));
    EXPECT_EQ(document["prediction"]["class"], "decline");
    EXPECT_EQ(document["prediction"]["threshold"], 0.4);
    EXPECT_EQ(document["labels"][0]["features"][0]["feature"], "amount");
    EXPECT_EQ(document["labels"][0]["features"][0]["direction"], "raises");
    EXPECT_EQ(document["audit"]["input_sha256"], InputSha256(Values(rows, kDeclined)));
    EXPECT_TRUE(document["counterfactual"]["flips"].get<bool>());
    EXPECT_EQ(document["counterfactual"]["class"], "accept");
}

TEST(ExplanationDocument, TheDecisionIsExplained) {
    const Explained rows = Payments();
    const Json declined = *Explain(rows, {{"threshold", 0.1}});
    const Json accepted = *Explain(rows, {{"threshold", 0.999}});
    EXPECT_EQ(declined["labels"][0]["class"], "decline");
    EXPECT_EQ(accepted["labels"][0]["class"], "accept");
    // in the terms of the class that is explained
    EXPECT_NEAR(accepted["prediction"]["threshold"].get<double>(), 0.001, 1e-9);
    EXPECT_NEAR(accepted["prediction"]["value"].get<double>(),
                1.0 - declined["prediction"]["value"].get<double>(), 1e-9);
    EXPECT_GE(accepted["prediction"]["margin"].get<double>(), 0.0);
}

TEST(ExplanationDocument, UnreliableReasonsAreNotSpoken) {
    const Explained rows = Payments();
    const Json document = *Explain(rows, {{"min_fidelity", 1}});
    EXPECT_EQ(document["quality"]["grade"], "unreliable");
    EXPECT_TRUE(document["reasons"].empty());
    EXPECT_EQ(document["quality"]["warnings"][0].get<std::string>().find("No reliable reason exists"), 0u);
    for (const Json& feature : document["labels"][0]["features"]) {
        EXPECT_FALSE(feature.contains("text"));
        EXPECT_FALSE(feature.contains("reason_code"));
        EXPECT_TRUE(feature.contains("contribution"));
    }
    EXPECT_NE((*Explain(rows, {{"min_fidelity", 0}}))["quality"]["grade"], "unreliable");
}

TEST(ExplanationDocument, ReasonsSupportTheDecisionAndShareCodes) {
    const Explained rows = Payments();
    const std::vector<ReasonCode> codes = {
        {"amount", Direction::kRaises, Audience::kAnalyst, "en", "R1", "The {feature} is {value}.", true},
        {"channel", Direction::kAny, Audience::kAnalyst, "en", "R1", "", true},
        {"hour", Direction::kAny, Audience::kAnalyst, "en", "R2", "", false}};
    const Json document = *Explain(rows, {{"labels", {"decline"}}}, codes);
    const Json& reasons = document["reasons"];
    ASSERT_FALSE(reasons.empty());
    EXPECT_EQ(reasons[0]["code"], "R1");
    EXPECT_EQ(reasons[0]["text"], "The amount is 271.");
    std::set<std::string> seen;
    for (const Json& reason : reasons) {
        EXPECT_GT(reason["contribution"].get<double>(), 0.0);
        if (reason.contains("code")) {
            EXPECT_TRUE(seen.insert(reason["code"].get<std::string>()).second) << "a code comes twice";
        }
    }
    // the same features speak against the other class
    const Json other = *Explain(rows, {{"labels", {"accept"}}}, codes);
    for (const Json& reason : other["reasons"])
        EXPECT_EQ(std::count(reason["features"].begin(), reason["features"].end(), "amount"), 0);
    EXPECT_EQ((*Explain(rows, {{"labels", {"decline"}}, {"max_reasons", 1}}))["reasons"].size(), 1u);
}

TEST(ExplanationDocument, CustomersAreToldWhatIsWrittenForThem) {
    const Explained rows = Payments();
    const std::vector<ReasonCode> codes = {
        {"amount", Direction::kRaises, Audience::kCustomer, "en", "C1", "The amount is unusual.", true},
        {"channel", Direction::kAny, Audience::kAnalyst, "en", "R1", "secret", true}};
    const Json document =
        *Explain(rows, {{"audience", "customer"}, {"counterfactuals", 1}, {"threshold", 0.4}}, codes);
    const std::string text = JsonText(document);
    for (const char* told : {"contribution", "condition", "baseline", "threshold", "margin", "secret", "seed",
                             "probe", "fidelity", "std_error", "hour", "value"})
        EXPECT_EQ(text.find(told), std::string::npos) << told << " in " << text;
    ASSERT_EQ(document["labels"][0]["features"].size(), 1u);
    EXPECT_EQ(
        document["labels"][0]["features"][0],
        (Json{
            {"rank", 1}, {"feature", "amount"}, {"reason_code", "C1"}, {"text", "The amount is unusual."}}));
    EXPECT_EQ(document["reasons"][0]["code"], "C1");
    // nothing is said where nothing was written
    EXPECT_TRUE((*Explain(rows, {{"audience", "customer"}}))["reasons"].empty());
}

TEST(ExplanationDocument, UsedEntriesWriteItAgain) {
    const Explained rows = Payments();
    const std::vector<ReasonCode> codes = {
        {"amount", Direction::kRaises, Audience::kAnalyst, "en", "R1", "", true},
        {"amount", Direction::kRaises, Audience::kCustomer, "en", "R2", "x", true},
        {"nothing", Direction::kAny, Audience::kAnalyst, "en", "R3", "", true}};
    const Json document = *Explain(rows, Json::object(), codes);
    const std::vector<ReasonCode> used = CodesUsed(document, codes);
    EXPECT_EQ(used.size(), 2u);
    EXPECT_EQ(*Explain(rows, Json::object(), used), document);
}

TEST(ExplanationDocument, OptionsThatDoNotFitAreRefused) {
    const Explained rows = Payments();
    for (const Json& options :
         {Json{{"labels", {"maybe"}}}, Json{{"groups", {{"g", {"minute"}}}}}, Json{{"immutable", {"minute"}}},
          Json{{"directions", {{"minute", "increase"}}}}, Json{{"threshold", 1.5}}}) {
        const Expected<Json> document = Explain(rows, options);
        EXPECT_EQ(document.status().code(), StatusCode::kInvalidArgument) << options;
    }
}

TEST(ExplanationDocument, IsCancelled) {
    const Explained rows = Payments();
    const ExplainOptions options =
        *ExplainOptions::Parse({{"fresh", true}, {"num_samples", 1000000}}, ExplainOptions::Use::kRow);
    const ExplainedModel model = {.statistics = &rows.statistics, .scorer = rows.scorer.get(), .name = "m"};
    const RowExplainer explainer = *RowExplainer::Create(model, options, {});
    const std::vector<Cell> cells = rows.Row(0);
    const Json values = Values(rows, 0);
    EXPECT_EQ(explainer.Explain({cells.data(), &values}, AlwaysCancelled()).status().code(),
              StatusCode::kCancelled);
}

TEST(ExplanationRows, SayWhatTheDocumentSays) {
    const Explained rows = Payments();
    const Json document =
        *Explain(rows, {{"labels", {"decline", "accept"}}, {"threshold", 0.4}, {"counterfactuals", 2}});
    const Json row = ExplanationRow(document);
    EXPECT_EQ(row["class"], "decline");
    EXPECT_EQ(row["predicted"], "decline");
    EXPECT_EQ(row["probability"], document["prediction"]["value"]);
    EXPECT_EQ(row["baseline"], document["labels"][0]["baseline"]);
    EXPECT_EQ(row["probe_id"], "probe");
    const Json features = FeatureRows(document);
    ASSERT_EQ(features.size(), 6u);
    EXPECT_EQ(features[0]["label"], 1);
    EXPECT_EQ(features[3]["label"], 2);
    EXPECT_EQ(features[3]["class"], "accept");
    EXPECT_EQ(features[0]["value_text"], "271");
    EXPECT_EQ(features[0]["value_num"], 271);
    const Json changes = CounterfactualRows(document);
    ASSERT_FALSE(changes.empty());
    EXPECT_EQ(changes[0]["n"], 1);
    EXPECT_EQ(changes[0]["position"], 1);
    EXPECT_TRUE(CounterfactualRows(*Explain(rows, Json::object())).empty());
}

TEST(ExplainOptions, ComeBackFromTheirJson) {
    const Json given = {{"method", "integrated_gradients"},
                        {"num_features", 3},
                        {"kernel_width", 1.25},
                        {"labels", {"a", "b"}},
                        {"link", "logit"},
                        {"seed", 9223372036854775807},
                        {"threshold", 0.3},
                        {"counterfactuals", true},
                        {"immutable", {"x"}},
                        {"directions", {{"y", "decrease"}}},
                        {"groups", {{"g", {"x", "y"}}}},
                        {"audience", "customer"},
                        {"locale", "de-AT"},
                        {"agreement", true},
                        {"fresh", true}};
    const ExplainOptions options = *ExplainOptions::Parse(given, ExplainOptions::Use::kRow);
    const ExplainOptions again = *ExplainOptions::Parse(options.ToJson(), ExplainOptions::Use::kReplay);
    EXPECT_EQ(again.ToJson(), options.ToJson());
    EXPECT_EQ(again.seed, 9223372036854775807u);
    EXPECT_EQ(again.counterfactuals, 1);
    EXPECT_EQ(*again.link, Link::kLogit);
    EXPECT_EQ(ExplainOptions().ToJson(),
              ExplainOptions::Parse(ExplainOptions().ToJson(), ExplainOptions::Use::kReplay)->ToJson());
}

TEST(ExplainOptions, AreStrict) {
    using Use = ExplainOptions::Use;
    const auto code = [](const Json& json, Use use) {
        return ExplainOptions::Parse(json, use).status().code();
    };
    EXPECT_EQ(code(Json::array(), Use::kRow), StatusCode::kInvalidArgument);
    EXPECT_EQ(code({{"nothing", 1}}, Use::kRow), StatusCode::kInvalidArgument);
    EXPECT_EQ(code({{"store", true}}, Use::kTable), StatusCode::kInvalidArgument);
    EXPECT_EQ(code({{"resume", true}}, Use::kRow), StatusCode::kInvalidArgument);
    EXPECT_EQ(code({{"retain", "1 day"}}, Use::kTable), StatusCode::kOk);
    EXPECT_EQ(code({{"key", 7}, {"store", true}}, Use::kRow), StatusCode::kOk);
    EXPECT_EQ(code({{"key", "a"}}, Use::kRow), StatusCode::kInvalidArgument);
    const Json wrong = {{"num_features", 1.5},   {"num_samples", 9},   {"kernel_width", 0}, {"labels", {1}},
                        {"labels", {"a", "a"}},  {"alpha", -1},        {"seed", 1e19},      {"link", 3},
                        {"counterfactuals", 21}, {"max_reasons", 101}, {"groups", {1}},     {"locale", ""}};
    for (const auto& [key, value] : wrong.items())
        EXPECT_EQ(code({{key, value}}, Use::kRow), StatusCode::kInvalidArgument) << key;
}

}  // namespace
}  // namespace dlent
