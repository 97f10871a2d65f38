#pragma once

#include <new>
#include <string>
#include <utility>
#include <variant>

namespace dlent {

/// What went wrong, in terms a caller can act on. The PostgreSQL side maps each code to one SQLSTATE
/// (src/pg/bridge/error.h).
enum class StatusCode {
    kOk,
    kInvalidArgument,   ///< the caller's value is wrong: an option, a shape, a column
    kNotFound,          ///< a named thing does not exist
    kCorrupt,           ///< stored bytes do not verify
    kOutOfMemory,       ///< the allocator refused
    kResourceLimit,     ///< a configured limit would be exceeded
    kCancelled,         ///< the cancel token was set
    kNonFinite,         ///< a loss or weight became NaN or infinite
    kInsufficientData,  ///< too few rows, one class only, nothing to learn from
    kUnsupported,       ///< valid, but this build or version cannot do it
    kInternal,          ///< a broken invariant: a bug
};

/// The outcome of an operation: OK, or a code with PostgreSQL's three texts. The core never throws across its
/// border; std::bad_alloc is turned into kOutOfMemory at the border functions.
class [[nodiscard]] Status {
 public:
    Status() = default;
    Status(StatusCode code, std::string message, std::string detail = {}, std::string hint = {})
        : code_(code), message_(std::move(message)), detail_(std::move(detail)), hint_(std::move(hint)) {}

    static Status Ok() { return {}; }
    static Status Invalid(std::string message, std::string detail = {}, std::string hint = {}) {
        return {StatusCode::kInvalidArgument, std::move(message), std::move(detail), std::move(hint)};
    }
    static Status Corrupt(std::string message, std::string detail = {}) {
        return {StatusCode::kCorrupt, std::move(message), std::move(detail)};
    }
    static Status Cancelled() { return {StatusCode::kCancelled, "canceled"}; }
    static Status Internal(std::string message) { return {StatusCode::kInternal, std::move(message)}; }

    bool ok() const { return code_ == StatusCode::kOk; }
    StatusCode code() const { return code_; }
    const std::string& message() const { return message_; }
    const std::string& detail() const { return detail_; }
    const std::string& hint() const { return hint_; }

 private:
    StatusCode code_ = StatusCode::kOk;
    std::string message_;
    std::string detail_;
    std::string hint_;
};

/// A value or the Status that explains its absence.
template <typename T>
class [[nodiscard]] Expected {
 public:
    Expected(T value) : state_(std::move(value)) {}         // NOLINT(google-explicit-constructor)
    Expected(Status status) : state_(std::move(status)) {}  // NOLINT(google-explicit-constructor)

    bool ok() const { return std::holds_alternative<T>(state_); }
    T& value() { return std::get<T>(state_); }
    const T& value() const { return std::get<T>(state_); }
    T& operator*() { return value(); }
    const T& operator*() const { return value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    Status status() const { return ok() ? Status::Ok() : std::get<Status>(state_); }

 private:
    std::variant<T, Status> state_;
};

}  // namespace dlent

#define DLENT_CONCAT_INNER(a, b) a##b
#define DLENT_CONCAT(a, b) DLENT_CONCAT_INNER(a, b)

/// Returns from the enclosing function when `expression` yields a Status that is not OK.
#define DLENT_RETURN_IF_ERROR(expression)                                    \
    do {                                                                     \
        if (::dlent::Status dlent_status = (expression); !dlent_status.ok()) \
            return dlent_status;                                             \
    } while (0)

/// Evaluates an Expected<T>; returns its Status on failure, else moves the value into `declaration`.
#define DLENT_ASSIGN_OR_RETURN(declaration, expression) \
    DLENT_ASSIGN_OR_RETURN_INNER(DLENT_CONCAT(dlent_expected_, __LINE__), declaration, expression)
#define DLENT_ASSIGN_OR_RETURN_INNER(temporary, declaration, expression) \
    auto temporary = (expression);                                       \
    if (!temporary.ok())                                                 \
        return temporary.status();                                       \
    declaration = std::move(*temporary)
