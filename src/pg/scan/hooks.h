#pragma once

namespace dlent::pg {

/// Defines dlent.batch and dlent.debug_require_batch and hooks into the planner. To be called once, from
/// _PG_init().
void InstallScanHooks();

}  // namespace dlent::pg
