// The networks of a model on several devices: where each goes, and that its bytes are the same wherever that
// is.

#include "core/train/device_runs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "core/train/place_choice.h"
#include "model_testing.h"

namespace dlent {
namespace {

using Places = std::vector<int>;

TEST(ChoosePlaces, TakesIdleDevicesFirst) {
    const PlaceState states[] = {{true, 2}, {true, 0}, {true, 0}};
    EXPECT_EQ(ChoosePlaces(states, 1, false), Places{1});
    EXPECT_EQ(ChoosePlaces(states, 1, true), Places{1});
}

TEST(ChoosePlaces, LeavesBusyDevicesToOthersWhileTheModelTrainsElsewhere) {
    const PlaceState states[] = {{false, 0}, {true, 1}, {true, 3}};
    EXPECT_EQ(ChoosePlaces(states, 1, true), Places{});
}

TEST(ChoosePlaces, TakesTheLeastBusyDeviceWhenNothingTrains) {
    const PlaceState states[] = {{true, 3}, {false, 0}, {true, 1}, {true, 1}};
    EXPECT_EQ(ChoosePlaces(states, 1, false), Places{2});
}

TEST(ChoosePlaces, WaitsWhereNoDeviceIsFree) {
    EXPECT_EQ(ChoosePlaces({}, 1, false), Places{});
    const PlaceState states[] = {{false, 0}, {false, 0}};
    EXPECT_EQ(ChoosePlaces(states, 1, false), Places{});
}

TEST(ChoosePlaces, TakesSeveralForOneNetwork) {
    const PlaceState states[] = {{true, 2}, {true, 0}, {false, 0}, {true, 0}, {true, 1}};
    EXPECT_EQ(ChoosePlaces(states, 2, false), (Places{1, 3}));
    EXPECT_EQ(ChoosePlaces(states, 2, true), (Places{1, 3}));
    EXPECT_EQ(ChoosePlaces(states, 3, false), (Places{1, 3, 4})) << "busy ones as well";
    EXPECT_EQ(ChoosePlaces(states, 4, false), (Places{0, 1, 3, 4})) << "in rising order";
    EXPECT_EQ(ChoosePlaces(states, 3, true), Places{}) << "not while the model trains elsewhere";
    EXPECT_EQ(ChoosePlaces(states, 5, false), Places{}) << "too few";
}

/// Devices on this thread: networks are trained when they are sent, and finish in an order of the test's.
class SimulatedDevices final : public NetworkTrainer {
 public:
    explicit SimulatedDevices(int places) : trained(places), failures_due(places), work_(places) {}

    Expected<bool> Begin(const TrainingPlan& plan, const CancelToken&) override {
        data_ = plan.data;
        beside = plan.beside;
        return true;
    }
    int width() const override { return static_cast<int>(work_.size()); }

    Expected<std::optional<int>> FindPlace(const CancelToken&) override {
        std::vector<PlaceState> states;
        for (size_t i = 0; i < work_.size(); ++i)
            states.push_back({!failed.contains(static_cast<int>(i)) && !work_[i].training, 0});
        const Places places = ChoosePlaces(states, 1, running() > 0);
        if (places.empty() && running() == 0)
            return Status(StatusCode::kUnsupported, "no device is left");
        return places.empty() ? std::nullopt : std::optional<int>(places[0]);
    }

    Status Start(int place, const PlacedTraining& training, const CancelToken& cancel) override {
        EXPECT_FALSE(failed.contains(place));
        Work& work = work_[static_cast<size_t>(place)];
        EXPECT_EQ(work.training, nullptr);
        work.training = &training;
        at_once = std::max(at_once, running());
        most_failures = std::max(most_failures, training.failures);
        seconds.push_back(training.options.max_seconds);
        DLENT_ASSIGN_OR_RETURN(work.network, Network::Create(training.network->spec(), *backend_,
                                                             std::max(training.options.batch_size, 1), true));
        DLENT_ASSIGN_OR_RETURN(const std::vector<NamedTensorData> initial, training.network->Save());
        DLENT_RETURN_IF_ERROR(work.network->Load(initial));
        DLENT_ASSIGN_OR_RETURN(work.result,
                               TrainNetwork(*work.network, *backend_, *data_, training.train_rows,
                                            training.validation_rows, training.options, cancel, {}));
        return Status::Ok();
    }

    /// First progress of every place in turn, then the last one's end.
    Expected<std::optional<PlaceEvent>> Wait(const CancelToken& cancel) override {
        if (cancel.IsCancelled())
            return Status::Cancelled();
        if (++waits % 5 == 0)
            return std::optional<PlaceEvent>();
        PlaceEvent event;
        for (size_t i = 0; i < work_.size(); ++i) {
            if (work_[i].training == nullptr || work_[i].reported)
                continue;
            work_[i].reported = true;
            event.place = static_cast<int>(i);
            TrainingProgress progress;
            progress.fraction = 0.5;
            progress.epoch_ended = true;
            event.what = progress;
            return std::optional<PlaceEvent>(event);
        }
        for (size_t i = work_.size(); i-- > 0;) {
            if (work_[i].training == nullptr)
                continue;
            event.place = static_cast<int>(i);
            DLENT_ASSIGN_OR_RETURN(event.what, End(event.place));
            return std::optional<PlaceEvent>(std::move(event));
        }
        return Status::Internal("nothing trains");
    }

