// dlent_predict, dlent_classify, dlent_probabilities, dlent_predict_version: one row at a time.

#include "pg/bridge/postgres.h"

#include <algorithm>

#include "pg/bridge/error.h"
#include "pg/bridge/memory.h"
#include "pg/bridge/text.h"
#include "pg/cache/scorer_cache.h"
#include "pg/catalog/lookup.h"
#include "pg/catalog/models.h"
#include "pg/catalog/relations.h"
#include "pg/functions/feature_arguments.h"

extern "C" {
#include "utils/numeric.h"
}

namespace dlent::pg {
namespace {

enum class Answer { kValue, kLabel, kProbabilities };

/// What a resolved name depends on: under the same snapshot, user and generation of the catalog it is the
/// same version. Plans and their call sites outlive statements (in PL/pgSQL above all), so every row looks.
struct ResolutionKey {
    uint64_t generation = 0;  ///< never 0 in a key that was taken
    uint64_t completion_count = 0;
    CommandId command = 0;
    TransactionId xmin = 0;
    TransactionId xmax = 0;
    Oid user = InvalidOid;

    static ResolutionKey Current() {
        ResolutionKey key;
        key.generation = CatalogGeneration();
        key.user = GetUserId();
        if (ActiveSnapshotSet()) {
            const SnapshotData* snapshot = GetActiveSnapshot();
            key.completion_count = snapshot->snapXactCompletionCount;
            key.command = snapshot->curcid;
            key.xmin = snapshot->xmin;
            key.xmax = snapshot->xmax;
        }
        return key;
    }
    bool operator==(const ResolutionKey&) const = default;
};

/// What a call site keeps between rows.
class CallSite {
 public:
    explicit CallSite(MemoryContext context) : context_(context) {}

    /// The row's outputs, or null when the answer is NULL. To be called below a guard from a frame without
    /// destructors.
    const float* Score(FunctionCallInfo fcinfo, Answer answer, bool version_given) {
        const text* model = PG_GETARG_TEXT_PP(0);
        const std::string_view name(VARDATA_ANY(model), VARSIZE_ANY_EXHDR(model));
        const int version = version_given ? PG_GETARG_INT32(1) : 0;
        const ResolutionKey key = ResolutionKey::Current();
        if (key != key_ || version != version_argument_ || name != name_argument_)
            Resolve(fcinfo, name, version, answer, version_given);
        if (!arguments_->Read(fcinfo, cells_.data()))
            return nullptr;
        scorer_->Score(1, cells_.data(), outputs_.data());
        return outputs_.data();
    }

    const Model& model() const { return scorer_->model(); }
    /// In the server's encoding.
    const std::vector<std::string>& labels() const { return labels_; }

 private:
    void Resolve(FunctionCallInfo fcinfo, std::string_view name, int version, Answer answer,
                 bool version_given) {
        key_ = {};
        ModelReference reference =
            version_given ? ModelReference{ParseModelName(name), version} : ParseModelReference(name);
        if (version_given && version < 1)
            throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "a version is a number from 1");
        const VersionIdentity identity = ResolveVersion(reference, Privilege::kPredict);
        // Looking up may itself have processed invalidations; the key is what holds after it.
        const ResolutionKey key = ResolutionKey::Current();
        if (identity.version_id != version_id_ || scorer_ == nullptr || arguments_ == nullptr)
            Prepare(fcinfo, identity, answer, version_given ? 2 : 1);
        name_argument_ = name;
        version_argument_ = version;
        key_ = key;
    }

    void Prepare(FunctionCallInfo fcinfo, const VersionIdentity& identity, Answer answer,
                 int first_argument) {
        version_id_ = 0;
        arguments_.reset();
        scorer_ = AcquireScorer(identity.version_id);
        CheckTask(identity.model, answer);
        labels_.clear();
        for (const std::string& label : model().target.labels())
            labels_.push_back(FromUtf8(label));
        cells_.resize(std::max(scorer_->cell_count(), 1));
        outputs_.resize(scorer_->output_count());
        CallPostgres([this] {
            if (arguments_context_ == nullptr)
                arguments_context_ = AllocSetContextCreate(context_, "dlent call", ALLOCSET_DEFAULT_SIZES);
            else
                MemoryContextReset(arguments_context_);
        });
        arguments_ =
            std::make_unique<FeatureArguments>(fcinfo, first_argument, model().pipeline, identity.model_id,
                                               identity.version, identity.model, arguments_context_);
        version_id_ = identity.version_id;
    }

