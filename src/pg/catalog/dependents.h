#pragma once

#include "pg/bridge/postgres.h"
#include "pg/catalog/digest.h"

namespace dlent::pg {

/// A version that is about to be dropped.
struct DroppedVersion {
    int number = 0;
    VersionDigest digest;
    bool last_of_digest = false;  ///< no other version has its digest
};

/// Refuses (2BP01, naming them) to drop versions of `model` while objects of the database call them: indexes,
/// generated columns, constraints, views, policies and whatever else stores an expression. Only calls of the
/// immutable functions by constants count, dlent_predict_version('model', n, ...) and dlent_score(digest,
/// ...): a call by the model's name alone is looked up when it runs, like the tables of a function's body.
/// `what` names what is being dropped. To be called within a catalog write; raises PostgreSQL errors.
void RefuseIfUsed(const char* what, const char* model, const DroppedVersion* versions, int count);

}  // namespace dlent::pg
