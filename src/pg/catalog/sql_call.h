#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "pg/catalog/writer.h"

namespace dlent::pg {

// Statements that return one jsonb, for C++ frames. Texts are in the server's encoding.

/// A text or jsonb parameter in the current memory context.
Parameter TextParameter(const std::string& text);
Parameter JsonParameter(const Json& json);

/// Runs a SELECT as the current user, under the active snapshot; the first value of its first row, or null.
/// It may call functions that write. Answers of models are not observed.
Json QueryAsUser(const std::string& statement, const std::vector<Parameter>& parameters = {});

/// Runs a fixed SELECT as the extension's owner, on what is committed now and what this transaction wrote.
Json QueryCatalog(const char* statement, const std::vector<Parameter>& parameters);

/// `schema.function` of one of the extension's functions, as SQL spells it.
std::string FunctionName(const char* function);

std::string QuoteLiteral(const std::string& text);

}  // namespace dlent::pg
