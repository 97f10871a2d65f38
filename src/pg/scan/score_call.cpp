#include "pg/bridge/postgres.h"

#include "pg/scan/score_call.h"

#include "pg/bridge/error.h"
#include "pg/catalog/digest.h"
#include "pg/catalog/lookup.h"
#include "pg/catalog/models.h"
#include "pg/catalog/resolution_key.h"

extern "C" {
#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "commands/extension.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
}

namespace dlent::pg {
namespace {

struct KnownFunction {
    Oid function;  ///< the key
    ScoreFunction kind;
};

HTAB* known_functions = nullptr;
bool known_functions_stale = false;

template <typename Cache>  // int, or SysCacheIdentifier from PostgreSQL 19 on
void OnFunctionInvalidated(Datum, Cache, uint32) {
    known_functions_stale = true;
}

struct FunctionName {
    const char* symbol;
    ScoreFunction kind;
};
constexpr FunctionName kFunctionNames[] = {
    {"dlent_predict", ScoreFunction::kPredict},
    {"dlent_classify", ScoreFunction::kClassify},
    {"dlent_probabilities", ScoreFunction::kProbabilities},
    {"dlent_predict_version", ScoreFunction::kPredictVersion},
    {"dlent_score", ScoreFunction::kScore},
};

ScoreFunction LookUpFunction(Oid function) {
    HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
    if (!HeapTupleIsValid(tuple))
        return ScoreFunction::kNone;
    ScoreFunction kind = ScoreFunction::kNone;
    if (reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple))->prolang == ClanguageId) {
        bool is_null = true;
        const Datum source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &is_null);
        const char* symbol = is_null ? "" : TextDatumGetCString(source);
        for (const FunctionName& name : kFunctionNames) {
            if (std::strcmp(name.symbol, symbol) == 0)
                kind = name.kind;
        }
    }
    ReleaseSysCache(tuple);
    // a function of that symbol may be anybody's
    if (kind != ScoreFunction::kNone) {
        const Oid extension = getExtensionOfObject(ProcedureRelationId, function);
        if (!OidIsValid(extension) || extension != get_extension_oid("dlent", true))
            kind = ScoreFunction::kNone;
    }
    return kind;
}

/// C++ on its own: the parser of names throws, and PostgreSQL is not called.
bool ParseReference(std::string_view text, char* name, size_t capacity, int* version) {
    try {
        const ModelReference reference = ParseModelReference(text);
        if (reference.name.size() >= capacity)
            return false;
        std::memcpy(name, reference.name.c_str(), reference.name.size() + 1);
        *version = reference.version;
        return true;
    } catch (const std::exception&) {
        return false;
    }
}

bool FindScoreCall(Node* node, void* context) {
    if (node == nullptr)
        return false;
    if (IsA(node, FuncExpr) &&
        ScoreFunctionOf(reinterpret_cast<FuncExpr*>(node)->funcid) != ScoreFunction::kNone)
        return true;
    return expression_tree_walker(node, TreeWalker(FindScoreCall), context);
}

const RolloutPlan* PlanOfRollout(const FoundModel& model) {
    FoundRollout found;
    FindRollout(model, &found);
    auto* plan = static_cast<RolloutPlan*>(palloc0(sizeof(RolloutPlan)));
    plan->id = found.id;
    plan->mode = found.mode;
    double total = 0.0;
    double others = 0.0;
    bool shadows = false;
    for (int i = 0; i < found.arm_count; ++i) {
        plan->versions = lappend_int(plan->versions, found.arms[i].version.number);
        total += found.arms[i].weight;
        others += i > 0 ? found.arms[i].weight : 0.0;
        shadows = shadows || found.arms[i].shadow;
    }
    plan->share = shadows ? found.coverage : found.coverage * others / total;
    return plan;
}

CallMeaning MeaningUnderActiveSnapshot(const char* model, int version) {
    FoundVersion found;
    CallMeaning meaning;
    if (!FindVersionIfAllowed(model, version, Privilege::kPredict, &found))
        return meaning;
    if (version == 0 && found.model.rollout != 0)
        meaning.rollout = PlanOfRollout(found.model);
    else
        meaning.version = found.number;
    return meaning;
}

/// Our function (text, integer, VARIADIC "any") beside `function`, in the same schema.
Oid PredictVersionBeside(Oid function) {
    const Oid types[] = {TEXTOID, INT4OID, ANYOID};
    return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum("dlent_predict_version"),
                           PointerGetDatum(buildoidvector(types, lengthof(types))),
                           ObjectIdGetDatum(get_func_namespace(function)));
}

}  // namespace

ScoreFunction ScoreFunctionOf(Oid function) {
    if (function < FirstNormalObjectId)
        return ScoreFunction::kNone;
    if (known_functions_stale && known_functions != nullptr) {
        hash_destroy(known_functions);
        known_functions = nullptr;
    }
    known_functions_stale = false;
    if (known_functions == nullptr) {
        HASHCTL control = {};
        control.keysize = sizeof(Oid);
        control.entrysize = sizeof(KnownFunction);
        known_functions = hash_create("dlent score functions", 32, &control, HASH_ELEM | HASH_BLOBS);
    }
    bool found = false;
    const auto* known =
        static_cast<KnownFunction*>(hash_search(known_functions, &function, HASH_FIND, &found));
    if (found)
        return known->kind;
    const ScoreFunction kind = LookUpFunction(function);
    if (!known_functions_stale) {
        auto* entry =
            static_cast<KnownFunction*>(hash_search(known_functions, &function, HASH_ENTER, &found));
        entry->kind = kind;
    }
    return kind;
}

