#include "pg/bridge/postgres.h"

#include "pg/gpu/settings.h"

#include <cctype>

namespace dlent::pg {
namespace {

constexpr config_enum_entry kPolicies[] = {
    {"off", static_cast<int>(GpuPolicy::kOff), false},
    {"try", static_cast<int>(GpuPolicy::kTry), false},
    {"require", static_cast<int>(GpuPolicy::kRequire), false},
    {nullptr, 0, false},
};

constexpr config_enum_entry kScoringDevices[] = {
    {"cpu", static_cast<int>(ScoringDevice::kCpu), false},
    {"auto", static_cast<int>(ScoringDevice::kAuto), false},
    {"cuda", static_cast<int>(ScoringDevice::kCuda), false},
    {nullptr, 0, false},
};

int policy = static_cast<int>(GpuPolicy::kTry);
int scoring_device = static_cast<int>(ScoringDevice::kCpu);
char* plugin = nullptr;
int memory_mb = 0;
int jobs = 4;
int hang_timeout = 30;
int idle_timeout = 300;

/// A plugin is a file beside the library, never one that a setting finds elsewhere.
bool CheckPlugin(char** value, void**, GucSource) {
    const char* name = *value;
    bool bare = *name != '\0' && strlen(name) < 64;
    for (const char* c = name; *c != '\0'; ++c)
        bare = bare && (isalnum(static_cast<unsigned char>(*c)) || *c == '_');
    if (!bare)
        GUC_check_errdetail("It is the bare name of a library beside dlent's: letters, digits, underscores.");
    return bare;
}

}  // namespace

GpuPolicy CurrentGpuPolicy() {
    return static_cast<GpuPolicy>(policy);
}

ScoringDevice CurrentScoringDevice() {
    return static_cast<ScoringDevice>(scoring_device);
}

GpuServerSettings CurrentGpuServerSettings() {
    return {plugin, memory_mb, jobs, hang_timeout, idle_timeout};
}

void DefineGpuSettings() {
    DefineCustomEnumVariable(
        "dlent.gpu", "Whether GPUs are used.",
        "try: the CPU takes over, with a warning, when a GPU fails. require: that is an error. off: never.",
        &policy, static_cast<int>(GpuPolicy::kTry), kPolicies, PGC_USERSET, 0, nullptr, nullptr, nullptr);
    DefineCustomEnumVariable("dlent.scoring_device", "Where many rows are scored at once.",
                             "cpu: a row gets the same bits whatever the plan. cuda: on a GPU, whose answers "
                             "differ within a tolerance. auto: there when it is clearly faster.",
                             &scoring_device, static_cast<int>(ScoringDevice::kCpu), kScoringDevices,
                             PGC_USERSET, 0, nullptr, nullptr, nullptr);
    DefineCustomStringVariable("dlent.gpu_plugin", "The library that drives the GPUs.",
                               "The bare name of a file beside dlent's library.", &plugin, "dlent_cuda",
                               PGC_SIGHUP, 0, CheckPlugin, nullptr, nullptr);
    DefineCustomIntVariable("dlent.gpu_memory", "Memory that all jobs on a GPU may hold.",
                            "0 is nine tenths of the card. Applies when its process starts anew.", &memory_mb,
                            0, 0, MAX_KILOBYTES, PGC_SIGHUP, GUC_UNIT_MB, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("dlent.gpu_jobs", "Jobs that run at once on a GPU; others wait.", nullptr, &jobs,
                            4, 1, 256, PGC_SIGHUP, 0, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("dlent.gpu_hang_timeout",
                            "Time without a sign of life after which a GPU's process is ended.",
                            "Of a job, or of the process as a whole. Applies when it starts anew.",
                            &hang_timeout, 30, 1, 86400, PGC_SIGHUP, GUC_UNIT_S, nullptr, nullptr, nullptr);
    DefineCustomIntVariable(
        "dlent.gpu_idle_timeout", "Time without a session after which a GPU's process gives its memory back.",
        "0 keeps it.", &idle_timeout, 300, 0, 86400 * 365, PGC_SIGHUP, GUC_UNIT_S, nullptr, nullptr, nullptr);
}

}  // namespace dlent::pg