    std::vector<int> trained;       ///< networks, by place
    std::vector<int> failures_due;  ///< 1: the place fails with its first network, and so on; 0: never
    std::set<int> failed;
    std::vector<double> seconds;  ///< that trainings were given
    int beside = 0;
    int at_once = 0;
    int most_failures = 0;
    int waits = 0;

 private:
    struct Work {
        const PlacedTraining* training = nullptr;
        std::unique_ptr<Network> network;
        TrainerResult result;
        bool reported = false;
    };

    int running() const {
        return static_cast<int>(std::count_if(work_.begin(), work_.end(),
                                              [](const Work& work) { return work.training != nullptr; }));
    }
    Expected<decltype(PlaceEvent::what)> End(int place) {
        const Work work = std::exchange(work_[static_cast<size_t>(place)], {});
        if (++trained[static_cast<size_t>(place)] == failures_due[static_cast<size_t>(place)]) {
            failed.insert(place);
            --trained[static_cast<size_t>(place)];
            return decltype(PlaceEvent::what)(PlaceFailed());
        }
        DLENT_ASSIGN_OR_RETURN(const std::vector<NamedTensorData> best, work.network->Save());
        DLENT_RETURN_IF_ERROR(work.training->network->Load(best));
        return decltype(PlaceEvent::what)(work.result);
    }

    const std::unique_ptr<Backend> backend_ = MakeCpuBackend();
    const TrainingData* data_ = nullptr;
    std::vector<Work> work_;
};

Expected<TrainedModel> TrainOn(NetworkTrainer* devices, const ColumnarTable& table,
                               const std::string& options, const CancelToken& cancel = NeverCancelled(),
                               const std::function<void(const TrainingProgress&)>& progress = {}) {
    const std::unique_ptr<Backend> backend = MakeCpuBackend();
    return TrainModel(table, ParseOptions(options), {*backend, cancel, progress, nullptr, devices});
}

void ExpectSame(const TrainedModel& a, const TrainedModel& b) {
    EXPECT_EQ(Artifact::Of(a.model), Artifact::Of(b.model));
    EXPECT_EQ(a.metrics, b.metrics);
    ASSERT_EQ(a.log.size(), b.log.size());
    for (size_t i = 0; i < a.log.size(); ++i) {
        EXPECT_EQ(a.log[i].member, b.log[i].member);
        EXPECT_EQ(a.log[i].train_loss, b.log[i].train_loss);
    }
    Json details[2] = {a.details, b.details};
    for (Json& one : details)
        one.erase("rows_per_second");
    EXPECT_EQ(details[0], details[1]);
}

class TrainingOnDevices : public testing::TestWithParam<std::pair<Task, const char*>> {};

TEST_P(TrainingOnDevices, GivesTheBytesOfOne) {
    const auto& [task, options] = GetParam();
    const ColumnarTable table = MixedRows(task, 400, 1).Build();
    const Expected<TrainedModel> here = Train(table, options);
    ASSERT_TRUE(here.ok()) << here.status().message();
    for (const int places : {1, 2, 3, 8}) {
        SimulatedDevices devices(places);
        const Expected<TrainedModel> there = TrainOn(&devices, table, options);
        ASSERT_TRUE(there.ok()) << there.status().message();
        ExpectSame(*here, *there);
        EXPECT_EQ(devices.at_once, std::min(places, devices.beside));
    }
}

INSTANTIATE_TEST_SUITE_P(
    Every, TrainingOnDevices,
    testing::Values(std::pair{Task::kBinary, R"({"epochs":3,"hidden":[12]})"},
                    std::pair{Task::kRegression, R"({"epochs":3,"hidden":[12]})"},
                    std::pair{Task::kMulticlass, R"({"preset":"best","epochs":2,"hidden":[12]})"},
                    std::pair{Task::kBinary, R"({"preset":"fast","epochs":3,"hidden":[12]})"},
                    std::pair{Task::kBinary,
                              R"({"epochs":3,"hidden":[12],"members":4,"validation":{"fraction":0.3}})"}));

constexpr const char* kFiveMembers = R"({"epochs":3,"hidden":[12],"numeric_embedding":"none"})";

TEST(DeviceRuns, TakesNetworksOfADeviceThatFailsToTheOthers) {
    const ColumnarTable table = MixedRows(Task::kBinary, 400, 1).Build();
    const Expected<TrainedModel> here = Train(table, kFiveMembers);
    for (const std::vector<int>& due : {std::vector<int>{1, 0}, {0, 2}, {2, 1, 0}, {1, 1, 0}}) {
        SimulatedDevices devices(static_cast<int>(due.size()));
        devices.failures_due = due;
        const Expected<TrainedModel> there = TrainOn(&devices, table, kFiveMembers);
        ASSERT_TRUE(there.ok()) << there.status().message();
        ExpectSame(*here, *there);
        EXPECT_EQ(devices.failed.size(), due.size() - 1);
        EXPECT_GE(devices.most_failures, 1);
    }
}

TEST(DeviceRuns, EndsWhenNoDeviceIsLeft) {
    const ColumnarTable table = MixedRows(Task::kBinary, 400, 1).Build();
    SimulatedDevices devices(2);
    devices.failures_due = {2, 1};
    const Expected<TrainedModel> there = TrainOn(&devices, table, kFiveMembers);
    EXPECT_EQ(there.status().message(), "no device is left");
}

/// Keeps networks, and breaks off when it has enough.
class BoundedStore final : public CheckpointStore {
 public:
    Expected<std::optional<Checkpoint>> Find(const std::string& key) override {
        const auto found = kept.find(key);
        return found == kept.end() ? std::optional<Checkpoint>() : found->second;
    }
    Status Keep(const std::string& key, const Checkpoint& checkpoint) override {
        kept[key] = checkpoint;
        return kept.size() == most ? Status::Cancelled() : Status::Ok();
    }

