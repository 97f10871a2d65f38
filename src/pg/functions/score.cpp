// dlent_predict, dlent_classify, dlent_probabilities, dlent_predict_version, dlent_score: one row at a time.

#include "pg/bridge/postgres.h"

#include "pg/bridge/error.h"
#include "pg/bridge/memory.h"
#include "pg/cache/scorer_cache.h"
#include "pg/catalog/models.h"
#include "pg/catalog/resolution_key.h"
#include "pg/functions/prepared_call.h"
#include "pg/observe/observed_call.h"
#include "pg/rollout/arm_rows.h"
#include "pg/rollout/resolved_model.h"

namespace dlent::pg {
namespace {

/// How the leading arguments of a call say which version answers.
enum class Naming { kName, kNameAndVersion, kDigest };

/// What a call site keeps between rows.
class CallSite {
 public:
    explicit CallSite(MemoryContext context) : context_(context) {}

    /// The row's outputs, or null when the answer is NULL. To be called below a guard from a frame without
    /// destructors.
    const float* Score(FunctionCallInfo fcinfo, Answer answer, Naming naming) {
        const std::string_view name = NameArgument(fcinfo, naming);
        const int version = naming == Naming::kNameAndVersion ? PG_GETARG_INT32(1) : 0;
        const ResolutionKey key = ResolutionKey::Current();
        if (key != key_ || version != version_argument_ || name != name_argument_)
            Resolve(fcinfo, name, version, answer, naming);
        if (arms_ != nullptr)
            return ScoreArms(fcinfo);
        if (!call_->arguments->Read(fcinfo, call_->cells.data()))
            return nullptr;
        if (observed_ != nullptr)
            ScoreObserved(fcinfo);
        else
            scorer_->Score(1, call_->cells.data(), call_->outputs.data());
        return call_->outputs.data();
    }

    const AnswerFormat& format() const { return arms_ != nullptr ? arms_format_ : call_->format; }

 private:
    /// The first argument's bytes: a name, or a digest.
    static std::string_view NameArgument(FunctionCallInfo fcinfo, Naming naming) {
        if (naming == Naming::kDigest)
            return {static_cast<const char*>(DatumGetPointer(PG_GETARG_DATUM(0))),
                    sizeof(VersionDigest::bytes)};
        const text* model = PG_GETARG_TEXT_PP(0);
        return {VARDATA_ANY(model), VARSIZE_ANY_EXHDR(model)};
    }

    static ResolvedModel Identify(std::string_view name, int version, Naming naming) {
        if (naming == Naming::kDigest) {
            VersionDigest digest;
            std::memcpy(digest.bytes, name.data(), sizeof(digest.bytes));
            return ResolvedTo(ResolveDigest(digest, Privilege::kPredict));
        }
        if (naming == Naming::kName)
            return ResolveModel(ParseModelReference(name), Privilege::kPredict);
        const ModelReference reference{ParseModelName(name), version};
        if (version < 1)
            throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "a version is a number from 1");
        return ResolveModel(reference, Privilege::kPredict);
    }

    void Resolve(FunctionCallInfo fcinfo, std::string_view name, int version, Answer answer, Naming naming) {
        key_ = {};
        ResolvedModel resolved = Identify(name, version, naming);
        // Looking up may itself have processed invalidations; the key is what holds after it.
        const ResolutionKey key = ResolutionKey::Current();
        const int first_argument = naming == Naming::kNameAndVersion ? 2 : 1;
        if (resolved.rollout_id != 0)
            PrepareArms(fcinfo, std::move(resolved), answer, first_argument);
        else
            PrepareVersion(fcinfo, resolved, answer, first_argument);
        name_argument_ = name;
        version_argument_ = version;
        key_ = key;
    }

    void PrepareVersion(FunctionCallInfo fcinfo, const ResolvedModel& resolved, Answer answer,
                        int first_argument) {
        if (resolved.champion().version_id != version_id_ || call_ == nullptr)
            Prepare(fcinfo, resolved.champion(), answer, first_argument);
        if (observed_ == nullptr ? resolved.observation.active()
                                 : observed_->observation() != resolved.observation)
            observed_ = ObservedCall::Create(resolved, {.first_argument = first_argument}, fcinfo,
                                             *call_->arguments, call_context_);
    }

    void Prepare(FunctionCallInfo fcinfo, const VersionIdentity& identity, Answer answer,
                 int first_argument) {
        Forget();
        scorer_ = AcquireScorer(identity);
        call_ = PrepareCall(fcinfo, first_argument, answer, identity, scorer_, call_context_);
        version_id_ = identity.version_id;
    }

