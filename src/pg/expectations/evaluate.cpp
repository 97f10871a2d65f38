#include "pg/bridge/postgres.h"

#include "pg/expectations/evaluate.h"

#include "pg/bridge/error.h"
#include "pg/bridge/text.h"
#include "pg/catalog/extension_schema.h"
#include "pg/catalog/writer.h"
#include "pg/expectations/predicate.h"
#include "pg/observe/settings.h"
#include "pg/source/source.h"

extern "C" {
#include "access/xact.h"
#include "nodes/nodeFuncs.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/plancache.h"
#include "utils/resowner.h"
#include "utils/tuplestore.h"
}

namespace dlent::pg {
namespace {

constexpr const char* kRows = "dlent_rows";

/// Rows as they come, for the statements that judge them.
class TuplestoreSink final : public RowSink {
 public:
    explicit TuplestoreSink(Tuplestorestate* store) : store_(store) {}
    void Receive(TupleTableSlot* slot) override {
        tuplestore_puttupleslot(store_, slot);
        ++rows_;
    }
    int64_t rows() const { return rows_; }

 private:
    Tuplestorestate* const store_;
    int64_t rows_ = 0;
};

// ---- what runs under the guard: no destructors below ----

/// What one statement needs and says.
struct Judgement {
    const char* name;
    const char* predicate;
    const char* search_path;
    const char* from;
    bool nulls_pass;
    bool of_rows;
    int64_t failing;
    bool holds;
    const char* error;  ///< null: none
    int sqlstate;
};

const char* RowTest(const Judgement& judgement) {
    return psprintf("(%s\n) %s", judgement.predicate, judgement.nulls_pass ? "IS FALSE" : "IS NOT TRUE");
}

void Judge(Judgement* judgement, EphemeralNamedRelation rows) {
    if (SPI_connect() != SPI_OK_CONNECT)
        elog(ERROR, "SPI_connect failed");
    if (SPI_register_relation(rows) != SPI_OK_REL_REGISTER)
        elog(ERROR, "SPI_register_relation failed");
    const int nest_level = NewGUCNestLevel();
    (void)set_config_option("search_path", judgement->search_path, PGC_USERSET, PGC_S_SESSION,
                            GUC_ACTION_SAVE, true, 0, false);
    SuspendPredictionLog();
    // what kind of expression it is
    SPIPlanPtr plan =
        SPI_prepare(psprintf("SELECT (%s\n) FROM %s", judgement->predicate, judgement->from), 0, nullptr);
    if (plan == nullptr)
        elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
    auto* const source = static_cast<CachedPlanSource*>(linitial(SPI_plan_get_plan_sources(plan)));
    const Query* const query = linitial_node(Query, source->query_list);
    const Oid type = exprType(reinterpret_cast<Node*>(linitial_node(TargetEntry, query->targetList)->expr));
    if (type != BOOLOID)
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("the predicate is of type %s, not boolean", format_type_be(type))));
    judgement->of_rows = !query->hasAggs;
    const char* const statement =
        judgement->of_rows ? psprintf("SELECT pg_catalog.count(*) FILTER (WHERE %s) FROM %s",
                                      RowTest(*judgement), judgement->from)
                           : psprintf("SELECT (%s\n) FROM %s", judgement->predicate, judgement->from);
    const int outcome = SPI_execute(statement, true, 0);
    if (outcome != SPI_OK_SELECT)
        elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(outcome));
    if (SPI_processed != 1)
        ereport(ERROR,
                (errcode(ERRCODE_CARDINALITY_VIOLATION), errmsg("the predicate has more than one value")));
    if (judgement->of_rows)
        judgement->failing = DatumGetInt64(Result(0, 1));
    else
        judgement->holds = DatumGetBool(Result(0, 1, BoolGetDatum(judgement->nulls_pass)));
    AtEOXact_GUC(true, nest_level);
    if (SPI_finish() != SPI_OK_FINISH)
        elog(ERROR, "SPI_finish failed");
}

