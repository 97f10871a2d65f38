#pragma once

namespace dlent::pg {

/// The schema that CREATE EXTENSION put the functions into, as SQL spells it, in the current memory context.
/// For frames without destructors.
const char* ExtensionSchema();

}  // namespace dlent::pg
