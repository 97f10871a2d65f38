#pragma once

#include "pg/bridge/postgres.h"

extern "C" {
#include "executor/spi.h"
}

namespace dlent::pg {

// Writes to the catalog: fixed statements, run through SPI as the owner of the extension's tables, with a
// search path of nothing but PostgreSQL's own. Everything here raises PostgreSQL errors and belongs into
// frames without destructors; an error leaves the cleaning up to the abort of the (sub)transaction, which
// restores user and settings.

/// Between Begin and End the current user is the tables' owner and SPI is connected.
struct CatalogWrite {
    Oid caller = InvalidOid;
    int security_context = 0;
    int guc_level = 0;
};

/// `command` names what is being done for the errors of read-only transactions and standbys.
void BeginCatalogWrite(const char* command, CatalogWrite* write);
/// Makes what was written visible to the next command, and tells every session when models have changed.
void EndCatalogWrite(const CatalogWrite& write, bool models_changed = true);

/// The same for statements that only read the private tables: also in a read-only transaction, on a standby.
void BeginCatalogRead(CatalogWrite* read);
void EndCatalogRead(const CatalogWrite& read);

/// One parameter of a statement: its type, its value, or NULL.
struct Parameter {
    Oid type;
    Datum value;
    bool is_null;
};
Parameter Int4(int value);
Parameter Int8(int64_t value);
Parameter Float8(double value);
Parameter Text(const char* value);  ///< a null pointer is NULL
Parameter Of(Oid type, Datum value);

/// Runs one statement; the number of rows it returned or changed. The rows are in SPI_tuptable until the next
/// one.
uint64_t Execute(const char* statement, const Parameter* parameters, int count);
template <int kCount>
uint64_t Execute(const char* statement, const Parameter (&parameters)[kCount]) {
    return Execute(statement, parameters, kCount);
}

/// The same for a statement that only reads: it sees what the active snapshot does.
uint64_t ExecuteReadOnly(const char* statement, const Parameter* parameters, int count);
template <int kCount>
uint64_t ExecuteReadOnly(const char* statement, const Parameter (&parameters)[kCount]) {
    return ExecuteReadOnly(statement, parameters, kCount);
}

/// Column `column`, from 1, of row `row` of the last statement. Returns `when_null` for NULL.
Datum Result(uint64_t row, int column, Datum when_null = 0);

/// A line of the audit trail; 0 and null pointers are NULL.
struct CatalogEvent {
    const char* action;
    int64_t model_id;
    const char* model;
    int version = 0;
    int champion = 0;  ///< from now on, when it changed
    int replaced = 0;  ///< the champion until now
    const char* role;
    const char* reason = nullptr;
    Datum details = 0;  ///< jsonb
};
void RecordEvent(const CatalogEvent& event);

}  // namespace dlent::pg
