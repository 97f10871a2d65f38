#pragma once

#include <optional>
#include <string>

#include "core/base/json.h"
#include "core/base/status.h"
#include "gpu/protocol/shared_memory.h"

namespace dlent::pg {

// Where the supervisor, its processes and the sessions meet: names below base/pgsql_tmp of the data
// directory, which is every server process's working directory. PostgreSQL removes them when it starts, and
// base backups leave them out.

std::string GpuSocketPath(int device);
/// Of dlent-gpud and of a plugin, beside dlent's own library.
std::string GpuProgramPath();
std::string GpuPluginPath(const std::string& plugin);
bool FileExists(const std::string& path);

/// Makes the directory when it is not there yet.
void MakeGpuDirectory();

/// Held by the supervisor as long as it lives; not valid when another one has it.
gpu::FileDescriptor TakeSupervisorLock();
bool SupervisorIsThere();

/// A session misses processes: those that went when they were idle are to come again.
void WantGpus();
/// Whether a session has said so since the last call; for the supervisor.
bool TakeGpusWanted();

/// What the supervisor found when it started: {"devices": [...]} or {"error": {...}}.
void WriteGpuDevices(const Json& devices);
struct GpuDevices {
    Json json;
    double age_seconds;
};
/// Nothing before the first supervisor of a server's life.
std::optional<GpuDevices> ReadGpuDevices();

}  // namespace dlent::pg
