#include "core/train/recipe.h"

#include <algorithm>
#include <cmath>

#include "core/nn/layer.h"

namespace dlent {
namespace {

/// Below this, an early-stopped epoch is too noisy to refit by and folds pay.
constexpr size_t kFoldRows = 10000;
/// Below this they pay where rows are ordered: a single block is another time or place than what is to come,
/// and says little about when to stop.
constexpr size_t kOrderedFoldRows = 50000;
constexpr int kFolds = 5;

int DefaultBatchSize(size_t rows) {
    if (rows <= 1000)
        return 64;
    if (rows <= 8000)
        return 128;
    if (rows <= 30000)
        return 256;
    return rows <= 100000 ? 512 : 1024;
}

/// Row visits are what training costs; large tables need fewer epochs for as many steps.
int DefaultEpochs(size_t rows) {
    constexpr double kRowVisits = 3.2e6;
    return static_cast<int>(std::clamp(kRowVisits / static_cast<double>(rows), 12.0, 100.0));
}

const char* LossName(LossKind kind) {
    switch (kind) {
        case LossKind::kBinaryCrossEntropy:
        case LossKind::kSoftmaxCrossEntropy:
            return "log_loss";
        case LossKind::kFocal:
            return "focal";
        case LossKind::kSquared:
            return "squared";
        case LossKind::kHuber:
            return "huber";
        case LossKind::kPinball:
            return "pinball";
    }
    return "";
}

Expected<LossSpec> ResolveLoss(const TrainingOptions& options, Task task) {
    LossSpec loss;
    const std::string name = options.loss.value_or(task == Task::kRegression ? "squared" : "log_loss");
    const bool for_classes = name == "log_loss" || name == "focal";
    if (for_classes == (task == Task::kRegression))
        return Status::Invalid(
            "loss \"" + name + "\" does not fit the task " + TaskName(task), {},
            task == Task::kRegression ? "Use squared, huber or pinball." : "Use log_loss or focal.");
    if (name == "log_loss")
        loss.kind = task == Task::kBinary ? LossKind::kBinaryCrossEntropy : LossKind::kSoftmaxCrossEntropy;
    else if (name == "focal")
        loss.kind = LossKind::kFocal;
    else if (name == "huber")
        loss.kind = LossKind::kHuber;
    else if (name == "pinball")
        loss.kind = LossKind::kPinball;
    loss.label_smoothing = static_cast<float>(options.label_smoothing.value_or(0.0));
    loss.quantile = static_cast<float>(options.quantile.value_or(0.5));
    return loss;
}

}  // namespace

Expected<Recipe> ResolveRecipe(const TrainingOptions& options, Task task, size_t rows) {
    Recipe recipe;
    recipe.kind = options.kind == "auto" ? "mlp" : options.kind;
    if (recipe.kind != "mlp" && recipe.kind != "tabm")
        return Status(StatusCode::kUnsupported,
                      "kind \"" + recipe.kind + "\" is not available in this version", {},
                      "Use auto, mlp or tabm.");
    const bool regression = task == Task::kRegression;
    const bool single_split = options.validation.method != ValidationMethod::kAuto &&
                              options.validation.method != ValidationMethod::kRandom;
    const bool small = rows < kFoldRows;

    switch (options.preset) {
        case Preset::kFast:
            recipe.members = 1;
            recipe.plan = MemberPlan::kHoldOut;
            recipe.validation_fraction = 0.2;
            recipe.refit = true;
            break;
        case Preset::kDefault:
            recipe.members = small ? kFolds : 2;
            recipe.plan = small && !single_split ? MemberPlan::kFolds : MemberPlan::kHoldOut;
            recipe.validation_fraction = 0.15;
            recipe.refit = recipe.plan == MemberPlan::kHoldOut;
            if (rows < kOrderedFoldRows && !options.members && !options.validation.fraction &&
                recipe.kind == "mlp")
                recipe.ordered_folds = kFolds;
            break;
        case Preset::kBest:
            recipe.members = 10;
            recipe.plan = single_split ? MemberPlan::kHoldOut : MemberPlan::kFolds;
            recipe.validation_fraction = 0.15;
            recipe.refit = recipe.plan == MemberPlan::kHoldOut;
            break;
    }
    if (options.members)
        recipe.members = *options.members;
    if (recipe.kind == "tabm") {
        // One network holds all members; folds would only multiply it.
        recipe.ensemble_width = options.members.value_or(options.preset == Preset::kBest ? 32 : 8);
        recipe.members = 1;
    }
    if (recipe.members == 1 && recipe.plan == MemberPlan::kFolds)
        recipe.UseHoldOut();
    if (options.validation.fraction)
        recipe.validation_fraction = *options.validation.fraction;
    if (options.validation.method == ValidationMethod::kNone) {
        recipe.plan = MemberPlan::kHoldOut;
        recipe.validation_fraction = 0.0;
        recipe.refit = false;
    }

    recipe.hidden = options.hidden.value_or(std::vector<int>{256, 256});
    if (recipe.kind == "tabm" && recipe.hidden.empty())
        return Status::Invalid("kind \"tabm\" needs at least one hidden layer", {},
                               "Its members share hidden layers; use kind mlp for a linear model.");
    recipe.activation = options.activation.value_or(Activation::kRelu);
    recipe.dropout = options.dropout.value_or(regression ? 0.1 : 0.2);
    recipe.numeric_embedding = options.numeric_embedding;
    if (recipe.numeric_embedding == NumericEmbedding::kAuto) {
        recipe.numeric_embedding = NumericEmbedding::kPiecewiseLinear;
        recipe.choose_embedding = recipe.members > 1;
    }

    TrainerOptions& trainer = recipe.trainer;
    DLENT_ASSIGN_OR_RETURN(trainer.loss, ResolveLoss(options, task));
    const bool adam = options.optimizer.value_or("adamw") == "adamw";
    DLENT_ASSIGN_OR_RETURN(trainer.optimizer.kind, ParseOptimizer(options.optimizer.value_or("adamw")));
    trainer.optimizer.weight_decay = static_cast<float>(options.weight_decay.value_or(adam ? 0.03 : 1e-4));
    trainer.learning_rate = options.learning_rate.value_or(adam ? (regression ? 2e-3 : 1e-3) : 1e-2);
    DLENT_ASSIGN_OR_RETURN(trainer.schedule, ParseSchedule(options.schedule.value_or("cycles")));
    trainer.batch_size = options.batch_size.value_or(DefaultBatchSize(rows));
    trainer.max_epochs = options.epochs.value_or(DefaultEpochs(rows));
    trainer.min_steps = options.epochs ? 0 : 1500;
    trainer.clip_norm = std::sqrt(static_cast<double>(recipe.ensemble_width));
    if (options.patience)
        trainer.stopping = {StoppingRule::kPatience, *options.patience};
    else if (trainer.schedule != ScheduleKind::kCycles && trainer.schedule != ScheduleKind::kCoslog4)
        trainer.stopping = {StoppingRule::kPatience, 16};
    trainer.seed = options.seed;
    return recipe;
}

void Recipe::UseFolds(int count) {
    plan = MemberPlan::kFolds;
    members = count;
    refit = false;
}

void Recipe::UseHoldOut() {
    plan = MemberPlan::kHoldOut;
    refit = true;
}

void Recipe::AdoptNetworks(const Model& model) {
    kind = model.kind;
    members = static_cast<int>(model.members.size());
    ensemble_width = model.network.members;
    ordered_folds = 0;
    if (members == 1 && plan == MemberPlan::kFolds)
        UseHoldOut();
    choose_embedding = false;
    numeric_embedding = NumericEmbedding::kNone;
    hidden.clear();
    dropout = 0.0;
    for (const LayerSpec& layer : model.network.layers) {
        if (layer.type == "piecewise_linear_embedding" || layer.type == "periodic_embedding") {
            numeric_embedding = layer.type == "periodic_embedding" ? NumericEmbedding::kPeriodic
                                                                   : NumericEmbedding::kPiecewiseLinear;
            embedding_width = layer.attributes.at("width").get<int>();
        } else if (layer.type == "dropout") {
            dropout = layer.attributes.at("rate").get<double>();
        } else if ((layer.type == "dense" || layer.type == "batch_ensemble_dense") &&
                   layer.name != model.network.outputs.front()) {
            hidden.push_back(layer.attributes.at("units").get<int>());
        }
    }
    trainer.clip_norm = std::sqrt(static_cast<double>(ensemble_width));
}

Json Recipe::ToJson() const {
    Json json = Json::object();
    json["kind"] = kind;
    json["plan"] = plan == MemberPlan::kFolds ? "folds" : "hold_out";
    json["members"] = members;
    if (ensemble_width > 1)
        json["ensemble_width"] = ensemble_width;
    json["refit"] = refit;
    if (plan == MemberPlan::kHoldOut)
        json["validation_fraction"] = validation_fraction;
    json["hidden"] = hidden;
    json["activation"] = ActivationName(activation);
    json["dropout"] = dropout;
    json["numeric_embedding"] = NumericEmbeddingName(numeric_embedding);
    if (numeric_embedding != NumericEmbedding::kNone)
        json["embedding_width"] = embedding_width;
    json["loss"] = LossName(trainer.loss.kind);
    if (trainer.loss.label_smoothing > 0.0f)
        json["label_smoothing"] = std::round(trainer.loss.label_smoothing * 1e6) / 1e6;  // was a double
    json["optimizer"] = OptimizerName(trainer.optimizer.kind);
    json["learning_rate"] = trainer.learning_rate;
    json["weight_decay"] = trainer.optimizer.weight_decay;
    json["schedule"] = ScheduleName(trainer.schedule);
    json["batch_size"] = trainer.batch_size;
    json["epochs"] = trainer.max_epochs;
    json["min_steps"] = trainer.min_steps;
    json["clip_norm"] = trainer.clip_norm;
    if (trainer.stopping.rule == StoppingRule::kPatience)
        json["patience"] = trainer.stopping.patience;
    return json;
}

Expected<NetworkSpec> BuildNetworkSpec(const Recipe& recipe, const Pipeline& pipeline,
                                       const TargetEncoder& target) {
    NetworkSpec spec;
    spec.numeric = pipeline.numeric_count();
    spec.plain = pipeline.plain_count();
    spec.members = recipe.ensemble_width;
    std::vector<int> one_hot_fields;
    std::vector<int> embedded_fields;
    Json embedded_dims = Json::array();
    for (int field = 0; field < pipeline.field_count(); ++field) {
        const int cardinality = pipeline.cardinality(field);
        spec.codes.push_back(cardinality);
        if (pipeline.inputs()[pipeline.field_input(field)].one_hot) {
            one_hot_fields.push_back(field);
        } else {
            embedded_fields.push_back(field);
            // fastai's rule, capped
            embedded_dims.push_back(
                std::min(50, static_cast<int>(std::ceil(1.6 * std::pow(cardinality, 0.56)))));
        }
    }

    auto add = [&](std::string name, std::string type, std::vector<std::string> reads, Json attributes) {
        spec.layers.push_back({name, std::move(type), std::move(reads), std::move(attributes)});
        return name;
    };
    std::vector<std::string> inputs;
    if (spec.numeric > 0) {
        switch (recipe.numeric_embedding) {
            case NumericEmbedding::kAuto:
            case NumericEmbedding::kPiecewiseLinear: {
                Json bins = Json::array();
                for (int i = 0; i < spec.numeric; ++i)
                    bins.push_back(static_cast<int>(pipeline.edges(i).size()) - 1);
                inputs.push_back(add("numbers", "piecewise_linear_embedding", {"numeric"},
                                     {{"width", recipe.embedding_width}, {"bins", std::move(bins)}}));
                break;
            }
            case NumericEmbedding::kPeriodic:
                inputs.push_back(
                    add("numbers", "periodic_embedding", {"numeric"}, {{"width", recipe.embedding_width}}));
                break;
            case NumericEmbedding::kNone:
                inputs.push_back(add("numbers", "smooth_clip", {"numeric"}, Json::object()));
                break;
        }
    }
    if (spec.plain > 0)
        inputs.push_back("plain");
    if (!embedded_fields.empty())
        inputs.push_back(add("categories", "embedding", {"codes"},
                             {{"fields", embedded_fields}, {"dims", std::move(embedded_dims)}}));
    if (!one_hot_fields.empty())
        inputs.push_back("codes");

    const bool ensemble = recipe.ensemble_width > 1;
    auto attributes = [&](int units, bool reads_codes) {
        Json json = {{"units", units}};
        if (reads_codes && !embedded_fields.empty())
            json["fields"] = one_hot_fields;
        return json;
    };
    for (size_t i = 0; i < recipe.hidden.size(); ++i) {
        const std::string number = std::to_string(i + 1);
        Json json = attributes(recipe.hidden[i], i == 0 && !one_hot_fields.empty());
        json["activation"] = ActivationName(recipe.activation);
        if (ensemble) {
            // TabM-mini: members differ by the scale in front of the first layer, here with its biases
            if (inputs.size() > 1 && i == 0) {
                std::vector<std::string> floats;
                std::vector<std::string> rest;
                for (std::string& input : inputs)
                    (input == "codes" ? rest : floats).push_back(std::move(input));
                inputs.clear();
                if (floats.size() > 1)
                    inputs.push_back(add("inputs", "concat", floats, Json::object()));
                else
                    inputs = floats;
                inputs.insert(inputs.end(), rest.begin(), rest.end());
            }
            json["init"] = i == 0 ? "random_signs" : "ones";
            inputs = {add("hidden_" + number, "batch_ensemble_dense", inputs, std::move(json))};
        } else {
            inputs = {add("hidden_" + number, "dense", inputs, std::move(json))};
        }
        if (recipe.dropout > 0.0)
            inputs = {add("dropout_" + number, "dropout", inputs, {{"rate", recipe.dropout}})};
    }
    if (ensemble)
        add("output", "ensemble_heads", inputs, {{"units", target.output_count()}});
    else
        add("output", "dense", inputs,
            attributes(target.output_count(), recipe.hidden.empty() && !one_hot_fields.empty()));
    spec.outputs = {"output"};
    DLENT_RETURN_IF_ERROR(spec.Validate());
    return spec;
}

Status SetPipelineEdges(const Pipeline& pipeline, Network* network) {
    if (!network->HasLayer("piecewise_linear_embedding"))
        return Status::Ok();
    std::vector<float> edges;
    for (int i = 0; i < pipeline.numeric_count(); ++i) {
        const std::vector<float>& of_column = pipeline.edges(i);
        edges.insert(edges.end(), of_column.begin(), of_column.end());
    }
    return network->SetTensor("numbers.edges", edges);
}

}  // namespace dlent
