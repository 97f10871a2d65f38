#include "pg/bridge/postgres.h"

#include "pg/gpu/failure.h"

#include "pg/bridge/text.h"
#include "pg/gpu/settings.h"

namespace dlent::pg {

Status ProcessEnded(const char* what) {
    return {StatusCode::kInternal,
            std::string("the GPU process ended while it ") + what,
            {},
            "The server's log may say why."};
}

void ThrowDeviceFailure(const Status& failure, const char* refused, const char* hint) {
    throw SqlError(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                   std::string(refused) + ": " + FromUtf8(failure.message()), FromUtf8(failure.detail()),
                   failure.hint().empty() ? hint : FromUtf8(failure.hint()));
}

void WarnOfDeviceFailure(const Status& failure, const std::string& instead) {
    const std::string message = instead + ": " + FromUtf8(failure.message());
    const std::string detail = FromUtf8(failure.detail());
    const std::string hint = FromUtf8(failure.hint());
    CallPostgres([&] {
        ereport(WARNING, (errmsg_internal("%s", message.c_str()),
                          detail.empty() ? 0 : errdetail_internal("%s", detail.c_str()),
                          hint.empty() ? 0 : errhint("%s", hint.c_str())));
    });
}

void ReportDeviceFailure(const Status& failure, const char* instead, const char* refused) {
    if (CurrentGpuPolicy() == GpuPolicy::kRequire)
        ThrowDeviceFailure(failure, refused, "With dlent.gpu = try the CPU would take over.");
    WarnOfDeviceFailure(failure, instead);
}

}  // namespace dlent::pg
