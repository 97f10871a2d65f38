#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "pg/bridge/postgres.h"

namespace dlent::pg {

// The rows of monitors, of what their runs did, and of alerts. For C++ frames, inside a transaction; fixed
// statements as the extension's owner. Texts are in the server's encoding.

/// A monitor, its model, and where the loop stands.
struct Monitor {
    int64_t id = 0;
    int64_t model_id = 0;
    std::string model;
    int champion = 0;           ///< 0: none
    std::string champion_task;  ///< of the champion
    Json champion_metrics;      ///< on its own held-out rows
    double champion_age = 0.0;  ///< seconds since it was trained
    Oid owner = InvalidOid;
    std::string source;
    int64_t schedule_id = 0;  ///< 0: none
    Json policy;
    std::string state;
    Json progress;
    Json accepted;
    int failures = 0;
    int64_t retrains = 0;
    double wait = 0.0;  ///< seconds until a retrain may begin; not positive: now
};

/// As committed now; nothing when the model has none. 42704 when there is no such model.
std::optional<Monitor> ReadMonitor(const std::string& model);

/// What is needed to declare one.
struct NewMonitor {
    std::string model;
    std::string source;
    Json policy;
    Json accepted;
};
/// Declares a monitor of the current user's in place of the model's last, whose schedule goes with it; its
/// number. 42704, 42501.
int64_t InsertMonitor(const NewMonitor& monitor);
void SetMonitorSchedule(int64_t id, int64_t schedule);
/// Deletes a model's monitor and its schedule; false when it has none. 42704, 42501.
bool DeleteMonitor(const std::string& model);

struct Alert {
    const char* severity;
    const char* kind;
    std::string subject;
    std::string message;
    Json details = Json::object();
    bool passing = false;  ///< nothing that lasts: it is over when it is told
};

/// Something that a run did.
struct MonitorStep {
    const char* name;      ///< of what was done: watch, check, ...
    std::string decision;  ///< quiet, retrain, ...
    std::string reason;    ///< in a sentence
    int candidate = 0;     ///< that it was about; 0: none
    Json measurements = Json::object();
    std::string event;  ///< dlent.event.action; empty: not worth one
    std::vector<Alert> alerts;
    std::vector<const char*> over;  ///< kinds of which all other alerts are over
    TimestampTz started_at = 0;
};

/// A new run's number.
int64_t NextMonitorRun();

/// Writes a step and where the loop stands after it (`after`: state, progress, accepted, failures, retrains;
/// `wait` seconds from now where it is positive); steps older than dlent.job_retention go. 55000 when the
/// monitor was replaced or taken away since `before` was read.
void StoreMonitorStep(const Monitor& before, const Monitor& after, int64_t run, int number,
                      const MonitorStep& step, int64_t job);

/// Whether the `count` last runs that looked for drift in rows against `champion` found some, newest first.
std::vector<bool> LastDriftVerdicts(const Monitor& monitor, int count);

/// Notes that the current user has taken care of an alert; false when somebody has before. 42704, 42501.
bool AcknowledgeAlert(int64_t alert);

}  // namespace dlent::pg