/// Judge(), with its error in the judgement: it runs in a subtransaction, which undoes what an error leaves.
void JudgeCarefully(Judgement* judgement, EphemeralNamedRelation rows) {
    const MemoryContext context = CurrentMemoryContext;
    const ResourceOwner owner = CurrentResourceOwner;
    BeginInternalSubTransaction(nullptr);
    MemoryContextSwitchTo(context);
    PG_TRY();
    {
        Judge(judgement, rows);
        ReleaseCurrentSubTransaction();
        MemoryContextSwitchTo(context);
        CurrentResourceOwner = owner;
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData* const error = CopyErrorData();
        FlushErrorState();
        RollbackAndReleaseCurrentSubTransaction();
        MemoryContextSwitchTo(context);
        CurrentResourceOwner = owner;
        const int error_class = ERRCODE_TO_CATEGORY(error->sqlerrcode);
        if (error_class == ERRCODE_OPERATOR_INTERVENTION || error_class == ERRCODE_INSUFFICIENT_RESOURCES)
            ReThrowError(error);
        judgement->error = error->message;
        judgement->sqlstate = error->sqlerrcode;
    }
    PG_END_TRY();
}

bool TrustsAuthor(const char* author) {
    const Oid caller = GetUserId();
    const Oid role = get_role_oid(author, true);
    return OidIsValid(role) && (role == caller || superuser_arg(role) ||
                                is_member_of_role_nosuper(caller, role) || has_privs_of_role(role, caller));
}

// ---- C++ ----

/// FROM clause in which the predicate finds its columns.
std::string FromClause(const std::string& rows, const PredicateFacts& facts, const Source& source,
                       const VersionIdentity* version) {
    const bool prediction = facts.prediction && source.Find("prediction") < 0;
    const bool label = facts.label && source.Find("predicted_label") < 0;
    if (!prediction && !label)
        return rows + " AS source";
    struct Texts {
        const char* schema;
        const char* model;
    };
    const std::string reference = version->model + "@" + std::to_string(version->version);
    const Texts texts = CallPostgres([&reference] {
        return Texts{ExtensionSchema(), quote_literal_cstr(reference.c_str())};
    });
    const auto call = [&texts](const char* function, const char* name) {
        return std::string(", ") + texts.schema + "." + function + "(" + texts.model + ", r) AS " + name;
    };
    return "(SELECT r.*" + (prediction ? call("dlent_predict", "prediction") : std::string()) +
           (label ? call("dlent_classify", "predicted_label") : std::string()) + " FROM " + rows +
           " AS r) AS source";
}

}  // namespace

const char* StatusName(ExpectationOutcome::Status status) {
    constexpr const char* kNames[] = {"pass", "fail", "inconclusive", "error"};
    return kNames[static_cast<int>(status)];
}

std::string ExpectationOutcome::Describe() const {
    if (status == Status::kError || status == Status::kInconclusive)
        return message;
    if (!of_rows)
        return std::string(status == Status::kPass ? "it holds (" : "it does not hold (") +
               expectation->predicate + ")";
    return std::to_string(failing) + " of " + std::to_string(rows) +
           (rows == 1 ? " row fails (" : " rows fail (") + expectation->predicate + ")";
}

