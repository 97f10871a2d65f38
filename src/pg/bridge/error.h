#pragma once

#include "core/base/status.h"
#include "pg/bridge/postgres.h"

/// Errors across the border of C and C++, in both directions.
///
///   PostgreSQL ──calls──▶ Entry(fcinfo, body) ──runs──▶ C++ with objects ──CallPostgres(f)──▶ PostgreSQL
///
/// Entry() ends every C++ exception: it is written into a buffer on the stack, all C++ objects die, and only
/// then is the PostgreSQL error raised. CallPostgres() ends every PostgreSQL error (a longjmp): it is copied,
/// and thrown as PgError. SQLSTATE, message, DETAIL, HINT, CONTEXT and positions survive both.
///
/// The rules:
/// 1. A longjmp runs no destructor. So the guard sits deeper than every object that has one: what runs inside
///    CallPostgres() holds only trivially destructible things, and returns such a thing.
/// 2. Catching an error does not undo what it left (locks, buffer pins, interrupt hold-offs). PgError is
/// always let through (but where bridge/containment.h cleans up after it)
///    to Entry(), which raises it again; nothing is done in between but letting objects die.
/// 3. No C++ exception passes PostgreSQL's frames: a callback that PostgreSQL calls is an Entry of its own
/// (GuardCallback).
/// 4. Destructors never call PostgreSQL.

namespace dlent::pg {

/// An error that PostgreSQL raised, on its way through C++ frames. The ErrorData lives in the memory context
/// that was current where CallPostgres() was called.
class PgError final : public std::exception {
 public:
    explicit PgError(ErrorData* data) : data_(data) {}
    ErrorData* data() const { return data_; }
    const char* what() const noexcept override { return data_->message != nullptr ? data_->message : ""; }

 private:
    ErrorData* data_;
};

/// An error of our own: a SQLSTATE (ERRCODE_...) and PostgreSQL's three texts, in the server's encoding.
class SqlError final : public std::exception {
 public:
    SqlError(int sqlstate, std::string message, std::string detail = {}, std::string hint = {})
        : sqlstate_(sqlstate),
          message_(std::move(message)),
          detail_(std::move(detail)),
          hint_(std::move(hint)) {}
    int sqlstate() const { return sqlstate_; }
    const std::string& message() const { return message_; }
    const std::string& detail() const { return detail_; }
    const std::string& hint() const { return hint_; }
    const char* what() const noexcept override { return message_.c_str(); }

 private:
    int sqlstate_;
    std::string message_;
    std::string detail_;
    std::string hint_;
};

/// The SQLSTATE of a core error:
/// kInvalidArgument 22023, kNotFound 42704, kCorrupt XX001, kOutOfMemory 53200, kResourceLimit 53400,
/// kCancelled 57014, kNonFinite 22003 (numeric_value_out_of_range), kInsufficientData 22000 (data_exception),
/// kUnsupported 0A000, kInternal XX000.
int SqlStateOf(StatusCode code);

/// Throws the SqlError that a failed Status means. The core's texts are UTF-8; they are converted here.
[[noreturn]] void ThrowStatus(const Status& status);

inline void ThrowIfError(const Status& status) {
    if (!status.ok())
        ThrowStatus(status);
}

/// The value, or its Status thrown.
template <typename T>
T ValueOrThrow(Expected<T> expected) {
    if (!expected.ok())
        ThrowStatus(expected.status());
    return std::move(*expected);
}

/// What a C++ exception says, kept without allocation while the stack unwinds.
struct ErrorReport {
    ErrorData* postgres = nullptr;  ///< when it was a PgError
    int sqlstate = 0;
    char message[1024];
    char detail[2048];
    char hint[2048];

    /// To be called in a catch block: records the exception in flight, whatever it is.
    void Capture() noexcept;
    int SqlState() const { return postgres != nullptr ? postgres->sqlerrcode : sqlstate; }
    /// Never null.
    const char* Message() const {
        return postgres == nullptr            ? message
               : postgres->message == nullptr ? "unknown error"
                                              : postgres->message;
    }
    /// Raises it. The caller's frame and all between it and PostgreSQL hold only trivially destructible
    /// objects.
    [[noreturn]] void Raise() const;
};
static_assert(std::is_trivially_destructible_v<ErrorReport>);

namespace internal {
/// Runs function(argument) under a sigsetjmp guard; throws PgError when PostgreSQL raises an error.
void CallGuarded(void (*function)(void*), void* argument);
}  // namespace internal

/// Calls PostgreSQL from C++: runs `function` and returns its result; an ERROR raised in it is thrown as
/// PgError. `function` and what it calls must hold no object with a destructor at a point where an error can
/// be raised.
template <typename Function>
auto CallPostgres(Function&& function) -> std::invoke_result_t<Function&> {
    using Result = std::invoke_result_t<Function&>;
    if constexpr (std::is_void_v<Result>) {
        internal::CallGuarded(
            [](void* argument) { (*static_cast<std::remove_reference_t<Function>*>(argument))(); },
            const_cast<void*>(static_cast<const void*>(std::addressof(function))));
    } else {
        static_assert(std::is_trivially_destructible_v<Result> && std::is_trivially_copyable_v<Result>,
                      "what crosses the guard must survive a longjmp");
        struct Call {
            std::remove_reference_t<Function>* function;
            Result result;
        } call{std::addressof(function), {}};
        internal::CallGuarded(
            [](void* argument) {
                auto* inner = static_cast<Call*>(argument);
                inner->result = (*inner->function)();
            },
            &call);
        return call.result;
    }
}

/// The body of a function that PostgreSQL calls back while C++ frames lie further out (a DestReceiver, a
/// hook). `body` may throw, and may let PostgreSQL's errors pass while it holds no object with a destructor.
template <typename Body>
auto GuardCallback(Body&& body) -> std::invoke_result_t<Body&> {
    static_assert(std::is_trivially_destructible_v<std::remove_reference_t<Body>>,
                  "a lambda at the border captures only references and plain values");
    ErrorReport report;
    try {
        return body();
    } catch (...) {
        report.Capture();
    }
    report.Raise();
}

/// The body of a SQL function: DLENT_FUNCTION(name) { return Entry(fcinfo, [&] { ...; return datum; }); }
template <typename Body>
Datum Entry(FunctionCallInfo fcinfo, Body&& body) {
    (void)fcinfo;
    return GuardCallback(std::forward<Body>(body));
}

}  // namespace dlent::pg

/// Opens a version-1 SQL function with an exported symbol: DLENT_FUNCTION(dlent_train) { return Entry(fcinfo,
/// ...); }
#define DLENT_FUNCTION(name)                                                          \
    extern "C" {                                                                      \
    __attribute__((visibility("default"))) Datum name(FunctionCallInfo fcinfo);       \
    __attribute__((visibility("default"))) const Pg_finfo_record* pg_finfo_##name() { \
        static const Pg_finfo_record info = {1};                                      \
        return &info;                                                                 \
    }                                                                                 \
    }                                                                                 \
    Datum name([[maybe_unused]] FunctionCallInfo fcinfo)
