#pragma once

#include "pg/bridge/error.h"

namespace dlent::pg {

/// Gives a C++ object to a memory context: it is deleted when the context is reset or deleted, also when the
/// transaction aborts. T's destructor must not throw and must not call PostgreSQL. Throws PgError when the
/// context cannot hold the few bytes of the callback; the object is then deleted here.
template <typename T>
T* Own(MemoryContext context, std::unique_ptr<T> object) {
    static_assert(std::is_nothrow_destructible_v<T>);
    MemoryContextCallback* callback = CallPostgres([context] {
        return static_cast<MemoryContextCallback*>(
            MemoryContextAlloc(context, sizeof(MemoryContextCallback)));
    });
    T* pointer = object.release();
    callback->func = [](void* argument) { delete static_cast<T*>(argument); };
    callback->arg = pointer;
    MemoryContextRegisterResetCallback(context, callback);
    return pointer;
}

/// Makes `context` the current one until the end of the scope. For C++ frames: in a frame that a longjmp can
/// skip, the guard above it restores the context.
class ContextScope {
 public:
    explicit ContextScope(MemoryContext context) : previous_(MemoryContextSwitchTo(context)) {}
    ~ContextScope() { MemoryContextSwitchTo(previous_); }
    ContextScope(const ContextScope&) = delete;
    ContextScope& operator=(const ContextScope&) = delete;

 private:
    MemoryContext previous_;
};

}  // namespace dlent::pg
