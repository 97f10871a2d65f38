// The background worker that keeps one dlent-gpud a GPU; docs/architecture.md, "The GPU process".

#include "pg/bridge/postgres.h"

#include "pg/workers/gpu_supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <optional>

#include "core/base/json.h"
#include "gpu/protocol/message.h"
#include "gpu/protocol/shared_memory.h"
#include "gpu/protocol/silence.h"
#include "pg/bridge/error.h"
#include "pg/bridge/text.h"
#include "pg/gpu/files.h"
#include "pg/gpu/settings.h"

extern "C" {
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

__attribute__((visibility("default"))) void dlent_gpu_supervisor_main(Datum argument);
}

namespace dlent::pg {
namespace {

constexpr int kRestartSeconds = 5;      ///< of a supervisor that failed
constexpr int kProbeTimeoutMs = 60000;  ///< a driver that wakes a card up takes its time
constexpr int kFirstPauseMs = 200;      ///< before a process that died starts again; doubles
constexpr int kLongestPauseMs = 60000;
constexpr int kSteadyMs = 60000;     ///< a process that lived so long begins with the first pause again
constexpr long kWantedPollMs = 500;  ///< how often it is asked whether one that retired is wanted
constexpr int kIdleExit = 10;        ///< gpu::ServerEnd::kIdle
constexpr long kQuietMs = 60000;     ///< between two looks at a process that needs none
/// Between two looks for signs of life, which a process shows five times a second.
constexpr std::chrono::milliseconds kLook{1000};
/// Until its first sign of life, while it opens driver and device.
constexpr std::chrono::milliseconds kStartPatience{kProbeTimeoutMs};
/// Beyond dlent.gpu_hang_timeout: the process's own watchdog comes first, and its loop may wait for a second
/// for a session that does not read.
constexpr std::chrono::milliseconds kWatchdogLead{2000};

/// A dlent-gpud and when it may start next.
struct GpuProcess {
    int device = 0;
    pid_t pid = 0;
    gpu::FileDescriptor lifeline;  ///< a socket: it sees ours end, and we read its signs of life
    std::chrono::milliseconds hang_timeout{0};
    bool has_begun = false;  ///< there was a sign of life
    bool is_killed = false;  ///< there was none for too long
    std::optional<gpu::Silence> silence;
    TimestampTz started_at = 0;
    TimestampTz start_at = 0;
    int failures = 0;
    bool retired = false;  ///< idle, and not to be started again
};

void WakeUp(SIGNAL_ARGS) {
    const int saved = errno;
    SetLatch(MyLatch);
    errno = saved;
}

void Log(int level, const std::string& message, const std::string& detail = {}) {
    CallPostgres([&] {
        ereport(level, (errmsg_internal("%s", message.c_str()),
                        detail.empty() ? 0 : errdetail_internal("%s", detail.c_str())));
    });
}

/// Waits for the latch, a socket, or the time; ends with the postmaster.
void Wait(int fd, long milliseconds) {
    CallPostgres([=] {
        const int events =
            WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH | (fd >= 0 ? WL_SOCKET_READABLE : 0);
        WaitLatchOrSocket(MyLatch, events, fd >= 0 ? fd : PGINVALID_SOCKET, milliseconds, PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
        if (ConfigReloadPending) {
            ConfigReloadPending = false;
            ProcessConfigFile(PGC_SIGHUP);
        }
    });
}

/// fork() and exec(): the child touches nothing of the server's in between. `kept` stays open in it.
pid_t Spawn(const std::vector<std::string>& arguments, int kept, int standard_output) {
    std::vector<char*> argv;
    for (const std::string& argument : arguments)
        argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    const gpu::FileDescriptor null(open("/dev/null", O_RDONLY | O_CLOEXEC));
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    const pid_t pid = fork();
    if (pid != 0) {
        const int error = errno;
        sigprocmask(SIG_SETMASK, &before, nullptr);
        errno = error;
        return pid;
    }
    // no handler of the server's may run in here
    for (int number = 1; number < NSIG; ++number)
        signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    dup2(null.get(), STDIN_FILENO);
    dup2(standard_output, STDOUT_FILENO);
    if (kept >= 0)
        fcntl(kept, F_SETFD, 0);
    execv(argv[0], argv.data());
    _exit(127);
}

Json ErrorJson(const std::string& message, const std::string& detail) {
    return {{"error", gpu::StatusToJson(Status(StatusCode::kUnsupported, message, detail))}};
}

/// What a short-lived process says of the devices: {"devices": [...]} or {"error": {...}}.
Json ProbeDevices(const std::string& plugin) {
    std::array<int, 2> ends;
    if (pipe2(ends.data(), O_CLOEXEC) != 0)
        return ErrorJson("GPUs could not be looked for", "There is no pipe to be had.");
    const gpu::FileDescriptor reader(ends[0]);
    gpu::FileDescriptor writer(ends[1]);
    const pid_t pid = Spawn({GpuProgramPath(), "--probe", "--plugin", plugin}, -1, writer.get());
    writer = {};
    if (pid < 0)
        return ErrorJson("GPUs could not be looked for", "A process could not be started.");
    const TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), kProbeTimeoutMs);
    fcntl(reader.get(), F_SETFL, O_NONBLOCK);
    std::string answer;
    bool ended = false;
    while (!ended && !ShutdownRequestPending && GetCurrentTimestamp() < until) {
        char buffer[4096];
        const ssize_t length = read(reader.get(), buffer, sizeof(buffer));
        if (length > 0)
            answer.append(buffer, static_cast<size_t>(length));
        else if (length < 0 && (errno == EAGAIN || errno == EINTR))
            Wait(reader.get(), 1000);
        else
            ended = true;
    }
    kill(pid, SIGKILL);
    int status = 0;
    waitpid(pid, &status, 0);
    if (!ended)
        return ErrorJson("GPUs could not be looked for", "The driver did not answer in time.");
    Expected<Json> json = gpu::ParseObject(answer);
    if (!json.ok())
        return ErrorJson("GPUs could not be looked for",
                         GpuProgramPath() + " did not answer (exit status " + std::to_string(status) + ").");
    return std::move(*json);
}

bool Start(GpuProcess* process, bool stays) {
    const GpuServerSettings settings = CurrentGpuServerSettings();
    std::array<int, 2> ends;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
        return false;
    const gpu::FileDescriptor theirs(ends[0]);
    process->lifeline = gpu::FileDescriptor(ends[1]);
    process->pid = Spawn({GpuProgramPath(), "--serve",
                          "--plugin",       settings.plugin,
                          "--device",       std::to_string(process->device),
                          "--socket",       GpuSocketPath(process->device),
                          "--parent",       std::to_string(getpid()),
                          "--lifeline",     std::to_string(theirs.get()),
                          "--jobs",         std::to_string(settings.jobs),
                          "--memory-mb",    std::to_string(settings.memory_mb),
                          "--hang-timeout", std::to_string(settings.hang_timeout_s),
                          "--idle-timeout", std::to_string(settings.idle_timeout_s),
                          "--end-unused",   stays ? "0" : "1"},
                         theirs.get(), STDERR_FILENO);
    if (process->pid < 0) {
        process->pid = 0;
        return false;
    }
    process->started_at = GetCurrentTimestamp();
    process->hang_timeout = std::chrono::seconds(settings.hang_timeout_s);
    process->has_begun = false;
    process->is_killed = false;
    process->silence.emplace(kLook, gpu::Silence::Clock::now());
    return true;
}

/// Whether there was a sign of life since the last call.
bool TakeSigns(const GpuProcess& process) {
    char signs[256];
    bool any = false;
    while (recv(process.lifeline.get(), signs, sizeof(signs), MSG_DONTWAIT) > 0)
        any = true;
    return any;
}

/// Kills a process that does not run any more (stopped, or stuck in the driver), so that it cannot end
/// itself: its sessions see the end of their connections, as of one that crashed.
void EndIfSilent(GpuProcess* process) {
    const bool sign = TakeSigns(*process);
    process->has_begun = process->has_begun || sign;
    const auto silence = process->silence->Look(sign, gpu::Silence::Clock::now());
    const auto patience = process->has_begun ? process->hang_timeout + kWatchdogLead
                                             : std::max(process->hang_timeout, kStartPatience);
    if (silence < patience || process->is_killed)
        return;
    process->is_killed = true;
    Log(LOG, "GPU process " + std::to_string(process->pid) + " of device " + std::to_string(process->device) +
                 " has shown no sign of life for " +
                 std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(silence).count()) +
                 " ms; it is killed");
    kill(process->pid, SIGKILL);
}

