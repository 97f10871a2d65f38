#include "pg/bridge/postgres.h"

#include "pg/source/source.h"

#include <algorithm>
#include <cctype>
#include <unordered_set>

#include "pg/source/source_context.h"

extern "C" {
#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "catalog/namespace.h"
#include "nodes/makefuncs.h"
#include "parser/analyze.h"
#include "tcop/dest.h"
#include "utils/fmgroids.h"
#include "utils/pg_lsn.h"
}

namespace dlent::pg {
namespace {

/// The first word, in lower case, and whether anything follows it. Comments count as blanks.
struct FirstWord {
    std::string word;
    bool alone = false;
    bool parenthesis = false;
};

size_t SkipBlanks(const std::string& text, size_t at) {
    while (at < text.size()) {
        if (isspace(static_cast<unsigned char>(text[at]))) {
            ++at;
        } else if (text.compare(at, 2, "--") == 0) {
            at = std::min(text.find('\n', at), text.size());
        } else if (text.compare(at, 2, "/*") == 0) {
            const size_t end = text.find("*/", at + 2);
            at = end == std::string::npos ? text.size() : end + 2;
        } else {
            break;
        }
    }
    return at;
}

FirstWord ReadFirstWord(const std::string& text) {
    FirstWord first;
    size_t at = SkipBlanks(text, 0);
    first.parenthesis = at < text.size() && text[at] == '(';
    while (at < text.size() && (isalnum(static_cast<unsigned char>(text[at])) || text[at] == '_' ||
                                text[at] == '$' || IS_HIGHBIT_SET(text[at])))
        first.word += static_cast<char>(tolower(static_cast<unsigned char>(text[at++])));
    first.alone = SkipBlanks(text, at) == text.size();
    return first;
}

/// Statements of SQL that a user might take for a source; anything else that is no query is a name.
bool StartsStatement(const FirstWord& first) {
    static constexpr const char* kWords[] = {
        "select", "with",  "values",  "table",   "insert", "update",   "delete", "merge", "copy", "create",
        "drop",   "alter", "explain", "execute", "show",   "truncate", "call",   "do",    "set"};
    if (first.parenthesis)
        return true;
    return !first.alone && std::any_of(std::begin(kWords), std::end(kWords),
                                       [&](const char* word) { return first.word == word; });
}

// ---- what runs under the guard: no destructors below ----

RawStmt* ParseQuery(const char* text) {
    List* const statements = pg_parse_query(text);
    if (list_length(statements) != 1)
        ereport(ERROR,
                (errcode(ERRCODE_SYNTAX_ERROR),
                 errmsg(statements == NIL ? "the source is empty" : "the source is more than one statement"),
                 errhint("A source is the name of a table or view, or one SELECT.")));
    RawStmt* const statement = linitial_node(RawStmt, statements);
    if (!IsA(statement->stmt, SelectStmt))
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("the source must be a SELECT"),
                        errhint("A source is the name of a table or view, or one SELECT.")));
    // The text is to be embedded in other statements.
    if (statement->stmt_len != 0)
        ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("the source ends with a semicolon"),
                        errhint("Leave the semicolon out.")));
    for (SelectStmt* part = castNode(SelectStmt, statement->stmt); part != nullptr; part = part->larg) {
        if (part->intoClause != nullptr)
            ereport(ERROR,
                    (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("the source must not be a SELECT INTO")));
    }
    return statement;
}

/// SELECT * FROM name, without going through text.
RawStmt* SelectFrom(const char* name) {
    auto* const star = makeNode(ColumnRef);
    star->fields = list_make1(makeNode(A_Star));
    star->location = -1;
    auto* const target = makeNode(ResTarget);
    target->val = reinterpret_cast<Node*>(star);
    target->location = -1;
    auto* const select = makeNode(SelectStmt);
    select->targetList = list_make1(target);
    select->fromClause = list_make1(makeRangeVarFromNameList(QualifiedNameList(name)));
    auto* const statement = makeNode(RawStmt);
    statement->stmt = reinterpret_cast<Node*>(select);
    return statement;
}

struct Prepared {
    PlannedStmt* plan;
    Query* query;
    TupleDesc columns;
    Oid relation;
};

