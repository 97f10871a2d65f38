#include "pg/bridge/postgres.h"

#include "pg/functions/prepared_call.h"

#include <algorithm>
#include <list>
#include <string>

#include "pg/bridge/error.h"

extern "C" {
#include "access/transam.h"
#include "utils/memutils.h"
}

namespace dlent::pg {
namespace {

/// What calls have in common that are prepared in the same way.
struct CallShape {
    int64_t version_id = 0;
    VersionDigest digest;
    std::string model;  ///< in messages
    Answer answer = Answer::kValue;
    int first_argument = 0;
    bool variadic = false;
    std::vector<Oid> types;  ///< of the features

    bool operator==(const CallShape&) const = default;
    /// Types that nobody can change. A value of one is read without running anybody's code, so that a row's
    /// buffers serve all call sites of a statement.
    bool HasFixedTypes() const {
        return std::all_of(types.begin(), types.end(),
                           [](Oid type) { return OidIsValid(type) && type < FirstUnpinnedObjectId; });
    }
};

struct KeptCall {
    CallShape shape;
    std::weak_ptr<Scorer> scorer;  ///< whose pipeline it reads; the session's cache may let it go
    MemoryContext context = nullptr;
    std::shared_ptr<PreparedCall> call;
};

/// A session calls few models, each in few ways; a call takes some kilobytes.
constexpr size_t kKeptCalls = 32;

/// Most recently used first. Never destroyed: the end of a backend frees its memory contexts by itself.
std::list<KeptCall>& KeptCalls() {
    static auto* const calls = new std::list<KeptCall>;
    return *calls;
}

CallShape ShapeOf(FunctionCallInfo fcinfo, int first_argument, Answer answer,
                  const VersionIdentity& version) {
    CallShape shape{.version_id = version.version_id,
                    .digest = version.digest,
                    .model = version.model,
                    .answer = answer,
                    .first_argument = first_argument};
    shape.types.resize(std::max(fcinfo->nargs - first_argument, 0));
    shape.variadic = CallPostgres([&] {
        for (int i = first_argument; i < fcinfo->nargs; ++i)
            shape.types[i - first_argument] = get_fn_expr_argtype(fcinfo->flinfo, i);
        return get_fn_expr_variadic(fcinfo->flinfo);
    });
    return shape;
}

/// Null when there is none.
std::shared_ptr<PreparedCall> FindKept(const CallShape& shape, const std::shared_ptr<Scorer>& scorer) {
    std::list<KeptCall>& calls = KeptCalls();
    const auto kept = std::find_if(calls.begin(), calls.end(), [&](const KeptCall& candidate) {
        return candidate.shape == shape && candidate.scorer.lock() == scorer;
    });
    if (kept == calls.end())
        return nullptr;
    calls.splice(calls.begin(), calls, kept);
    return kept->call;
}

/// Makes room, by what is of no use any more and what was not used for longest. What a call site holds stays
/// until a later time.
void ForgetSome() {
    std::list<KeptCall>& calls = KeptCalls();
    size_t count = calls.size();
    for (auto kept = calls.end(); kept != calls.begin();) {
        --kept;
        if ((count < kKeptCalls && !kept->scorer.expired()) || kept->call.use_count() > 1)
            continue;
        MemoryContext context = kept->context;
        kept = calls.erase(kept);
        --count;
        CallPostgres([context] { MemoryContextDelete(context); });
    }
}

void Keep(const CallShape& shape, const std::shared_ptr<Scorer>& scorer, MemoryContext context,
          const std::shared_ptr<PreparedCall>& call) {
    ForgetSome();
    KeptCalls().push_front({shape, scorer, context, call});
    // nothing can fail between these two
    MemoryContextSetParent(context, TopMemoryContext);
}

}  // namespace

std::shared_ptr<PreparedCall> PrepareCall(FunctionCallInfo fcinfo, int first_argument, Answer answer,
                                          const VersionIdentity& version,
                                          const std::shared_ptr<Scorer>& scorer, MemoryContext context) {
    const CallShape shape = ShapeOf(fcinfo, first_argument, answer, version);
    if (std::shared_ptr<PreparedCall> kept = FindKept(shape, scorer))
        return kept;
    MemoryContext own = CallPostgres(
        [context] { return AllocSetContextCreate(context, "dlent prepared call", ALLOCSET_SMALL_SIZES); });
    auto call = std::make_shared<PreparedCall>();
    const Model& model = scorer->model();
    call->format = AnswerFormat(model, answer, version.model);
    call->arguments = std::make_unique<FeatureArguments>(
        fcinfo, first_argument, model.pipeline, version.model_id, version.version, version.model, own);
    call->cells.resize(std::max(scorer->cell_count(), 1));
    call->outputs.resize(scorer->output_count());
    if (shape.HasFixedTypes() && call->arguments->form() != FeatureArguments::Form::kRecord)
        Keep(shape, scorer, own, call);
    return call;
}

}  // namespace dlent::pg
