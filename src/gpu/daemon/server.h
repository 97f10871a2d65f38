#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "gpu/daemon/device.h"
#include "gpu/daemon/resident_models.h"
#include "gpu/protocol/channel.h"

namespace dlent::gpu {

struct ServerOptions {
    int lifeline =
        -1;  ///< a socket: readable when the supervisor is gone; what is written to it shows that we live
    std::chrono::seconds hang_timeout{30};
    std::chrono::seconds idle_timeout{300};  ///< 0: stays
    bool end_unused = false;  ///< idle also before the first job, which takes the card's memory
};

/// How the process ends.
enum class ServerEnd : int {
    kOrphaned = 0,  ///< the supervisor is gone
    kIdle = 10,     ///< nobody wanted it for a while
    kHung = 11,     ///< a job showed no sign of life, and nothing but the end of the process stops it
};

class Session;

/// Serves sessions on one thread; jobs run on threads of their own.
class Server {
 public:
    Server(Device& device, FileDescriptor listener, const ServerOptions& options);
    ~Server();

    /// Until there is a reason to end. With kHung the process must end without further ado: threads of it are
    /// stuck in the driver.
    ServerEnd Run();

 private:
    void Accept();
    /// Shows the supervisor that the loop runs, and notes when it did not.
    void Tick();
    bool SomeJobHangs();

    Device& device_;
    ResidentModels models_;
    FileDescriptor listener_;
    const ServerOptions options_;
    FileDescriptor wakeup_;  ///< jobs that end write to it
    std::vector<std::unique_ptr<Session>> sessions_;
    std::chrono::steady_clock::time_point ticked_at_;
    std::chrono::steady_clock::time_point shown_at_;     ///< the last sign of life
    std::chrono::steady_clock::time_point awake_since_;  ///< the loop has run without a long pause since then
};

}  // namespace dlent::gpu
