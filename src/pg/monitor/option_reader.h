#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"

namespace dlent::pg {

/// Reads a user's object key by key. What does not fit is 22023, names the key with its path
/// ("triggers.drift.alarms") and lists the valid ones. JSON's null is as good as nothing. Texts are handed
/// out in the server's encoding. For C++ frames.
class OptionReader {
 public:
    /// `object` must outlive the reader; `keys` are the valid ones, all of which outlive it.
    OptionReader(const Json& object, std::string path, std::initializer_list<const char*> keys);

    /// The value of a key; null where there is none.
    const Json* Find(const char* key) const;
    double Number(const char* key, double otherwise, double least, double most) const;
    std::optional<double> OptionalNumber(const char* key, double least, double most) const;
    int64_t Integer(const char* key, int64_t otherwise, int64_t least, int64_t most) const;
    std::optional<int64_t> OptionalInteger(const char* key, int64_t least, int64_t most) const;
    bool Boolean(const char* key, bool otherwise) const;
    std::string Text(const char* key, const std::string& otherwise) const;
    std::vector<std::string> Texts(const char* key) const;
    /// An interval or a number of seconds, in seconds.
    double Seconds(const char* key, double otherwise) const;
    std::optional<double> OptionalSeconds(const char* key) const;

    std::string PathOf(const char* key) const;
    [[noreturn]] void Refuse(const char* key, const std::string& must) const;

 private:
    const Json& object_;
    const std::string path_;
    std::string valid_;
};

}  // namespace dlent::pg
