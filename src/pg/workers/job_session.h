#pragma once

#include "core/base/json.h"
#include "pg/bridge/error.h"

namespace dlent::pg {

/// The settings of this session that decide what a job's texts mean, to be given to the session that runs it.
Json CapturedSettings();
/// Takes them over. For C++ frames; an unknown or invalid one is an error.
void ApplySettings(const Json& settings);

/// Makes a new background worker's session fit to write to the catalog, whatever its role's own settings are.
/// For frames without destructors.
void PrepareJobSession(const char* application_name);
/// The same for a session in which user code has run.
void MakeSessionWritable();

/// Why nobody can be connected to this database as `role`; null: it can. For frames without destructors.
const char* WhyNotConnect(Oid role);

}  // namespace dlent::pg
