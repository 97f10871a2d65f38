#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/features/pipeline.h"
#include "pg/bridge/postgres.h"
#include "pg/source/decode.h"

extern "C" {
#include "utils/array.h"
#include "utils/jsonb.h"
}

namespace dlent::pg {

/// Reads the features of one call, f(model, VARIADIC features "any"), into a model's cells. They are given as
///   one record       columns are matched by name, others ignored
///   one jsonb        an object; keys are matched by name, others ignored
///   one array        the features in order (also VARIADIC ARRAY[...])
///   anything else    the features in order
/// or, by the batching node, from columns of a tuple that were chosen when the statement was planned.
/// How the arguments are to be read is decided once; a row costs a deforming and a decoding.
class FeatureArguments {
 public:
    /// Of `pipeline`, which must outlive this, for the calls of `fcinfo`'s call site whose features begin at
    /// `first_argument` and are `argument_count` arguments (0: all that follow). What has to be kept is kept
    /// in `context`. `model_id` and `version` name the contract, `title` the model in messages. For C++
    /// frames; 22023 and 42804 when the arguments cannot be the features.
    FeatureArguments(FunctionCallInfo fcinfo, int first_argument, const Pipeline& pipeline, int64_t model_id,
                     int version, std::string title, MemoryContext context, int argument_count = 0);
    /// Of one jsonb object, for ReadObject().
    static std::unique_ptr<FeatureArguments> OfJsonb(const Pipeline& pipeline, std::string title,
                                                     MemoryContext context);

    /// Where one value lies in a tuple.
    struct Column {
        int attribute = 0;  ///< index into its values
        Oid type = InvalidOid;
        std::string name;  ///< where values are matched by name
    };
    /// Of `columns`, to be read by ReadColumns(): the features in order, or `by_name` as a record's.
    FeatureArguments(const std::vector<Column>& columns, bool by_name, const Pipeline& pipeline,
                     std::string title, MemoryContext context);

    /// How features are given.
    enum class Form { kRecord, kJsonb, kJsonText, kArray, kPositional };
    Form form() const { return form_; }
    /// Names of the inputs, in the server's encoding.
    const std::vector<std::string>& names() const { return names_; }

    /// Under the rules of Read().
    void ReadColumns(const Datum* values, const bool* nulls, Cell* cells) const {
        rows_.Decode(values, nulls, cells);
    }

    /// How the columns are read from heap tuples of that shape, where they are all numbers at fixed places.
    std::optional<FixedTupleDecoder> FixedColumns(TupleDesc tuple) const {
        return FixedTupleDecoder::Create(rows_, tuple);
    }

    /// False when the features as a whole are NULL. Raises PostgreSQL errors and throws: to be called from a
    /// frame that holds nothing with a destructor, below a guard.
    bool Read(FunctionCallInfo fcinfo, Cell* cells);
    /// Under the rules of Read().
    void ReadObject(const Jsonb* object, Cell* cells) const { ReadJson(object, cells); }

    /// A feature's value as it was given.
    struct Given {
        Datum value = 0;
        bool is_null = true;
        Oid type = InvalidOid;  ///< domains as their base type
    };
    /// The values of the row that Read() has just read, of a record or a jsonb object: one for each input.
    /// Under the rules of Read(). False where they came in another form.
    bool ReadGiven(FunctionCallInfo fcinfo, Given* given) const;

 private:
    class Coder final : public CategoryCoder {
     public:
        explicit Coder(const Pipeline& pipeline) : pipeline_(pipeline) {}
        int32_t Code(int column, std::string_view text) override {
            return pipeline_.CategoryCode(column, text);
        }
        int32_t NullCode(int column) const override { return pipeline_.NullCode(column); }

     private:
        const Pipeline& pipeline_;
    };

    /// One input's readers, by the type of a JSON value.
    struct JsonReaders {
        std::optional<ValueDecoder> text;
        std::optional<ValueDecoder> number;
        std::optional<ValueDecoder> boolean;
        std::optional<ValueDecoder> array;
    };

    FeatureArguments(int first_argument, const Pipeline& pipeline, int64_t model_id, int version,
                     std::string title, MemoryContext context);

    ValueDecoder DecoderOf(int input, Oid type);
    std::optional<ValueDecoder> DecoderIfAny(int input, Oid type);
    void PlanValues(FunctionCallInfo fcinfo, int count);
    void PlanJson();
    void PlanArray(Oid element_type);
    void PlanRecord(Oid type, int32 type_modifier);
    /// The names, for messages.
    std::string InputList() const;
    void CheckCount(int given) const;
    /// 42703: a record without `missing`, a list of `count` columns, whose first column is `first`.
    [[noreturn]] void ThrowMissing(const std::string& missing, int count, std::string_view first) const;

    /// 42703
    [[noreturn]] void ThrowMissingKey(int input) const;

    bool ReadRecord(Datum record, Cell* cells);
    void ReadJson(const Jsonb* object, Cell* cells) const;
    void ReadJsonValue(int input, JsonbValue* value, Cell* cells) const;
    Given GivenOf(int input, JsonbValue* value) const;
    void ReadArray(ArrayType* array, Cell* cells) const;
    void ReadPositional(FunctionCallInfo fcinfo, Cell* cells) const;

    const Pipeline& pipeline_;
    const int first_argument_;
    const int64_t model_id_;
    const int version_;
    const std::string title_;
    const MemoryContext context_;
    Coder coder_;
    std::vector<std::string> names_;  ///< of the inputs, in the server's encoding
    Form form_ = Form::kPositional;

    std::vector<ValueDecoder> decoders_;  ///< of each input: positional and array
    std::vector<JsonReaders> json_;
    Oid element_type_ = InvalidOid;
    int16 element_length_ = 0;
    bool element_by_value_ = false;
    char element_align_ = 'i';

    // Records and columns. The row type that rows_ reads is planned anew when another comes, or when this one
    // changed.
    uint64 record_identifier_ = 0;
    MemoryContext record_context_ = nullptr;
    TupleDesc record_columns_ = nullptr;
    RowDecoder rows_;
    std::vector<Datum> values_;
    std::unique_ptr<bool[]> nulls_;
};

}  // namespace dlent::pg
