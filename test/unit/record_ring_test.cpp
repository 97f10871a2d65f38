// The ring of records: nothing is lost but what is counted, nothing comes twice, nobody is in another's way,
// whether producers are threads or processes that are stopped and killed.

#include "core/observe/record_ring.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace dlent {
namespace {

/// Shared with children of this process.
class SharedRing {
 public:
    explicit SharedRing(uint32_t slots)
        : bytes_(RecordRing::MemoryBytes(slots)),
          memory_(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
          ring_(memory_, slots) {}
    ~SharedRing() { munmap(memory_, bytes_); }
    RecordRing& operator*() { return ring_; }
    RecordRing* operator->() { return &ring_; }

 private:
    size_t bytes_;
    void* memory_;
    RecordRing ring_;
};

std::span<const std::byte> Bytes(const std::string& text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

/// A text that says who wrote it, the how manieth it is, and whether it is whole.
std::string Message(uint32_t owner, uint32_t number, size_t length) {
    std::string text = std::to_string(owner) + ":" + std::to_string(number) + ":";
    if (text.size() < length)
        text.resize(length, static_cast<char>('a' + (owner * 7 + number) % 26));
    return text + "$";
}

size_t LengthOf(uint32_t number) {
    return number % 5 == 0 ? 700 : number % 7 == 0 ? 3000 : 40;
}

std::vector<std::string> Drain(RecordRing* ring, size_t most = 1000000) {
    const std::vector<RecordRing::Entry> entries = ring->Collect(most);
    std::vector<std::string> texts;
    std::vector<std::byte> record;
    for (const RecordRing::Entry& entry : entries) {
        ring->Read(entry, &record);
        texts.emplace_back(reinterpret_cast<const char*>(record.data()), record.size());
    }
    ring->Release(entries);
    return texts;
}

struct Origin {
    uint32_t owner;
    uint32_t number;
};

/// Who wrote it; fails when it is not what was written.
Origin Check(const std::string& text) {
    Origin origin{};
    EXPECT_EQ(std::sscanf(text.c_str(), "%u:%u:", &origin.owner, &origin.number), 2);
    EXPECT_EQ(text, Message(origin.owner, origin.number, LengthOf(origin.number)));
    return origin;
}

bool ProcessLives(uint32_t owner, void*) {
    return kill(static_cast<pid_t>(owner), 0) == 0;
}

TEST(RecordRing, FitsIntoItsMemory) {
    for (const size_t bytes : {size_t{0}, size_t{300}, size_t{4096}, size_t{1} << 20}) {
        const uint32_t slots = RecordRing::SlotsIn(bytes);
        if (slots > 0) {
            EXPECT_LE(RecordRing::MemoryBytes(slots), bytes);
        }
    }
    EXPECT_GT(RecordRing::SlotsIn(1 << 20), 3900u);
}

TEST(RecordRing, GivesBackWhatWasPushedInOrder) {
    SharedRing ring(64);
    uint32_t next = 0;
    for (uint32_t number = 0; number < 2000;) {
        for (int i = 0; i < 3; ++i, ++number)
            ASSERT_TRUE(ring->Push(1, Bytes(Message(1, number, LengthOf(number)))));
        for (const std::string& text : Drain(&*ring))
            EXPECT_EQ(Check(text).number, next++);
    }
    EXPECT_EQ(next, ring->written());
    EXPECT_EQ(ring->waiting(), 0u);
    EXPECT_EQ(ring->used_slots(), 0u);
    EXPECT_EQ(ring->dropped(), 0u);
}

TEST(RecordRing, DropsAndCountsWhatFindsNoRoom) {
    SharedRing ring(16);
    for (uint32_t number = 0; number < 100; ++number)
        EXPECT_EQ(ring->Push(1, Bytes(Message(1, 1, 40))), number < 16);
    EXPECT_EQ(ring->written(), 16u);
    EXPECT_EQ(ring->dropped(), 84u);
    EXPECT_EQ(ring->waiting(), 16u);
    EXPECT_EQ(Drain(&*ring).size(), 16u);
    // of a record that does not fit as a whole nothing stays
    const std::string large(RecordRing::kSlotBytes * 16, 'x');
    EXPECT_FALSE(ring->Push(1, Bytes(large)));
    EXPECT_EQ(ring->used_slots(), 0u);
    EXPECT_FALSE(ring->Push(1, Bytes(std::string(RecordRing::kMaxRecordBytes + 1, 'x'))));
    EXPECT_TRUE(ring->Push(1, Bytes(std::string())));
    EXPECT_EQ(Drain(&*ring), std::vector<std::string>{""});
    EXPECT_EQ(ring->dropped(), 86u);
}

TEST(RecordRing, ReturnsAgainWhatWasNotReleased) {
    SharedRing ring(32);
    for (uint32_t number = 0; number < 9; ++number)
        ring->Push(1, Bytes(Message(1, number, 40)));
    std::vector<RecordRing::Entry> first = ring->Collect(4);
    EXPECT_EQ(first.size(), 4u);
    EXPECT_EQ(ring->Collect(100).size(), 5u);
    EXPECT_TRUE(ring->Collect(100).empty());
    ring->Rewind();
    first = ring->Collect(4);
    ring->Release(first);
    // another consumer goes on where that one was
    RecordRing other = *ring;
    other.Rewind();
    const std::vector<std::string> rest = Drain(&other);
    ASSERT_EQ(rest.size(), 5u);
    EXPECT_EQ(Check(rest.front()).number, 4u);
}

TEST(RecordRing, ManyThreadsLoseNothingButWhatIsCounted) {
    SharedRing ring(512);
    constexpr uint32_t kThreads = 6;
    constexpr uint32_t kEach = 30000;
    std::atomic<uint64_t> refused{0};
    std::atomic<uint32_t> running{kThreads};
    std::vector<std::thread> threads;
    for (uint32_t owner = 1; owner <= kThreads; ++owner) {
        threads.emplace_back([&, owner] {
            for (uint32_t number = 0; number < kEach; ++number) {
                if (!ring->Push(owner, Bytes(Message(owner, number, LengthOf(number)))))
                    ++refused;
            }
            --running;
        });
    }
    std::map<uint32_t, std::set<uint32_t>> seen;
    uint64_t count = 0;
    for (bool last = false; !last;) {
        last = running == 0;
        for (const std::string& text : Drain(&*ring, 100)) {
            const Origin origin = Check(text);
            EXPECT_TRUE(seen[origin.owner].insert(origin.number).second);
            ++count;
            last = false;
        }
    }
    for (std::thread& thread : threads)
        thread.join();
    EXPECT_EQ(count + refused, uint64_t{kThreads} * kEach);
    EXPECT_EQ(ring->dropped(), refused);
    EXPECT_EQ(ring->written(), count);
    EXPECT_EQ(ring->used_slots(), 0u);
    EXPECT_GT(count, 0u);
}

TEST(RecordRing, StoppedAndKilledProcessesAreInNobodysWay) {
    SharedRing ring(256);
    std::map<pid_t, std::set<uint32_t>> seen;
    const auto note = [&](const std::vector<std::string>& texts) {
        for (const std::string& text : texts) {
            const Origin origin = Check(text);
            EXPECT_TRUE(seen[static_cast<pid_t>(origin.owner)].insert(origin.number).second);
        }
    };
    const auto drain = [&] { note(Drain(&*ring)); };
    const auto start = [&] {
        const pid_t pid = fork();
        if (pid == 0) {
            const auto self = static_cast<uint32_t>(getpid());
            for (uint32_t number = 0;; ++number)
                ring->Push(self, Bytes(Message(self, number, LengthOf(number))));
        }
        return pid;
    };
    const pid_t other = start();
    int stuck = 0;
    for (int round = 0; round < 150 || (stuck == 0 && round < 2000); ++round) {
        const pid_t pid = start();
        usleep(500 + round % 150 * 7);
        // who finds the ring full, or waits for a processor, holds nothing: it is stopped while it runs, and
        // has room to write
        drain();
        const std::string mark = std::to_string(pid) + ":";
        std::vector<std::string> texts;
        for (int i = 0; i < 2000; ++i) {
            const std::vector<std::string> more = Drain(&*ring);
            texts.insert(texts.end(), more.begin(), more.end());
            if (std::any_of(more.begin(), more.end(),
                            [&mark](const std::string& text) { return text.starts_with(mark); }))
                break;
        }
        kill(pid, SIGSTOP);
        waitpid(pid, nullptr, WUNTRACED);
        note(texts);
        // the stopped one holds what it holds; the other's records go on
        EXPECT_EQ(ring->Reclaim(ProcessLives, nullptr), 0);
        size_t before = seen[other].size();
        for (int i = 0; i < 20000 && seen[other].size() == before; ++i) {
            drain();
            usleep(100);
        }
        EXPECT_GT(seen[other].size(), before);
        kill(pid, SIGKILL);
        waitpid(pid, nullptr, 0);
        stuck += ring->Reclaim(ProcessLives, nullptr);
        drain();
    }
    kill(other, SIGKILL);
    waitpid(other, nullptr, 0);
    drain();
    ring->Reclaim(ProcessLives, nullptr);
    EXPECT_GT(stuck, 0) << "no process was killed while it wrote: the test says nothing";
    // everything is free again: as many records as there are slots find room
    uint32_t room = 0;
    while (room < 1000 && ring->Push(1, Bytes(Message(1, 1, 40))))
        ++room;
    EXPECT_GE(room, 256u - 15u);
}

}  // namespace
}  // namespace dlent
