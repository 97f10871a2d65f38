#include "pg/bridge/postgres.h"

#include "pg/functions/feature_arguments.h"

#include <algorithm>

#include "pg/bridge/memory.h"
#include "pg/bridge/text.h"
#include "pg/catalog/contract.h"

extern "C" {
#include "utils/array.h"
#include "utils/typcache.h"
}

namespace dlent::pg {

FeatureArguments::FeatureArguments(int first_argument, const Pipeline& pipeline, int64_t model_id,
                                   int version, std::string title, MemoryContext context)
    : pipeline_(pipeline),
      first_argument_(first_argument),
      model_id_(model_id),
      version_(version),
      title_(std::move(title)),
      context_(context),
      coder_(pipeline) {
    for (const PipelineInput& input : pipeline.inputs())
        names_.push_back(FromUtf8(input.name));
}

FeatureArguments::FeatureArguments(const std::vector<Column>& columns, bool by_name, const Pipeline& pipeline,
                                   std::string title, MemoryContext context)
    : FeatureArguments(0, pipeline, 0, 0, std::move(title), context) {
    if (!by_name)
        CheckCount(static_cast<int>(columns.size()));
    const ContextScope scope(context_);
    std::vector<RowDecoder::Column> decoders;
    std::string missing;
    for (size_t i = 0; i < names_.size(); ++i) {
        const auto column = by_name
                                ? std::find_if(columns.begin(), columns.end(),
                                               [&](const Column& given) { return given.name == names_[i]; })
                                : columns.begin() + static_cast<std::ptrdiff_t>(i);
        if (column == columns.end())
            missing += (missing.empty() ? "\"" : ", \"") + names_[i] + "\"";
        else
            decoders.push_back({column->attribute, DecoderOf(static_cast<int>(i), column->type)});
    }
    if (!missing.empty())
        ThrowMissing(missing, static_cast<int>(names_.size() - decoders.size()),
                     columns.empty() ? "" : columns.front().name);
    rows_ = RowDecoder(std::move(decoders));
}

FeatureArguments::FeatureArguments(FunctionCallInfo fcinfo, int first_argument, const Pipeline& pipeline,
                                   int64_t model_id, int version, std::string title, MemoryContext context,
                                   int argument_count)
    : FeatureArguments(first_argument, pipeline, model_id, version, std::move(title), context) {
    struct Arguments {
        Oid first_type;
        Oid element_type;
        bool is_row;
        bool variadic;
    };
    FmgrInfo* function = fcinfo->flinfo;
    const auto arguments = CallPostgres([&] {
        Arguments found = {};
        found.first_type = get_fn_expr_argtype(function, first_argument);
        found.variadic = get_fn_expr_variadic(function);
        if (OidIsValid(found.first_type)) {
            found.first_type = getBaseType(found.first_type);
            found.is_row = type_is_rowtype(found.first_type);
            found.element_type = get_base_element_type(found.first_type);
        }
        return found;
    });
    const int count = argument_count > 0 ? argument_count : fcinfo->nargs - first_argument;
    const bool single = count == 1;
    const bool one_input = names_.size() == 1;
    const ContextScope scope(context_);
    if (single && arguments.is_row) {
        form_ = Form::kRecord;
        record_context_ = CallPostgres(
            [context] { return AllocSetContextCreate(context, "dlent row type", ALLOCSET_SMALL_SIZES); });
    } else if (single && arguments.first_type == JSONBOID) {
        form_ = Form::kJsonb;
        PlanJson();
    } else if (single && arguments.first_type == UNKNOWNOID && !one_input) {
        form_ = Form::kJsonText;
        PlanJson();
    } else if (single && OidIsValid(arguments.element_type) &&
               (arguments.variadic || !one_input || pipeline.inputs()[0].kind != ColumnKind::kVector)) {
        form_ = Form::kArray;
        PlanArray(arguments.element_type);
    } else {
        form_ = Form::kPositional;
        PlanValues(fcinfo, count);
    }
}

std::unique_ptr<FeatureArguments> FeatureArguments::OfJsonb(const Pipeline& pipeline, std::string title,
                                                            MemoryContext context) {
    std::unique_ptr<FeatureArguments> arguments(
        new FeatureArguments(0, pipeline, 0, 0, std::move(title), context));
    const ContextScope scope(context);
    arguments->form_ = Form::kJsonb;
    arguments->PlanJson();
    return arguments;
}

ValueDecoder FeatureArguments::DecoderOf(int input, Oid type) {
    const PipelineInput& what = pipeline_.inputs()[input];
    DecodeTarget target;
    target.name = names_[input];
    target.kind = what.kind;
    target.width = what.width;
    target.coder = &coder_;
    target.coder_column = input;
    target.with_time_zone = what.type_name == "timestamp with time zone";
    return ValueDecoder::Create(target, type);
}

std::optional<ValueDecoder> FeatureArguments::DecoderIfAny(int input, Oid type) {
    try {
        return DecoderOf(input, type);
    } catch (const SqlError& error) {
        if (error.sqlstate() != ERRCODE_DATATYPE_MISMATCH)
            throw;
        return std::nullopt;
    }
}

std::string FeatureArguments::InputList() const {
    std::string list;
    for (const std::string& name : names_)
        list += (list.empty() ? "" : ", ") + QuoteIdentifier(name);
    return list;
}

void FeatureArguments::CheckCount(int given) const {
    if (given == static_cast<int>(names_.size()))
        return;
    throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                   "model \"" + title_ + "\" takes " + std::to_string(names_.size()) + " features, not " +
                       std::to_string(given),
                   "The features in order: " + InputList() + ".",
                   "A record or a jsonb object is matched by name, whatever the order.");
}

