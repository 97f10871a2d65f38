#include "pg/bridge/postgres.h"

#include "pg/source/numeric.h"

#include <limits>

namespace dlent::pg {
namespace {

// The stored form of a numeric (src/backend/utils/adt/numeric.c): a header of two or four bytes, then
// base-10000 digits, the most significant first. It cannot change without breaking pg_upgrade.
constexpr uint16 kFormMask = 0xC000;
constexpr uint16 kFormNegative = 0x4000;
constexpr uint16 kFormShort = 0x8000;
constexpr uint16 kFormSpecial = 0xC000;
constexpr uint16 kSpecialMask = 0xF000;
constexpr uint16 kPositiveInfinity = 0xD000;
constexpr uint16 kNegativeInfinity = 0xF000;
constexpr uint16 kShortNegative = 0x2000;
constexpr uint16 kShortWeightSign = 0x0040;
constexpr uint16 kShortWeightMask = 0x003F;

/// Powers of ten that a double holds exactly.
constexpr double kPowersOfTen[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
constexpr int kLargestExactPower = 22;
constexpr int kMostExactDigits = 4;
constexpr uint64 kLargestExactInteger = uint64{1} << 53;

uint16 LoadHalf(const char* data) {
    uint16 value;
    memcpy(&value, data, sizeof(value));
    return value;
}

double ThroughText(Datum numeric) {
    return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, numeric));
}

double OfStored(const char* data, int size, Datum numeric) {
    const uint16 header = LoadHalf(data);
    const uint16 form = header & kFormMask;
    int weight;
    bool negative;
    if (form == kFormShort) {
        negative = (header & kShortNegative) != 0;
        weight = header & kShortWeightMask;
        if (header & kShortWeightSign)
            weight |= ~static_cast<int>(kShortWeightMask);
        data += 2;
        size -= 2;
    } else if (form == kFormSpecial) {
        if ((header & kSpecialMask) == kPositiveInfinity)
            return std::numeric_limits<double>::infinity();
        if ((header & kSpecialMask) == kNegativeInfinity)
            return -std::numeric_limits<double>::infinity();
        return std::numeric_limits<double>::quiet_NaN();
    } else {
        negative = form == kFormNegative;
        weight = static_cast<int16>(LoadHalf(data + 2));
        data += 4;
        size -= 4;
    }
    const int digits = size / 2;
    if (digits == 0)
        return 0.0;
    if (digits > kMostExactDigits)
        return ThroughText(numeric);
    uint64 mantissa = 0;
    for (int i = 0; i < digits; ++i)
        mantissa = mantissa * 10000 + LoadHalf(data + 2 * i);
    // An exact integer times or over an exact power of ten is rounded once, so correctly.
    const int exponent = 4 * (weight - digits + 1);
    if (mantissa > kLargestExactInteger || exponent > kLargestExactPower || exponent < -kLargestExactPower)
        return ThroughText(numeric);
    const double magnitude = exponent >= 0 ? static_cast<double>(mantissa) * kPowersOfTen[exponent]
                                           : static_cast<double>(mantissa) / kPowersOfTen[-exponent];
    return negative ? -magnitude : magnitude;
}

}  // namespace

double DoubleOfNumeric(Datum numeric) {
    struct varlena* const stored = reinterpret_cast<struct varlena*>(DatumGetPointer(numeric));
    struct varlena* const plain = pg_detoast_datum_packed(stored);
    const double value =
        OfStored(VARDATA_ANY(plain), static_cast<int>(VARSIZE_ANY_EXHDR(plain)), PointerGetDatum(plain));
    if (plain != stored)
        pfree(plain);
    return value;
}

}  // namespace dlent::pg
