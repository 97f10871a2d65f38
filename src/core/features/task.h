#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/status.h"

namespace dlent {

enum class Task : uint8_t { kAuto, kRegression, kBinary, kMulticlass };

const char* TaskName(Task task);
Expected<Task> ParseTask(std::string_view name);

}  // namespace dlent
