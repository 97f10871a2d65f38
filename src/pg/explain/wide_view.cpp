// dlent_create_explanation_view: stored explanations of a model in wide form, for BI tools.

#include "pg/bridge/postgres.h"

#include <array>

#include "pg/bridge/error.h"
#include "pg/bridge/interrupts.h"
#include "pg/cache/explainer_cache.h"
#include "pg/cache/scorer_cache.h"
#include "pg/catalog/models.h"
#include "pg/functions/arguments.h"

extern "C" {
#include "catalog/namespace.h"
#include "executor/spi.h"
#include "tcop/utility.h"
}

namespace dlent::pg {
namespace {

/// PostgreSQL's limit leaves room for the columns that are always there.
constexpr size_t kMostFeatures = 1500;

std::string Literal(const std::string& text) {
    return CallPostgres([&text] { return static_cast<const char*>(quote_literal_cstr(text.c_str())); });
}

/// The name as SQL: one or two identifiers.
std::string QualifiedName(const std::string& name) {
    return CallPostgres(
        [&name]() -> const char* { return NameListToQuotedString(QualifiedNameList(name.c_str())); });
}

std::string ViewStatement(const std::string& model, const std::string& view,
                          const std::vector<ExplainedFeature>& features) {
    std::string columns;
    std::string sums;
    for (const ExplainedFeature& feature : features) {
        const std::string name = FromUtf8(feature.name);
        const std::string column = QuoteIdentifier(name + "_explanation");
        columns += ", f." + column;
        sums +=
            (sums.empty() ? "" : ",\n        ") +
            ("pg_catalog.max((a.feature ->> 'contribution')::pg_catalog.float8) FILTER (WHERE a.feature ->> "
             "'feature' OPERATOR(pg_catalog.=) " +
             Literal(name) + ") AS ") +
            column;
    }
    // from the documents, a pass over one table
    return "CREATE VIEW " + view +
           " WITH (security_barrier) AS\n"
           "SELECT e.id, e.entity_key, e.version, e.class, e.predicted, e.probability, e.threshold, "
           "e.baseline, e.local_prediction, e.residual, e.fidelity_r2, e.grade, e.at, e.by" +
           columns +
           "\nFROM dlent.explanations AS e\n"
           "CROSS JOIN LATERAL (\n    SELECT " +
           sums +
           "\n    FROM pg_catalog.jsonb_array_elements(e.explanation #> '{labels,0,features}') AS a "
           "(feature)) AS f\n"
           "WHERE e.model OPERATOR(pg_catalog.=) " +
           Literal(model);
}

}  // namespace
}  // namespace dlent::pg

DLENT_FUNCTION(dlent_create_explanation_view) {
    using namespace dlent::pg;
    return Entry(fcinfo, [fcinfo] {
        const std::string model = RequiredText(fcinfo, 0, "model");
        const std::string view = RequiredText(fcinfo, 1, "view");
        const ModelReference reference = ParseModelReference(model);
        const VersionIdentity identity = ResolveVersion(reference, Privilege::kExplain);
        const std::shared_ptr<const VersionExplainer> explainer =
            AcquireExplainer(identity, *AcquireScorer(identity));
        if (explainer->statistics.features().size() > kMostFeatures)
            throw SqlError(ERRCODE_TOO_MANY_COLUMNS,
                           "model \"" + identity.model + "\" has more features than a view has columns", {},
                           "Use dlent.explanation_features, a row for each.");
        const std::string name = QualifiedName(view);
        // the caller's own statement, with its rights: it may create a view there, or may not
        const std::string statement = ViewStatement(identity.model, name, explainer->statistics.features());
        CallPostgres([&statement] {
            PreventCommandIfReadOnly("dlent_create_explanation_view()");
            if (SPI_connect() != SPI_OK_CONNECT)
                elog(ERROR, "SPI_connect failed");
            const int outcome = SPI_execute(statement.c_str(), false, 0);
            if (outcome < 0)
                elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(outcome));
            if (SPI_finish() != SPI_OK_FINISH)
                elog(ERROR, "SPI_finish failed");
        });
        return TextDatum(name);
    });
}
