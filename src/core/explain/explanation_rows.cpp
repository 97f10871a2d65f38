#include "core/explain/explanation_rows.h"

#include <string>

namespace dlent {
namespace {

/// The member, or null.
const Json& Get(const Json& object, const char* key) {
    static const Json null;
    const auto found = object.find(key);
    return found == object.end() ? null : *found;
}

Json TextOf(const Json& value) {
    if (value.is_null() || value.is_string())
        return value;
    return value.dump();
}

Json NumberOf(const Json& value) {
    return value.is_number() ? value : Json();
}

}  // namespace

Json ExplanationRow(const Json& document) {
    const Json& label = document["labels"][0];
    const Json& prediction = document["prediction"];
    const bool classifies = prediction.contains("class");
    return {{"class", Get(label, "class")},
            {"predicted", TextOf(Get(prediction, classifies ? "class" : "value"))},
            {"probability", classifies ? Get(prediction, "value") : Json()},
            {"threshold", Get(prediction, "threshold")},
            {"prediction", Get(label, "prediction")},
            {"baseline", Get(label, "baseline")},
            {"local_prediction", Get(label, "local_prediction")},
            {"residual", Get(label, "residual")},
            {"fidelity_r2", Get(label, "fidelity_r2")},
            {"min_rank_gap_z", Get(document["quality"], "min_rank_gap_z")},
            {"grade", Get(document["quality"], "grade")},
            {"probe_id", Get(document["method"], "probe_id")}};
}

Json FeatureRows(const Json& document) {
    Json rows = Json::array();
    int number = 0;
    for (const Json& label : document["labels"]) {
        ++number;
        for (const Json& feature : label["features"]) {
            const Json& value = Get(feature, "value");
            rows.push_back({{"label", number},
                            {"class", Get(label, "class")},
                            {"rank", feature["rank"]},
                            {"feature", feature["feature"]},
                            {"value_text", TextOf(value)},
                            {"value_num", NumberOf(value)},
                            {"condition", Get(feature, "condition")},
                            {"contribution", Get(feature, "contribution")},
                            {"std_error", Get(feature, "std_error")},
                            {"direction", Get(feature, "direction")},
                            {"rank_tied", Get(feature, "rank_tied")},
                            {"reason_code", Get(feature, "reason_code")},
                            {"reason_text", Get(feature, "text")}});
        }
    }
    return rows;
}

Json CounterfactualRows(const Json& document) {
    Json rows = Json::array();
    Json alternatives = Get(document, "counterfactuals");
    if (!alternatives.is_array()) {
        const Json& only = Get(document, "counterfactual");
        alternatives = only.is_null() ? Json::array() : Json::array({only});
    }
    int n = 0;
    for (const Json& alternative : alternatives) {
        ++n;
        int position = 0;
        for (const Json& change : alternative["changes"])
            rows.push_back({{"n", n},
                            {"position", ++position},
                            {"feature", change["feature"]},
                            {"from", TextOf(change["from"])},
                            {"to", TextOf(change["to"])},
                            {"new_value", NumberOf(change["to"])},
                            {"class", Get(alternative, "class")},
                            {"value", Get(alternative, "value")},
                            {"flips", alternative["flips"]}});
    }
    return rows;
}

}  // namespace dlent
