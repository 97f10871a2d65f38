#include "core/train/training_options.h"

#include <gtest/gtest.h>

#include <string>

namespace dlent {
namespace {

Expected<TrainingOptions> Parse(const std::string& text) {
    return TrainingOptions::Parse(Json::parse(text));
}

bool Contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

TEST(TrainingOptions, EmptyLeavesAllToThePreset) {
    const Expected<TrainingOptions> options = Parse("{}");
    ASSERT_TRUE(options.ok());
    EXPECT_EQ(options->kind, "auto");
    EXPECT_EQ(options->preset, Preset::kDefault);
    EXPECT_EQ(options->seed, 42u);
    EXPECT_FALSE(options->epochs || options->hidden || options->dropout || options->positive_class);
    EXPECT_FALSE(options->promote);
}

TEST(TrainingOptions, ReadsEveryKey) {
    const Expected<TrainingOptions> options = Parse(R"({
        "kind": "mlp", "task": "binary", "preset": "best", "device": "cpu", "seed": 18446744073709551615,
        "epochs": 7, "batch_size": 256, "learning_rate": 0.01, "weight_decay": 0, "hidden": [64, 32],
        "dropout": 0.25, "activation": "gelu", "patience": 3, "max_seconds": 12.5, "members": 4,
        "numeric_embedding": "periodic", "optimizer": "sgd", "schedule": "cosine", "loss": "focal",
        "label_smoothing": 0.1, "quantile": 0.9,
        "validation": {"method": "time", "fraction": 0.3, "column": "at"},
        "class_weight": {"yes": 5, "no": 0.5}, "weight_column": "w", "exclude": ["id", "note"],
        "features": {"zip": {"kind": "category"}}, "positive_class": "yes", "promote": true})");
    ASSERT_TRUE(options.ok()) << options.status().message();
    EXPECT_EQ(options->kind, "mlp");
    EXPECT_EQ(options->task, Task::kBinary);
    EXPECT_EQ(options->preset, Preset::kBest);
    EXPECT_EQ(options->device, "cpu");
    EXPECT_EQ(options->seed, UINT64_MAX);
    EXPECT_EQ(options->epochs, 7);
    EXPECT_EQ(options->batch_size, 256);
    EXPECT_EQ(options->learning_rate, 0.01);
    EXPECT_EQ(options->weight_decay, 0.0);
    EXPECT_EQ(options->hidden, (std::vector<int>{64, 32}));
    EXPECT_EQ(options->dropout, 0.25);
    EXPECT_EQ(options->activation, Activation::kGelu);
    EXPECT_EQ(options->patience, 3);
    EXPECT_EQ(options->max_seconds, 12.5);
    EXPECT_EQ(options->members, 4);
    EXPECT_EQ(options->numeric_embedding, NumericEmbedding::kPeriodic);
    EXPECT_EQ(options->optimizer, "sgd");
    EXPECT_EQ(options->schedule, "cosine");
    EXPECT_EQ(options->loss, "focal");
    EXPECT_EQ(options->label_smoothing, 0.1);
    EXPECT_EQ(options->quantile, 0.9);
    EXPECT_EQ(options->validation.method, ValidationMethod::kTime);
    EXPECT_EQ(options->validation.fraction, 0.3);
    EXPECT_EQ(options->validation.column, "at");
    EXPECT_EQ(options->class_weights.at("yes"), 5.0);
    EXPECT_EQ(options->weight_column, "w");
    EXPECT_EQ(options->exclude, (std::vector<std::string>{"id", "note"}));
    EXPECT_EQ(options->features.at("zip").kind, ColumnKind::kCategory);
    EXPECT_EQ(options->positive_class, "yes");
    EXPECT_TRUE(options->promote);
}

TEST(TrainingOptions, AcceptsTheEdges) {
    EXPECT_TRUE(Parse(R"({"hidden": []})")->hidden->empty());
    EXPECT_EQ(Parse(R"({"epochs": 100000})")->epochs, 100000);
    EXPECT_EQ(Parse(R"({"batch_size": 1048576})")->batch_size, 1048576);
    EXPECT_EQ(Parse(R"({"learning_rate": 10})")->learning_rate, 10.0);
    EXPECT_EQ(Parse(R"({"dropout": 0.95})")->dropout, 0.95);
    EXPECT_EQ(Parse(R"({"seed": 0})")->seed, 0u);
    EXPECT_EQ(Parse(R"({"epochs": 5.0})")->epochs, 5);  // as jsonb may write it
    EXPECT_EQ(Parse(R"({"class_weight": "balanced"})")->class_weight_mode, "balanced");
    EXPECT_EQ(Parse(R"({"positive_class": true})")->positive_class, "true");
    EXPECT_EQ(Parse(R"({"positive_class": 2})")->positive_class, "2");
}

TEST(TrainingOptions, RefusesWhatIsOutOfRangeOrOfAnotherType) {
    for (const char* text : {
             R"({"epochs": 0})",
             R"({"epochs": 100001})",
             R"({"epochs": 1.5})",
             R"({"epochs": "10"})",
             R"({"epochs": true})",
             R"({"epochs": null})",
             R"({"epochs": 1e300})",
             R"({"epochs": 18446744073709551615})",
             R"({"batch_size": 1048577})",
             R"({"learning_rate": 0})",
             R"({"learning_rate": -1})",
             R"({"learning_rate": 10.1})",
             R"({"weight_decay": -0.1})",
             R"({"dropout": 0.96})",
             R"({"dropout": "high"})",
             R"({"hidden": 64})",
             R"({"hidden": [0]})",
             R"({"hidden": [8193]})",
             R"({"hidden": [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]})",
             R"({"seed": -1})",
             R"({"seed": 1.5})",
             R"({"kind": "forest"})",
             R"({"task": "ranking"})",
             R"({"preset": "slow"})",
             R"({"device": ""})",
             R"({"activation": "step"})",
             R"({"optimizer": "lion"})",
             R"({"loss": "hinge"})",
             R"({"quantile": 1})",
             R"({"label_smoothing": 0.6})",
             R"({"members": 0})",
             R"({"max_seconds": 0})",
             R"({"validation": "random"})",
             R"({"validation": {"method": "time"}})",
             R"({"validation": {"method": "random", "column": "x"}})",
             R"({"validation": {"fraction": 1}})",
             R"({"validation": {"share": 0.2}})",
             R"({"class_weight": "even"})",
             R"({"class_weight": {}})",
             R"({"class_weight": {"a": 0}})",
             R"({"exclude": "id"})",
             R"({"exclude": [1]})",
             R"({"features": ["x"]})",
             R"({"features": {"x": "category"}})",
             R"({"features": {"x": {"kind": "number"}}})",
             R"({"features": {"x": {"type": "category"}}})",
             R"({"positive_class": [1]})",
             R"({"promote": 1})",
             R"([])",
             R"("fast")",
         }) {
        const Expected<TrainingOptions> options = Parse(text);
        ASSERT_FALSE(options.ok()) << text;
        EXPECT_EQ(options.status().code(), StatusCode::kInvalidArgument) << text;
        EXPECT_FALSE(options.status().message().empty());
    }
}

TEST(TrainingOptions, SaysWhatWasExpectedAndGiven) {
    const Status type = Parse(R"({"epochs": "ten"})").status();
    EXPECT_TRUE(Contains(type.message(), "\"epochs\" must be an integer from 1 to 100000"));
    EXPECT_TRUE(Contains(type.detail(), "\"ten\""));
    const Status choice = Parse(R"({"preset": "slow"})").status();
    EXPECT_TRUE(Contains(choice.message(), "\"preset\" does not take \"slow\""));
    EXPECT_TRUE(Contains(choice.hint(), "fast, default, best"));
}

TEST(TrainingOptions, AnUnknownKeyListsTheValidOnes) {
    const Status status = Parse(R"({"epoch": 3})").status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(status.message(), "unknown option \"epoch\"");
    EXPECT_EQ(status.detail(), "Perhaps you meant \"epochs\".");
    for (const char* key : {"kind", "task", "epochs", "validation", "positive_class", "promote"})
        EXPECT_TRUE(Contains(status.hint(), key)) << key;
    EXPECT_EQ(Parse(R"({"learningrate": 3})").status().detail(), "Perhaps you meant \"learning_rate\".");
    EXPECT_EQ(Parse(R"({"xyzzy_plugh": 3})").status().detail(), "");
    // the nearest, not the first that is near
    EXPECT_EQ(Parse(R"({"tasks": 3})").status().detail(), "Perhaps you meant \"task\".");
}

TEST(TrainingOptions, ShortensLongValuesBetweenCharacters) {
    Json json = {{"epochs", "x"}};
    std::string text;
    for (int i = 0; i < 100; ++i)
        text += "\u00fc";
    for (int shift = 0; shift < 2; ++shift) {
        json["epochs"] = std::string(static_cast<size_t>(shift), 'a') + text;
        const std::string detail = TrainingOptions::Parse(json).status().detail();
        EXPECT_LT(detail.size(), 80u);
        EXPECT_NO_THROW(Json(detail).dump());  // throws unless it is UTF-8
    }
}

}  // namespace
}  // namespace dlent