void FeatureArguments::ThrowMissing(const std::string& missing, int count, std::string_view first) const {
    throw SqlError(
        ERRCODE_UNDEFINED_COLUMN,
        std::string("the record lacks ") + (count == 1 ? "column " : "columns ") + missing,
        "Model \"" + title_ + "\" needs: " + InputList() + ".",
        first == "f1" ? "ROW(...) gives its columns no names; pass the values as separate arguments." : "");
}

void FeatureArguments::ThrowMissingKey(int input) const {
    throw SqlError(ERRCODE_UNDEFINED_COLUMN, "the JSON object lacks key \"" + names_[input] + "\"",
                   "Model \"" + title_ + "\" needs: " + InputList() + ".",
                   "A value that is not known is written as null.");
}

void FeatureArguments::PlanValues(FunctionCallInfo fcinfo, int count) {
    CheckCount(count);
    for (int i = 0; i < static_cast<int>(names_.size()); ++i) {
        const Oid type =
            CallPostgres([&] { return get_fn_expr_argtype(fcinfo->flinfo, first_argument_ + i); });
        if (!OidIsValid(type))
            throw SqlError(ERRCODE_INDETERMINATE_DATATYPE,
                           "could not determine the data type of feature " + std::to_string(i + 1));
        decoders_.push_back(DecoderOf(i, type));
    }
}

void FeatureArguments::PlanArray(Oid element_type) {
    element_type_ = element_type;
    CallPostgres([this] {
        get_typlenbyvalalign(element_type_, &element_length_, &element_by_value_, &element_align_);
    });
    for (int i = 0; i < static_cast<int>(names_.size()); ++i)
        decoders_.push_back(DecoderOf(i, element_type));
}

void FeatureArguments::PlanJson() {
    for (int i = 0; i < static_cast<int>(names_.size()); ++i)
        json_.push_back({DecoderIfAny(i, TEXTOID), DecoderIfAny(i, NUMERICOID), DecoderIfAny(i, BOOLOID),
                         DecoderIfAny(i, FLOAT8ARRAYOID)});
}

