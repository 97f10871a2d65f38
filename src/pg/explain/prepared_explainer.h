#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/explain/row_explainer.h"
#include "pg/bridge/interrupts.h"
#include "pg/cache/explainer_cache.h"
#include "pg/catalog/models.h"

namespace dlent::pg {

/// A version, what explanations need of it, and the options of a call: ready to explain rows. For C++ frames;
/// throws PgError and SqlError.
class PreparedExplainer {
 public:
    /// `codes`: the model's dictionary, or the part of it that an explanation was made with.
    PreparedExplainer(VersionIdentity identity, const ExplainOptions& options, std::vector<ReasonCode> codes);

    const VersionIdentity& identity() const { return identity_; }
    const ExplainOptions& options() const { return explainer_.options(); }
    const Model& model() const { return scorer_->model(); }
    const std::vector<ReasonCode>& codes() const { return codes_; }
    int cell_count() const { return scorer_->cell_count(); }

    /// The document of a row, but for what is added to one that is made now. Can be cancelled.
    Json Explain(const Cell* cells, const Json& values) const;

 private:
    VersionIdentity identity_;
    std::vector<ReasonCode> codes_;
    std::shared_ptr<Scorer> scorer_;
    std::shared_ptr<const VersionExplainer> version_;
    std::shared_ptr<const SharedProbe> probe_;
    std::shared_ptr<const Model> weights_;
    std::unique_ptr<Backend> backend_;  ///< of the gradients
    RowExplainer explainer_;
};

/// The version that explanations of `reference` are about; the current user must be allowed to explain it.
VersionIdentity ResolveExplained(const ModelReference& reference);

/// Adds what makes a document one of now: its identifier, and who made it when, by what.
void Sign(Json* document, const std::string& id, TimestampTz at, const std::string& role);

/// A new identifier: a random UUID.
std::string NewExplanationId();

}  // namespace dlent::pg
