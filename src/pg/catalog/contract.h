#pragma once

#include <cstdint>

#include "pg/bridge/postgres.h"

extern "C" {
#include "nodes/parsenodes.h"
}

namespace dlent::pg {

// The contract view of a version, dlent.contract_<model id>_<version>: the version's input columns, taken
// from its source. Nobody reads it. That it exists makes PostgreSQL refuse to drop an input column or to
// change its type, and follow it when it is renamed; that the model's owner owns it keeps the role from being
// dropped; an AUTO_EXTENSION dependency lets DROP EXTENSION take it along.
//
// All functions raise PostgreSQL errors: call them from frames without destructors.

/// What a contract is about.
struct ContractInputs {
    const char* const* names;
    int count;
};

/// Analyses the source as the current user, with the current search path, and reduces it to the inputs. Null
/// when it reads temporary tables, or yields what a view cannot hold: then there is nothing lasting to
/// protect (a NOTICE says so).
Query* AnalyseContract(const char* source, Oid relation, const ContractInputs& inputs);

/// Stores the view; to be called within a catalog write. `query` null makes a view of the role's that reads
/// nothing.
void CreateContract(int64_t model_id, int version, const char* model, Oid owner, Query* query);

/// Drops the view of a version, if it is there. Fails when somebody built on it.
void DropContract(int64_t model_id, int version);

/// Ties contract views to the extension that a restore created as views like any other. To be called within a
/// catalog write.
void TieContracts();

/// The same, and gives models the owners that REASSIGN OWNED has given their contract views. To be called
/// within a catalog write.
void AdoptContracts();

/// For each input the attribute number of `relation` that it is taken from, or 0 when the contract does not
/// say.
void ContractAttributes(int64_t model_id, int version, Oid relation, const ContractInputs& inputs,
                        AttrNumber* attributes);

}  // namespace dlent::pg