bool ParseScoreCall(Node* node, ScoreCall* call) {
    if (node == nullptr || !IsA(node, FuncExpr))
        return false;
    auto* expression = reinterpret_cast<FuncExpr*>(node);
    const ScoreFunction function = ScoreFunctionOf(expression->funcid);
    if (function == ScoreFunction::kNone)
        return false;
    *call = {};
    call->expression = expression;
    call->answer = function == ScoreFunction::kClassify        ? Answer::kLabel
                   : function == ScoreFunction::kProbabilities ? Answer::kProbabilities
                                                               : Answer::kValue;
    auto* model = static_cast<Node*>(linitial(expression->args));
    if (function == ScoreFunction::kScore) {
        if (!IsA(model, Const) || reinterpret_cast<Const*>(model)->constisnull)
            return false;
        call->digest = DigestText(DigestOfUuid(reinterpret_cast<Const*>(model)->constvalue));
        return true;
    }
    if (IsA(model, Param)) {
        call->model_parameter = reinterpret_cast<Param*>(model);
        return call->model_parameter->paramkind == PARAM_EXTERN && function != ScoreFunction::kPredictVersion;
    }
    if (!IsA(model, Const) || reinterpret_cast<Const*>(model)->constisnull)
        return false;
    const text* name = DatumGetTextPP(reinterpret_cast<Const*>(model)->constvalue);
    const std::string_view text(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
    auto* copy = static_cast<char*>(palloc(text.size() + 1));
    if (!ParseReference(text, copy, text.size() + 1, &call->version))
        return false;
    call->model = copy;
    if (function == ScoreFunction::kPredictVersion) {
        auto* version = static_cast<Node*>(lsecond(expression->args));
        if (call->version != 0 || !IsA(version, Const) || reinterpret_cast<Const*>(version)->constisnull)
            return false;
        call->version = DatumGetInt32(reinterpret_cast<Const*>(version)->constvalue);
        call->first_feature = 2;
        return call->version > 0;
    }
    return true;
}

bool ShareForwardPass(const ScoreCall& a, const ScoreCall& b) {
    const auto same = [](const char* x, const char* y) {
        return x == nullptr || y == nullptr ? x == y : std::strcmp(x, y) == 0;
    };
    if (!same(a.model, b.model) || !same(a.digest, b.digest) || a.version != b.version ||
        !equal(a.model_parameter, b.model_parameter) ||
        a.expression->funcvariadic != b.expression->funcvariadic)
        return false;
    const int features = list_length(a.expression->args) - a.first_feature;
    if (features != list_length(b.expression->args) - b.first_feature)
        return false;
    for (int i = 0; i < features; ++i) {
        if (!equal(list_nth(a.expression->args, a.first_feature + i),
                   list_nth(b.expression->args, b.first_feature + i)))
            return false;
    }
    return true;
}

bool ContainsScoreCall(Node* node) {
    return FindScoreCall(node, nullptr);
}

CallMeaning MeaningOf(const char* model, int version) {
    const CallMeaning meaning = MeaningUnderActiveSnapshot(model, version);
    // A function's statement is planned under the snapshot of the statement that called the function, and may
    // run under a later one.
    const ResolutionKey planned = ResolutionKey::Current();
    PushActiveSnapshot(GetTransactionSnapshot());
    bool lasting = ResolutionKey::Current() == planned;
    if (!lasting) {
        const CallMeaning now = MeaningUnderActiveSnapshot(model, version);
        const auto id = [](const CallMeaning& of) { return of.rollout == nullptr ? 0 : of.rollout->id; };
        lasting = now.version == meaning.version && id(now) == id(meaning);
    }
    PopActiveSnapshot();
    return lasting ? meaning : CallMeaning{};
}

ResolvedModel ResolveNamed(const char* model, int version, const char* digest) {
    if (digest == nullptr)
        return ResolveModel({model, version}, Privilege::kPredict);
    return ResolvedTo(
        ResolveDigest(CallPostgres([digest] { return DigestOfText(digest); }), Privilege::kPredict));
}

FuncExpr* PinnedCall(const ScoreCall& call, int version) {
    auto* pinned = makeNode(FuncExpr);
    *pinned = *call.expression;
    List* features = list_copy_tail(call.expression->args, call.first_feature);
    const auto* old_model = static_cast<Const*>(linitial(call.expression->args));
    const Oid predict_version =
        call.answer == Answer::kValue ? PredictVersionBeside(call.expression->funcid) : InvalidOid;
    const char* name = OidIsValid(predict_version) ? call.model : psprintf("%s@%d", call.model, version);
    Const* model =
        makeConst(TEXTOID, -1, old_model->constcollid, -1, CStringGetTextDatum(name), false, false);
    if (OidIsValid(predict_version)) {
        pinned->funcid = predict_version;
        Const* number =
            makeConst(INT4OID, -1, InvalidOid, sizeof(int32), Int32GetDatum(version), false, true);
        features = lcons(number, features);
    }
    pinned->args = lcons(model, features);
    return pinned;
}

void RegisterScoreFunctionCallbacks() {
    CacheRegisterSyscacheCallback(PROCOID, OnFunctionInvalidated, 0);
}

}  // namespace dlent::pg
