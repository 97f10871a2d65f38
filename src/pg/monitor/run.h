#pragma once

#include <string>

#include "core/base/json.h"
#include "pg/monitor/session.h"

namespace dlent::pg {

/// Options of dlent_run_monitor().
struct MonitorRunOptions {
    bool dry_run = false;
    bool retrain = false;  ///< as if a trigger had fired, at once

    /// 22023 with the valid keys.
    static MonitorRunOptions Parse(const Json& json);
};

/// Does what is next for a model's monitor, step by step: measure; judge the training rows; train; judge the
/// candidate; promote it. Each step, where the loop stands after it, and its event are written in one
/// transaction; the last one is left open. What ends the loop early is a step like others, with its reason.
/// Returns what was done, for the user.
///
/// 42704 without monitor, 42501 for who does not own it, 55006 while another run of it is under way, 55000
/// without champion, or when the monitor is replaced meanwhile.
Json RunMonitor(MonitorSession& session, const std::string& model, const MonitorRunOptions& options);

/// Notes that a job's run ended with an error, and raises an alert; the loop stands where it stood.
void RecordFailedRun(const std::string& model, const std::string& message, int64_t job);

}  // namespace dlent::pg
