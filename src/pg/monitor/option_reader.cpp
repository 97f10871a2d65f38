#include "pg/bridge/postgres.h"

#include "pg/monitor/option_reader.h"

#include <algorithm>
#include <cmath>

#include "pg/bridge/error.h"
#include "pg/bridge/text.h"
#include "pg/workers/job_policy.h"

namespace dlent::pg {
namespace {

std::string Shown(double number) {
    return Json(number).dump();
}

}  // namespace

OptionReader::OptionReader(const Json& object, std::string path, std::initializer_list<const char*> keys)
    : object_(object), path_(std::move(path)) {
    for (const char* key : keys)
        valid_ += (valid_.empty() ? "" : ", ") + std::string(key);
    const std::string what = path_.empty() ? "the options" : "option \"" + path_ + "\"";
    if (!object.is_object())
        throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, what + " must be a JSON object", {},
                       "Its keys are " + valid_ + ".");
    for (const auto& [key, value] : object.items()) {
        if (std::none_of(keys.begin(), keys.end(), [&key](const char* known) { return key == known; }))
            throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                           "unknown option \"" + FromUtf8(PathOf(key.c_str())) + "\"", {},
                           "Valid keys" + (path_.empty() ? "" : " of " + path_) + " are " + valid_ + ".");
    }
}

std::string OptionReader::PathOf(const char* key) const {
    return path_.empty() ? key : path_ + "." + key;
}

void OptionReader::Refuse(const char* key, const std::string& must) const {
    throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "option \"" + PathOf(key) + "\" must be " + must, {},
                   "Valid keys" + (path_.empty() ? "" : " of " + path_) + " are " + valid_ + ".");
}

const Json* OptionReader::Find(const char* key) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<double> OptionReader::OptionalNumber(const char* key, double least, double most) const {
    const Json* const value = Find(key);
    if (value == nullptr)
        return std::nullopt;
    const double number = value->is_number() ? value->get<double>() : NAN;
    if (!(number >= least && number <= most))
        Refuse(key, std::isinf(most) ? std::isinf(least) ? "a number" : "a number of at least " + Shown(least)
                                     : "a number from " + Shown(least) + " to " + Shown(most));
    return number;
}

double OptionReader::Number(const char* key, double otherwise, double least, double most) const {
    return OptionalNumber(key, least, most).value_or(otherwise);
}

std::optional<int64_t> OptionReader::OptionalInteger(const char* key, int64_t least, int64_t most) const {
    const Json* const value = Find(key);
    if (value == nullptr)
        return std::nullopt;
    if (!value->is_number_integer() || value->get<int64_t>() < least || value->get<int64_t>() > most)
        Refuse(key, "an integer from " + std::to_string(least) + " to " + std::to_string(most));
    return value->get<int64_t>();
}

int64_t OptionReader::Integer(const char* key, int64_t otherwise, int64_t least, int64_t most) const {
    return OptionalInteger(key, least, most).value_or(otherwise);
}

bool OptionReader::Boolean(const char* key, bool otherwise) const {
    const Json* const value = Find(key);
    if (value == nullptr)
        return otherwise;
    if (!value->is_boolean())
        Refuse(key, "true or false");
    return value->get<bool>();
}

std::string OptionReader::Text(const char* key, const std::string& otherwise) const {
    const Json* const value = Find(key);
    if (value == nullptr)
        return otherwise;
    if (!value->is_string())
        Refuse(key, "a text");
    return FromUtf8(value->get<std::string>());
}

std::vector<std::string> OptionReader::Texts(const char* key) const {
    std::vector<std::string> texts;
    const Json* const value = Find(key);
    if (value == nullptr)
        return texts;
    if (!value->is_array())
        Refuse(key, "an array of texts");
    for (const Json& text : *value) {
        if (!text.is_string())
            Refuse(key, "an array of texts");
        texts.push_back(FromUtf8(text.get<std::string>()));
    }
    return texts;
}

std::optional<double> OptionReader::OptionalSeconds(const char* key) const {
    const Json* const value = Find(key);
    return value == nullptr ? std::nullopt : std::optional<double>(SecondsOf(PathOf(key), *value));
}

double OptionReader::Seconds(const char* key, double otherwise) const {
    return OptionalSeconds(key).value_or(otherwise);
}

}  // namespace dlent::pg
