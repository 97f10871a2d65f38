#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"

namespace dlent::pg {

/// Reads a user's options key by key. What does not fit is 22023, names the key, with its path where it is
/// nested ("triggers.drift.alarms"), and lists the valid ones in the HINT. JSON's null is as good as nothing.
/// Texts are handed out in the server's encoding. For C++ frames.
class OptionReader {
 public:
    /// `options` must be an object, and outlive the reader, with `keys` and no others. `taken`: valid keys
    /// that a caller has read and taken out, for the HINT.
    OptionReader(const Json& options, const std::vector<const char*>& keys, const char* taken = nullptr)
        : OptionReader(options, std::string(), keys, taken) {}
    /// Of the object at a path.
    OptionReader(const Json& options, std::string path, const std::vector<const char*>& keys)
        : OptionReader(options, std::move(path), keys, nullptr) {}

    /// The value of a key; null where there is none.
    const Json* Find(const char* key) const;
    double Number(const char* key, double otherwise, double least, double most) const;
    std::optional<double> OptionalNumber(const char* key, double least, double most) const;
    /// A number of which `fits` is true; `must` says what that is.
    template <typename Fits>
    std::optional<double> OptionalNumberThat(const char* key, Fits fits, const char* must) const {
        const Json* const value = Find(key);
        if (value == nullptr)
            return std::nullopt;
        if (!value->is_number() || !fits(value->get<double>()))
            Refuse(key, must);
        return value->get<double>();
    }
    int64_t Integer(const char* key, int64_t otherwise, int64_t least, int64_t most) const;
    std::optional<int64_t> OptionalInteger(const char* key, int64_t least, int64_t most) const;
    /// Of random numbers: any integer that is not negative.
    uint64_t Seed(const char* key, uint64_t otherwise) const;
    bool Boolean(const char* key, bool otherwise) const { return OptionalBoolean(key).value_or(otherwise); }
    std::optional<bool> OptionalBoolean(const char* key) const;
    std::string Text(const char* key, const std::string& otherwise, const char* must = "a text") const;
    /// A text that is not empty.
    std::string Name(const char* key, const std::string& otherwise, const char* must) const;
    /// One of some words.
    std::string Word(const char* key, const std::string& otherwise,
                     const std::vector<const char*>& words) const;
    std::vector<std::string> Texts(const char* key, const char* must = "an array of texts") const;
    /// At least one text where the key is there.
    std::vector<std::string> Names(const char* key, const char* must) const;
    /// An interval or a number of seconds, in seconds.
    double Seconds(const char* key, double otherwise) const;
    std::optional<double> OptionalSeconds(const char* key) const;

    std::string PathOf(const char* key) const;
    [[noreturn]] void Refuse(const char* key, const std::string& must, const std::string& detail = {}) const;
    /// For what is wrong with several options.
    [[noreturn]] void Fail(const std::string& message, const std::string& detail = {}) const;

 private:
    OptionReader(const Json& options, std::string path, const std::vector<const char*>& keys,
                 const char* taken);

    const Json& options_;
    const std::string path_;
    std::string hint_;
};

/// A span of time as a user writes it: an interval, or a number of seconds. 22023 for what is neither, or is
/// negative.
double SecondsOf(const std::string& key, const Json& value);

/// 22023 that shows the value.
[[noreturn]] void RefuseOption(const std::string& key, const char* must, const Json& value);

}  // namespace dlent::pg
