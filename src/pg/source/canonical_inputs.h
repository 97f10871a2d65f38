#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "core/base/json.h"
#include "core/features/pipeline.h"
#include "pg/bridge/postgres.h"
#include "pg/source/decode.h"

namespace dlent::pg {

/// The values of a pipeline's inputs as they stood in a row, in a form that no setting and no type changes:
/// the object that is hashed, stored and read again years later. int4, numeric and float8 that mean the same
/// are the same; times are ISO 8601 in UTC, intervals ISO 8601, NaN is null. Read as jsonb features it gives
/// the row's cells.
class CanonicalInputs {
 public:
    /// `pipeline` must outlive this; what has to be kept is kept in `context`.
    CanonicalInputs(const Pipeline& pipeline, MemoryContext context);

    struct Value {
        Datum value = 0;
        bool is_null = true;
        Oid type = InvalidOid;  ///< no domain
    };
    /// `values` of the inputs in order, `cells` of the row as they were decoded. For C++ frames; leaves
    /// garbage in the current memory context.
    Json Read(const Value* values, const Cell* cells);

 private:
    /// Hears a category's text as the decoder would give it to a model.
    class TextListener final : public CategoryCoder {
     public:
        int32_t Code(int, std::string_view text) override;
        int32_t NullCode(int) const override { return -1; }
        /// Of the value that was just decoded to `code`: enums are heard once a label.
        const std::string& Text(int32_t code) const;

     private:
        std::unordered_map<std::string, int32_t> codes_;
        std::vector<std::string> texts_;
        std::string last_;
    };
    struct Category {
        Oid type = InvalidOid;
        ValueDecoder decoder;
        TextListener listener;
    };

    void PlanCategory(int input, Oid type);

    const Pipeline& pipeline_;
    const MemoryContext context_;
    std::vector<std::string> names_;  ///< of the inputs, in the server's encoding
    std::vector<std::unique_ptr<Category>> categories_;
};

}  // namespace dlent::pg
