#include "cpu/cpu_training_pool.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <set>
#include <stdexcept>
#include <thread>

#include "core/train/member_runs.h"
#include "model_testing.h"

namespace dlent {
namespace {

Expected<TrainedModel> TrainOnPool(TrainingPool* pool, const ColumnarTable& table, const std::string& options,
                                   const CancelToken& cancel = NeverCancelled(),
                                   const std::function<void(const TrainingProgress&)>& progress = {}) {
    const std::unique_ptr<Backend> backend = MakeCpuBackend();
    return TrainModel(table, ParseOptions(options), {*backend, cancel, progress, pool});
}

TEST(CpuTrainingPool, RunsEveryTaskOnceAndWatchesMeanwhile) {
    const auto pool = MakeCpuTrainingPool(3);
    EXPECT_EQ(pool->width(), 3);
    std::vector<std::atomic<int>> calls(20);
    std::atomic<int> at_once{0};
    std::atomic<int> most{0};
    std::mutex mutex;
    std::set<const Backend*> backends;
    const std::thread::id caller = std::this_thread::get_id();
    int watches = 0;
    ASSERT_TRUE(pool->Run(
                        20,
                        [&](int task, Backend& backend) {
                            EXPECT_NE(std::this_thread::get_id(), caller);
                            most = std::max(most.load(), ++at_once);
                            ++calls[task];
                            std::this_thread::sleep_for(std::chrono::milliseconds(5));
                            --at_once;
                            const std::scoped_lock lock(mutex);
                            backends.insert(&backend);
                        },
                        [&] {
                            EXPECT_EQ(std::this_thread::get_id(), caller);
                            ++watches;
                        })
                    .ok());
    for (const std::atomic<int>& count : calls)
        EXPECT_EQ(count, 1);
    EXPECT_LE(most, 3);
    EXPECT_LE(backends.size(), 3u);
    EXPECT_GT(watches, 0);
    ASSERT_TRUE(pool->Run(
                        0, [](int, Backend&) { ADD_FAILURE(); }, [] {})
                    .ok());
}

TEST(CpuTrainingPool, LeavesSignalsToTheThreadsOfOthers) {
    sigset_t before;
    pthread_sigmask(SIG_SETMASK, nullptr, &before);
    ASSERT_FALSE(sigismember(&before, SIGTERM));
    const auto check = [](int, Backend&) {
        sigset_t mask;
        pthread_sigmask(SIG_SETMASK, nullptr, &mask);
        for (const int signal : {SIGTERM, SIGINT, SIGUSR1, SIGALRM})
            EXPECT_TRUE(sigismember(&mask, signal)) << signal;
    };
    ASSERT_TRUE(MakeCpuTrainingPool(2)->Run(2, check, [] {}).ok());
    sigset_t after;
    pthread_sigmask(SIG_SETMASK, nullptr, &after);
    EXPECT_FALSE(sigismember(&after, SIGTERM));
}

TEST(CpuTrainingPool, EndsItsTasksWhenTheWatchThrows) {
    std::atomic<int> ended{0};
    const auto pool = MakeCpuTrainingPool(2);
    const auto task = [&](int, Backend&) {
        std::this_thread::sleep_for(std::chrono::milliseconds(30));
        ++ended;
    };
    EXPECT_THROW((void)pool->Run(4, task, [] { throw std::runtime_error("interrupted"); }),
                 std::runtime_error);
    EXPECT_EQ(ended, 4);
}

class TrainingOnAPool : public testing::TestWithParam<std::pair<Task, const char*>> {};

TEST_P(TrainingOnAPool, GivesTheBytesOfOneThread) {
    const auto& [task, options] = GetParam();
    const ColumnarTable table = MixedRows(task, 400, 1).Build();
    const Expected<TrainedModel> alone = TrainOnPool(nullptr, table, options);
    ASSERT_TRUE(alone.ok()) << alone.status().message();
    for (const int threads : {1, 2, 3}) {
        const auto pool = MakeCpuTrainingPool(threads);
        const Expected<TrainedModel> beside = TrainOnPool(pool.get(), table, options);
        ASSERT_TRUE(beside.ok()) << beside.status().message();
        EXPECT_EQ(Artifact::Of(alone->model), Artifact::Of(beside->model)) << threads;
        EXPECT_EQ(alone->metrics, beside->metrics);
        EXPECT_EQ(alone->train_rows, beside->train_rows);
        ASSERT_EQ(alone->log.size(), beside->log.size());
        for (size_t i = 0; i < alone->log.size(); ++i) {
            EXPECT_EQ(alone->log[i].member, beside->log[i].member);
            EXPECT_EQ(alone->log[i].train_loss, beside->log[i].train_loss);
        }
        Json details[2] = {alone->details, beside->details};
        for (Json& one : details)
            one.erase("rows_per_second");
        EXPECT_EQ(details[0], details[1]);
    }
}

INSTANTIATE_TEST_SUITE_P(
    Every, TrainingOnAPool,
    testing::Values(std::pair{Task::kBinary, R"({"epochs":3,"hidden":[12]})"},
                    std::pair{Task::kRegression, R"({"epochs":3,"hidden":[12]})"},
                    std::pair{Task::kMulticlass, R"({"preset":"best","epochs":2,"hidden":[12]})"},
                    std::pair{Task::kBinary, R"({"preset":"fast","epochs":3,"hidden":[12]})"},
                    std::pair{Task::kRegression,
                              R"({"epochs":3,"hidden":[12],"validation":{"method":"none"}})"}));

/// Raised from outside; notices from which thread it is read.
class WatchedToken final : public CancelToken {
 public:
    bool IsCancelled() const override {
        foreign_ = foreign_ || std::this_thread::get_id() != caller_;
        return cancelled_;
    }
    void Cancel() { cancelled_ = true; }
    bool was_read_elsewhere() const { return foreign_; }

