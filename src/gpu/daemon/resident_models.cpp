#include "gpu/daemon/resident_models.h"

#include <algorithm>

namespace dlent::gpu {

double ResidentModel::forward_flops() const {
    double weights = 0.0;
    for (const std::unique_ptr<Network>& member : members_)
        weights += static_cast<double>(member->trainable_count()) * member->members();
    return 2.0 * weights;
}

std::shared_ptr<const ResidentModel> ResidentModels::Find(const std::string& key) {
    const std::scoped_lock lock(mutex_);
    return FindLocked(key);
}

std::shared_ptr<const ResidentModel> ResidentModels::FindLocked(const std::string& key) {
    const auto found = std::find_if(entries_.begin(), entries_.end(),
                                    [&key](const Entry& entry) { return entry.key == key; });
    if (found == entries_.end())
        return nullptr;
    entries_.splice(entries_.begin(), entries_, found);
    return found->model;
}

Expected<std::shared_ptr<const ResidentModel>> ResidentModels::Add(const std::string& key,
                                                                   const ScoredModel& model,
                                                                   const CancelToken& cancel) {
    const std::scoped_lock lock(mutex_);
    if (std::shared_ptr<const ResidentModel> found = FindLocked(key))
        return found;
    if (backend_ == nullptr) {
        DLENT_ASSIGN_OR_RETURN(backend_, memory_.MakeBackend(Precision::kFp32, kScoringMemoryHint));
    }
    uint64_t before = memory_.held();
    Expected<std::shared_ptr<ResidentModel>> loaded = Load(model, cancel);
    if (!loaded.ok() && loaded.status().code() == StatusCode::kOutOfMemory && !entries_.empty()) {
        FreeLocked(memory_.held());
        before = memory_.held();
        loaded = Load(model, cancel);
    }
    if (!loaded.ok())
        return memory_.Explain(loaded.status(), kScoringMemoryHint);
    entries_.push_front({key, std::move(*loaded), memory_.held() - before});
    std::shared_ptr<const ResidentModel> added = entries_.front().model;
    const uint64_t most = device_.memory_limit() / 2;
    if (memory_.held() > most)
        FreeLocked(memory_.held() - most);
    device_.SetModels(entries_.size());
    return added;
}

Expected<std::shared_ptr<ResidentModel>> ResidentModels::Load(const ScoredModel& model,
                                                              const CancelToken& cancel) {
    auto resident = std::make_shared<ResidentModel>();
    resident->network_ = model.network;
    for (const std::vector<NamedTensorData>& tensors : model.members) {
        if (cancel.IsCancelled())
            return Status::Cancelled();
        DLENT_ASSIGN_OR_RETURN(std::unique_ptr<Network> network,
                               Network::Create(model.network, *backend_, 1, false));
        DLENT_RETURN_IF_ERROR(network->Load(tensors));
        resident->members_.push_back(std::move(network));
    }
    return resident;
}

void ResidentModels::Free(uint64_t bytes) {
    const std::scoped_lock lock(mutex_);
    FreeLocked(bytes);
}

void ResidentModels::FreeLocked(uint64_t bytes) {
    uint64_t freed = 0;
    for (auto entry = entries_.end(); freed < bytes && entry != entries_.begin();) {
        --entry;
        if (entry->model.use_count() > 1)
            continue;
        freed += entry->bytes;
        entry = entries_.erase(entry);
    }
    device_.SetModels(entries_.size());
}

}  // namespace dlent::gpu