void FeatureArguments::PlanRecord(Oid type, int32 type_modifier) {
    const int count = static_cast<int>(names_.size());
    record_identifier_ = 0;
    rows_ = RowDecoder();
    CallPostgres([&] {
        MemoryContextReset(record_context_);
        MemoryContext previous = MemoryContextSwitchTo(record_context_);
        record_columns_ = lookup_rowtype_tupdesc_copy(type, type_modifier);
        MemoryContextSwitchTo(previous);
    });
    const ContextScope scope(record_context_);

    // A row of the table that the model was trained on: its columns are known by number, whatever they are
    // called by now. Any other row: by name.
    std::vector<const char*> names;
    for (const std::string& name : names_)
        names.push_back(name.c_str());
    std::vector<AttrNumber> contract(count);
    CallPostgres([&] {
        const Oid relation = get_typ_typrelid(type);
        if (OidIsValid(relation))
            ContractAttributes(model_id_, version_, relation, {names.data(), count}, contract.data());
    });

    std::vector<RowDecoder::Column> columns;
    std::string missing;
    for (int i = 0; i < count; ++i) {
        int attribute = contract[i] - 1;
        for (int a = 0; contract[i] <= 0 && a < record_columns_->natts; ++a) {
            const FormData_pg_attribute* column = TupleDescAttr(record_columns_, a);
            if (!column->attisdropped && names_[i] == NameStr(column->attname)) {
                attribute = a;
                break;
            }
        }
        if (attribute < 0 || attribute >= record_columns_->natts)
            missing += (missing.empty() ? "\"" : ", \"") + names_[i] + "\"";
        else
            columns.push_back({attribute, DecoderOf(i, TupleDescAttr(record_columns_, attribute)->atttypid)});
    }
    if (!missing.empty())
        ThrowMissing(missing, count - static_cast<int>(columns.size()),
                     record_columns_->natts > 0 ? NameStr(TupleDescAttr(record_columns_, 0)->attname) : "");
    rows_ = RowDecoder(std::move(columns));
    values_.assign(record_columns_->natts, Datum{0});
    nulls_ = std::make_unique<bool[]>(record_columns_->natts);
}

bool FeatureArguments::ReadRecord(Datum record, Cell* cells) {
    HeapTupleHeader header = DatumGetHeapTupleHeader(record);
    const Oid type = HeapTupleHeaderGetTypeId(header);
    const int32 type_modifier = HeapTupleHeaderGetTypMod(header);
    // A number of the row type as it is now: ALTER TABLE gives it another.
    const uint64 identifier = assign_record_type_identifier(type, type_modifier);
    if (identifier != record_identifier_) {
        PlanRecord(type, type_modifier);
        record_identifier_ = identifier;
    }
    HeapTupleData tuple;
    tuple.t_len = HeapTupleHeaderGetDatumLength(header);
    ItemPointerSetInvalid(&tuple.t_self);
    tuple.t_tableOid = InvalidOid;
    tuple.t_data = header;
    heap_deform_tuple(&tuple, record_columns_, values_.data(), nulls_.get());
    rows_.Decode(values_.data(), nulls_.get(), cells);
    return true;
}

FeatureArguments::Given FeatureArguments::GivenOf(int input, JsonbValue* value) const {
    switch (value->type) {
        case jbvString:
            return {PointerGetDatum(cstring_to_text_with_len(value->val.string.val, value->val.string.len)),
                    false, TEXTOID};
        case jbvNumeric:
            return {NumericGetDatum(value->val.numeric), false, NUMERICOID};
        case jbvBool:
            return {BoolGetDatum(value->val.boolean), false, BOOLOID};
        case jbvBinary:
            break;
        default:
            return {};
    }
    if (!JsonContainerIsArray(value->val.binary.data))
        return {Datum{0}, false, InvalidOid};
    JsonbContainer* container = value->val.binary.data;
    const int count = JsonContainerSize(container);
    auto* elements = static_cast<Datum*>(palloc(sizeof(Datum) * count));
    auto* nulls = static_cast<bool*>(palloc(sizeof(bool) * count));
    for (int i = 0; i < count; ++i) {
        const JsonbValue* element = getIthJsonbValueFromContainer(container, i);
        if (element->type != jbvNull && element->type != jbvNumeric)
            ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                            errmsg("element %d of key \"%s\" is no number", i + 1, names_[input].c_str())));
        nulls[i] = element->type == jbvNull;
        elements[i] =
            nulls[i] ? Datum{0} : DirectFunctionCall1(numeric_float8, NumericGetDatum(element->val.numeric));
    }
    int length = count;
    int lower = 1;
    ArrayType* array = construct_md_array(elements, nulls, 1, &length, &lower, FLOAT8OID, 8, FLOAT8PASSBYVAL,
                                          TYPALIGN_DOUBLE);
    return {PointerGetDatum(array), false, FLOAT8ARRAYOID};
}

