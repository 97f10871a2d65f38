#pragma once

#include "core/base/cancel.h"
#include "pg/bridge/error.h"

namespace dlent::pg {

/// Lets the core's long computations be cancelled as any query is. IsCancelled() reads the interrupt flag;
/// when it is set, the interrupt is processed here, under a guard, since not every interrupt ends the
/// statement (a barrier, a catch-up, a log request): only an error does, and it is kept for the caller to
/// throw when the core has returned kCancelled. To be used on the main thread only.
class InterruptToken final : public CancelToken {
 public:
    bool IsCancelled() const override;

    /// Throws the error that an interrupt raised, if one did.
    void ThrowIfCancelled() const {
        if (error_ != nullptr)
            throw PgError(error_);
    }

 private:
    mutable ErrorData* error_ = nullptr;
};

/// The value of a computation that `token` may have cancelled, or what went wrong thrown.
template <typename T>
T ValueOrThrow(Expected<T> expected, const InterruptToken& token) {
    token.ThrowIfCancelled();
    return ValueOrThrow(std::move(expected));
}

}  // namespace dlent::pg
