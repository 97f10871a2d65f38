#include "pg/bridge/postgres.h"

#include "pg/rollout/named_text.h"

#include <algorithm>

#include "pg/bridge/error.h"
#include "pg/bridge/memory.h"
#include "pg/catalog/contract.h"

extern "C" {
#include "access/htup_details.h"
#include "utils/array.h"
#include "utils/typcache.h"
}

namespace dlent::pg {

NamedText::NamedText(std::string name, const FeatureSource& source, FunctionCallInfo call,
                     const FeatureArguments& features, const VersionIdentity& champion, MemoryContext context)
    : name_(std::move(name)),
      model_id_(champion.model_id),
      version_(champion.version),
      context_(context),
      first_argument_(source.first_argument) {
    const ContextScope scope(context_);
    if (!source.from_columns && features.form() == FeatureArguments::Form::kRecord) {
        place_ = Place::kField;
        record_context_ = CallPostgres(
            [context] { return AllocSetContextCreate(context, "dlent row type", ALLOCSET_SMALL_SIZES); });
    } else if (!source.from_columns && features.form() == FeatureArguments::Form::kJsonb) {
        place_ = Place::kKey;
    } else if (!source.from_columns && features.form() == FeatureArguments::Form::kJsonText) {
        place_ = Place::kKeyOfText;
    } else {
        PlaceInOrder(source, call, features);
    }
}

void NamedText::PlaceInOrder(const FeatureSource& source, FunctionCallInfo call,
                             const FeatureArguments& features) {
    const auto position = [this](const auto& list, auto&& name_of) {
        const auto found = std::find_if(list.begin(), list.end(),
                                        [&](const auto& entry) { return name_of(entry) == name_; });
        return found == list.end() ? -1 : static_cast<int>(found - list.begin());
    };
    const int index = source.by_name
                          ? position(source.columns, [](const auto& column) { return column.name; })
                          : position(features.names(), [](const auto& feature) { return feature; });
    if (index < 0)
        return;
    Oid type = InvalidOid;
    if (source.from_columns) {
        place_ = Place::kColumn;
        index_ = source.columns[index].attribute;
        type = source.columns[index].type;
    } else {
        const bool array = features.form() == FeatureArguments::Form::kArray;
        place_ = array ? Place::kElement : Place::kArgument;
        index_ = index;
        type = CallPostgres([&] {
            const Oid argument = get_fn_expr_argtype(call->flinfo, first_argument_ + (array ? 0 : index));
            return array ? get_base_element_type(getBaseType(argument)) : argument;
        });
        element_type_ = type;
    }
    text_ = CallPostgres([type] { return ValueText::Create(type); });
}

std::string_view NamedText::ReadElement(Datum array) const {
    int16 length = 0;
    bool by_value = false;
    char align = 'i';
    get_typlenbyvalalign(element_type_, &length, &by_value, &align);
    const ArrayType* values = DatumGetArrayTypeP(array);
    if (ARR_NDIM(values) != 1)
        return {};
    int subscript = ARR_LBOUND(values)[0] + index_;
    bool is_null = true;
    const Datum value =
        array_get_element(PointerGetDatum(values), 1, &subscript, -1, length, by_value, align, &is_null);
    return is_null ? std::string_view() : text_.Of(value);
}

/// The column as the champion reads it where the record is a row of the table that it was trained on,
/// whatever it is called by now; else by name.
void NamedText::PlanRecord(Oid type, int32 type_modifier) {
    record_identifier_ = 0;
    attribute_ = 0;
    MemoryContextReset(record_context_);
    MemoryContext caller = MemoryContextSwitchTo(record_context_);
    record_columns_ = lookup_rowtype_tupdesc_copy(type, type_modifier);
    const char* const names[] = {name_.c_str()};
    const Oid relation = get_typ_typrelid(type);
    if (OidIsValid(relation))
        ContractAttributes(model_id_, version_, relation, {names, 1}, &attribute_);
    for (int i = 0; attribute_ <= 0 && i < record_columns_->natts; ++i) {
        const FormData_pg_attribute* column = TupleDescAttr(record_columns_, i);
        if (!column->attisdropped && name_ == NameStr(column->attname))
            attribute_ = static_cast<AttrNumber>(i + 1);
    }
    if (attribute_ > record_columns_->natts)
        attribute_ = 0;
    if (attribute_ > 0)
        text_ = ValueText::Create(TupleDescAttr(record_columns_, attribute_ - 1)->atttypid);
    MemoryContextSwitchTo(caller);
}

std::string_view NamedText::ReadField(Datum record) {
    HeapTupleHeader header = DatumGetHeapTupleHeader(record);
    const Oid type = HeapTupleHeaderGetTypeId(header);
    const int32 type_modifier = HeapTupleHeaderGetTypMod(header);
    const uint64 identifier = assign_record_type_identifier(type, type_modifier);
    if (identifier != record_identifier_) {
        PlanRecord(type, type_modifier);
        record_identifier_ = identifier;
    }
    if (attribute_ <= 0)
        return {};
    HeapTupleData tuple;
    tuple.t_len = HeapTupleHeaderGetDatumLength(header);
    ItemPointerSetInvalid(&tuple.t_self);
    tuple.t_tableOid = InvalidOid;
    tuple.t_data = header;
    bool is_null = true;
    const Datum value = heap_getattr(&tuple, attribute_, record_columns_, &is_null);
    return is_null ? std::string_view() : text_.Of(value);
}

std::string_view NamedText::ReadKey(const Jsonb* object) const {
    JsonbValue value;
    if (!JB_ROOT_IS_OBJECT(object) ||
        getKeyJsonValueFromContainer(const_cast<JsonbContainer*>(&object->root), name_.data(),
                                     static_cast<int>(name_.size()), &value) == nullptr)
        return {};
    switch (value.type) {
        case jbvString:
            return {value.val.string.val, static_cast<size_t>(value.val.string.len)};
        case jbvNumeric:
            return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric)));
        case jbvBool:
            return value.val.boolean ? "true" : "false";
        default:
            return {};
    }
}

std::string_view NamedText::Read(const FeatureRow& row) {
    if (place_ == Place::kNowhere)
        return {};
    if (place_ == Place::kColumn) {
        slot_getsomeattrs(row.slot, index_ + 1);
        return row.slot->tts_isnull[index_] ? std::string_view() : text_.Of(row.slot->tts_values[index_]);
    }
    const NullableDatum& given = row.call->args[first_argument_ + (place_ == Place::kArgument ? index_ : 0)];
    if (given.isnull)
        return {};
    switch (place_) {
        case Place::kArgument:
            return text_.Of(given.value);
        case Place::kElement:
            return ReadElement(given.value);
        case Place::kField:
            return ReadField(given.value);
        case Place::kKey:
            return ReadKey(DatumGetJsonbP(given.value));
        case Place::kKeyOfText:
            return ReadKey(DatumGetJsonbP(DirectFunctionCall1(jsonb_in, given.value)));
        case Place::kNowhere:
        case Place::kColumn:
            break;
    }
    return {};
}

}  // namespace dlent::pg