    std::map<std::string, Checkpoint> kept;
    size_t most = static_cast<size_t>(-1);
};

TEST(DeviceRuns, GoesOnOnAnotherNumberOfDevices) {
    const ColumnarTable table = MixedRows(Task::kBinary, 400, 1).Build();
    const TrainingOptions options = ParseOptions(kFiveMembers);
    const std::unique_ptr<Backend> backend = MakeCpuBackend();
    const Expected<TrainedModel> here = Train(table, kFiveMembers);
    BoundedStore store;
    store.most = 3;
    SimulatedDevices three(3);
    const auto train = [&](NetworkTrainer* devices) {
        return TrainModel(table, options, {*backend, NeverCancelled(), {}, nullptr, devices, &store});
    };
    EXPECT_EQ(train(&three).status().code(), StatusCode::kCancelled);
    store.most = static_cast<size_t>(-1);
    SimulatedDevices two(2);
    const Expected<TrainedModel> there = train(&two);
    ASSERT_TRUE(there.ok()) << there.status().message();
    ExpectSame(*here, *there);
    EXPECT_EQ(two.trained[0] + two.trained[1], static_cast<int>(store.kept.size()) - 3);
}

TEST(DeviceRuns, ReportsMembersAndNeverGoesBack) {
    const ColumnarTable table = MixedRows(Task::kBinary, 400, 1).Build();
    SimulatedDevices devices(3);
    double fraction = 0.0;
    std::set<int> members;
    const Expected<TrainedModel> there =
        TrainOn(&devices, table, kFiveMembers, NeverCancelled(), [&](const TrainingProgress& progress) {
            if (std::string(progress.phase) != "training")
                return;
            EXPECT_GE(progress.fraction, fraction);
            fraction = progress.fraction;
            EXPECT_EQ(progress.members, 5);
            members.insert(progress.member);
        });
    ASSERT_TRUE(there.ok()) << there.status().message();
    EXPECT_EQ(members, (std::set<int>{0, 1, 2, 3, 4}));
    EXPECT_GT(fraction, 0.5);
}

TEST(DeviceRuns, IsCancelledWhileItWaits) {
    class Token final : public CancelToken {
     public:
        bool IsCancelled() const override { return cancelled; }
        bool cancelled = false;
    } token;
    const ColumnarTable table = MixedRows(Task::kBinary, 400, 1).Build();
    SimulatedDevices devices(2);
    const Expected<TrainedModel> there = TrainOn(
        &devices, table, kFiveMembers, token,
        [&](const TrainingProgress& progress) { token.cancelled = token.cancelled || progress.epoch_ended; });
    EXPECT_EQ(there.status().code(), StatusCode::kCancelled);
    EXPECT_EQ(devices.trained[0] + devices.trained[1], 0);
}

TEST(DeviceRuns, SharesTheTimeThatIsLeft) {
    const ColumnarTable table = MixedRows(Task::kBinary, 400, 1).Build();
    for (const int places : {1, 5}) {
        SimulatedDevices devices(places);
        const Expected<TrainedModel> there = TrainOn(
            &devices, table, R"({"epochs":1,"hidden":[12],"numeric_embedding":"none","max_seconds":1000})");
        ASSERT_TRUE(there.ok()) << there.status().message();
        // one after another each gets its share; beside each other all of it
        EXPECT_NEAR(devices.seconds[0], places == 1 ? 1000.0 / 5 : 1000.0, 50.0);
    }
}

}  // namespace
}  // namespace dlent
