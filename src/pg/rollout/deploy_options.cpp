#include "pg/bridge/postgres.h"

#include "pg/rollout/deploy_options.h"

#include <algorithm>
#include <charconv>

#include "pg/bridge/error.h"
#include "pg/bridge/text.h"

namespace dlent::pg {
namespace {

constexpr double kDefaultSteps[] = {0.01, 0.05, 0.25, 0.5, 1.0};

[[noreturn]] void ThrowDeployOption(const std::string& message, const std::string& detail = {}) {
    throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, message, detail,
                   std::string("Valid options are mode, unit, steps, arms, coverage, seed, reason, ") +
                       kDecisionKeys + ".");
}

std::string TextOption(const std::string& key, const Json& value, const char* what) {
    if (!value.is_string() || value.get_ref<const std::string&>().empty())
        ThrowDeployOption("option \"" + key + "\" must be " + what);
    return FromUtf8(value.get_ref<const std::string&>());
}

/// A number of (low, high].
double NumberOption(const std::string& key, const Json& value, double low, double high, const char* what) {
    if (!value.is_number() || !(value.get<double>() > low && value.get<double>() <= high))
        ThrowDeployOption("option \"" + key + "\" must be " + what);
    return value.get<double>();
}

double ShareOption(const std::string& key, const Json& value) {
    return NumberOption(key, value, 0.0, 1.0, "a number greater than 0 and at most 1");
}

/// Shares of the traffic that the candidate answers, the last of which is 1: its promotion.
std::vector<double> ReadSteps(const Json& value) {
    const auto bad = [] {
        ThrowDeployOption(
            "option \"steps\" must be an array of rising shares",
            "Up to 0.5 as much of the traffic is the candidate's as is the champion's for comparison; "
            "after that comes 1, its promotion.");
    };
    if (!value.is_array() || value.empty())
        bad();
    std::vector<double> steps;
    for (const Json& step : value) {
        if (!step.is_number())
            bad();
        const double share = step.get<double>();
        const double before = steps.empty() ? 0.0 : steps.back();
        if (!(share > before) || (share > 0.5 && share != 1.0))
            bad();
        steps.push_back(share);
    }
    if (steps.front() == 1.0)
        bad();
    if (steps.back() != 1.0)
        steps.push_back(1.0);
    return steps;
}

std::vector<DeployRequest::Arm> ReadArms(const Json& value, int version) {
    const auto bad = [] {
        ThrowDeployOption("option \"arms\" must be an object of version numbers and their shares",
                          "As in {\"2\": 0.3, \"3\": 0.3}; the champion gets what is left of 1.");
    };
    if (!value.is_object() || value.empty())
        bad();
    std::vector<DeployRequest::Arm> arms;
    double total = 0.0;
    for (const auto& [key, share] : value.items()) {
        int number = 0;
        const auto [rest, error] = std::from_chars(key.data(), key.data() + key.size(), number);
        if (error != std::errc() || rest != key.data() + key.size() || number < 1 ||
            key != std::to_string(number) || !share.is_number() || !(share.get<double>() > 0.0))
            bad();
        arms.push_back({number, "version " + key, share.get<double>(), false});
        total += share.get<double>();
    }
    if (!(total < 1.0))
        bad();
    std::sort(arms.begin(), arms.end(), [](const auto& a, const auto& b) { return a.version < b.version; });
    if (version != 0 &&
        std::none_of(arms.begin(), arms.end(), [version](const auto& arm) { return arm.version == version; }))
        ThrowDeployOption("version " + std::to_string(version) + " is none of the arms");
    arms.insert(arms.begin(), {0, "champion", 1.0 - total, false});
    return arms;
}

}  // namespace

double CanaryCoverage(double share) {
    return std::min(1.0, 2.0 * share);
}

DeployRequest DeployRequest::Parse(const Json& json, int version) {
    if (!json.is_object())
        ThrowDeployOption("options must be a JSON object");
    DeployRequest request;
    request.options = json;
    if (const auto mode = json.find("mode"); mode != json.end())
        request.mode = TextOption("mode", *mode, "shadow, canary or experiment");
    const bool canary = request.mode == "canary";
    const bool experiment = request.mode == "experiment";
    if (!canary && !experiment && request.mode != "shadow")
        ThrowDeployOption("option \"mode\" must be shadow, canary or experiment");

    Json left = json;
    request.decision = TakeDecisionOptions(&left);
    std::vector<double> steps(std::begin(kDefaultSteps), std::end(kDefaultSteps));
    for (const auto& [key, value] : left.items()) {
        const auto only = [&, name = key](bool here, const char* modes) {
            if (!here)
                ThrowDeployOption("option \"" + name + "\" belongs to mode " + modes);
        };
        if (key == "mode") {
            continue;
        } else if (key == "unit") {
            request.unit = TextOption(key, value, "the name of a column");
        } else if (key == "steps") {
            only(canary, "canary");
            steps = ReadSteps(value);
        } else if (key == "arms") {
            only(experiment, "experiment");
            request.arms = ReadArms(value, version);
        } else if (key == "coverage") {
            only(!canary, "experiment or shadow");
            request.coverage = ShareOption(key, value);
        } else if (key == "seed") {
            request.seed = TextOption(key, value, "a text");
        } else if (key == "reason") {
            request.reason = TextOption(key, value, "a text");
        } else {
            ThrowDeployOption("unknown option \"" + FromUtf8(key) + "\"");
        }
    }
    if (request.unit.empty() && (canary || experiment))
        ThrowDeployOption(
            "option \"unit\" is missing",
            "It names the column whose value decides which version answers: a customer, a machine.");
    if (request.arms.empty()) {
        if (version == 0)
            throw SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED, "the version must not be NULL", {},
                           "Only an experiment may name its versions by option \"arms\".");
        if (request.mode == "shadow")
            request.arms = {{0, "champion", 1.0, false}, {version, "shadow", 0.0, true}};
        else
            request.arms = {{0, "champion", 0.5, false}, {version, "candidate", 0.5, false}};
    }

    request.options.erase("reason");
    request.options["mode"] = request.mode;
    const Json decision = request.decision.ToJson();
    for (const auto& [key, value] : decision.items()) {
        if (key == "goal" || key == "guardrails")
            request.options[key] = value;  // with directions and margins
        else if (!value.is_null())
            request.options.emplace(key, Json(value));  // spans of time stay as they were written
    }
    if (canary) {
        request.options["steps"] = steps;
        request.coverage = CanaryCoverage(steps.front());
    } else {
        request.options["coverage"] = request.coverage;
    }
    if (experiment) {
        Json arms = Json::object();
        for (const Arm& arm : request.arms) {
            if (arm.version != 0)
                arms[std::to_string(arm.version)] = arm.weight;
        }
        request.options["arms"] = arms;
    }
    return request;
}

}  // namespace dlent::pg
