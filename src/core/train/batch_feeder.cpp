#include "core/train/batch_feeder.h"

#include <array>

namespace dlent {

Status BatchFeeder::Prepare(const NetworkSpec& spec, int max_rows, bool with_targets) {
    const size_t rows = static_cast<size_t>(max_rows);
    DLENT_RETURN_IF_ERROR(numeric_.Prepare(backend_, static_cast<size_t>(spec.numeric), rows));
    DLENT_RETURN_IF_ERROR(plain_.Prepare(backend_, static_cast<size_t>(spec.plain), rows));
    DLENT_RETURN_IF_ERROR(codes_.Prepare(backend_, spec.codes.size(), rows));
    DLENT_RETURN_IF_ERROR(targets_.Prepare(backend_, with_targets ? 1 : 0, rows));
    return weights_.Prepare(backend_, with_targets && data_.has_weights() ? 1 : 0, rows);
}

BatchInputs BatchFeeder::Feed(std::span<const uint32_t> rows) {
    data_.Gather(rows, {numeric_.Host(), plain_.Host(), codes_.Host(), targets_.Host(), weights_.Host()});
    numeric_.Upload(backend_, rows.size());
    plain_.Upload(backend_, rows.size());
    codes_.Upload(backend_, rows.size());
    targets_.Upload(backend_, rows.size());
    weights_.Upload(backend_, rows.size());
    return Fed(static_cast<int>(rows.size()));
}

Expected<bool> BatchFeeder::MakeResident(const CancelToken& cancel) {
    const std::optional<HostRows> all = data_.AllRows();
    size_t width = 0;
    ForEach([&](auto& part) { width += part.width; });
    if (!all || width == 0 || data_.rows() > backend_.ResidentBytes() / (width * sizeof(float))) {
        return false;
    }
    bool has_room = true;
    ForEach([&](auto& part) {
        has_room = has_room && part.table.Allocate(backend_, data_.rows() * part.width).ok();
    });
    if (!has_room) {
        ForEach([](auto& part) { part.table = {}; });
        return false;
    }
    DLENT_RETURN_IF_ERROR(numeric_.UploadTable(backend_, all->numeric, cancel));
    DLENT_RETURN_IF_ERROR(plain_.UploadTable(backend_, all->plain, cancel));
    DLENT_RETURN_IF_ERROR(codes_.UploadTable(backend_, all->codes, cancel));
    DLENT_RETURN_IF_ERROR(targets_.UploadTable(backend_, all->targets, cancel));
    DLENT_RETURN_IF_ERROR(weights_.UploadTable(backend_, all->weights, cancel));
    DLENT_RETURN_IF_ERROR(backend_.Synchronize());
    return true;
}

BatchInputs BatchFeeder::FeedResident(const uint32_t* order, size_t first, int rows) {
    std::array<RowGather, 5> parts;
    size_t count = 0;
    ForEach([&](auto& part) {
        if (part.width > 0) {
            parts[count++] = part.OnDevice();
        }
    });
    backend_.GatherRows(rows, std::span(parts).first(count), order, first);
    return Fed(rows);
}

}  // namespace dlent
