#include "core/explain/explanation_view.h"

#include <cmath>
#include <new>
#include <utility>

#include "core/explain/number_text.h"

namespace dlent {
namespace {

constexpr const char* kSchema = "dlent.explanation/1";
constexpr const char* kHint = "Give it a document that dlent_explain() returned.";
constexpr size_t kMaxLabels = 100;
constexpr size_t kMaxReasons = 1000;
constexpr size_t kMaxAlternatives = 100;

/// One object of the document and where it is; remembers the first thing that is wrong.
class ViewReader {
 public:
    ViewReader(const Json& object, std::string path, Status* status)
        : object_(object), path_(std::move(path)), status_(*status) {
        if (!object.is_object())
            Fail(path_, "an object");
    }

    double Number(const char* key) {
        const Json* value = Find(key);
        if (value != nullptr && value->is_number() && std::isfinite(value->get<double>()))
            return value->get<double>();
        Fail(Path(key), "a number");
        return 0.0;
    }
    std::optional<double> OptionalNumber(const char* key) {
        if (IsNull(key))
            return std::nullopt;
        return Number(key);
    }
    std::string Text(const char* key) {
        const Json* value = Find(key);
        if (value != nullptr && value->is_string())
            return value->get<std::string>();
        Fail(Path(key), "a text");
        return {};
    }
    std::string OptionalText(const char* key) { return IsNull(key) ? std::string() : Text(key); }
    bool OptionalFlag(const char* key) {
        if (IsNull(key))
            return false;
        const Json* value = Find(key);
        if (value->is_boolean())
            return value->get<bool>();
        Fail(Path(key), "true or false");
        return false;
    }
    /// Any scalar as text.
    std::string Value(const char* key) {
        if (IsNull(key))
            return "NULL";
        const Json* value = Find(key);
        if (value->is_string())
            return value->get<std::string>();
        if (value->is_boolean())
            return value->get<bool>() ? "true" : "false";
        if (value->is_number()) {
            const double number = value->get<double>();
            return NumberText(number, number == std::floor(number) ? 15 : 5);
        }
        Fail(Path(key), "a text, a number, true, false or null");
        return {};
    }
    ViewReader Object(const char* key) {
        static const Json kNothing;
        const Json* value = Find(key);
        return ViewReader(value != nullptr ? *value : kNothing, Path(key), &status_);
    }
    /// Calls visit(element, its path) for each element.
    template <typename Visit>
    void Array(const char* key, size_t most, Visit visit) {
        const Json* value = Find(key);
        if (value == nullptr || !value->is_array())
            return Fail(Path(key), "an array");
        if (value->size() > most)
            return Fail(Path(key), "an array of at most " + std::to_string(most) + " elements");
        for (size_t i = 0; i < value->size() && status_.ok(); ++i)
            visit((*value)[i], Path(key) + "[" + std::to_string(i) + "]");
    }
    const Json* Find(const char* key) const {
        if (!object_.is_object())
            return nullptr;
        const auto found = object_.find(key);
        return found != object_.end() ? &*found : nullptr;
    }
    bool IsNull(const char* key) const {
        const Json* value = Find(key);
        return value == nullptr || value->is_null();
    }
    void Fail(const std::string& path, const std::string& expected) {
        if (status_.ok())
            status_ = Status::Invalid("the explanation is malformed",
                                      "\"" + path + "\" must be " + expected + ".", kHint);
    }
    std::string Path(const char* key) const { return path_.empty() ? key : path_ + "." + key; }

