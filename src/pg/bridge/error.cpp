#include "pg/bridge/postgres.h"

#include "pg/bridge/error.h"
#include "pg/bridge/text.h"

namespace dlent::pg {
namespace {

template <size_t Size>
void CopyText(char (&target)[Size], const char* source, size_t length) noexcept {
    const size_t kept = length < Size ? length : Size - 1;
    memcpy(target, source, kept);
    target[kept] = '\0';
}

template <size_t Size>
void CopyText(char (&target)[Size], const std::string& source) noexcept {
    CopyText(target, source.data(), source.size());
}

/// A buffer that was filled to the brim may end within a character.
const char* Clipped(const char* text, size_t capacity) {
    const int length = static_cast<int>(strlen(text));
    if (static_cast<size_t>(length) < capacity - 1)
        return text;
    return pnstrdup(text, pg_mbcliplen(text, length, length - 1));
}

/// Copies the current error into `context` and clears it. Copying allocates and may fail in its turn, which
/// must not longjmp past C++ objects: then there is nothing left to say but "out of memory".
ErrorData* TakeError(MemoryContext context) {
    sigjmp_buf* const saved_stack = PG_exception_stack;
    ErrorContextCallback* const saved_callbacks = error_context_stack;
    sigjmp_buf here;
    ErrorData* volatile data = nullptr;
    if (sigsetjmp(here, 0) == 0) {
        PG_exception_stack = &here;
        MemoryContextSwitchTo(context);
        data = CopyErrorData();
    }
    PG_exception_stack = saved_stack;
    error_context_stack = saved_callbacks;
    MemoryContextSwitchTo(context);
    FlushErrorState();
    return data;
}

}  // namespace

namespace internal {

void CallGuarded(void (*function)(void*), void* argument) {
    sigjmp_buf* const saved_stack = PG_exception_stack;
    ErrorContextCallback* const saved_callbacks = error_context_stack;
    const MemoryContext context = CurrentMemoryContext;
    sigjmp_buf here;
    if (sigsetjmp(here, 0) == 0) {
        PG_exception_stack = &here;
        try {
            function(argument);
        } catch (...) {
            PG_exception_stack = saved_stack;
            error_context_stack = saved_callbacks;
            throw;
        }
        PG_exception_stack = saved_stack;
        error_context_stack = saved_callbacks;
        return;
    }
    PG_exception_stack = saved_stack;
    error_context_stack = saved_callbacks;
    ErrorData* const data = TakeError(context);
    if (data == nullptr)
        throw std::bad_alloc();
    throw PgError(data);
}

}  // namespace internal

void ErrorReport::Capture() noexcept {
    postgres = nullptr;
    message[0] = detail[0] = hint[0] = '\0';
    try {
        throw;
    } catch (const PgError& error) {
        postgres = error.data();
    } catch (const SqlError& error) {
        sqlstate = error.sqlstate();
        CopyText(message, error.message());
        CopyText(detail, error.detail());
        CopyText(hint, error.hint());
    } catch (const std::bad_alloc&) {
        static constexpr char kMessage[] = "out of memory";
        sqlstate = ERRCODE_OUT_OF_MEMORY;
        CopyText(message, kMessage, sizeof(kMessage) - 1);
    } catch (const std::exception& error) {
        sqlstate = ERRCODE_INTERNAL_ERROR;
        CopyText(message, error.what(), strlen(error.what()));
    } catch (...) {
        static constexpr char kMessage[] = "unknown C++ exception";
        sqlstate = ERRCODE_INTERNAL_ERROR;
        CopyText(message, kMessage, sizeof(kMessage) - 1);
    }
}

void ErrorReport::Raise() const {
    if (postgres != nullptr)
        ReThrowError(postgres);
    ereport(ERROR, (errcode(sqlstate), errmsg_internal("%s", Clipped(message, sizeof(message))),
                    detail[0] != '\0' ? errdetail_internal("%s", Clipped(detail, sizeof(detail))) : 0,
                    hint[0] != '\0' ? errhint("%s", Clipped(hint, sizeof(hint))) : 0));
    pg_unreachable();
}

int SqlStateOf(StatusCode code) {
    switch (code) {
        case StatusCode::kOk:
            return ERRCODE_SUCCESSFUL_COMPLETION;
        case StatusCode::kInvalidArgument:
            return ERRCODE_INVALID_PARAMETER_VALUE;
        case StatusCode::kNotFound:
            return ERRCODE_UNDEFINED_OBJECT;
        case StatusCode::kCorrupt:
            return ERRCODE_DATA_CORRUPTED;
        case StatusCode::kOutOfMemory:
            return ERRCODE_OUT_OF_MEMORY;
        case StatusCode::kResourceLimit:
            return ERRCODE_CONFIGURATION_LIMIT_EXCEEDED;
        case StatusCode::kCancelled:
            return ERRCODE_QUERY_CANCELED;
        case StatusCode::kNonFinite:
            return ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE;
        case StatusCode::kInsufficientData:
            return ERRCODE_DATA_EXCEPTION;
        case StatusCode::kUnsupported:
            return ERRCODE_FEATURE_NOT_SUPPORTED;
        case StatusCode::kInternal:
            break;
    }
    return ERRCODE_INTERNAL_ERROR;
}

void ThrowStatus(const Status& status) {
    throw SqlError(SqlStateOf(status.code()), FromUtf8(status.message()), FromUtf8(status.detail()),
                   FromUtf8(status.hint()));
}

}  // namespace dlent::pg