std::string HowItEnded(int status) {
    if (WIFSIGNALED(status))
        return "terminated by signal " + std::to_string(WTERMSIG(status));
    return "exited with code " + std::to_string(WEXITSTATUS(status));
}

/// Sees to one process: collects it when it has ended, starts it when it is time. Returns the milliseconds
/// until it wants to be looked at again.
long Tend(GpuProcess* process, bool stays) {
    int status = 0;
    if (process->pid != 0 && waitpid(process->pid, &status, WNOHANG) == process->pid) {
        const TimestampTz now = GetCurrentTimestamp();
        const bool idle = WIFEXITED(status) && WEXITSTATUS(status) == kIdleExit;
        const pid_t pid = process->pid;
        process->pid = 0;
        process->lifeline = {};
        process->retired = idle && !stays;
        if (idle || TimestampDifferenceExceeds(process->started_at, now, kSteadyMs))
            process->failures = 0;
        const int pause =
            idle ? 0 : std::min(kLongestPauseMs, kFirstPauseMs << std::min(process->failures, 9));
        process->start_at = TimestampTzPlusMilliseconds(now, pause);
        if (!idle) {
            ++process->failures;
            Log(LOG, "GPU process " + std::to_string(pid) + " of device " + std::to_string(process->device) +
                         " was " + HowItEnded(status) + "; it starts again in " + std::to_string(pause) +
                         " ms");
        }
    }
    if (process->pid != 0) {
        EndIfSilent(process);
        return kLook.count();
    }
    if (process->retired)
        return kQuietMs;
    const TimestampTz now = GetCurrentTimestamp();
    if (now >= process->start_at && !Start(process, stays)) {
        Log(WARNING, "GPU process of device " + std::to_string(process->device) + " could not be started");
        process->start_at = TimestampTzPlusMilliseconds(now, kLongestPauseMs);
    }
    return process->pid != 0 ? kLook.count() : TimestampDifferenceMilliseconds(now, process->start_at) + 1;
}

