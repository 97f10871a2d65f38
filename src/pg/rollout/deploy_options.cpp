#include "pg/bridge/postgres.h"

#include "pg/rollout/deploy_options.h"

#include <algorithm>
#include <charconv>

#include "pg/bridge/error.h"
#include "pg/bridge/option_reader.h"
#include "pg/bridge/text.h"

namespace dlent::pg {
namespace {

constexpr double kDefaultSteps[] = {0.01, 0.05, 0.25, 0.5, 1.0};

/// Shares of the traffic that the candidate answers, the last of which is 1: its promotion.
std::vector<double> ReadSteps(const OptionReader& reader, const Json& value) {
    const auto bad = [&reader] {
        reader.Refuse(
            "steps", "an array of rising shares",
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

std::vector<DeployRequest::Arm> ReadArms(const OptionReader& reader, const Json& value, int version) {
    const auto bad = [&reader] {
        reader.Refuse("arms", "an object of version numbers and their shares",
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
        reader.Fail("version " + std::to_string(version) + " is none of the arms");
    arms.insert(arms.begin(), {0, "champion", 1.0 - total, false});
    return arms;
}

}  // namespace

double CanaryCoverage(double share) {
    return std::min(1.0, 2.0 * share);
}

DeployRequest DeployRequest::Parse(const Json& json, int version) {
    Json left = json;
    DeployRequest request;
    if (json.is_object())
        request.decision = TakeDecisionOptions(&left);
    const OptionReader reader(left, {"mode", "unit", "steps", "arms", "coverage", "seed", "reason"},
                              kDecisionKeys);
    request.options = json;
    request.mode = reader.Word("mode", request.mode, {"shadow", "canary", "experiment"});
    const bool canary = request.mode == "canary";
    const bool experiment = request.mode == "experiment";
    // the value of an option, which belongs to some modes only
    const auto of_mode = [&reader](const char* key, bool here, const char* modes) {
        const Json* const value = reader.Find(key);
        if (value != nullptr && !here)
            reader.Fail(std::string("option \"") + key + "\" belongs to mode " + modes);
        return value;
    };
    std::vector<double> steps(std::begin(kDefaultSteps), std::end(kDefaultSteps));
    if (const Json* const value = of_mode("steps", canary, "canary"))
        steps = ReadSteps(reader, *value);
    if (const Json* const value = of_mode("arms", experiment, "experiment"))
        request.arms = ReadArms(reader, *value, version);
    (void)of_mode("coverage", !canary, "experiment or shadow");
    if (const auto coverage = reader.OptionalNumberThat(
            "coverage", [](double share) { return share > 0.0 && share <= 1.0; },
            "a number greater than 0 and at most 1"))
        request.coverage = *coverage;
    request.unit = reader.Name("unit", "", "the name of a column");
    request.seed = reader.Name("seed", "", "a text");
    request.reason = reader.Name("reason", "", "a text");
    if (request.unit.empty() && (canary || experiment))
        reader.Fail("option \"unit\" is missing",
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
