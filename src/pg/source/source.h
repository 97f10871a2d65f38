#pragma once

#include "pg/bridge/error.h"

extern "C" {
#include "utils/queryenvironment.h"
#include "utils/tuplestore.h"
}

namespace dlent::pg {

/// A column that a source returns. The name is in the server's encoding.
struct SourceColumn {
    std::string name;
    Oid type = InvalidOid;  ///< domains as their base type
    std::string type_name;  ///< as SQL spells it
};

/// Takes the rows of a source, one at a time, from within the executor.
class RowSink {
 public:
    virtual ~RowSink() = default;
    /// May throw, and may let PostgreSQL's errors pass where it holds nothing with a destructor.
    virtual void Receive(TupleTableSlot* slot) = 0;
    /// Whether it takes no more: the rest of the source is then not read.
    virtual bool is_done() const { return false; }
};

/// Gives a row to a sink, from within the executor; false when the sink takes no more.
inline bool GiveRow(RowSink* sink, TupleTableSlot* slot) {
    return GuardCallback([sink, slot] {
        sink->Receive(slot);
        return !sink->is_done();
    });
}

/// Where the rows of a training or an evaluation come from: a table or view by name, or one SELECT (WITH,
/// VALUES, TABLE). It is analysed, planned and run as the caller's own query would be: privileges, row
/// security, active snapshot, parallel workers. It may not modify data, lock rows or have parameters.
class Source {
 public:
    /// Parses and plans. 42601 for what is not exactly one SELECT, 0A000 for one that does more than read,
    /// 42701 for a column name that comes twice, and PostgreSQL's own errors.
    static Source Open(const std::string& text);

    const std::string& text() const { return text_; }
    /// Lives as long as the memory context that was current when the source was opened.
    PlannedStmt* plan() const { return plan_; }
    /// What was planned: with views and row security.
    Query* query() const { return query_; }
    /// The table or view, when the source is just its name.
    Oid relation() const { return relation_; }
    /// Everything that the plan reads, views included.
    const std::vector<Oid>& relations() const { return relations_; }
    const std::vector<SourceColumn>& columns() const { return columns_; }

    /// The position of a column, or −1.
    int Find(std::string_view name) const;
    /// The position of a column; 42703 listing what there is otherwise. `what` says who asks: "target",
    /// "option exclude".
    int Require(const std::string& name, const char* what) const;

    /// How many rows the planner expects.
    double estimated_rows() const { return estimated_rows_; }

    /// Runs the plan, and hands every row to `sink` with all attributes that the plan returns. Returns the
    /// number of rows.
    uint64_t Read(RowSink* sink);
    /// Checks the privileges that Read() checks, and reads nothing: 42501.
    void CheckMayRead() const;

 private:
    std::string text_;
    PlannedStmt* plan_ = nullptr;
    Query* query_ = nullptr;
    double estimated_rows_ = 0.0;
    Oid relation_ = InvalidOid;
    std::vector<Oid> relations_;
    std::vector<SourceColumn> columns_;
};

/// A source as an item of FROM, to be followed by an alias. Parses it, as Open() does.
std::string FromSource(const std::string& source);

/// Rows that were kept, as a relation that statements of SPI can be given (SPI_register_relation). In the
/// current memory context; raises PostgreSQL errors.
EphemeralNamedRelation RelationOfRows(const char* name, Tuplestorestate* rows, TupleDesc columns,
                                      int64_t count);

/// What the rows were read under, for lineage.
struct ReadPoint {
    std::string snapshot;  ///< pg_current_snapshot()
    std::string lsn;       ///< the insert position, or the replay position on a standby
};
ReadPoint CurrentReadPoint();

}  // namespace dlent::pg
