#pragma once

#include <new>
#include <string>

#include "core/base/status.h"
#include "pg/bridge/error.h"

namespace dlent::pg {

/// What PostgreSQL raises while the core waits for a device: no exception passes the core, so it is kept
/// here, ends the work as cancelled, and is thrown when the core has returned.
class KeptError {
 public:
    template <typename Result, typename Work>
    Result Guard(Work work) {
        try {
            return work();
        } catch (const PgError& error) {
            data_ = error.data();
        } catch (const std::bad_alloc&) {
            return Status(StatusCode::kOutOfMemory, "out of memory while a device is used");
        }
        return Status::Cancelled();
    }
    void Throw() const {
        if (data_ != nullptr)
            throw PgError(data_);
    }

 private:
    ErrorData* data_ = nullptr;
};

/// That the process of a GPU is gone; `what` it did: "trained".
Status ProcessEnded(const char* what);

/// 55000, with a message that begins with `refused`.
[[noreturn]] void ThrowDeviceFailure(const Status& failure, const char* refused, const char* hint);

/// A warning that begins with `instead`: what follows from the failure.
void WarnOfDeviceFailure(const Status& failure, const std::string& instead);

/// What becomes of work whose GPU failed: with dlent.gpu = require an error that begins with `refused`; else
/// a warning that begins with `instead`, and the CPU does it all again.
void ReportDeviceFailure(const Status& failure, const char* instead, const char* refused);

}  // namespace dlent::pg
