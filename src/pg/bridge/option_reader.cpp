#include "pg/bridge/postgres.h"

#include "pg/bridge/option_reader.h"

#include <algorithm>
#include <cmath>

#include "core/base/short_number.h"
#include "pg/bridge/error.h"
#include "pg/bridge/text.h"

extern "C" {
#include "utils/timestamp.h"
}

namespace dlent::pg {
namespace {

constexpr double kLongestSpan = 10 * 366 * 86400.0;
constexpr int kDigits = 15;  ///< of bounds, as they were written

}  // namespace

OptionReader::OptionReader(const Json& options, std::string path, const std::vector<const char*>& keys,
                           const char* taken)
    : options_(options),
      path_(std::move(path)),
      hint_(path_.empty() ? "Valid options are " : "Valid keys of " + path_ + " are ") {
    for (const char* key : keys)
        hint_ += (key == keys.front() ? "" : ", ") + std::string(key);
    hint_ += taken == nullptr ? "." : ", " + std::string(taken) + ".";
    if (!options.is_object())
        Fail((path_.empty() ? "options" : "option \"" + path_ + "\"") + " must be a JSON object");
    for (const auto& [key, value] : options.items()) {
        if (std::none_of(keys.begin(), keys.end(), [&key](const char* known) { return key == known; }))
            Fail("unknown option \"" + FromUtf8(PathOf(key.c_str())) + "\"");
    }
}

std::string OptionReader::PathOf(const char* key) const {
    return path_.empty() ? key : path_ + "." + key;
}

void OptionReader::Fail(const std::string& message, const std::string& detail) const {
    throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, message, detail, hint_);
}

void OptionReader::Refuse(const char* key, const std::string& must, const std::string& detail) const {
    Fail("option \"" + PathOf(key) + "\" must be " + must, detail);
}

const Json* OptionReader::Find(const char* key) const {
    const auto found = options_.find(key);
    return found == options_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<double> OptionReader::OptionalNumber(const char* key, double least, double most) const {
    const Json* const value = Find(key);
    if (value == nullptr)
        return std::nullopt;
    const double number = value->is_number() ? value->get<double>() : NAN;
    if (!(number >= least && number <= most))
        Refuse(key,
               std::isinf(most)
                   ? std::isinf(least) ? "a number" : "a number of at least " + ShortNumber(least, kDigits)
                   : "a number from " + ShortNumber(least, kDigits) + " to " + ShortNumber(most, kDigits));
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

uint64_t OptionReader::Seed(const char* key, uint64_t otherwise) const {
    const Json* const value = Find(key);
    if (value == nullptr)
        return otherwise;
    if (!value->is_number_unsigned())
        Refuse(key, "an integer of at least 0");
    return value->get<uint64_t>();
}

std::optional<bool> OptionReader::OptionalBoolean(const char* key) const {
    const Json* const value = Find(key);
    if (value == nullptr)
        return std::nullopt;
    if (!value->is_boolean())
        Refuse(key, "true or false");
    return value->get<bool>();
}

std::string OptionReader::Text(const char* key, const std::string& otherwise, const char* must) const {
    const Json* const value = Find(key);
    if (value == nullptr)
        return otherwise;
    if (!value->is_string())
        Refuse(key, must);
    return FromUtf8(value->get<std::string>());
}

std::string OptionReader::Name(const char* key, const std::string& otherwise, const char* must) const {
    std::string name = Text(key, otherwise, must);
    if (name.empty() && Find(key) != nullptr)
        Refuse(key, must);
    return name;
}

std::string OptionReader::Word(const char* key, const std::string& otherwise,
                               const std::vector<const char*>& words) const {
    std::string must;
    for (size_t i = 0; i < words.size(); ++i)
        must += (i == 0 ? "" : i + 1 == words.size() ? " or " : ", ") + std::string(words[i]);
    std::string word = Text(key, otherwise, must.c_str());
    if (std::none_of(words.begin(), words.end(), [&word](const char* known) { return word == known; }))
        Refuse(key, must);
    return word;
}

std::vector<std::string> OptionReader::Texts(const char* key, const char* must) const {
    std::vector<std::string> texts;
    const Json* const value = Find(key);
    if (value == nullptr)
        return texts;
    if (!value->is_array())
        Refuse(key, must);
    for (const Json& text : *value) {
        if (!text.is_string())
            Refuse(key, must);
        texts.push_back(FromUtf8(text.get<std::string>()));
    }
    return texts;
}

std::vector<std::string> OptionReader::Names(const char* key, const char* must) const {
    std::vector<std::string> names = Texts(key, must);
    if (names.empty() && Find(key) != nullptr)
        Refuse(key, must);
    return names;
}

std::optional<double> OptionReader::OptionalSeconds(const char* key) const {
    const Json* const value = Find(key);
    return value == nullptr ? std::nullopt : std::optional<double>(SecondsOf(PathOf(key), *value));
}

double OptionReader::Seconds(const char* key, double otherwise) const {
    return OptionalSeconds(key).value_or(otherwise);
}

double SecondsOf(const std::string& key, const Json& value) {
    double seconds = -1.0;
    if (value.is_number()) {
        seconds = value.get<double>();
    } else if (value.is_string()) {
        const std::string text = FromUtf8(value.get<std::string>());
        seconds = CallPostgres([&text] {
            const Interval* interval = DatumGetIntervalP(DirectFunctionCall3(
                interval_in, CStringGetDatum(text.c_str()), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
            return static_cast<double>(interval->time) / USECS_PER_SEC +
                   (interval->day + 30.0 * interval->month) * SECS_PER_DAY;
        });
    }
    if (!(seconds >= 0.0 && seconds <= kLongestSpan))
        RefuseOption(key, "an interval or a number of seconds, not negative", value);
    return seconds;
}

void RefuseOption(const std::string& key, const char* must, const Json& value) {
    throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "option \"" + FromUtf8(key) + "\" must be " + must,
                   "It is " + FromUtf8(value.dump(-1, ' ', false, Json::error_handler_t::replace)) + ".");
}

}  // namespace dlent::pg