 private:
    const Json& object_;
    const std::string path_;
    Status& status_;
};

ExplanationView::Label ReadLabel(ViewReader reader, Status* status) {
    ExplanationView::Label label;
    label.name = reader.OptionalText("class");
    label.has_numbers = !reader.IsNull("baseline");
    if (label.has_numbers) {
        label.baseline = reader.Number("baseline");
        label.local_prediction = reader.Number("local_prediction");
    }
    if (const std::optional<double> residual = reader.OptionalNumber("residual"))
        label.prediction = label.local_prediction + *residual;
    label.fidelity_r2 = reader.OptionalNumber("fidelity_r2");
    label.completeness = reader.OptionalNumber("completeness");
    reader.Array("features", kMaxReasons, [&](const Json& element, const std::string& path) {
        ViewReader feature(element, path, status);
        ExplanationView::Reason reason;
        reason.feature = feature.Text("feature");
        reason.value = feature.Value("value");
        reason.condition = feature.OptionalText("condition");
        if (reason.condition.empty())
            reason.condition = reason.feature + " = " + reason.value;
        reason.text = label.has_numbers ? feature.OptionalText("text") : feature.Text("text");
        if (label.has_numbers)
            reason.contribution = feature.Number("contribution");
        reason.std_error = feature.OptionalNumber("std_error");
        if (reason.std_error && *reason.std_error < 0.0)
            feature.Fail(feature.Path("std_error"), "a number that is not negative");
        reason.rank_tied = feature.OptionalFlag("rank_tied");
        label.reasons.push_back(std::move(reason));
    });
    return label;
}

ExplanationView::Alternative ReadAlternative(ViewReader reader, Status* status) {
    ExplanationView::Alternative alternative;
    alternative.name = reader.OptionalText("class");
    alternative.value = reader.OptionalNumber("value");
    reader.Array("changes", kMaxReasons, [&](const Json& element, const std::string& path) {
        ViewReader change(element, path, status);
        alternative.changes.push_back({change.Text("feature"), change.Value("from"), change.Value("to")});
    });
    return alternative;
}

void ReadQuality(ViewReader root, ExplanationView* view) {
    view->grade = "ok";
    if (root.IsNull("quality"))
        return;
    ViewReader quality = root.Object("quality");
    view->grade = quality.Text("grade");
    if (quality.IsNull("warnings"))
        return;
    quality.Array("warnings", kMaxReasons, [&](const Json& element, const std::string& path) {
        if (element.is_string())
            view->warnings.push_back(element.get<std::string>());
        else
            quality.Fail(path, "a text");
    });
}

ExplanationView Read(const Json& document, Status* status) {
    ExplanationView view;
    ViewReader root(document, "", status);
    if (root.Text("schema") != kSchema)
        root.Fail("schema", std::string("\"") + kSchema + "\"");
    ViewReader model = root.Object("model");
    view.model = model.Text("name");
    view.version = static_cast<int>(model.OptionalNumber("version").value_or(0.0));
    ViewReader method = root.Object("method");
    view.method = method.Text("name");
    view.link = method.OptionalText("link");
    view.samples = method.OptionalNumber("n");
    ViewReader prediction = root.Object("prediction");
    view.predicted = prediction.OptionalText("class");
    view.value = prediction.OptionalNumber("value");
    view.threshold = prediction.OptionalNumber("threshold");
    root.Array("labels", kMaxLabels, [&](const Json& element, const std::string& path) {
        view.labels.push_back(ReadLabel(ViewReader(element, path, status), status));
    });
    // several counterfactuals, the first of which is also given alone
    if (!root.IsNull("counterfactuals")) {
        root.Array("counterfactuals", kMaxAlternatives, [&](const Json& element, const std::string& path) {
            view.alternatives.push_back(ReadAlternative(ViewReader(element, path, status), status));
        });
    } else if (!root.IsNull("counterfactual")) {
        view.alternatives.push_back(ReadAlternative(root.Object("counterfactual"), status));
    }
    ReadQuality(root, &view);
    return view;
}

}  // namespace

Expected<ExplanationView> ExplanationView::FromJson(const Json& document) {
    if (!document.is_object())
        return Status::Invalid("the explanation is malformed", "It must be a JSON object.", kHint);
    try {
        Status status;
        ExplanationView view = Read(document, &status);
        DLENT_RETURN_IF_ERROR(status);
        return view;
    } catch (const std::bad_alloc&) {
        return Status(StatusCode::kOutOfMemory, "out of memory", "An explanation was being read.");
    }
}

}  // namespace dlent
