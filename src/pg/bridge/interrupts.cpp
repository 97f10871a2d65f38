#include "pg/bridge/postgres.h"

#include "pg/bridge/interrupts.h"

namespace dlent::pg {

bool InterruptToken::IsCancelled() const {
    if (error_ != nullptr)
        return true;
    if (!INTERRUPTS_PENDING_CONDITION())
        return false;
    try {
        CallPostgres([] { CHECK_FOR_INTERRUPTS(); });
    } catch (const PgError& error) {
        error_ = error.data();
    }
    return error_ != nullptr;
}

}  // namespace dlent::pg
