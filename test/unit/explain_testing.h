#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"

namespace dlent {

/// What the reference implementation answers (shared/fixtures/lime), where it is present.
inline std::optional<Json> ReferenceAnswers(const std::string& name) {
    const char* shared = std::getenv("DLENT_SHARED");
    std::ifstream file(std::string(shared != nullptr ? shared : "../shared") + "/fixtures/lime/" + name);
    if (!file)
        return std::nullopt;
    return Json::parse(file);
}

#define DLENT_REFERENCE_OR_SKIP(variable, name)                         \
    const std::optional<Json> variable##_file = ReferenceAnswers(name); \
    if (!variable##_file)                                               \
        GTEST_SKIP() << "there is no shared/fixtures/lime/" << (name);  \
    const Json& variable = *variable##_file

/// The numbers of a CSV file's columns; text columns become codes by first appearance.
inline std::vector<std::vector<double>> ReadColumns(std::ifstream* file, size_t columns) {
    std::vector<std::vector<double>> values(columns);
    std::vector<std::vector<std::string>> texts(columns);
    std::string line;
    std::getline(*file, line);
    while (std::getline(*file, line)) {
        size_t begin = 0;
        for (size_t c = 0; c < columns; ++c) {
            const size_t end = std::min(line.find(',', begin), line.size());
            const std::string field = line.substr(begin, end - begin);
            begin = end + 1;
            char* rest = nullptr;
            const double number = std::strtod(field.c_str(), &rest);
            if (rest != field.c_str()) {
                values[c].push_back(number);
                continue;
            }
            size_t code = 0;
            while (code < texts[c].size() && texts[c][code] != field)
                ++code;
            if (code == texts[c].size())
                texts[c].push_back(field);
            values[c].push_back(static_cast<double>(code));
        }
    }
    return values;
}

/// The five columns of iris, the species as codes.
inline std::vector<std::vector<double>> Iris() {
    const char* shared = std::getenv("DLENT_SHARED");
    std::ifstream file(std::string(shared != nullptr ? shared : "../shared") + "/fixtures/lime/iris.csv");
    return ReadColumns(&file, 5);
}

}  // namespace dlent