    void PrepareArms(FunctionCallInfo fcinfo, ResolvedModel resolved, Answer answer, int first_argument) {
        if (arms_ != nullptr && arms_->rollout_id() == resolved.rollout_id) {
            arms_->Resume(resolved, fcinfo);
            return;
        }
        Forget();
        const std::string model = resolved.model;
        auto arms = std::make_unique<ArmRows>(
            std::move(resolved), FeatureSource{.first_argument = first_argument}, fcinfo, call_context_);
        arms_format_ = AnswerFormat(arms->champion().model(), answer, model);
        arms_ = std::move(arms);
    }

    /// Ends what was prepared for another version, and leaves a context for the next.
    void Forget() {
        version_id_ = 0;
        observed_.reset();
        call_.reset();
        arms_.reset();
        CallPostgres([this] {
            if (call_context_ == nullptr)
                call_context_ = AllocSetContextCreate(context_, "dlent call", ALLOCSET_SMALL_SIZES);
            else
                MemoryContextReset(call_context_);
        });
    }

    /// Scores the row that was read. Under the rules of Score().
    void ScoreObserved(FunctionCallInfo fcinfo) {
        Observer& observer = observed_->observer();
        observer.Begin();
        observed_->Look({.call = fcinfo}, -1);
        const float microseconds =
            ScoreTimed(scorer_.get(), 1, call_->cells.data(), call_->outputs.data(), observer.keeps_rows());
        const ArmAnswers answers{.scorer = scorer_.get(),
                                 .count = 1,
                                 .cells = call_->cells.data(),
                                 .outputs = call_->outputs.data(),
                                 .microseconds = microseconds};
        observer.Record({&answers, 1}, {});
    }

    /// Under the rules of Score().
    const float* ScoreArms(FunctionCallInfo fcinfo) {
        arms_->Begin();
        const int position = arms_->Read({.call = fcinfo});
        arms_->Score();
        arms_->End();
        return position < 0 ? nullptr : arms_->outputs(position);
    }

    const MemoryContext context_;
    ResolutionKey key_;
    std::string name_argument_;
    int version_argument_ = 0;
    int64_t version_id_ = 0;
    std::shared_ptr<Scorer> scorer_;
    MemoryContext call_context_ = nullptr;
    std::shared_ptr<PreparedCall> call_;
    std::unique_ptr<ObservedCall> observed_;
    std::unique_ptr<ArmRows> arms_;  ///< during a rollout, which takes the place of scorer and call
    AnswerFormat arms_format_;
};

CallSite* CallSiteOf(FunctionCallInfo fcinfo) {
    FmgrInfo* function = fcinfo->flinfo;
    if (function->fn_extra == nullptr)
        function->fn_extra = Own(function->fn_mcxt, std::make_unique<CallSite>(function->fn_mcxt));
    return static_cast<CallSite*>(function->fn_extra);
}

Datum ScoreRow(FunctionCallInfo fcinfo, Answer answer, Naming naming) {
    if (PG_ARGISNULL(0) || (naming == Naming::kNameAndVersion && PG_ARGISNULL(1)))
        PG_RETURN_NULL();
    CallSite* site = CallSiteOf(fcinfo);
    const float* outputs = site->Score(fcinfo, answer, naming);
    if (outputs == nullptr)
        PG_RETURN_NULL();
    return site->format().Make(outputs);
}

}  // namespace
}  // namespace dlent::pg

DLENT_FUNCTION(dlent_predict) {
    using namespace dlent::pg;
    return Entry(fcinfo, [&] { return ScoreRow(fcinfo, Answer::kValue, Naming::kName); });
}

DLENT_FUNCTION(dlent_classify) {
    using namespace dlent::pg;
    return Entry(fcinfo, [&] { return ScoreRow(fcinfo, Answer::kLabel, Naming::kName); });
}

DLENT_FUNCTION(dlent_probabilities) {
    using namespace dlent::pg;
    return Entry(fcinfo, [&] { return ScoreRow(fcinfo, Answer::kProbabilities, Naming::kName); });
}

DLENT_FUNCTION(dlent_predict_version) {
    using namespace dlent::pg;
    return Entry(fcinfo, [&] { return ScoreRow(fcinfo, Answer::kValue, Naming::kNameAndVersion); });
}

DLENT_FUNCTION(dlent_score) {
    using namespace dlent::pg;
    return Entry(fcinfo, [&] { return ScoreRow(fcinfo, Answer::kValue, Naming::kDigest); });
}