void FeatureArguments::ReadJsonValue(int input, JsonbValue* value, Cell* cells) const {
    const JsonReaders& readers = json_[input];
    const Given given = value->type == jbvBinary && !readers.array.has_value() ? Given{Datum{0}, false}
                                                                               : GivenOf(input, value);
    const std::optional<ValueDecoder>* reader = nullptr;
    const char* what = "an object";
    if (given.is_null) {
        what = "null";
        for (const auto* any : {&readers.text, &readers.number, &readers.boolean, &readers.array}) {
            if (any->has_value()) {
                (*any)->SetNull(cells);
                return;
            }
        }
    } else if (value->type == jbvString) {
        what = "a string";
        reader = &readers.text;
    } else if (value->type == jbvNumeric) {
        what = "a number";
        reader = &readers.number;
    } else if (value->type == jbvBool) {
        what = "a boolean";
        reader = &readers.boolean;
    } else if (JsonContainerIsArray(value->val.binary.data)) {
        what = "an array";
        reader = &readers.array;
    }
    if (reader != nullptr && reader->has_value()) {
        (*reader)->Decode(given.value, false, cells);
        return;
    }
    ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                    errmsg("key \"%s\" holds %s, which cannot be read as %s", names_[input].c_str(), what,
                           ColumnKindName(pipeline_.inputs()[input].kind))));
}

void FeatureArguments::ReadJson(const Jsonb* object, Cell* cells) const {
    if (!JB_ROOT_IS_OBJECT(object))
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("the features must be a JSON object"),
                 errhint("As in {\"%s\": ...}.", names_.empty() ? "feature" : names_[0].c_str())));
    JsonbContainer* container = const_cast<JsonbContainer*>(&object->root);
    for (int i = 0; i < static_cast<int>(names_.size()); ++i) {
        JsonbValue value;
        if (getKeyJsonValueFromContainer(container, names_[i].data(), static_cast<int>(names_[i].size()),
                                         &value) == nullptr)
            ThrowMissingKey(i);
        ReadJsonValue(i, &value, cells + pipeline_.first_cell(i));
    }
}

void FeatureArguments::ReadArray(ArrayType* array, Cell* cells) const {
    Datum* elements = nullptr;
    bool* nulls = nullptr;
    int count = 0;
    if (ARR_NDIM(array) > 1)
        ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                        errmsg("the features must be an array of one dimension")));
    deconstruct_array(array, element_type_, element_length_, element_by_value_, element_align_, &elements,
                      &nulls, &count);
    CheckCount(count);
    for (int i = 0; i < count; ++i)
        decoders_[i].Decode(elements[i], nulls[i], cells + pipeline_.first_cell(i));
}

void FeatureArguments::ReadPositional(FunctionCallInfo fcinfo, Cell* cells) const {
    const NullableDatum* arguments = fcinfo->args + first_argument_;
    for (int i = 0; i < static_cast<int>(decoders_.size()); ++i)
        decoders_[i].Decode(arguments[i].value, arguments[i].isnull, cells + pipeline_.first_cell(i));
}

bool FeatureArguments::ReadGiven(FunctionCallInfo fcinfo, Given* given) const {
    if (form_ == Form::kRecord) {
        for (size_t i = 0; i < names_.size(); ++i) {
            const int attribute = rows_.columns()[i].attribute;
            given[i] = {values_[attribute], nulls_[attribute],
                        getBaseType(TupleDescAttr(record_columns_, attribute)->atttypid)};
        }
        return true;
    }
    if (form_ != Form::kJsonb)
        return false;
    JsonbContainer* container = &DatumGetJsonbP(fcinfo->args[first_argument_].value)->root;
    for (size_t i = 0; i < names_.size(); ++i) {
        JsonbValue value;
        given[i] = {};
        if (getKeyJsonValueFromContainer(container, names_[i].data(), static_cast<int>(names_[i].size()),
                                         &value) != nullptr)
            given[i] = GivenOf(static_cast<int>(i), &value);
    }
    return true;
}

bool FeatureArguments::Read(FunctionCallInfo fcinfo, Cell* cells) {
    if (form_ == Form::kPositional) {
        ReadPositional(fcinfo, cells);
        return true;
    }
    const NullableDatum& features = fcinfo->args[first_argument_];
    if (features.isnull)
        return false;
    switch (form_) {
        case Form::kRecord:
            return ReadRecord(features.value, cells);
        case Form::kJsonb:
            ReadJson(DatumGetJsonbP(features.value), cells);
            return true;
        case Form::kJsonText:
            ReadJson(DatumGetJsonbP(DirectFunctionCall1(jsonb_in, features.value)), cells);
            return true;
        case Form::kArray:
            ReadArray(DatumGetArrayTypeP(features.value), cells);
            return true;
        case Form::kPositional:
            break;
    }
    return true;
}

}  // namespace dlent::pg