std::vector<ExpectationOutcome> EvaluateExpectations(const std::string& model, const std::string& source_text,
                                                     const std::vector<Expectation>& expectations,
                                                     const std::vector<VersionIdentity>& versions) {
    std::vector<PredicateFacts> facts;
    std::vector<const Expectation*> chosen;
    for (const Expectation& expectation : expectations) {
        if (!CallPostgres([&] { return TrustsAuthor(expectation.author.c_str()); }))
            throw SqlError(
                ERRCODE_INSUFFICIENT_PRIVILEGE,
                "expectation \"" + expectation.name + "\" of model \"" + model + "\" cannot be run",
                "Its author, role \"" + expectation.author +
                    "\", is none that your role is a member of, and its predicate would run with your "
                    "privileges.",
                "Look at it in dlent.expectations, and declare it yourself with dlent_expect().");
        const PredicateFacts found = CallPostgres(
            [&] { return ParsePredicate(expectation.name.c_str(), expectation.predicate.c_str()); });
        facts.push_back(found);
        chosen.push_back(&expectation);
    }

    Source source = Source::Open(source_text);
    struct Store {
        Tuplestorestate* tuples;
        TupleDesc columns;
    };
    const Store store = CallPostgres([&source] {
        const int count = static_cast<int>(source.columns().size());
        Store made{tuplestore_begin_heap(false, false, work_mem), CreateTemplateTupleDesc(count)};
        for (int i = 0; i < count; ++i)
            TupleDescInitEntry(made.columns, static_cast<AttrNumber>(i + 1), source.columns()[i].name.c_str(),
                               source.columns()[i].type, -1, 0);
        return made;
    });
    TuplestoreSink sink(store.tuples);
    source.Read(&sink);
    const EphemeralNamedRelation rows =
        CallPostgres([&] { return RelationOfRows(kRows, store.tuples, store.columns, sink.rows()); });

    const auto predicts = [&](size_t i) {
        return (facts[i].prediction && source.Find("prediction") < 0) ||
               (facts[i].label && source.Find("predicted_label") < 0);
    };
    std::vector<ExpectationOutcome> outcomes;
    const auto judge = [&](size_t i, const VersionIdentity* version) {
        const Expectation& expectation = *chosen[i];
        ExpectationOutcome outcome;
        outcome.expectation = &expectation;
        outcome.version = predicts(i) ? version->version : 0;
        outcome.rows = sink.rows();
        const std::string from = FromClause(kRows, facts[i], source, version);
        Judgement judgement{expectation.name.c_str(),
                            expectation.predicate.c_str(),
                            expectation.search_path.c_str(),
                            from.c_str(),
                            expectation.nulls_pass,
                            true,
                            0,
                            false,
                            nullptr,
                            0};
        CallPostgres([&] { JudgeCarefully(&judgement, rows); });
        outcome.of_rows = judgement.of_rows;
        outcome.failing = judgement.failing;
        if (judgement.error != nullptr) {
            outcome.status = ExpectationOutcome::Status::kError;
            outcome.message = judgement.error;
        } else if (!judgement.of_rows) {
            outcome.status =
                judgement.holds ? ExpectationOutcome::Status::kPass : ExpectationOutcome::Status::kFail;
        } else if (sink.rows() == 0) {
            outcome.status = ExpectationOutcome::Status::kInconclusive;
            outcome.message = "there are no rows";
        } else {
            const double allowed = expectation.tolerance * static_cast<double>(sink.rows());
            outcome.status = static_cast<double>(judgement.failing) <= allowed
                                 ? ExpectationOutcome::Status::kPass
                                 : ExpectationOutcome::Status::kFail;
            if (judgement.failing > 0) {
                const std::string origin =
                    OidIsValid(source.relation()) ? source.text() : "(" + source.text() + "\n)";
                outcome.sample_query = "SELECT * FROM " + FromClause(origin, facts[i], source, version) +
                                       " WHERE " + CallPostgres([&judgement] { return RowTest(judgement); }) +
                                       " LIMIT 10";
            }
        }
        outcomes.push_back(std::move(outcome));
    };
    for (size_t i = 0; i < chosen.size(); ++i) {
        if (!predicts(i))
            judge(i, nullptr);
        else if (!versions.empty())
            judge(i, &versions.front());
    }
    for (size_t v = 1; v < versions.size(); ++v) {
        for (size_t i = 0; i < chosen.size(); ++i) {
            if (predicts(i))
                judge(i, &versions[v]);
        }
    }
    CallPostgres([&store] { tuplestore_end(store.tuples); });
    return outcomes;
}

}  // namespace dlent::pg
