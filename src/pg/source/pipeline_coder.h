#pragma once

#include "core/features/pipeline.h"
#include "pg/source/decode.h"

namespace dlent::pg {

/// Category codes of a trained pipeline, which must outlive it: the columns are its inputs.
class PipelineCoder final : public CategoryCoder {
 public:
    explicit PipelineCoder(const Pipeline& pipeline) : pipeline_(pipeline) {}
    int32_t Code(int column, std::string_view text) override { return pipeline_.CategoryCode(column, text); }
    int32_t NullCode(int column) const override { return pipeline_.NullCode(column); }

 private:
    const Pipeline& pipeline_;
};

/// How values of a pipeline's input are decoded. `name` is the input's, in the server's encoding.
inline DecodeTarget TargetOfInput(const Pipeline& pipeline, int input, std::string name,
                                  PipelineCoder* coder) {
    const PipelineInput& what = pipeline.inputs()[input];
    DecodeTarget target;
    target.name = std::move(name);
    target.kind = what.kind;
    target.width = what.width;
    target.coder = coder;
    target.coder_column = input;
    target.with_time_zone = what.type_name == "timestamp with time zone";
    return target;
}

}  // namespace dlent::pg