 private:
    const std::thread::id caller_ = std::this_thread::get_id();
    std::atomic<bool> cancelled_{false};
    mutable std::atomic<bool> foreign_{false};
};

TEST(TrainModelOnAPool, IsCancelledAndReportsOnTheCallersThread) {
    const ColumnarTable table = MixedRows(Task::kBinary, 400, 8).Build();
    const auto pool = MakeCpuTrainingPool(2);
    WatchedToken token;
    const std::thread::id caller = std::this_thread::get_id();
    double fraction = 0.0;
    const auto trained = TrainOnPool(pool.get(), table, R"({"epochs":100000,"patience":100000})", token,
                                     [&](const TrainingProgress& progress) {
                                         EXPECT_EQ(std::this_thread::get_id(), caller);
                                         EXPECT_GE(progress.fraction, fraction);
                                         fraction = progress.fraction;
                                         if (progress.epoch_ended)
                                             token.Cancel();
                                     });
    EXPECT_EQ(trained.status().code(), StatusCode::kCancelled);
    EXPECT_FALSE(token.was_read_elsewhere());
}

/// One plain column; the rows from `bad` on have no finite value.
class PlainColumn final : public TrainingData {
 public:
    explicit PlainColumn(uint32_t bad) : bad_(bad) {}
    size_t rows() const override { return 64; }
    void Gather(std::span<const uint32_t> rows, const HostBatch& batch) const override {
        for (size_t i = 0; i < rows.size(); ++i) {
            if (batch.plain != nullptr)
                batch.plain[i] = rows[i] >= bad_ ? NAN : static_cast<float>(rows[i]);
            if (batch.targets != nullptr)
                static_cast<float*>(batch.targets)[i] = 1.0f;
        }
    }

 private:
    uint32_t bad_;
};

TEST(MemberRunner, ReportsTheRunThatFailedNotThoseThatItStopped) {
    const PlainColumn data(48);
    const auto spec = NetworkSpec::FromJson(Json::parse(
        R"({"version":1,"inputs":{"plain":1},"layers":[
            {"name":"out","type":"dense","inputs":["plain"],"units":1}],"output":"out"})"));
    ASSERT_TRUE(spec.ok()) << spec.status().message();
    Split good;
    for (uint32_t row = 0; row < 32; ++row)
        good.train.push_back(row);
    const Split bad{{56, 57, 58}, {}};
    const Pipeline pipeline;
    MemberRunContext context;
    context.data = &data;
    context.pipeline = &pipeline;
    context.trainer.loss.kind = LossKind::kSquared;
    context.trainer.max_epochs = 100000;
    context.start = std::chrono::steady_clock::now();
    const std::unique_ptr<Backend> backend = MakeCpuBackend();
    const auto pool = MakeCpuTrainingPool(2);
    const NeverCancelled never;
    const ProgressCallback silent;
    MemberRunner runner(context, *backend, pool.get(), never, silent);
    const std::vector<MemberRun> runs = {{&*spec, 0, &good}, {&*spec, 1, &bad}, {&*spec, 2, &good}};
    EXPECT_EQ(runner.Run(runs, "training").status().code(), StatusCode::kNonFinite);
    EXPECT_EQ(runner.runs_done(), 0);
}

TEST(TrainModelOnAPool, KeepsToTheTimeLimit) {
    const ColumnarTable table = MixedRows(Task::kBinary, 400, 8).Build();
    const auto pool = MakeCpuTrainingPool(2);
    const auto trained =
        TrainOnPool(pool.get(), table, R"({"max_seconds":0.2,"epochs":100000,"patience":100000})");
    ASSERT_TRUE(trained.ok()) << trained.status().message();
    EXPECT_EQ(trained->details.at("stop_reasons")[0], "time_limit");
    EXPECT_EQ(trained->model.members.size(), 5u);
    EXPECT_TRUE(trained->model.Validate().ok());
}

}  // namespace
}  // namespace dlent
