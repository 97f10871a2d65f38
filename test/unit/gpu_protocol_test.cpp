// What a session and dlent-gpud say to each other, and that neither believes the other. The whole
// conversation is tested on a server by test/tap/t/1*_gpu*.pl.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <numeric>

#include "gpu/protocol/channel.h"
#include "gpu/protocol/group.h"
#include "gpu/protocol/image.h"
#include "gpu/protocol/job.h"
#include "gpu/protocol/silence.h"
#include "network_testing.h"
#include "testing.h"

namespace dlent::gpu {
namespace {

/// Rows whose every value says which row and column it is.
class CountedRows final : public TrainingData {
 public:
    explicit CountedRows(size_t rows) : rows_(rows) {}
    size_t rows() const override { return rows_; }
    bool has_weights() const override { return true; }
    void Gather(std::span<const uint32_t> rows, const HostBatch& batch) const override {
        for (size_t i = 0; i < rows.size(); ++i) {
            const auto row = static_cast<float>(rows[i]);
            for (int c = 0; batch.numeric != nullptr && c < 3; ++c)
                batch.numeric[i * 3 + c] = row + static_cast<float>(c) * 0.125f;
            for (int c = 0; batch.codes != nullptr && c < 2; ++c)
                batch.codes[i * 2 + c] = static_cast<int32_t>(rows[i] % 5) - 1;
            if (batch.targets != nullptr)
                static_cast<int32_t*>(batch.targets)[i] = static_cast<int32_t>(rows[i] % 3);
            if (batch.weights != nullptr)
                batch.weights[i] = row * 0.5f;
        }
    }

 private:
    size_t rows_;
};

ImageShape CountedShape(size_t rows) {
    ImageShape shape;
    shape.rows = rows;
    shape.numeric = 3;
    shape.fields = 2;
    shape.integer_targets = true;
    shape.weights = true;
    return shape;
}

NetworkSpec ImageSpec() {
    return *ParseSpec(R"({"version": 1, "inputs": {"numeric": 3, "plain": 0, "codes": [4, 4]}, "members": 1,
        "layers": [{"name": "output", "type": "dense", "inputs": ["numeric", "codes"], "units": 3}],
        "output": "output"})");
}

std::vector<NamedTensorData> Tensors() {
    CpuIsa isa = CpuIsa::kGeneric;
    const auto backend = MakeCpuBackend(isa);
    const auto network = Network::Create(ImageSpec(), *backend, 1, false);
    EXPECT_TRUE((*network)->Initialize(7).ok());
    return *(*network)->Save();
}

std::pair<Channel, Channel> Connected() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    return {Channel(FileDescriptor(ends[0])), Channel(FileDescriptor(ends[1]))};
}

TEST(GpuMessage, RoundTrip) {
    const Json body = {{"rows", 5}, {"text", "äöü \" \\"}, {"nested", {{"a", {1, 2.5, nullptr}}}}};
    const auto bytes = EncodeMessage(MessageType::kTrain, body);
    ASSERT_TRUE(bytes.ok());
    const auto message = DecodeMessage(*bytes);
    ASSERT_TRUE(message.ok());
    EXPECT_EQ(message->type, MessageType::kTrain);
    EXPECT_EQ(message->body, body);
}

TEST(GpuMessage, WhatIsNotAMessageIsRefused) {
    const std::string good = *EncodeMessage(MessageType::kHello, {{"build", "1.0"}});
    for (size_t length = 0; length < good.size(); ++length)
        EXPECT_EQ(DecodeMessage(good.substr(0, length)).status().code(), StatusCode::kCorrupt) << length;
    EXPECT_EQ(DecodeMessage(good + " ").status().code(), StatusCode::kCorrupt);
    std::string bytes = good;
    bytes[0] ^= 1;
    EXPECT_EQ(DecodeMessage(bytes).status().code(), StatusCode::kCorrupt);
    bytes = good;
    bytes[4] ^= 2;
    const Status other = DecodeMessage(bytes).status();
    EXPECT_EQ(other.code(), StatusCode::kUnsupported);
    EXPECT_NE(other.message().find("version 1 where this build speaks version 3"), std::string::npos);
    bytes = good;
    bytes[6] = 99;
    EXPECT_EQ(DecodeMessage(bytes).status().code(), StatusCode::kCorrupt);
}

