#pragma once

#include <memory>
#include <utility>

#include "gpu/fake/forwarding_backend.h"
#include "gpu/fake/shared_group.h"

namespace dlent::gpu {

/// A backend, of the CPU's kind, that can be a rank of a group.
class RankedBackend : public ForwardingBackend {
 public:
    using ForwardingBackend::ForwardingBackend;

    void Join(std::unique_ptr<SharedGroup> group) { group_ = std::move(group); }

    int ranks() const override { return group_ == nullptr ? 1 : group_->ranks(); }
    int rank() const override { return group_ == nullptr ? 0 : group_->rank(); }
    void AllReduceSum(size_t count, float* values) override { Sum(count, values); }
    void AllReduceSum(size_t count, double* values) override { Sum(count, values); }
    Status Synchronize() override {
        DLENT_RETURN_IF_ERROR(std::exchange(fault_, Status::Ok()));
        return ForwardingBackend::Synchronize();
    }

 private:
    template <typename T>
    void Sum(size_t count, T* values) {
        if (group_ != nullptr && fault_.ok())
            fault_ = group_->Sum(count, values);
    }

    std::unique_ptr<SharedGroup> group_;
    Status fault_;
};

}  // namespace dlent::gpu
