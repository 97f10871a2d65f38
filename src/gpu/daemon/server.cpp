#include "gpu/daemon/server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "gpu/daemon/session.h"

namespace dlent::gpu {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kWatchMs = 200;  ///< how often the watchdog looks, and shows the supervisor that it does
/// A round of the loop that takes longer was stopped with the process, whose jobs could not show life either.
constexpr std::chrono::seconds kLongestRound{1};
constexpr char kSignOfLife = 1;

}  // namespace

Server::Server(Device& device, FileDescriptor listener, const ServerOptions& options)
    : device_(device),
      models_(device),
      listener_(std::move(listener)),
      options_(options),
      wakeup_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Server::~Server() = default;

ServerEnd Server::Run() {
    Clock::time_point last_use = Clock::now();
    for (;;) {
        std::vector<pollfd> waits = {
            {options_.lifeline, POLLIN, 0}, {listener_.get(), POLLIN, 0}, {wakeup_.get(), POLLIN, 0}};
        const size_t first_session = waits.size();
        for (const std::unique_ptr<Session>& session : sessions_)
            waits.push_back({session->closed() ? -1 : session->fd(), POLLIN, 0});
        poll(waits.data(), waits.size(), kWatchMs);
        Tick();

        if ((waits[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
            return ServerEnd::kOrphaned;
        uint64_t ended;
        while (read(wakeup_.get(), &ended, sizeof(ended)) > 0) {
        }
        for (const std::unique_ptr<Session>& session : sessions_)
            session->Reap();
        for (size_t i = first_session; i < waits.size(); ++i) {
            if (waits[i].revents != 0)
                sessions_[i - first_session]->Read();
        }
        if (SomeJobHangs())
            return ServerEnd::kHung;
        std::erase_if(sessions_, [](const std::unique_ptr<Session>& session) {
            return session->closed() && !session->has_job();
        });
        if (waits[1].revents != 0)
            Accept();

        if (std::any_of(sessions_.begin(), sessions_.end(),
                        [](const auto& session) { return session->in_use(); }))
            last_use = Clock::now();
        else if (sessions_.empty() && options_.idle_timeout.count() > 0 &&
                 Clock::now() - last_use > options_.idle_timeout &&
                 (options_.end_unused || device_.was_used()))
            return ServerEnd::kIdle;
    }
}

void Server::Accept() {
    for (;;) {
        FileDescriptor fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!fd.valid())
            return;
        Channel channel(std::move(fd));
        const Status peer = channel.CheckPeer();
        if (peer.ok())
            sessions_.push_back(
                std::make_unique<Session>(device_, models_, std::move(channel), wakeup_.get()));
        else
            std::fprintf(stderr, "dlent-gpud: refused a connection: %s: %s\n", peer.message().c_str(),
                         peer.detail().c_str());
    }
}

void Server::Tick() {
    const Clock::time_point now = Clock::now();
    if (now - ticked_at_ > kLongestRound)
        awake_since_ = now;
    ticked_at_ = now;
    if (now - shown_at_ < std::chrono::milliseconds(kWatchMs))
        return;
    shown_at_ = now;
    // when the socket is full there are signs enough in it
    [[maybe_unused]] const ssize_t sent =
        send(options_.lifeline, &kSignOfLife, sizeof(kSignOfLife), MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool Server::SomeJobHangs() {
    const auto awake = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - awake_since_);
    for (const std::unique_ptr<Session>& session : sessions_) {
        const std::chrono::milliseconds silence = std::min(session->silence(), awake);
        if (silence <= options_.hang_timeout)
            continue;
        std::fprintf(stderr, "dlent-gpud: a job has shown no sign of life for %lld ms; the process ends\n",
                     static_cast<long long>(silence.count()));
        return true;
    }
    return false;
}

}  // namespace dlent::gpu