TEST(GpuMessage, DeepAndLongJsonIsRefused) {
    EXPECT_FALSE(ParseObject("{\"a\":" + std::string(20000, '[') + std::string(20000, ']') + "}").ok());
    EXPECT_TRUE(ParseObject("{\"a\":\"" + std::string(20000, '[') + "\"}").ok());
    EXPECT_EQ(
        EncodeMessage(MessageType::kError, {{"text", std::string(kMaxMessageBytes, 'x')}}).status().code(),
        StatusCode::kResourceLimit);
}

TEST(GpuMessage, StatusKeepsItsTexts) {
    const Status status(StatusCode::kNonFinite, "message", "detail", "hint");
    const Status back = StatusFromJson(StatusToJson(status));
    EXPECT_EQ(back.code(), status.code());
    EXPECT_EQ(back.message() + back.detail() + back.hint(), "messagedetailhint");
    for (const Json& body : {Json::object(), Json{{"code", 0}}, Json{{"code", 4711}}, Json{{"code", "x"}}})
        EXPECT_EQ(StatusFromJson(body).code(), StatusCode::kInternal) << body.dump();
}

TEST(GpuChannel, MessagesArriveInOrderWithTheirMemory) {
    auto [a, b] = Connected();
    ASSERT_OK(a.CheckPeer());
    auto memory = SharedMemory::Create(100, kNever);
    ASSERT_TRUE(memory.ok());
    std::memcpy(memory->data(), "hello", 6);
    ASSERT_OK(a.Send(MessageType::kHello, {{"n", 1}}));
    ASSERT_OK(a.Send(MessageType::kImage, {{"n", 2}}, memory->fd()));
    auto first = b.Receive();
    ASSERT_TRUE(first.ok() && first->has_value());
    EXPECT_EQ((*first)->message.body["n"], 1);
    EXPECT_FALSE((*first)->memory.valid());
    auto second = b.Receive();
    ASSERT_TRUE(second.ok() && second->has_value());
    const auto mapped = SharedMemory::Map(std::move((*second)->memory), 100);
    ASSERT_TRUE(mapped.ok());
    EXPECT_STREQ(reinterpret_cast<const char*>(mapped->data()), "hello");
    const auto nothing = b.Receive();
    EXPECT_TRUE(nothing.ok() && !nothing->has_value());
    a.Close();
    EXPECT_EQ(b.Receive().status().code(), StatusCode::kNotFound);
    EXPECT_EQ(b.Send(MessageType::kHello, Json::object()).code(), StatusCode::kNotFound);
}

TEST(GpuChannel, APeerThatDoesNotReadIsGivenUp) {
    auto [a, b] = Connected();
    Status status;
    for (int i = 0; i < 100000 && status.ok(); ++i)
        status = a.Send(MessageType::kProgress, {{"text", std::string(10000, 'x')}});
    EXPECT_EQ(status.code(), StatusCode::kNotFound);
}