Prepared Prepare(const char* text, bool is_query) {
    Prepared prepared{};
    Query* const query =
        parse_analyze_fixedparams(is_query ? ParseQuery(text) : SelectFrom(text), text, nullptr, 0, nullptr);
    if (query->commandType != CMD_SELECT || query->hasModifyingCTE)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("the source must only read"),
                        errhint("Leave INSERT, UPDATE and DELETE out of its WITH clause.")));
    if (!is_query)
        prepared.relation = linitial_node(RangeTblEntry, query->rtable)->relid;
    List* const rewritten = pg_rewrite_query(query);
    // the planner scribbles on its own
    prepared.query = static_cast<Query*>(copyObjectImpl(linitial_node(Query, rewritten)));
    // no parallel plan: training may hold out blocks of rows, so their order must not vary
    prepared.plan = PlanQuery(linitial_node(Query, rewritten), text, 0);
    if (prepared.plan->rowMarks != NIL)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("the source must not lock rows"),
                        errhint("Leave FOR UPDATE and FOR SHARE out.")));
    prepared.columns = ExecCleanTypeFromTL(prepared.plan->planTree->targetlist);
    if (prepared.columns->natts == 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_COLUMN_REFERENCE), errmsg("the source has no columns")));
    return prepared;
}

struct SinkReceiver {
    DestReceiver receiver;
    RowSink* sink;
};

bool ReceiveSlot(TupleTableSlot* slot, DestReceiver* self) {
    return GiveRow(reinterpret_cast<SinkReceiver*>(self)->sink, slot);
}

uint64 Execute(PlannedStmt* plan, const char* text, RowSink* sink) {
    SinkReceiver receiver{};
    receiver.receiver.receiveSlot = ReceiveSlot;
    receiver.receiver.rStartup = [](DestReceiver*, int, TupleDesc) {};
    receiver.receiver.rShutdown = [](DestReceiver*) {};
    receiver.receiver.rDestroy = [](DestReceiver*) {};
    receiver.receiver.mydest = DestNone;
    receiver.sink = sink;

    // Begin at the table's first page: what a scan returns must not depend on who else scans.
    const int nest_level = NewGUCNestLevel();
    (void)set_config_option("synchronize_seqscans", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
                            0, false);
    PushActiveSnapshot(GetActiveSnapshot());
    QueryDesc* const query = CreateQueryDesc(plan, text, GetActiveSnapshot(), InvalidSnapshot,
                                             &receiver.receiver, nullptr, nullptr, 0);
    ExecutorStart(query, 0);
    RunExecutorOnce(query);
    const uint64 rows = query->estate->es_processed;
    ExecutorFinish(query);
    ExecutorEnd(query);
    FreeQueryDesc(query);
    PopActiveSnapshot();
    AtEOXact_GUC(true, nest_level);
    return rows;
}

}  // namespace

Source Source::Open(const std::string& text) {
    Source source;
    source.text_ = text;
    const bool is_query = StartsStatement(ReadFirstWord(text));
    if (!is_query && SkipBlanks(text, 0) == text.size())
        throw SqlError(ERRCODE_SYNTAX_ERROR, "the source is empty", {},
                       "A source is the name of a table or view, or one SELECT.");
    const Prepared prepared = [&] {
        const SourceContext context(text.c_str());
        try {
            return CallPostgres([&] { return Prepare(text.c_str(), is_query); });
        } catch (const PgError& error) {
            // Raised by the parser of names, which leaves nothing behind; it takes the text for one.
            if (is_query || error.data()->sqlerrcode != ERRCODE_INVALID_NAME)
                throw;
            throw SqlError(ERRCODE_SYNTAX_ERROR, "the source is neither a name nor a SELECT", {},
                           "A source is the name of a table or view, or one SELECT.");
        }
    }();
    source.plan_ = prepared.plan;
    source.query_ = prepared.query;
    source.estimated_rows_ = prepared.plan->planTree->plan_rows;
    source.relation_ = prepared.relation;
    for (int i = 0; i < list_length(prepared.plan->relationOids); ++i) {
        const Oid relation = list_nth_oid(prepared.plan->relationOids, i);
        if (std::find(source.relations_.begin(), source.relations_.end(), relation) ==
            source.relations_.end())
            source.relations_.push_back(relation);
    }
    std::unordered_set<std::string> names;
    for (int i = 0; i < prepared.columns->natts; ++i) {
        const FormData_pg_attribute* attribute = TupleDescAttr(prepared.columns, i);
        struct Type {
            Oid base;
            const char* name;
        };
        const Type type = CallPostgres([attribute] {
            const Oid base = getBaseType(attribute->atttypid);
            return Type{base, format_type_be(base)};
        });
        SourceColumn column{NameStr(attribute->attname), type.base, type.name};
        if (!names.insert(column.name).second)
            throw SqlError(ERRCODE_DUPLICATE_COLUMN,
                           "the source has more than one column named \"" + column.name + "\"", {},
                           "Give each column a name of its own with AS.");
        source.columns_.push_back(std::move(column));
    }
    return source;
}

