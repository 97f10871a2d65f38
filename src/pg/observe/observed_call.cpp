#include "pg/bridge/postgres.h"

#include "pg/observe/observed_call.h"

namespace dlent::pg {

std::unique_ptr<ObservedCall> ObservedCall::Create(const ResolvedModel& resolved, const FeatureSource& source,
                                                   FunctionCallInfo call, const FeatureArguments& features,
                                                   MemoryContext context) {
    std::unique_ptr<Observer> observer = Observer::Create(resolved);
    if (observer == nullptr)
        return nullptr;
    std::unique_ptr<ObservedCall> observed(new ObservedCall);
    observed->observer_ = std::move(observer);
    const Observation& observation = resolved.observation;
    if (resolved.unit.empty() && !observation.unit.empty())
        observed->unit_.emplace(observation.unit, source, call, features, resolved.champion(), context);
    if (!observation.key.empty())
        observed->key_.emplace(observation.key, source, call, features, resolved.champion(), context);
    return observed;
}

}  // namespace dlent::pg
