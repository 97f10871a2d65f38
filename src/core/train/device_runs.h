#pragma once

#include <deque>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/train/member_runs.h"

namespace dlent {

/// The runs of one MemberRunner::Run() on the places of its device: in order of the runs they go wherever
/// there is a place, and their outcomes stand where they would stand had there been but one.
class MemberRunner::DeviceRuns {
 public:
    /// Those that have an outcome are done already; `keys` name checkpoints. All of it outlives the object.
    DeviceRuns(MemberRunner& runner, std::span<const MemberRun> runs, const std::vector<std::string>& keys,
               const char* phase, Outcomes* outcomes);

    Status Run();

 private:
    /// A run at a place.
    struct Placed {
        size_t run = 0;
        PreparedRun prepared;
        PlacedTraining training;
        double fraction = 0.0;  ///< of it
    };

    /// Begins runs while there are places for them.
    Status StartMore();
    Status StartAt(int place, size_t run);
    Status Handle(PlaceEvent event);
    Status Finish(Placed placed, TrainerResult result);

    MemberRunner& runner_;
    NetworkTrainer& device_;
    const std::span<const MemberRun> runs_;
    const std::vector<std::string>& keys_;
    const char* const phase_;
    Outcomes& outcomes_;
    std::deque<size_t> waiting_;
    std::vector<int> failures_;  ///< of places, for each run
    std::map<int, Placed> placed_;
};

}  // namespace dlent
