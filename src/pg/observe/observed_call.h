#pragma once

#include <memory>
#include <optional>

#include "pg/observe/observer.h"
#include "pg/rollout/feature_source.h"
#include "pg/rollout/named_text.h"
#include "pg/rollout/resolved_model.h"

namespace dlent::pg {

/// A call whose answers are observed: the observer, and where the call has unit and key.
class ObservedCall {
 public:
    /// Null when nothing is recorded of the model. `features` reads the calls for the champion; what has to
    /// be kept is kept in `context`. For C++ frames.
    static std::unique_ptr<ObservedCall> Create(const ResolvedModel& resolved, const FeatureSource& source,
                                                FunctionCallInfo call, const FeatureArguments& features,
                                                MemoryContext context);

    const Observation& observation() const { return observer_->observation(); }
    Observer& observer() { return *observer_; }

    // The next row of the block that has features; `arm` answers it, −1 without a rollout or a part in it.
    // These raise PostgreSQL errors and throw: for frames without destructors, below a guard.

    void Look(const FeatureRow& row, int arm) {
        LookAt(row, unit_.has_value() ? unit_->Read(row) : std::string_view(), arm);
    }
    /// The same where the row's unit is known.
    void LookAt(const FeatureRow& row, std::string_view unit, int arm) {
        if (observer_->Wants(unit, arm))
            observer_->Keep(unit, key_.has_value() ? key_->Read(row) : std::string_view(), arm);
    }

 private:
    ObservedCall() = default;

    std::unique_ptr<Observer> observer_;
    std::optional<NamedText> unit_;  ///< where no rollout has one
    std::optional<NamedText> key_;
};

}  // namespace dlent::pg