TEST(GpuSharedMemory, OnlyWhatIsSealedAndOfTheSizeIsMapped) {
    auto memory = SharedMemory::Create(4096, kNever);
    ASSERT_TRUE(memory.ok());
    EXPECT_NE(ftruncate(memory->fd(), 100), 0) << "a writer could cut what its reader maps";
    EXPECT_FALSE(SharedMemory::Map(FileDescriptor(dup(memory->fd())), 4095).ok());
    EXPECT_FALSE(SharedMemory::Map(FileDescriptor(), 4096).ok());
    EXPECT_TRUE(SharedMemory::Map(FileDescriptor(dup(memory->fd())), 4096).ok());
    FileDescriptor unsealed(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    ASSERT_EQ(ftruncate(unsealed.get(), 4096), 0);
    EXPECT_EQ(SharedMemory::Map(std::move(unsealed), 4096).status().code(), StatusCode::kCorrupt);
    EXPECT_EQ(SharedMemory::Create(size_t{1} << 60, kNever).status().code(), StatusCode::kOutOfMemory);
}

TEST(GpuImage, RowsAreWhatTheDataSays) {
    constexpr size_t kRows = 10000;
    const CountedRows data(kRows);
    const auto layout = ImageLayout::Of(CountedShape(kRows));
    ASSERT_TRUE(layout.ok());
    std::vector<std::byte> memory(layout->bytes);
    ASSERT_OK(WriteImage(*layout, data, kNever, memory.data()));
    const ImageData image(*layout, memory.data());
    ASSERT_OK(image.Check(ImageSpec(), 3, kNever));
    const std::vector<uint32_t> rows = {9999, 0, 4096, 4095, 1};
    std::vector<float> numeric[2];
    std::vector<int32_t> codes[2];
    std::vector<int32_t> targets[2];
    std::vector<float> weights[2];
    for (const TrainingData* source :
         {static_cast<const TrainingData*>(&data), static_cast<const TrainingData*>(&image)}) {
        const int i = source == &image ? 1 : 0;
        numeric[i].resize(15);
        codes[i].resize(10);
        targets[i].resize(5);
        weights[i].resize(5);
        source->Gather(rows,
                       {numeric[i].data(), nullptr, codes[i].data(), targets[i].data(), weights[i].data()});
    }
    EXPECT_EQ(numeric[0], numeric[1]);
    EXPECT_EQ(codes[0], codes[1]);
    EXPECT_EQ(targets[0], targets[1]);
    EXPECT_EQ(weights[0], weights[1]);
    const std::optional<HostRows> all = image.AllRows();
    ASSERT_TRUE(all.has_value());
    for (size_t i = 0; i < rows.size(); ++i) {
        for (size_t c = 0; c < 3; ++c)
            EXPECT_EQ(all->numeric[rows[i] * 3 + c], numeric[0][i * 3 + c]);
        for (size_t c = 0; c < 2; ++c)
            EXPECT_EQ(all->codes[rows[i] * 2 + c], codes[0][i * 2 + c]);
        EXPECT_EQ(static_cast<const int32_t*>(all->targets)[rows[i]], targets[0][i]);
        EXPECT_EQ(all->weights[rows[i]], weights[0][i]);
    }
    EXPECT_FALSE(data.AllRows().has_value());
}

TEST(GpuImage, WhatADeviceCouldNotReadIsRefused) {
    constexpr size_t kRows = 50;
    const auto layout = ImageLayout::Of(CountedShape(kRows));
    std::vector<std::byte> memory(layout->bytes);
    ASSERT_OK(WriteImage(*layout, CountedRows(kRows), kNever, memory.data()));
    const ImageData image(*layout, memory.data());
    EXPECT_FALSE(image.Check(ImageSpec(), 1, kNever).ok()) << "labels for one output";
    EXPECT_FALSE(image.Check(ImageSpec(), 2, kNever).ok()) << "a label too large";
    auto* codes = reinterpret_cast<int32_t*>(memory.data() + layout->codes);
    codes[77] = 4;
    EXPECT_EQ(image.Check(ImageSpec(), 3, kNever).code(), StatusCode::kCorrupt) << "a code too large";
    codes[77] = -5;
    ASSERT_OK(image.Check(ImageSpec(), 3, kNever));
    auto* labels = reinterpret_cast<int32_t*>(memory.data() + layout->targets);
    labels[9] = -1;
    ASSERT_OK(CheckRows(std::vector<uint32_t>{0, 8, 10}, image));
    EXPECT_FALSE(CheckRows(std::vector<uint32_t>{0, 9}, image).ok()) << "a row without a label";
    EXPECT_FALSE(CheckRows(std::vector<uint32_t>{0, kRows}, image).ok()) << "a row that is not there";
}

TEST(GpuImage, SizesThatCannotBeAreRefused) {
    ImageShape shape = CountedShape(1);
    EXPECT_TRUE(ImageShape::FromJson(shape.ToJson()).ok());
    for (const char* name : {"rows", "numeric", "plain", "fields"}) {
        Json body = shape.ToJson();
        body[name] = uint64_t{1} << 40;
        EXPECT_FALSE(ImageShape::FromJson(body).ok()) << name;
        body[name] = -1;
        EXPECT_FALSE(ImageShape::FromJson(body).ok()) << name;
        body.erase(name);
        EXPECT_FALSE(ImageShape::FromJson(body).ok()) << name;
    }
    shape.rows = 0;
    EXPECT_FALSE(ImageShape::FromJson(shape.ToJson()).ok());
}

TEST(GpuRankOfJob, RoundTrip) {
    std::string id(kGroupIdBytes, '\0');
    for (size_t i = 0; i < id.size(); ++i)
        id[i] = static_cast<char>(i * 7);
    for (const RankOfJob& rank : {RankOfJob{0, 1, ""}, RankOfJob{0, 3, ""}, RankOfJob{2, 3, id}}) {
        Json body = {{"description", 5}};
        rank.AddTo(&body);
        const auto back = RankOfJob::FromJson(Json::parse(body.dump()));
        ASSERT_TRUE(back.ok()) << back.status().message();
        EXPECT_EQ(back->rank, rank.rank);
        EXPECT_EQ(back->ranks, rank.ranks);
        EXPECT_EQ(back->id, rank.id);
    }
    EXPECT_EQ(*TurnFromJson(TurnToJson(id)), id);
    EXPECT_EQ(*TurnFromJson(TurnToJson("")), "");
}

TEST(GpuRankOfJob, WhatCannotBeIsRefused) {
    Json good;
    RankOfJob{1, 2, std::string(kGroupIdBytes, 'x')}.AddTo(&good);
    ASSERT_TRUE(RankOfJob::FromJson(good).ok());
    const auto refuses = [&good](const char* name, const Json& value) {
        Json body = good;
        body[name] = value;
        EXPECT_FALSE(RankOfJob::FromJson(body).ok()) << name << " " << value.dump();
        body.erase(name);
        EXPECT_FALSE(RankOfJob::FromJson(body).ok()) << "no " << name;
    };
    for (const Json& value : {Json(2), Json(-1), Json(0), Json("1"), Json(nullptr), Json(1e9)})
        refuses("rank", value);
    for (const Json& value : {Json(1), Json(0), Json(17), Json(1.5)})
        refuses("ranks", value);
    for (const Json& value : {Json(""), Json(5), Json(std::string(256, 'g')), Json(std::string(255, 'a')),
                              Json(std::string(258, 'a')), Json(std::string(256, 'A'))})
        refuses("group", value);
    EXPECT_FALSE(TurnFromJson({{"group", "ab"}}).ok());
    EXPECT_FALSE(TurnFromJson(Json::object()).ok());
}

TEST(GpuJob, RoundTrip) {
    TrainerOptions options;
    options.loss.kind = LossKind::kFocal;
    options.loss.focal_gamma = 1.7f;
    options.class_weights = {0.1f, 3.0f, 1e-7f};
    options.optimizer.kind = OptimizerKind::kSgd;
    options.optimizer.nesterov = true;
    options.learning_rate = 0.1234567890123456789;
    options.batch_size = 333;
    options.min_steps = int64_t{1} << 35;
    options.schedule = ScheduleKind::kFlatCos;
    options.stopping = {StoppingRule::kPatience, 3};
    options.restore_best = false;
    options.ema_decay = 0.99;
    options.seed = ~uint64_t{0};
    const std::vector<NamedTensorData> tensors = Tensors();
    const std::vector<uint32_t> train = {5, 4, 4294967295u};
    const std::vector<uint32_t> validation = {1};
    const auto parcel = PackJob(ImageSpec(), tensors, options, Precision::kBf16, train, validation, kNever);
    ASSERT_TRUE(parcel.ok());
    EXPECT_EQ(*JobBytes(parcel->body), parcel->memory.size());
    const auto job = UnpackJob(parcel->body, {parcel->memory.data(), parcel->memory.size()});
    ASSERT_TRUE(job.ok()) << job.status().message();
    EXPECT_EQ(job->network.ToJson(), ImageSpec().ToJson());
    EXPECT_EQ(job->precision, Precision::kBf16);
    EXPECT_EQ(job->train_rows, train);
    EXPECT_EQ(job->validation_rows, validation);
    ASSERT_EQ(job->tensors.size(), tensors.size());
    EXPECT_EQ(job->tensors[0].values, tensors[0].values);
    const TrainerOptions& back = job->options;
    EXPECT_EQ(back.loss.kind, options.loss.kind);
    EXPECT_EQ(back.loss.focal_gamma, options.loss.focal_gamma);
    EXPECT_EQ(back.class_weights, options.class_weights);
    EXPECT_EQ(back.optimizer.kind, options.optimizer.kind);
    EXPECT_EQ(back.optimizer.nesterov, true);
    EXPECT_EQ(back.learning_rate, options.learning_rate);
    EXPECT_EQ(back.batch_size, 333);
    EXPECT_EQ(back.min_steps, options.min_steps);
    EXPECT_EQ(back.schedule, options.schedule);
    EXPECT_EQ(back.stopping.rule, StoppingRule::kPatience);
    EXPECT_EQ(back.stopping.patience, 3);
    EXPECT_EQ(back.restore_best, false);
    EXPECT_EQ(back.ema_decay, options.ema_decay);
    EXPECT_EQ(back.seed, options.seed);
}

TEST(GpuJob, SizesThatDoNotFitAreRefused) {
    const auto parcel =
        PackJob(ImageSpec(), Tensors(), {}, Precision::kFp32, std::vector<uint32_t>{1, 2}, {}, kNever);
    ASSERT_TRUE(parcel.ok());
    const std::span<const std::byte> memory(parcel->memory.data(), parcel->memory.size());
    EXPECT_FALSE(UnpackJob(parcel->body, memory.first(memory.size() - 1)).ok());
    for (const char* name : {"description", "tensors", "train_rows", "validation_rows"}) {
        for (const uint64_t more : {uint64_t{1}, uint64_t{1} << 31, ~uint64_t{0} / 2}) {
            Json body = parcel->body;
            body[name] = body[name].get<uint64_t>() + more;
            const auto bytes = JobBytes(body);
            if (bytes.ok() && *bytes == memory.size())
                continue;  // within the padding
            EXPECT_FALSE(UnpackJob(body, memory).ok()) << name << " + " << more;
        }
    }
}

TEST(GpuJob, ResultRoundTrip) {
    TrainerResult result;
    result.epochs = 3;
    result.steps = 77;
    result.best_epoch = 2;
    result.best_fraction = 2.0 / 3.0;
    result.best_validation_loss = std::nan("");
    result.validation_logits = {1.5f, -2.0f, std::numeric_limits<float>::infinity()};
    result.log = {{0, 1, 0.5, std::nan(""), 1e-3, 0.25}, {0, 2, 0.25, 0.125, 1e-4, 0.5}};
    result.stop_reason = StopReason::kEarlyStopping;
    result.rows_per_second = 1e6;
    const auto parcel = PackResult(result, Tensors(), kNever);
    ASSERT_TRUE(parcel.ok());
    const auto job = UnpackResult(parcel->body, {parcel->memory.data(), parcel->memory.size()});
    ASSERT_TRUE(job.ok()) << job.status().message();
    EXPECT_EQ(job->result.epochs, 3);
    EXPECT_EQ(job->result.steps, 77);
    EXPECT_EQ(job->result.best_fraction, result.best_fraction);
    EXPECT_TRUE(std::isnan(job->result.best_validation_loss));
    EXPECT_EQ(job->result.validation_logits, result.validation_logits);
    ASSERT_EQ(job->result.log.size(), 2u);
    EXPECT_TRUE(std::isnan(job->result.log[0].validation_loss));
    EXPECT_EQ(job->result.log[1].train_loss, 0.25);
    EXPECT_EQ(job->result.stop_reason, StopReason::kEarlyStopping);
    EXPECT_EQ(job->tensors.size(), Tensors().size());
}

TEST(GpuJob, ProgressAndStatusRoundTrip) {
    TrainingProgress progress;
    progress.epoch = 3;
    progress.epochs = 9;
    progress.train_loss = 0.25;
    progress.validation_loss = std::nan("");
    progress.epoch_ended = true;
    const auto back = ProgressFromJson(ProgressToJson(progress));
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(back->epoch, 3);
    EXPECT_TRUE(std::isnan(back->validation_loss));
    EXPECT_TRUE(back->epoch_ended);
    DeviceStatus status;
    status.name = "card";
    status.memory_total = uint64_t{141} << 30;
    status.waiting = 2;
    const auto read = DeviceStatus::FromJson(status.ToJson());
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(read->memory_total, status.memory_total);
    EXPECT_EQ(read->waiting, 2u);
}

TEST(GpuSilence, GrowsFromLookToLookUntilThereIsASign) {
    using std::chrono::milliseconds;
    Silence::Clock::time_point now{};
    Silence silence(milliseconds(1000), now);
    EXPECT_EQ(silence.Look(false, now += milliseconds(400)), milliseconds(400));
    EXPECT_EQ(silence.Look(false, now += milliseconds(1000)), milliseconds(1400));
    EXPECT_EQ(silence.Look(true, now += milliseconds(900)), milliseconds(0));
    EXPECT_EQ(silence.Look(false, now += milliseconds(300)), milliseconds(300));
}

TEST(GpuSilence, CountsNoTimeInWhichNobodyLooked) {
    using std::chrono::milliseconds;
    Silence::Clock::time_point now{};
    Silence silence(milliseconds(1000), now);
    EXPECT_EQ(silence.Look(false, now += std::chrono::hours(10)), milliseconds(1000));
    EXPECT_EQ(silence.Look(false, now += milliseconds(100)), milliseconds(1100));
}

}  // namespace
}  // namespace dlent::gpu
