#include "pg/bridge/postgres.h"

#include "pg/gpu/connection.h"

#include <sys/epoll.h>

#include <algorithm>
#include <limits>

#include "pg/bridge/error.h"
#include "pg/gpu/files.h"
#include "pg/gpu/settings.h"
#include "pg/workers/gpu_supervisor.h"

extern "C" {
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/wait_event.h"
}

namespace dlent::pg {
namespace {

constexpr int kProbePatienceMs = 60000;    ///< for a supervisor's first look at the devices
constexpr int kProcessPatienceMs = 10000;  ///< for a process that is starting
constexpr int kAnswerPatienceMs = 10000;   ///< for an answer that is due at once
constexpr int kPollMs = 10;
constexpr double kProblemAgeSeconds = 60.0;  ///< how long "there is no GPU" is believed
constexpr long kLongestWaitMs = 1000;

/// Sleeps until something is to be read from `fd` (−1: none), an interrupt, or the time.
void Sleep(int fd, long milliseconds) {
    CallPostgres([=] {
        const int events =
            WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH | (fd >= 0 ? WL_SOCKET_READABLE : 0);
        WaitLatchOrSocket(MyLatch, events, fd >= 0 ? fd : PGINVALID_SOCKET, milliseconds, PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
    });
}

bool Passed(TimestampTz since, int milliseconds) {
    return TimestampDifferenceExceeds(since, GetCurrentTimestamp(), milliseconds);
}

Status NoWorker() {
    return {StatusCode::kUnsupported, "the GPU supervisor could not be started",
            "The server has no place for another background worker.", "Raise max_worker_processes."};
}

GpuListing Listing(const Json& json) {
    GpuListing listing;
    const auto devices = json.find("devices");
    if (devices == json.end() || !devices->is_array()) {
        listing.problem = gpu::StatusFromJson(json.value("error", Json::object()));
        return listing;
    }
    for (const Json& device : *devices) {
        GpuListing::Entry entry;
        const auto text = [&device](const char* name) {
            Expected<std::string> value = gpu::ReadText(device, name);
            return value.ok() ? std::move(*value) : std::string();
        };
        entry.name = text("name");
        entry.kind = text("kind");
        entry.driver = text("driver");
        if (const Expected<uint64_t> memory = gpu::ReadUnsigned(device, "memory", uint64_t{1} << 53);
            memory.ok())
            entry.memory = *memory;
        listing.devices.push_back(std::move(entry));
    }
    return listing;
}

GpuListing Problem(Status status) {
    GpuListing listing;
    listing.problem = std::move(status);
    return listing;
}

}  // namespace

GpuListing ListGpus(const CancelToken& cancel) {
    const std::string plugin = CurrentGpuServerSettings().plugin;
    if (!FileExists(GpuPluginPath(plugin)))
        return Problem({StatusCode::kUnsupported, "no GPU plugin is installed",
                        "There is no " + GpuPluginPath(plugin) + ".",
                        "Install dlent from a build with CUDA."});
    const TimestampTz start = GetCurrentTimestamp();
    bool asked = false;
    for (;;) {
        if (cancel.IsCancelled())
            return Problem(Status::Cancelled());
        if (const std::optional<GpuDevices> found = ReadGpuDevices()) {
            GpuListing listing = Listing(found->json);
            if (listing.problem.ok() || asked || found->age_seconds < kProblemAgeSeconds)
                return listing;
        }
        if (Passed(start, kProbePatienceMs))
            return Problem({StatusCode::kUnsupported, "the GPU supervisor does not answer"});
        if (!SupervisorIsThere() && !std::exchange(asked, true) && !StartGpuSupervisor())
            return Problem(NoWorker());
        Sleep(-1, kPollMs);
    }
}

Expected<GpuConnection> GpuConnection::OpenRunning(int device, const CancelToken& cancel) {
    DLENT_ASSIGN_OR_RETURN(gpu::Channel channel, gpu::Channel::Connect(GpuSocketPath(device)));
    GpuConnection connection(std::move(channel), device);
    DLENT_RETURN_IF_ERROR(connection.Greet(cancel));
    return connection;
}

Expected<GpuConnection> GpuConnection::Open(std::optional<int> device, const CancelToken& cancel) {
    DLENT_ASSIGN_OR_RETURN(std::vector<std::optional<GpuConnection>> all, OpenAll(device, cancel));
    const auto load = [](const std::optional<GpuConnection>& c) {
        return c ? c->status().jobs + c->status().waiting : std::numeric_limits<uint64_t>::max();
    };
    const auto best = std::min_element(all.begin(), all.end(),
                                       [&](const auto& a, const auto& b) { return load(a) < load(b); });
    return std::move(**best);
}

Expected<std::vector<std::optional<GpuConnection>>> GpuConnection::OpenAll(std::optional<int> device,
                                                                           const CancelToken& cancel) {
    const GpuListing listing = ListGpus(cancel);
    if (!listing.problem.ok())
        return listing.problem;
    const int count = static_cast<int>(listing.devices.size());
    if (device && (*device < 0 || *device >= count))
        return Status(StatusCode::kUnsupported, "there is no GPU " + std::to_string(*device),
                      "GPUs are numbered from 0; the server has " + std::to_string(count) + ".");
    const TimestampTz start = GetCurrentTimestamp();
    TimestampTz asked_at = 0;
    bool missed = false;
    for (;;) {
        std::vector<std::optional<GpuConnection>> all(listing.devices.size());
        bool found = false;
        Status problem;
        for (int i = device.value_or(0); i < (device ? *device + 1 : count); ++i) {
            Expected<GpuConnection> connection = OpenRunning(i, cancel);
            if (connection.ok())
                all[static_cast<size_t>(i)] = std::move(*connection);
            else
                problem = connection.status();
            found = found || connection.ok();
        }
        if (problem.code() == StatusCode::kNotFound && !std::exchange(missed, true))
            WantGpus();
        if (found)
            return all;
        // a process that is there and refuses us will not do otherwise later
        if (problem.code() != StatusCode::kNotFound)
            return problem;
        if (Passed(start, kProcessPatienceMs))
            return Status(StatusCode::kUnsupported, "the GPU process does not answer",
                          problem.message() + ": " + problem.detail(), "The server's log may say why.");
        // one that ended since it listed the devices
        if (!SupervisorIsThere() && (asked_at == 0 || Passed(asked_at, 1000))) {
            asked_at = GetCurrentTimestamp();
            if (!StartGpuSupervisor())
                return NoWorker();
        }
        Sleep(-1, kPollMs);
        if (cancel.IsCancelled())
            return Status::Cancelled();
    }
}

Status GpuConnection::Greet(const CancelToken& cancel) {
    DLENT_RETURN_IF_ERROR(Send(gpu::MessageType::kHello, {{"build", DLENT_VERSION}}));
    DLENT_ASSIGN_OR_RETURN(const gpu::Received answer, ReceiveAnswer(cancel));
    const Json& body = answer.message.body;
    if (answer.message.type == gpu::MessageType::kError) {
        const Status reason = gpu::StatusFromJson(body);
        return {StatusCode::kUnsupported, "the GPU process refused the session", reason.message() + ".",
                "Restart the server, so that it is of one build."};
    }
    if (answer.message.type != gpu::MessageType::kWelcome)
        return Status::Corrupt("the GPU process did not answer the greeting");
    DLENT_ASSIGN_OR_RETURN(const std::string build, gpu::ReadText(body, "build", 64));
    if (build != DLENT_VERSION)
        return {StatusCode::kUnsupported,
                "the GPU process is of dlent " + build,
                {},
                "Restart the server, so that it is of one build."};
    DLENT_ASSIGN_OR_RETURN(status_, gpu::DeviceStatus::FromJson(body));
    return Status::Ok();
}

Status GpuConnection::AskStatus(const CancelToken& cancel) {
    DLENT_RETURN_IF_ERROR(Send(gpu::MessageType::kStatusQuery, Json::object()));
    DLENT_ASSIGN_OR_RETURN(const gpu::Received answer, ReceiveAnswer(cancel));
    if (answer.message.type != gpu::MessageType::kStatus)
        return Status::Corrupt("the GPU process did not answer how it is");
    DLENT_ASSIGN_OR_RETURN(status_, gpu::DeviceStatus::FromJson(answer.message.body));
    return Status::Ok();
}

Expected<gpu::Received> GpuConnection::Receive(const CancelToken& cancel) {
    return ReceiveWithin(std::nullopt, cancel);
}

Expected<gpu::Received> GpuConnection::ReceiveAnswer(const CancelToken& cancel) {
    return ReceiveWithin(kAnswerPatienceMs, cancel);
}

Expected<gpu::Received> GpuConnection::ReceiveWithin(std::optional<int> patience_ms,
                                                     const CancelToken& cancel) {
    const TimestampTz start = GetCurrentTimestamp();
    for (;;) {
        if (cancel.IsCancelled())
            return Status::Cancelled();
        DLENT_ASSIGN_OR_RETURN(std::optional<gpu::Received> received, channel_.Receive());
        if (received)
            return std::move(*received);
        if (patience_ms && Passed(start, *patience_ms))
            return Status(StatusCode::kUnsupported,
                          "the process of GPU " + std::to_string(device_) + " does not answer", {},
                          "The server's log may say why.");
        Sleep(channel_.fd(), kLongestWaitMs);
    }
}

void GpuConnection::WaitForAny(std::span<const GpuConnection* const> connections, long milliseconds) {
    // one descriptor that is readable when any of them is
    const gpu::FileDescriptor all(epoll_create1(EPOLL_CLOEXEC));
    bool complete = all.valid();
    for (const GpuConnection* const connection : connections) {
        epoll_event event{};
        event.events = EPOLLIN;
        complete = complete && epoll_ctl(all.get(), EPOLL_CTL_ADD, connection->channel_.fd(), &event) == 0;
    }
    Sleep(complete ? all.get() : -1, complete ? milliseconds : kPollMs);
}

}  // namespace dlent::pg
