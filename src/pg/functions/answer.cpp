#include "pg/bridge/postgres.h"

#include "pg/functions/answer.h"

#include <algorithm>

#include "pg/bridge/compat_rare.h"
#include "pg/bridge/error.h"
#include "pg/bridge/text.h"

extern "C" {
#include "utils/numeric.h"
}

namespace dlent::pg {
namespace {

/// The number as dlent_predict() would give it, to the last bit.
Numeric NumericOf(double value) {
    const Datum digits = DirectFunctionCall1(float8out, Float8GetDatum(value));
    return DatumGetNumeric(
        DirectFunctionCall3(numeric_in, digits, ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

}  // namespace

AnswerFormat::AnswerFormat(const Model& model, Answer answer, const std::string& title)
    : answer_(answer), binary_(model.target.task() == Task::kBinary) {
    const Task task = model.target.task();
    if (answer == Answer::kValue && task == Task::kMulticlass)
        throw SqlError(ERRCODE_WRONG_OBJECT_TYPE, "model \"" + title + "\" has more than two classes", {},
                       "Use dlent_classify() for the label, or dlent_probabilities() for all of them.");
    if (answer != Answer::kValue && task == Task::kRegression)
        throw SqlError(ERRCODE_WRONG_OBJECT_TYPE, "model \"" + title + "\" predicts a number, not a label",
                       {}, "Use dlent_predict().");
    if (answer != Answer::kValue) {
        for (const std::string& label : model.target.labels())
            labels_.push_back(FromUtf8(label));
    }
}

Datum AnswerFormat::Make(const float* outputs) const {
    switch (answer_) {
        case Answer::kLabel:
            return Label(outputs);
        case Answer::kProbabilities:
            return Probabilities(outputs);
        case Answer::kValue:
            break;
    }
    return Float8GetDatum(outputs[0]);
}

Datum AnswerFormat::Label(const float* outputs) const {
    const size_t best = binary_ ? (outputs[0] >= 0.5f ? 1 : 0)
                                : std::max_element(outputs, outputs + labels_.size()) - outputs;
    const std::string& label = labels_[best];
    return PointerGetDatum(cstring_to_text_with_len(label.data(), static_cast<int>(label.size())));
}

Datum AnswerFormat::Probabilities(const float* outputs) const {
    JsonbBuilder builder;
    builder.Push(WJB_BEGIN_OBJECT);
    for (size_t i = 0; i < labels_.size(); ++i) {
        JsonbValue key;
        key.type = jbvString;
        key.val.string.val = const_cast<char*>(labels_[i].data());
        key.val.string.len = static_cast<int>(labels_[i].size());
        builder.Push(WJB_KEY, &key);
        JsonbValue value;
        value.type = jbvNumeric;
        const double probability = !binary_ ? outputs[i] : i == 1 ? outputs[0] : 1.0 - outputs[0];
        value.val.numeric = NumericOf(probability);
        builder.Push(WJB_VALUE, &value);
    }
    builder.Push(WJB_END_OBJECT);
    return builder.Result();
}

}  // namespace dlent::pg
