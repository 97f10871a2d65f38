#include "pg/bridge/postgres.h"

#include "pg/explain/prepared_explainer.h"

#include <array>

#include "cpu/cpu_backend.h"
#include "pg/bridge/error.h"
#include "pg/bridge/text.h"
#include "pg/cache/scorer_cache.h"

extern "C" {
#include "utils/uuid.h"
}

namespace dlent::pg {

PreparedExplainer::PreparedExplainer(VersionIdentity identity, const ExplainOptions& options,
                                     std::vector<ReasonCode> codes)
    : identity_(std::move(identity)), codes_(std::move(codes)) {
    scorer_ = AcquireScorer(identity_);
    version_ = AcquireExplainer(identity_, *scorer_);
    ExplainedModel model;
    model.statistics = &version_->statistics;
    model.scorer = scorer_.get();
    model.name = ToUtf8(identity_.model);
    model.version = identity_.version;
    model.sha256 = version_->weights_sha256;
    if (options.retain.has_value()) {
        const std::string retain = FromUtf8(*options.retain);
        CallPostgres([&retain] {
            DirectFunctionCall3(interval_in, CStringGetDatum(retain.c_str()), ObjectIdGetDatum(InvalidOid),
                                Int32GetDatum(-1));
        });
    }
    // options that do not fit the model are refused before anything is computed for them
    (void)ValueOrThrow(RowExplainer::Create(model, options, codes_));
    if (options.method == ExplainMethod::kIntegratedGradients || options.agreement) {
        weights_ = AcquireWeights(identity_);
        model.weights = weights_.get();
        backend_ = MakeCpuBackend();
        model.backend = backend_.get();
    }
    if (options.UsesSharedProbe()) {
        probe_ = AcquireProbe(identity_, *version_, options.probe_options(), scorer_.get());
        model.probe = &probe_->probe;
        model.probe_id = CallPostgres([this] { return DigestText(probe_->id); });
    }
    explainer_ = ValueOrThrow(RowExplainer::Create(model, options, codes_));
}

Json PreparedExplainer::Explain(const Cell* cells, const Json& values) const {
    const InterruptToken token;
    return ValueOrThrow(explainer_.Explain({cells, &values}, token), token);
}

VersionIdentity ResolveExplained(const ModelReference& reference) {
    return ResolveVersion(reference, Privilege::kExplain);
}

void Sign(Json* document, const std::string& id, TimestampTz at, const std::string& role) {
    (*document)["id"] = id;
    Json& audit = (*document)["audit"];
    audit["at"] = UtcText(at);
    audit["by"] = ToUtf8(role);
    audit["extension"] = DLENT_VERSION;
}

std::string NewExplanationId() {
    pg_uuid_t uuid;
    if (!CallPostgres([&uuid] { return pg_strong_random(uuid.data, UUID_LEN); }))
        throw SqlError(ERRCODE_INTERNAL_ERROR, "could not generate random values");
    // version 4, variant of RFC 4122
    uuid.data[6] = (uuid.data[6] & 0x0f) | 0x40;
    uuid.data[8] = (uuid.data[8] & 0x3f) | 0x80;
    return CallPostgres([&uuid] {
        return static_cast<const char*>(DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&uuid))));
    });
}

}  // namespace dlent::pg
