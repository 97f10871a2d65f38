#include "core/train/batch_feeder.h"

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
    return {static_cast<int>(rows.size()), numeric_.device.data(), plain_.device.data(),
            codes_.device.data()};
}

}  // namespace dlent
