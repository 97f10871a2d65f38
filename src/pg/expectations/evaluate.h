#pragma once

#include <string>
#include <vector>

#include "pg/catalog/expectations.h"
#include "pg/catalog/models.h"

namespace dlent::pg {

/// What became of one expectation.
struct ExpectationOutcome {
    enum class Status { kPass, kFail, kInconclusive, kError };

    const Expectation* expectation = nullptr;
    int version = 0;  ///< that gave the predictions; 0: none was asked
    Status status = Status::kPass;
    bool of_rows = true;  ///< judged row by row; else once over all rows
    int64_t rows = 0;
    int64_t failing = 0;       ///< of_rows
    std::string message;       ///< why it is an error or inconclusive
    std::string sample_query;  ///< shows rows that fail

    bool rejects() const {
        return (status == Status::kFail || status == Status::kError) && expectation->severity == "error";
    }
    /// "12 of 4000 rows fail (amount > 0)", without the name.
    std::string Describe() const;
};
const char* StatusName(ExpectationOutcome::Status status);

/// Reads `source` once, as the caller, and judges each expectation over its rows, also as the caller. Only
/// expectations whose author the caller trusts are run: its own role or one that it is a member of, a
/// superuser, or a role that could act as the caller anyway; 42501 naming the others. An expectation that
/// raises an error is kError; only cancels and shutdowns pass. Those of predictions are judged by the
/// predictions of each of `versions`, and left out where there are none; the outcomes of a version follow
/// each other.
std::vector<ExpectationOutcome> EvaluateExpectations(const std::string& model, const std::string& source,
                                                     const std::vector<Expectation>& expectations,
                                                     const std::vector<VersionIdentity>& versions);

}  // namespace dlent::pg
