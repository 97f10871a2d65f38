#pragma once

#include <string>
#include <string_view>

#include "pg/rollout/feature_source.h"
#include "pg/rollout/value_text.h"

extern "C" {
#include "utils/jsonb.h"
}

namespace dlent::pg {

/// The text of one value that a call names or implies: a column of the record, a key of the object, or one of
/// the champion's features where they are given in order.
class NamedText {
 public:
    /// `name` in the server's encoding; `features` reads the calls for `champion`. What has to be kept is
    /// kept in `context`. For C++ frames.
    NamedText(std::string name, const FeatureSource& source, FunctionCallInfo call,
              const FeatureArguments& features, const VersionIdentity& champion, MemoryContext context);

    /// data() is null when the value is NULL or not in the call. Lies in the row or in the current memory
    /// context. Raises PostgreSQL errors.
    std::string_view Read(const FeatureRow& row);

 private:
    enum class Place { kNowhere, kColumn, kArgument, kElement, kField, kKey, kKeyOfText };

    void PlaceInOrder(const FeatureSource& source, FunctionCallInfo call, const FeatureArguments& features);
    std::string_view ReadElement(Datum array) const;
    std::string_view ReadField(Datum record);
    std::string_view ReadKey(const Jsonb* object) const;
    void PlanRecord(Oid type, int32 type_modifier);

    const std::string name_;
    const int64_t model_id_;
    const int version_;
    const MemoryContext context_;
    Place place_ = Place::kNowhere;
    int index_ = 0;  ///< of the column, the argument or the element
    int first_argument_ = 0;
    ValueText text_;
    Oid element_type_ = InvalidOid;

    // Records: where the column is, as long as the row type stays the same.
    uint64 record_identifier_ = 0;
    MemoryContext record_context_ = nullptr;
    TupleDesc record_columns_ = nullptr;
    AttrNumber attribute_ = 0;
};

}  // namespace dlent::pg