/// The supervisor's life. `stays`: it was registered at the server's start, and lives as long.
void Supervise(bool stays) {
    pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    pqsignal(SIGCHLD, WakeUp);
    BackgroundWorkerUnblockSignals();
    MakeGpuDirectory();
    const gpu::FileDescriptor lock = TakeSupervisorLock();
    if (!lock.valid())
        return;  // another one is there
    const Json found = ProbeDevices(CurrentGpuServerSettings().plugin);
    WriteGpuDevices(found);
    if (!found.contains("devices")) {
        const Status status = gpu::StatusFromJson(found.value("error", Json::object()));
        Log(LOG, "no GPU will be used: " + FromUtf8(status.message()), FromUtf8(status.detail()));
        return;
    }
    std::vector<GpuProcess> processes(found.at("devices").size());
    for (size_t i = 0; i < processes.size(); ++i)
        processes[i].device = static_cast<int>(i);
    TakeGpusWanted();  // what was missed before there was a supervisor comes now anyway
    while (!ShutdownRequestPending) {
        long pause = kQuietMs;
        bool wanted = false;
        const bool come_again = TakeGpusWanted();
        for (GpuProcess& process : processes) {
            process.retired = process.retired && !come_again;
            const long until_next = Tend(&process, stays);
            pause = std::min(pause, process.retired ? kWantedPollMs : until_next);
            wanted = wanted || !process.retired;
        }
        if (!wanted)
            break;
        Wait(-1, pause);
    }
    for (GpuProcess& process : processes) {
        if (process.pid == 0)
            continue;
        kill(process.pid, SIGKILL);
        waitpid(process.pid, nullptr, 0);
        unlink(GpuSocketPath(process.device).c_str());
    }
}

BackgroundWorker Worker(bool stays) {
    BackgroundWorker worker{};
    worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
    worker.bgw_start_time = BgWorkerStart_ConsistentState;
    worker.bgw_restart_time = stays ? kRestartSeconds : BGW_NEVER_RESTART;
    strlcpy(worker.bgw_library_name, "dlent", sizeof(worker.bgw_library_name));
    strlcpy(worker.bgw_function_name, "dlent_gpu_supervisor_main", BGW_MAXLEN);
    strlcpy(worker.bgw_name, "dlent GPU supervisor", BGW_MAXLEN);
    strlcpy(worker.bgw_type, "dlent GPU supervisor", BGW_MAXLEN);
    worker.bgw_main_arg = BoolGetDatum(stays);
    return worker;
}

}  // namespace

void RegisterGpuSupervisor() {
    if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade ||
        CurrentGpuPolicy() == GpuPolicy::kOff ||
        !FileExists(GpuPluginPath(CurrentGpuServerSettings().plugin)))
        return;
    BackgroundWorker worker = Worker(true);
    RegisterBackgroundWorker(&worker);
}

bool StartGpuSupervisor() {
    if (SupervisorIsThere())
        return true;
    return CallPostgres([] {
        BackgroundWorker worker = Worker(false);
        worker.bgw_notify_pid = MyProcPid;
        BackgroundWorkerHandle* handle;
        pid_t pid;
        return RegisterDynamicBackgroundWorker(&worker, &handle) &&
               WaitForBackgroundWorkerStartup(handle, &pid) != BGWH_POSTMASTER_DIED;
    });
}

}  // namespace dlent::pg

void dlent_gpu_supervisor_main(Datum argument) {
    dlent::pg::GuardCallback([argument] {
        dlent::pg::Supervise(DatumGetBool(argument));
        return true;
    });
}