int Source::Find(std::string_view name) const {
    for (size_t i = 0; i < columns_.size(); ++i) {
        if (columns_[i].name == name)
            return static_cast<int>(i);
    }
    return -1;
}

int Source::Require(const std::string& name, const char* what) const {
    const int column = Find(name);
    if (column >= 0)
        return column;
    constexpr size_t kMostListed = 30;
    std::string list;
    for (size_t i = 0; i < columns_.size() && i < kMostListed; ++i)
        list += (i > 0 ? ", " : "") + columns_[i].name;
    if (columns_.size() > kMostListed)
        list += ", ...";
    throw SqlError(ERRCODE_UNDEFINED_COLUMN, "column \"" + name + "\" (" + what + ") is not in the source",
                   "The source has the columns " + list + ".");
}

uint64_t Source::Read(RowSink* sink) {
    const SourceContext context(text_.c_str());
    return CallPostgres([&] { return Execute(plan_, text_.c_str(), sink); });
}

void Source::CheckMayRead() const {
    const SourceContext context(text_.c_str());
    CallPostgres([this] {
        QueryDesc* const query = CreateQueryDesc(plan_, text_.c_str(), GetActiveSnapshot(), InvalidSnapshot,
                                                 None_Receiver, nullptr, nullptr, 0);
        ExecutorStart(query, EXEC_FLAG_EXPLAIN_ONLY);
        ExecutorEnd(query);
        FreeQueryDesc(query);
    });
}

std::string FromSource(const std::string& source) {
    // parentheses alone do not keep a text together that closes them
    const Source parsed = Source::Open(source);
    return OidIsValid(parsed.relation()) ? source : "(" + source + "\n)";
}

EphemeralNamedRelation RelationOfRows(const char* name, Tuplestorestate* rows, TupleDesc columns,
                                      int64_t count) {
    auto* const relation = static_cast<EphemeralNamedRelation>(palloc0(sizeof(EphemeralNamedRelationData)));
    relation->md.name = pstrdup(name);
    relation->md.reliddesc = InvalidOid;
    relation->md.tupdesc = columns;
    relation->md.enrtype = ENR_NAMED_TUPLESTORE;
    relation->md.enrtuples = static_cast<double>(count);
    relation->reldata = rows;
    return relation;
}

ReadPoint CurrentReadPoint() {
    struct Texts {
        const char* snapshot;
        const char* lsn;
    };
    const Texts texts = CallPostgres([] {
        // pg_current_snapshot() reads the active snapshot, without an argument.
        const Datum snapshot = OidFunctionCall0(F_PG_CURRENT_SNAPSHOT);
        Oid output;
        bool is_varlena;
        getTypeOutputInfo(PG_SNAPSHOTOID, &output, &is_varlena);
        const XLogRecPtr position =
            RecoveryInProgress() ? GetXLogReplayRecPtr(nullptr) : GetXLogInsertRecPtr();
        return Texts{OidOutputFunctionCall(output, snapshot),
                     DatumGetCString(DirectFunctionCall1(pg_lsn_out, LSNGetDatum(position)))};
    });
    return {texts.snapshot, texts.lsn};
}

}  // namespace dlent::pg
