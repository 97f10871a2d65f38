#include "core/schedule/cron.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace dlent {
namespace {

constexpr int64_t kHourSeconds = 3600;
constexpr int64_t kDaySeconds = 86400;

/// Days from 1970-01-01, by counting: another way than the code's.
int64_t DaysOf(int year, int month, int day) {
    static constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const auto leap = [](int y) { return y % 4 == 0 && (y % 100 != 0 || y % 400 == 0); };
    int64_t days = 0;
    for (int y = 1970; y < year; ++y)
        days += leap(y) ? 366 : 365;
    for (int m = 1; m < month; ++m)
        days += kDays[m - 1] + (m == 2 && leap(year) ? 1 : 0);
    return days + day - 1;
}

int64_t Utc(int year, int month, int day, int hour = 0, int minute = 0) {
    return DaysOf(year, month, day) * kDaySeconds + hour * kHourSeconds + minute * 60;
}

const UtcOffset kUtc = [](int64_t) { return 0; };
/// Central European Time of 2026 alone: an hour ahead of UTC, two from 29 March 01:00 UTC to 25 October.
const UtcOffset kBerlin = [](int64_t t) {
    return static_cast<int>((t >= Utc(2026, 3, 29, 1) && t < Utc(2026, 10, 25, 1) ? 2 : 1) * kHourSeconds);
};
/// Lord Howe Island's clocks move by half an hour: 10:30 ahead, 11:00 until 5 April 2026, 02:00 local (15:00
/// UTC the day before), and again from 4 October, 02:00 local (15:30 UTC the day before).
const UtcOffset kLordHowe = [](int64_t t) {
    return t >= Utc(2026, 4, 4, 15) && t < Utc(2026, 10, 3, 15, 30) ? 37800 : 39600;
};
/// Midnight itself is left out: 4 November 2018 in São Paulo began at 01:00 (03:00 UTC).
const UtcOffset kSaoPaulo = [](int64_t t) {
    return static_cast<int>((t >= Utc(2018, 11, 4, 3) ? -2 : -3) * kHourSeconds);
};

CronExpression Cron(const char* text) {
    Expected<CronExpression> cron = CronExpression::Parse(text);
    EXPECT_TRUE(cron.ok()) << text << ": " << cron.status().message() << " " << cron.status().detail();
    return cron.ok() ? *cron : *CronExpression::Parse("@yearly");
}

/// The first `count` instants after `after`.
std::vector<int64_t> Instants(const char* text, int64_t after, int count, const UtcOffset& offset) {
    const CronExpression cron = Cron(text);
    std::vector<int64_t> instants;
    for (int i = 0; i < count; ++i) {
        const std::optional<int64_t> next = cron.Next(after, offset);
        if (!next)
            break;
        instants.push_back(*next);
        after = *next;
    }
    return instants;
}

using Times = std::vector<int64_t>;

TEST(Cron, Fields) {
    const int64_t start = Utc(2026, 1, 1);  // a Thursday
    EXPECT_EQ(Instants("* * * * *", start, 2, kUtc), (Times{start + 60, start + 120}));
    EXPECT_EQ(Instants("30 2 * * *", start, 2, kUtc),
              (Times{Utc(2026, 1, 1, 2, 30), Utc(2026, 1, 2, 2, 30)}));
    EXPECT_EQ(Instants("*/20 0 * * *", start, 3, kUtc),
              (Times{Utc(2026, 1, 1, 0, 20), Utc(2026, 1, 1, 0, 40), Utc(2026, 1, 2)}));
    EXPECT_EQ(Instants("10-30/10 5 * * *", start, 4, kUtc),
              (Times{Utc(2026, 1, 1, 5, 10), Utc(2026, 1, 1, 5, 20), Utc(2026, 1, 1, 5, 30),
                     Utc(2026, 1, 2, 5, 10)}));
    EXPECT_EQ(Instants("50/5 23 * * *", start, 3, kUtc),
              (Times{Utc(2026, 1, 1, 23, 50), Utc(2026, 1, 1, 23, 55), Utc(2026, 1, 2, 23, 50)}));
    EXPECT_EQ(Instants("0 6,18 * * *", start, 3, kUtc),
              (Times{Utc(2026, 1, 1, 6), Utc(2026, 1, 1, 18), Utc(2026, 1, 2, 6)}));
    EXPECT_EQ(Instants("0 0 * * MON-wed", start, 3, kUtc),
              (Times{Utc(2026, 1, 5), Utc(2026, 1, 6), Utc(2026, 1, 7)}));
    EXPECT_EQ(Instants("0 0 * * 7", start, 2, kUtc), (Times{Utc(2026, 1, 4), Utc(2026, 1, 11)}));
    EXPECT_EQ(Instants("0 0 * * 5-7", start, 4, kUtc),
              (Times{Utc(2026, 1, 2), Utc(2026, 1, 3), Utc(2026, 1, 4), Utc(2026, 1, 9)}));
    EXPECT_EQ(Instants("0 0 1 Feb,apr *", start, 3, kUtc),
              (Times{Utc(2026, 2, 1), Utc(2026, 4, 1), Utc(2027, 2, 1)}));
    EXPECT_EQ(Instants("0 12 L * *", start, 3, kUtc),
              (Times{Utc(2026, 1, 31, 12), Utc(2026, 2, 28, 12), Utc(2026, 3, 31, 12)}));
    EXPECT_EQ(Instants("0 12 l 2 *", Utc(2027, 1, 1), 2, kUtc),
              (Times{Utc(2027, 2, 28, 12), Utc(2028, 2, 29, 12)}));
    EXPECT_EQ(Instants("\t5  4 *\t* * ", start, 1, kUtc), (Times{Utc(2026, 1, 1, 4, 5)}));
}

TEST(Cron, EitherDayMattersUnlessOneIsAnAsterisk) {
    const int64_t start = Utc(2026, 1, 1);
    // the 13th, and every Friday
    EXPECT_EQ(Instants("0 0 13 * fri", start, 4, kUtc),
              (Times{Utc(2026, 1, 2), Utc(2026, 1, 9), Utc(2026, 1, 13), Utc(2026, 1, 16)}));
    // a field that begins with an asterisk: Fridays on odd days
    EXPECT_EQ(Instants("0 0 */2 * 5", start, 3, kUtc),
              (Times{Utc(2026, 1, 9), Utc(2026, 1, 23), Utc(2026, 2, 13)}));
}

TEST(Cron, Macros) {
    const int64_t start = Utc(2026, 5, 20, 10, 15);  // a Wednesday
    EXPECT_EQ(Instants("@hourly", start, 1, kUtc), (Times{Utc(2026, 5, 20, 11)}));
    EXPECT_EQ(Instants("@daily", start, 1, kUtc), (Times{Utc(2026, 5, 21)}));
    EXPECT_EQ(Instants("@midnight", start, 1, kUtc), (Times{Utc(2026, 5, 21)}));
    EXPECT_EQ(Instants("@Weekly", start, 1, kUtc), (Times{Utc(2026, 5, 24)}));
    EXPECT_EQ(Instants("@monthly", start, 1, kUtc), (Times{Utc(2026, 6, 1)}));
    EXPECT_EQ(Instants("@yearly", start, 1, kUtc), (Times{Utc(2027, 1, 1)}));
    EXPECT_EQ(Instants("@annually", start, 1, kUtc), (Times{Utc(2027, 1, 1)}));
}

TEST(Cron, NextIsAfter) {
    const CronExpression cron = Cron("0 3 * * *");
    EXPECT_EQ(cron.Next(Utc(2026, 1, 1, 3) - 1, kUtc), Utc(2026, 1, 1, 3));
    EXPECT_EQ(cron.Next(Utc(2026, 1, 1, 3), kUtc), Utc(2026, 1, 2, 3));
    EXPECT_EQ(cron.Next(Utc(2026, 1, 1, 3) + 59, kUtc), Utc(2026, 1, 2, 3));
    EXPECT_EQ(cron.Next(-5 * kDaySeconds + 1, kUtc), -5 * kDaySeconds + 3 * kHourSeconds);
}

TEST(Cron, RareDays) {
    EXPECT_EQ(Instants("0 0 29 2 *", Utc(2026, 1, 1), 2, kUtc), (Times{Utc(2028, 2, 29), Utc(2032, 2, 29)}));
    // 2100 is no leap year
    EXPECT_EQ(Instants("0 0 29 2 *", Utc(2096, 3, 1), 1, kUtc), (Times{Utc(2104, 2, 29)}));
    // a Monday, 1 February or the 29th, with both fields to match
    EXPECT_EQ(Instants("0 0 */28 2 1", Utc(2026, 3, 1), 1, kUtc), (Times{Utc(2027, 2, 1)}));
}

TEST(Cron, Refuses) {
    for (const char* text : {"",
                             "*",
                             "* * * *",
                             "* * * * * *",
                             "60 * * * *",
                             "-1 * * * *",
                             "* 24 * * *",
                             "* * 0 * *",
                             "* * 32 * *",
                             "* * * 13 *",
                             "* * * 0 *",
                             "* * * * 8",
                             "5-1 * * * *",
                             "*/0 * * * *",
                             "*/61 * * * *",
                             "1/2/3 * * * *",
                             "1-2-3 * * * *",
                             "a * * * *",
                             "* * * foo *",
                             "* * * * monday",
                             "1, * * * *",
                             ",1 * * * *",
                             "*, * * * *",
                             "1;2 * * * *",
                             "0 0 30 2 *",
                             "0 0 31 4,6,9,11 *",
                             "@fortnightly",
                             "@",
                             "@daily @daily",
                             "1- * * * *",
                             "/5 * * * *",
                             "*/ * * * *",
                             "99999999999 * * * *",
                             "* l * * *",
                             "* * 1,L * *",
                             "+1 * * * *",
                             "0x1 * * * *",
                             "1.5 * * * *"}) {
        const Expected<CronExpression> cron = CronExpression::Parse(text);
        ASSERT_FALSE(cron.ok()) << text;
        EXPECT_EQ(cron.status().code(), StatusCode::kInvalidArgument) << text;
        EXPECT_FALSE(cron.status().hint().empty()) << text;
    }
    EXPECT_EQ(CronExpression::Parse("0 25 * * *").status().message(), "invalid hour \"25\" in a schedule");
}

// ---- local time ----

TEST(Cron, LocalTimeDecides) {
    EXPECT_EQ(Instants("30 2 * * *", Utc(2026, 1, 1), 1, kBerlin), (Times{Utc(2026, 1, 1, 1, 30)}));
    EXPECT_EQ(Instants("30 2 * * *", Utc(2026, 7, 1), 1, kBerlin), (Times{Utc(2026, 7, 1, 0, 30)}));
    // the local day counts: Monday begins on Sunday in UTC
    EXPECT_EQ(Instants("0 0 * * 1", Utc(2026, 7, 1), 1, kBerlin), (Times{Utc(2026, 7, 5, 22)}));
}

TEST(Cron, WhatTheClockJumpsOverIsDueWhenItHasJumped) {
    // 02:30 does not exist on 29 March
    EXPECT_EQ(Instants("30 2 * * *", Utc(2026, 3, 28, 12), 2, kBerlin),
              (Times{Utc(2026, 3, 29, 1), Utc(2026, 3, 30, 0, 30)}));
    // once, however much is jumped over
    EXPECT_EQ(Instants("0,15,30,45 2 * * *", Utc(2026, 3, 29, 0, 30), 2, kBerlin),
              (Times{Utc(2026, 3, 29, 1), Utc(2026, 3, 30)}));
    // what is due at the end of the gap anyway is due once
    EXPECT_EQ(Instants("0 2,3 * * *", Utc(2026, 3, 29), 2, kBerlin),
              (Times{Utc(2026, 3, 29, 1), Utc(2026, 3, 30)}));
    // other hours are as they were
    EXPECT_EQ(Instants("30 1,4 * * *", Utc(2026, 3, 28, 23), 2, kBerlin),
              (Times{Utc(2026, 3, 29, 0, 30), Utc(2026, 3, 29, 2, 30)}));
}

TEST(Cron, WhatTheClockRepeatsIsDueOnce) {
    // 02:30 comes twice on 25 October: at 00:30 and 01:30 UTC
    EXPECT_EQ(Instants("30 2 * * *", Utc(2026, 10, 24, 12), 2, kBerlin),
              (Times{Utc(2026, 10, 25, 0, 30), Utc(2026, 10, 26, 1, 30)}));
    // also when asked between the two
    EXPECT_EQ(Instants("30 2 * * *", Utc(2026, 10, 25, 1), 1, kBerlin), (Times{Utc(2026, 10, 26, 1, 30)}));
    EXPECT_EQ(Instants("59 2 * * *", Utc(2026, 10, 25, 0, 59), 1, kBerlin),
              (Times{Utc(2026, 10, 26, 1, 59)}));
    EXPECT_EQ(Instants("0 3 * * *", Utc(2026, 10, 25), 1, kBerlin), (Times{Utc(2026, 10, 25, 2)}));
}

TEST(Cron, WildcardsFollowTheWall) {
    // every hour: 02:00 twice, once in summer time and once in winter time
    EXPECT_EQ(Instants("0 * * * *", Utc(2026, 10, 24, 23), 4, kBerlin),
              (Times{Utc(2026, 10, 25), Utc(2026, 10, 25, 1), Utc(2026, 10, 25, 2), Utc(2026, 10, 25, 3)}));
    // and nothing extra when an hour is left out
    EXPECT_EQ(
        Instants("*/30 * * * *", Utc(2026, 3, 29, 0), 4, kBerlin),
        (Times{Utc(2026, 3, 29, 0, 30), Utc(2026, 3, 29, 1), Utc(2026, 3, 29, 1, 30), Utc(2026, 3, 29, 2)}));
    EXPECT_EQ(Instants("*/30 2 * * *", Utc(2026, 3, 29), 1, kBerlin), (Times{Utc(2026, 3, 30)}));
}

TEST(Cron, HalfHours) {
    // the gap of 4 October: 02:00 to 02:30
    EXPECT_EQ(Instants("15 2 * * *", Utc(2026, 10, 3, 12), 2, kLordHowe),
              (Times{Utc(2026, 10, 3, 15, 30), Utc(2026, 10, 4, 15, 15)}));
    EXPECT_EQ(Instants("45 2 * * *", Utc(2026, 10, 3, 12), 1, kLordHowe), (Times{Utc(2026, 10, 3, 15, 45)}));
    // 01:45 of 5 April comes at 14:45 and at 15:15 UTC
    EXPECT_EQ(Instants("45 1 * * *", Utc(2026, 4, 4, 12), 2, kLordHowe),
              (Times{Utc(2026, 4, 4, 14, 45), Utc(2026, 4, 5, 15, 15)}));
}

TEST(Cron, ADayWithoutMidnight) {
    EXPECT_EQ(Instants("@daily", Utc(2018, 11, 3, 12), 2, kSaoPaulo),
              (Times{Utc(2018, 11, 4, 3), Utc(2018, 11, 5, 2)}));
    EXPECT_EQ(Instants("0 1 * * *", Utc(2018, 11, 3, 12), 1, kSaoPaulo), (Times{Utc(2018, 11, 4, 3)}));
    EXPECT_EQ(Instants("30 12 * * 0", Utc(2018, 11, 3, 12), 1, kSaoPaulo), (Times{Utc(2018, 11, 4, 14, 30)}));
}

/// Against the definition, minute by minute, over days on which clocks change.
TEST(Cron, NoMinuteIsMissedOrInvented) {
    struct Case {
        const UtcOffset* offset;
        int64_t from;
        int64_t to;
    };
    const Case cases[] = {{&kBerlin, Utc(2026, 3, 28), Utc(2026, 3, 31)},
                          {&kBerlin, Utc(2026, 10, 24), Utc(2026, 10, 27)},
                          {&kLordHowe, Utc(2026, 4, 3), Utc(2026, 4, 7)},
                          {&kSaoPaulo, Utc(2018, 11, 3), Utc(2018, 11, 6)}};
    for (const Case& one : cases) {
        for (const char* text : {"*/7 * * * *", "3 */5 * * *", "*/10 1-3 * * 0", "11 * * * *"}) {
            const CronExpression cron = Cron(text);
            Times expected;
            for (int64_t t = one.from + 60; t <= one.to; t += 60) {
                // a minute matches iff it is the next after the minute before it in a zone that never changes
                const int64_t local = t + (*one.offset)(t);
                if (cron.Next(local - 60, kUtc) == local)
                    expected.push_back(t);
            }
            Times found;
            for (int64_t t = one.from;;) {
                const std::optional<int64_t> next = cron.Next(t, *one.offset);
                if (!next || *next > one.to)
                    break;
                found.push_back(t = *next);
            }
            EXPECT_EQ(found, expected) << text;
            EXPECT_FALSE(found.empty());
        }
    }
}

}  // namespace
}  // namespace dlent
