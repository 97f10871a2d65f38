#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "gpu/daemon/device.h"
#include "gpu/daemon/resident_models.h"
#include "gpu/protocol/channel.h"

namespace dlent::gpu {

struct ServerOptions {
    int lifeline = -1;  ///< readable when the supervisor is gone
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
    bool SomeJobHangs();

    Device& device_;
    ResidentModels models_;
    FileDescriptor listener_;
    const ServerOptions options_;
    FileDescriptor wakeup_;  ///< jobs that end write to it
    std::vector<std::unique_ptr<Session>> sessions_;
};

}  // namespace dlent::gpu
