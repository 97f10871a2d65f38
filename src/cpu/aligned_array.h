#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace dlent {

/// A zeroed array on cache-line boundaries; throws std::bad_alloc like std::vector.
template <typename T>
class AlignedArray {
 public:
    AlignedArray() = default;
    explicit AlignedArray(size_t count) : count_(count) {
        const size_t bytes = (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
        if (bytes == 0)
            return;
        data_.reset(static_cast<T*>(std::aligned_alloc(kAlignment, bytes)));
        if (data_ == nullptr)
            throw std::bad_alloc();
        std::memset(data_.get(), 0, bytes);
    }

    T* data() { return data_.get(); }
    const T* data() const { return data_.get(); }
    size_t size() const { return count_; }
    size_t bytes() const { return count_ * sizeof(T); }
    T& operator[](size_t i) { return data_.get()[i]; }
    const T& operator[](size_t i) const { return data_.get()[i]; }

 private:
    static constexpr size_t kAlignment = 64;
    struct Release {
        void operator()(T* pointer) const { std::free(pointer); }
    };
    std::unique_ptr<T, Release> data_;
    size_t count_ = 0;
};

}  // namespace dlent
