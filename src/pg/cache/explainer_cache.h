#pragma once

#include <memory>
#include <string>

#include "core/explain/explained_features.h"
#include "core/explain/probe.h"
#include "core/model/model.h"
#include "core/model/scorer.h"
#include "pg/bridge/postgres.h"
#include "pg/catalog/models.h"

namespace dlent::pg {

/// What a version knows of its training rows, for explanations.
struct VersionExplainer {
    ExplainerStatistics statistics;
    std::string stored;          ///< as jsonb prints it, UTF-8
    std::string weights_sha256;  ///< hex
};

/// Of this backend's cache as long as the catalog still has the same, else read from there. 55000 when the
/// version has none. For C++ frames.
std::shared_ptr<const VersionExplainer> AcquireExplainer(const VersionIdentity& identity,
                                                         const Scorer& scorer);

/// A probe that all explanations of a version with these options share.
struct SharedProbe {
    Probe probe;
    VersionDigest id;
};

/// The content address of a probe: the first 16 bytes of the SHA-256 over the version's digest, what it knows
/// of its training rows, the options and the format.
VersionDigest ProbeId(const VersionDigest& version, const VersionExplainer& explainer,
                      const ProbeOptions& options);

/// From this backend's cache; else from the file that the backends of the machine share; else drawn and
/// scored here, and written to that file for the others. Can be cancelled. For C++ frames.
std::shared_ptr<const SharedProbe> AcquireProbe(const VersionIdentity& identity,
                                                const VersionExplainer& explainer,
                                                const ProbeOptions& options, Scorer* scorer);

/// The version's model with its weights, for what cannot work on packed ones; kept like the others.
std::shared_ptr<const Model> AcquireWeights(const VersionIdentity& identity);

}  // namespace dlent::pg
