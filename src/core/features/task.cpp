#include "core/features/task.h"

#include <string>

namespace dlent {

const char* TaskName(Task task) {
    switch (task) {
        case Task::kAuto:
            return "auto";
        case Task::kRegression:
            return "regression";
        case Task::kBinary:
            return "binary";
        case Task::kMulticlass:
            return "multiclass";
    }
    return "auto";
}

Expected<Task> ParseTask(std::string_view name) {
    for (const Task task : {Task::kAuto, Task::kRegression, Task::kBinary, Task::kMulticlass}) {
        if (name == TaskName(task))
            return task;
    }
    return Status::Invalid("unknown task \"" + std::string(name) + "\"", {},
                           "Tasks are auto, regression, binary and multiclass.");
}

}  // namespace dlent