    void CheckTask(const std::string& name, Answer answer) const {
        const Task task = model().target.task();
        if (answer == Answer::kValue && task == Task::kMulticlass)
            throw SqlError(ERRCODE_WRONG_OBJECT_TYPE, "model \"" + name + "\" has more than two classes", {},
                           "Use dlent_classify() for the label, or dlent_probabilities() for all of them.");
        if (answer != Answer::kValue && task == Task::kRegression)
            throw SqlError(ERRCODE_WRONG_OBJECT_TYPE, "model \"" + name + "\" predicts a number, not a label",
                           {}, "Use dlent_predict().");
    }

    const MemoryContext context_;
    ResolutionKey key_;
    std::string name_argument_;
    int version_argument_ = 0;
    int64_t version_id_ = 0;
    std::shared_ptr<Scorer> scorer_;
    MemoryContext arguments_context_ = nullptr;
    std::unique_ptr<FeatureArguments> arguments_;
    std::vector<std::string> labels_;
    std::vector<Cell> cells_;
    std::vector<float> outputs_;
};

CallSite* CallSiteOf(FunctionCallInfo fcinfo) {
    FmgrInfo* function = fcinfo->flinfo;
    if (function->fn_extra == nullptr)
        function->fn_extra = Own(function->fn_mcxt, std::make_unique<CallSite>(function->fn_mcxt));
    return static_cast<CallSite*>(function->fn_extra);
}

Datum LabelDatum(const CallSite& site, const float* outputs) {
    const size_t best = site.model().target.task() == Task::kBinary
                            ? (outputs[0] >= 0.5f ? 1 : 0)
                            : std::max_element(outputs, outputs + site.labels().size()) - outputs;
    const std::string& label = site.labels()[best];
    return PointerGetDatum(cstring_to_text_with_len(label.data(), static_cast<int>(label.size())));
}

/// The number as dlent_predict() would give it, to the last bit.
Numeric NumericOf(double value) {
    const Datum digits = DirectFunctionCall1(float8out, Float8GetDatum(value));
    return DatumGetNumeric(
        DirectFunctionCall3(numeric_in, digits, ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

Datum ProbabilitiesDatum(const CallSite& site, const float* outputs) {
    const bool binary = site.model().target.task() == Task::kBinary;
    JsonbParseState* state = nullptr;
    pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
    for (size_t i = 0; i < site.labels().size(); ++i) {
        JsonbValue key;
        key.type = jbvString;
        key.val.string.val = const_cast<char*>(site.labels()[i].data());
        key.val.string.len = static_cast<int>(site.labels()[i].size());
        pushJsonbValue(&state, WJB_KEY, &key);
        JsonbValue value;
        value.type = jbvNumeric;
        const double probability = !binary ? outputs[i] : i == 1 ? outputs[0] : 1.0 - outputs[0];
        value.val.numeric = NumericOf(probability);
        pushJsonbValue(&state, WJB_VALUE, &value);
    }
    return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr)));
}

Datum ScoreRow(FunctionCallInfo fcinfo, Answer answer, bool version_given) {
    if (PG_ARGISNULL(0) || (version_given && PG_ARGISNULL(1)))
        PG_RETURN_NULL();
    CallSite* site = CallSiteOf(fcinfo);
    const float* outputs = site->Score(fcinfo, answer, version_given);
    if (outputs == nullptr)
        PG_RETURN_NULL();
    switch (answer) {
        case Answer::kLabel:
            return LabelDatum(*site, outputs);
        case Answer::kProbabilities:
            return ProbabilitiesDatum(*site, outputs);
        case Answer::kValue:
            break;
    }
    return Float8GetDatum(outputs[0]);
}

}  // namespace
}  // namespace dlent::pg

DLENT_FUNCTION(dlent_predict) {
    using namespace dlent::pg;
    return Entry(fcinfo, [&] { return ScoreRow(fcinfo, Answer::kValue, false); });
}

DLENT_FUNCTION(dlent_classify) {
    using namespace dlent::pg;
    return Entry(fcinfo, [&] { return ScoreRow(fcinfo, Answer::kLabel, false); });
}

DLENT_FUNCTION(dlent_probabilities) {
    using namespace dlent::pg;
    return Entry(fcinfo, [&] { return ScoreRow(fcinfo, Answer::kProbabilities, false); });
}

DLENT_FUNCTION(dlent_predict_version) {
    using namespace dlent::pg;
    return Entry(fcinfo, [&] { return ScoreRow(fcinfo, Answer::kValue, true); });
}
