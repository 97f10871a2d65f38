#pragma once

#include "pg/bridge/postgres.h"
#include "pg/catalog/lookup.h"
#include "pg/catalog/writer.h"

namespace dlent::pg {

// Changes of a model: each locks the model's row first, so that two sessions act one after the other, and
// ends with an event. Everything here raises PostgreSQL errors and belongs into frames without destructors.

enum class Who { kManager, kOwner };

/// How a write keeps a model's row: against any other change of it, against being dropped only (as a foreign
/// key would), or not at all.
enum class RowLock { kUpdate, kKeyShare, kNone };

/// Finds a model that the caller of `write` may manage; 42704 or 42501.
void FindManagedModel(const char* name, const CatalogWrite& write, RowLock lock, FoundModel* model);
/// The same; false when there is no model of that name.
bool FindManagedModelIfAny(const char* name, const CatalogWrite& write, RowLock lock, FoundModel* model);

/// Opens a catalog write for `command` and locks the model's row; 42704 or 42501.
void LockModel(const char* command, const char* name, Who who, CatalogWrite* write, FoundModel* model);

const char* CallerName(const CatalogWrite& write);
bool VersionExists(int64_t model_id, int version);

/// Makes `version` the champion, within a catalog write that has locked the model's row; nothing else changes
/// one. A rollout that is under way ends with it: promoted when the version is one of its arms, else stopped.
/// Returns the id of the rollout that ended, or 0.
int64_t SetChampion(const FoundModel& model, int version, const char* reason);
/// The same, with its event.
void PromoteVersion(const CatalogWrite& write, const FoundModel& model, const char* name, int version,
                    const char* reason);

/// Leaves the event of `count` rows that were erased, unless there were none: how many `what` ("predictions")
/// went, and by what they were chosen, never whose they were. The action is forget_<what>.
void RecordErasure(const CatalogWrite& write, const FoundModel& model, const char* name, const char* what,
                   int64_t count, const char* by);

/// Ends the rollout that is under way: `state` says how.
void EndRollout(const FoundModel& model, const char* state, const char* reason);

/// A jsonb object of one number, for an event; 0 when the number is.
Datum NumberDetail(const char* key, int64_t number);

}  // namespace dlent::pg
