#include "gpu/protocol/channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace dlent::gpu {
namespace {

constexpr int kSendPatienceMs = 1000;
constexpr int kBacklog = 64;

Status SystemError(StatusCode code, const std::string& what) {
    return {code, what, std::string(std::strerror(errno)) + "."};
}

Status Gone() {
    return {StatusCode::kNotFound, "the GPU process closed the connection"};
}

Expected<sockaddr_un> AddressOf(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path))
        return Status::Invalid("socket path \"" + path + "\" is too long");
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

}  // namespace

Expected<FileDescriptor> Listen(const std::string& path) {
    DLENT_ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
    FileDescriptor fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.valid())
        return SystemError(StatusCode::kInternal, "could not create a socket");
    const mode_t mask = umask(0077);
    const int bound = bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    umask(mask);
    if (bound != 0 || listen(fd.get(), kBacklog) != 0)
        return SystemError(StatusCode::kInternal, "could not listen at \"" + path + "\"");
    return fd;
}

Expected<Channel> Channel::Connect(const std::string& path) {
    DLENT_ASSIGN_OR_RETURN(const sockaddr_un address, AddressOf(path));
    FileDescriptor fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.valid())
        return SystemError(StatusCode::kInternal, "could not create a socket");
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
        return SystemError(StatusCode::kNotFound, "could not reach the GPU process at \"" + path + "\"");
    Channel channel(std::move(fd));
    DLENT_RETURN_IF_ERROR(channel.CheckPeer());
    return channel;
}

Status Channel::CheckPeer() const {
    ucred peer{};
    socklen_t length = sizeof(peer);
    if (getsockopt(fd_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
        return SystemError(StatusCode::kInternal, "could not read the peer's credentials");
    if (peer.uid != geteuid())
        return Status::Invalid(
            "the peer runs as another system user",
            "It is user " + std::to_string(peer.uid) + ", process " + std::to_string(peer.pid) + ".");
    return Status::Ok();
}

Status Channel::Send(MessageType type, const Json& body, int memory) {
    DLENT_ASSIGN_OR_RETURN(std::string bytes, EncodeMessage(type, body));
    iovec part{bytes.data(), bytes.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    if (memory >= 0) {
        header.msg_control = control;
        header.msg_controllen = sizeof(control);
        cmsghdr* entry = CMSG_FIRSTHDR(&header);
        entry->cmsg_level = SOL_SOCKET;
        entry->cmsg_type = SCM_RIGHTS;
        entry->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(entry), &memory, sizeof(int));
    }
    for (;;) {
        if (sendmsg(fd_.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            return Status::Ok();
        if (errno == EINTR)
            continue;
        if (errno == EPIPE || errno == ECONNRESET)
            return Gone();
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return SystemError(StatusCode::kInternal, "could not send to the GPU process");
        pollfd wait{fd_.get(), POLLOUT, 0};
        if (poll(&wait, 1, kSendPatienceMs) <= 0)
            return {StatusCode::kNotFound, "the peer does not read its messages"};
    }
}

Expected<std::optional<Received>> Channel::Receive() {
    // a byte more than there may be, so that what is too long shows
    constexpr size_t kCapacity = kMessageHeaderBytes + kMaxMessageBytes + 1;
    const auto buffer = std::make_unique_for_overwrite<char[]>(kCapacity);
    iovec part{buffer.get(), kCapacity};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 4)];
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    ssize_t length;
    do {
        length = recvmsg(fd_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (length < 0 && errno == EINTR);
    if (length < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return std::optional<Received>();
        return errno == ECONNRESET ? Gone() : SystemError(StatusCode::kInternal, "could not receive");
    }
    Received received;
    for (cmsghdr* entry = CMSG_FIRSTHDR(&header); entry != nullptr; entry = CMSG_NXTHDR(&header, entry)) {
        if (entry->cmsg_level != SOL_SOCKET || entry->cmsg_type != SCM_RIGHTS)
            continue;
        const size_t count = (entry->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; ++i) {  // all are ours to close; the last is kept
            int fd;
            std::memcpy(&fd, CMSG_DATA(entry) + i * sizeof(int), sizeof(int));
            received.memory = FileDescriptor(fd);
        }
    }
    if (length == 0)
        return Gone();
    DLENT_ASSIGN_OR_RETURN(received.message,
                           DecodeMessage(std::string_view(buffer.get(), static_cast<size_t>(length))));
    return std::optional<Received>(std::move(received));
}

}  // namespace dlent::gpu
