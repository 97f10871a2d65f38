#pragma once

#include <optional>

#include "core/features/table.h"
#include "cpu/row_kernels.h"
#include "pg/bridge/error.h"

/// From PostgreSQL values to cells. The same functions serve training and scoring, and the value's actual
/// type decides how it is read, the column's kind what it becomes: int4, numeric and float8 that mean the
/// same number give the same cells, and so does text that spells it.

namespace dlent::pg {

/// What a column of this type is unless the user says otherwise. kUnsupported, with a hint, for types that no
/// feature can be read from (jsonb, bytea, composite types, ranges, ...). Domains count as their base type.
/// Throws PgError.
Expected<ColumnKind> KindOfType(Oid type, const std::string& column);

/// Turns the text of a category into a code: a training dictionary, or a model's vocabulary. The text is
/// UTF-8 and dies with the call.
class CategoryCoder {
 public:
    virtual ~CategoryCoder() = default;
    virtual int32_t Code(int column, std::string_view text) = 0;
    virtual int32_t NullCode(int column) const = 0;
};

/// Category codes of enum labels by their Oid, remembered.
struct OidCodes;

/// What values are decoded into.
struct DecodeTarget {
    std::string name;  ///< of the column, for messages; server encoding
    ColumnKind kind = ColumnKind::kNumeric;
    int width = 1;                   ///< cells
    CategoryCoder* coder = nullptr;  ///< of categories
    int coder_column = 0;            ///< what the coder calls this column
    bool with_time_zone = false;     ///< text for a kTimestamp without a zone: the session's, else UTC
};

/// Decodes the values of one type into the cells of one column. Trivially copyable; what it points to lives
/// in the memory context it was made in, and in the coder.
class ValueDecoder {
 public:
    /// Throws SqlError 42804 when values of `type` cannot be read as `target.kind`. UNKNOWNOID (an untyped
    /// literal) is read as text. Keeps its function handles in the current memory context.
    static ValueDecoder Create(const DecodeTarget& target, Oid type);

    /// Writes width() cells; NULL gives NaN cells, or the coder's NullCode. May raise a PostgreSQL error (a
    /// longjmp: the caller's frame holds nothing with a destructor and a guard lies above it) and may throw
    /// std::bad_alloc from the coder. May leave garbage in the current memory context; large intermediate
    /// values are freed at once.
    void Decode(Datum value, bool is_null, Cell* cells) const {
        if (is_null)
            SetNull(cells);
        else
            decode_(*this, value, cells);
    }
    void SetNull(Cell* cells) const;
    /// Asks the coder again for codes that it has given.
    void ForgetCodes() const;
    int width() const { return width_; }

 private:
    friend struct DecodeFunctions;
    friend class FixedTupleDecoder;
    using Function = void (*)(const ValueDecoder& self, Datum value, Cell* cells);

    Function decode_ = nullptr;
    Function from_text_ = nullptr;  ///< decodes a C string as a Datum: the second step of text
    Function element_ = nullptr;    ///< decodes an element of an array
    int width_ = 1;
    ColumnKind kind_ = ColumnKind::kNumeric;
    bool convert_encoding_ = false;  ///< the server's encoding is not UTF-8
    bool with_time_zone_ = false;
    int16 element_length_ = 0;
    bool element_by_value_ = false;
    char element_align_ = 'i';
    CategoryCoder* coder_ = nullptr;
    int coder_column_ = 0;
    const char* name_ = nullptr;     ///< in the memory context
    OidCodes* oid_codes_ = nullptr;  ///< of enums, in the memory context
    FmgrInfo* output_ = nullptr;     ///< of types whose category is their output text
};

/// Decodes rows: some attributes of a tuple, in any order, into consecutive cells.
class RowDecoder {
 public:
    struct Column {
        int attribute = 0;  ///< index into values and nulls
        ValueDecoder decoder;
    };

    RowDecoder() = default;
    explicit RowDecoder(std::vector<Column> columns);

    int cell_count() const { return cell_count_; }
    /// Attributes that must be deformed.
    int attributes_needed() const { return attributes_needed_; }
    const std::vector<Column>& columns() const { return columns_; }
    /// Under the rules of ValueDecoder::Decode().
    void Decode(const Datum* values, const bool* nulls, Cell* cells) const {
        for (const Column& column : columns_) {
            column.decoder.Decode(values[column.attribute], nulls[column.attribute], cells);
            cells += column.decoder.width();
        }
    }
    void ForgetCodes() const {
        for (const Column& column : columns_)
            column.decoder.ForgetCodes();
    }

 private:
    std::vector<Column> columns_;
    int cell_count_ = 0;
    int attributes_needed_ = 0;
};

/// The heap tuple that a slot holds as it is stored; null for other slots.
inline const HeapTupleData* HeapTupleOf(const TupleTableSlot* slot) {
    if (!TTS_IS_BUFFERTUPLE(slot) && !TTS_IS_HEAPTUPLE(slot))
        return nullptr;
    return reinterpret_cast<const HeapTupleTableSlot*>(slot)->tuple;
}

/// Decodes numbers where they lie in a heap tuple that has no NULLs: without deforming, for rows whose
/// columns up to the last feature have a fixed width.
class FixedTupleDecoder {
 public:
    /// Nothing when some column of `rows` is not such a number, or does not lie at a place that all tuples of
    /// `tuple` without NULLs share.
    static std::optional<FixedTupleDecoder> Create(const RowDecoder& rows, TupleDesc tuple);

    /// The cells that RowDecoder::Decode() would write; false when the tuple has NULLs or fewer columns.
    bool Decode(const HeapTupleHeaderData* tuple, Cell* cells) const;

 private:
    /// Neighbours of one type.
    struct Run {
        NumberType type;
        int offset;  ///< of the first, from the tuple's data
        int count;
    };
    const RowKernels* kernels_ = &SelectRowKernels(CpuIsa::kAvx512);
    std::vector<Run> runs_;
    int attributes_needed_ = 0;
};

}  // namespace dlent::pg
