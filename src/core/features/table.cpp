#include "core/features/table.h"

#include <new>

namespace dlent {
namespace {

constexpr double kTwoPi = 6.283185307179586;
constexpr int64_t kMicrosecondsADay = INT64_C(86400000000);
/// PostgreSQL's 'infinity' and '-infinity' of timestamps and dates.
constexpr int64_t kTimestampInfinity = INT64_MAX;
constexpr int64_t kTimestampMinusInfinity = INT64_MIN;
constexpr int32_t kDateInfinity = INT32_MAX;
constexpr int32_t kDateMinusInfinity = INT32_MIN;

struct KindName {
    ColumnKind kind;
    const char* name;
};
constexpr KindName kKindNames[] = {
    {ColumnKind::kNumeric, "numeric"},   {ColumnKind::kBoolean, "boolean"},
    {ColumnKind::kCategory, "category"}, {ColumnKind::kTimestamp, "timestamp"},
    {ColumnKind::kDate, "date"},         {ColumnKind::kTime, "time"},
    {ColumnKind::kInterval, "interval"}, {ColumnKind::kVector, "vector"},
};

/// Floor division, so that days before 2000 are whole days as well.
int64_t FloorDivide(int64_t value, int64_t by) {
    return value / by - (value % by < 0 ? 1 : 0);
}

/// Share of the year that has passed at the start of a day, from days since 2000-01-01 (Howard Hinnant's
/// civil calendar arithmetic: years begin in March inside the computation).
double YearShare(int64_t days) {
    const int64_t shifted = days + 730425;  // days since 0000-03-01
    const int64_t era = FloorDivide(shifted, 146097);
    const int64_t day_of_era = shifted - era * 146097;
    const int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    return static_cast<double>(day_of_year) / 365.2425;
}

void Angle(double share, float* cells) {
    cells[0] = static_cast<float>(std::sin(kTwoPi * share));
    cells[1] = static_cast<float>(std::cos(kTwoPi * share));
}

void NullCells(int count, float* cells) {
    for (int i = 0; i < count; ++i)
        cells[i] = ColumnarTable::kNull;
}

/// Day of week and day of year.
void DayAngles(int64_t days, double share_of_day, float* cells) {
    // 2000-01-01 was a Saturday; weeks begin on Monday
    const double week_day = static_cast<double>((days + 5) - FloorDivide(days + 5, 7) * 7);
    Angle((week_day + share_of_day) / 7.0, cells);
    Angle(YearShare(days) + share_of_day / 365.2425, cells + 2);
}

}  // namespace

bool IsIntegerType(std::string_view type_name) {
    return type_name == "smallint" || type_name == "integer" || type_name == "bigint";
}

const char* ColumnKindName(ColumnKind kind) {
    for (const KindName& entry : kKindNames) {
        if (entry.kind == kind)
            return entry.name;
    }
    return "unknown";
}

Expected<ColumnKind> ParseColumnKind(std::string_view name) {
    for (const KindName& entry : kKindNames) {
        if (name == entry.name)
            return entry.kind;
    }
    std::string known;
    for (const KindName& entry : kKindNames)
        known += (known.empty() ? "" : ", ") + std::string(entry.name);
    return Status::Invalid("unknown kind of feature \"" + std::string(name) + "\"", {},
                           "Kinds are " + known + ".");
}

int CellsOf(ColumnKind kind) {
    switch (kind) {
        case ColumnKind::kTimestamp:
            return 7;
        case ColumnKind::kDate:
            return 5;
        case ColumnKind::kTime:
            return 3;
        default:
            return 1;
    }
}

const char* CellSuffix(ColumnKind kind, int cell) {
    static constexpr const char* kTimestampSuffixes[] = {"",
                                                         "time_of_day_sin",
                                                         "time_of_day_cos",
                                                         "day_of_week_sin",
                                                         "day_of_week_cos",
                                                         "day_of_year_sin",
                                                         "day_of_year_cos"};
    switch (kind) {
        case ColumnKind::kTimestamp:
        case ColumnKind::kTime:
            return kTimestampSuffixes[cell];
        case ColumnKind::kDate:
            return kTimestampSuffixes[cell == 0 ? 0 : cell + 2];
        default:
            return "";
    }
}

void TimestampCells(int64_t microseconds, float* cells) {
    if (microseconds == kTimestampInfinity || microseconds == kTimestampMinusInfinity)
        return NullCells(7, cells);
    const int64_t days = FloorDivide(microseconds, kMicrosecondsADay);
    const double share =
        static_cast<double>(microseconds - days * kMicrosecondsADay) / static_cast<double>(kMicrosecondsADay);
    cells[0] = static_cast<float>(static_cast<double>(days) + share);
    Angle(share, cells + 1);
    DayAngles(days, share, cells + 3);
}

void DateCells(int32_t days, float* cells) {
    if (days == kDateInfinity || days == kDateMinusInfinity)
        return NullCells(5, cells);
    cells[0] = static_cast<float>(days);
    DayAngles(days, 0.0, cells + 1);
}

void TimeCells(int64_t microseconds, float* cells) {
    cells[0] = static_cast<float>(static_cast<double>(microseconds) * 1e-6);
    Angle(static_cast<double>(microseconds) / static_cast<double>(kMicrosecondsADay), cells + 1);
}

ColumnarTable::ColumnarTable(std::vector<ColumnDefinition> columns) : columns_(std::move(columns)) {
    for (const ColumnDefinition& column : columns_) {
        first_cell_.push_back(cell_count_);
        cell_count_ += column.width;
        dictionaries_.push_back(column.kind == ColumnKind::kCategory ? std::make_unique<Dictionary>()
                                                                     : nullptr);
    }
}

bool ColumnarTable::AddChunk() {
    try {
        chunks_.push_back(
            std::make_unique_for_overwrite<Cell[]>(static_cast<size_t>(cell_count_) * kChunkRows));
    } catch (const std::bad_alloc&) {
        return false;
    }
    capacity_ += kChunkRows;
    write_base_ = chunks_.back().get();
    write_row_ = 0;
    return true;
}

}  // namespace dlent
