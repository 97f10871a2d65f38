#pragma once

namespace dlent {

/// Polled by every long computation at least every 20 ms of work. The PostgreSQL side implements it by
/// reading the interrupt flags (no PostgreSQL call that can longjmp is made here); tests and tools use
/// NeverCancelled.
class CancelToken {
 public:
    virtual ~CancelToken() = default;
    virtual bool IsCancelled() const = 0;
};

class NeverCancelled final : public CancelToken {
 public:
    bool IsCancelled() const override { return false; }
};

}  // namespace dlent
