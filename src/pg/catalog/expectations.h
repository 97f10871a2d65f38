#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pg/bridge/postgres.h"

namespace dlent::pg {

/// What a model's rows, answers and outcomes are expected to be. Texts are in the server's encoding.
struct Expectation {
    std::string name;
    std::string predicate;  ///< a boolean SQL expression, over a row or with aggregates over all rows
    std::string severity = "error";  ///< or "warn"
    double tolerance = 0.0;          ///< share of rows that may fail
    bool nulls_pass = false;         ///< a predicate that is NULL: not failing
    std::string description;
    std::string search_path;  ///< under which names in the predicate are looked up
    std::string author;       ///< role that declared it
};

/// Stores an expectation, or replaces the one of that name; makes the model, owned by the current user, when
/// there is none. 42501 unless the user may manage the model.
void StoreExpectation(const std::string& model, const Expectation& expectation);
/// False when the model has none of that name. 42704, 42501.
bool DropExpectation(const std::string& model, const std::string& name);
/// Those of a model, by name; none when there is no such model. Asks for no privilege.
std::vector<Expectation> ReadExpectations(const std::string& model);

/// One line of dlent.expectation_results.
struct ExpectationResult {
    std::string name;
    std::string status;
    std::string severity;
    int64_t rows = 0;
    int64_t failing = -1;  ///< −1: judged over all rows
    double tolerance = 0.0;
    std::string predicate;
    std::string message;
};
/// Stores what a check of the model has found; `version` 0: of data alone. Returns the check's number.
int64_t StoreExpectationResults(const std::string& model, int version, const std::string& source,
                                const std::vector<ExpectationResult>& results);

}  // namespace dlent::pg
