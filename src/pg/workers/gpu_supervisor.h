#pragma once

namespace dlent::pg {

/// Registers the GPU supervisor with the server that starts; to be called from _PG_init(). Does nothing where
/// the library is not preloaded, no plugin is installed, or dlent.gpu is off.
void RegisterGpuSupervisor();

/// Starts a supervisor from a session, unless one is there. False when the server has no place for another
/// worker. For C++ frames; throws PgError when interrupted.
bool StartGpuSupervisor();

}  // namespace dlent::pg
