#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/explain/reason_code.h"
#include "pg/bridge/postgres.h"
#include "pg/explain/prepared_explainer.h"

namespace dlent::pg {

/// One row's explanation, unsigned.
struct NewExplanation {
    std::string id;
    std::optional<std::string> key;  ///< UTF-8
    Json input;                      ///< canonical
    std::vector<ReasonCode> codes;
    Json document;
};

/// Stores explanations of one version and one set of options, as made by the current user at `at`. `command`
/// names what is being done for the errors of read-only transactions. For C++ frames.
void StoreExplanations(const PreparedExplainer& explainer, const char* command, TimestampTz at,
                       const std::vector<NewExplanation>& explanations);

/// Which of these keys have the same explanation already: version, options and input. For C++ frames.
struct StoredKey {
    std::string key;
    std::string input_hash;
};
std::vector<bool> FindStored(const PreparedExplainer& explainer, const std::vector<StoredKey>& keys);

/// The current user, in the server's encoding.
std::string CurrentRole();

/// An explanation as it is stored.
struct StoredExplanation {
    int64_t model_id = 0;
    std::string model;  ///< server encoding
    int version = 0;
    VersionDigest digest;
    Json method;
    Json input;
    Json codes;
    std::string document;         ///< unsigned, as jsonb prints it
    bool signature_fits = false;  ///< the document's id, role and time are the row's
    Datum row = 0;                ///< jsonb: what ExplanationRow() gives, and seed and input_hash
    Datum features = 0;           ///< jsonb: FeatureRows()
    Datum counterfactuals = 0;    ///< jsonb: CounterfactualRows()
};
/// Reads one, whoever may see it; 42704 when there is none. The Datums are in the current memory context. For
/// C++ frames.
StoredExplanation ReadExplanation(Datum id);

}  // namespace dlent::pg
