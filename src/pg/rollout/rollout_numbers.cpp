#include "pg/bridge/postgres.h"

#include "pg/rollout/rollout_numbers.h"

#include <algorithm>
#include <cmath>

#include "pg/bridge/json.h"
#include "pg/bridge/text.h"
#include "pg/catalog/lookup.h"
#include "pg/catalog/writer.h"
#include "pg/rollout/measurement.h"

extern "C" {
#include "utils/float.h"
}

namespace dlent::pg {
namespace {

constexpr int kMostParameters = 64;

/// What a statement found: numbers, NaN for NULL.
struct Grid {
    double* cells;
    int rows;
    int columns;

    double at(int row, int column) const { return cells[static_cast<size_t>(row) * columns + column]; }
};

struct ArmRow {
    int arm;
    const char* name;
    int version;
    double weight;
    bool shadow;
};

struct RolloutRow {
    int64_t id;
    int64_t model_id;
    const char* mode;
    const char* state;
    int step;
    Datum options;
    const char* task;
    TimestampTz step_started_at;
    ArmRow* arms;
    int arm_count;
};

// ---- what runs under the guard: no destructors below ----

RolloutRow ReadRollout(const char* model, int64_t id, Privilege privilege) {
    const MemoryContext caller = CurrentMemoryContext;
    FoundModel found_model;
    if (!FindModel(model, &found_model))
        RaiseNoModel(model);
    if (!HasPrivilege(found_model, privilege))
        RaiseDenied(model);
    CatalogWrite read;
    BeginCatalogRead(&read);
    RolloutRow row{};
    row.model_id = found_model.id;
    const Parameter wanted[] = {Int8(row.model_id), Int8(id)};
    if (ExecuteReadOnly(
            "SELECT r.id, r.mode, r.state, r.step, r.options, r.step_started_at, "
            "(SELECT v.task FROM dlent.rollout_arm AS a JOIN dlent.version AS v ON v.number = a.version "
            "    WHERE a.rollout_id = r.id AND v.model_id = r.model_id ORDER BY a.arm LIMIT 1) "
            "FROM dlent.rollout AS r WHERE r.model_id = $1 AND ($2 = 0 OR r.id = $2) "
            "ORDER BY r.id DESC LIMIT 1",
            wanted) == 0) {
        if (id == 0)
            ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model \"%s\" has no rollout", model),
                            errhint("dlent_deploy() begins one.")));
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("model \"%s\" has no rollout " INT64_FORMAT, model, id)));
    }
    const auto copied = [caller](uint64_t at, int column) -> const char* {
        const Datum value = Result(at, column);
        const MemoryContext previous = MemoryContextSwitchTo(caller);
        const char* const copy = value == 0 ? nullptr : text_to_cstring(DatumGetTextPP(value));
        MemoryContextSwitchTo(previous);
        return copy;
    };
    row.id = DatumGetInt64(Result(0, 1));
    row.mode = copied(0, 2);
    row.state = copied(0, 3);
    row.step = DatumGetInt32(Result(0, 4));
    const Datum options = Result(0, 5);
    row.step_started_at = DatumGetTimestampTz(Result(0, 6));
    row.task = copied(0, 7);
    MemoryContextSwitchTo(caller);
    row.options = PointerGetDatum(DatumGetJsonbPCopy(options));
    const Parameter found[] = {Int8(row.id)};
    row.arm_count =
        static_cast<int>(ExecuteReadOnly("SELECT arm, name, version, weight, shadow FROM dlent.rollout_arm "
                                         "WHERE rollout_id = $1 ORDER BY arm",
                                         found));
    row.arms = static_cast<ArmRow*>(MemoryContextAlloc(caller, sizeof(ArmRow) * (row.arm_count + 1)));
    for (int i = 0; i < row.arm_count; ++i)
        row.arms[i] = {DatumGetInt32(Result(i, 1)), copied(i, 2), DatumGetInt32(Result(i, 3)),
                       DatumGetFloat8(Result(i, 4)), DatumGetBool(Result(i, 5))};
    EndCatalogRead(read);
    return row;
}

Grid ReadGrid(const char* statement, const Parameter* parameters, int count, bool nested_loops) {
    const MemoryContext caller = CurrentMemoryContext;
    CatalogWrite read;
    BeginCatalogRead(&read);
    // every key comes once or twice: remembering what was found for each takes memory and half as much time
    // again
    (void)set_config_option("enable_memoize", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                            false);
    if (!nested_loops)
        (void)set_config_option("enable_nestloop", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
                                0, false);
    Grid grid{};
    grid.rows = static_cast<int>(ExecuteReadOnly(statement, parameters, count));
    grid.columns = SPI_tuptable->tupdesc->natts;
    grid.cells = static_cast<double*>(
        MemoryContextAlloc(caller, sizeof(double) * (static_cast<size_t>(grid.rows) * grid.columns + 1)));
    for (int row = 0; row < grid.rows; ++row) {
        for (int column = 0; column < grid.columns; ++column) {
            bool is_null = false;
            const Datum value =
                SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column + 1, &is_null);
            grid.cells[static_cast<size_t>(row) * grid.columns + column] =
                is_null ? get_float8_nan() : DatumGetFloat8(value);
        }
    }
    EndCatalogRead(read);
    return grid;
}

/// Null: there is none.
const char* ReadChampionTask(const char* model) {
    const MemoryContext caller = CurrentMemoryContext;
    CatalogWrite read;
    BeginCatalogRead(&read);
    const Parameter parameters[] = {Text(model)};
    const char* task = nullptr;
    if (ExecuteReadOnly("SELECT v.task FROM dlent.model AS m JOIN dlent.version AS v ON v.model_id = m.id "
                        "AND v.number = m.champion WHERE m.name = $1",
                        parameters) > 0)
        task = MemoryContextStrdup(caller, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
    EndCatalogRead(read);
    return task;
}

struct BrokenExpectation {
    int arm;
    const char* name;  ///< null: this one is met
};
struct BrokenExpectations {
    BrokenExpectation* entries;
    int count;
};

/// The last stored result of every expectation of severity error, for the version of every treatment.
BrokenExpectations ReadBrokenExpectations(int64_t model_id, int64_t rollout_id) {
    const MemoryContext caller = CurrentMemoryContext;
    CatalogWrite read;
    BeginCatalogRead(&read);
    const Parameter parameters[] = {Int8(model_id), Int8(rollout_id)};
    BrokenExpectations found{};
    found.count = static_cast<int>(
        ExecuteReadOnly("SELECT a.arm, CASE WHEN r.status IN ('fail', 'error') THEN e.name END "
                        "FROM dlent.rollout_arm AS a CROSS JOIN dlent.expectation AS e "
                        "CROSS JOIN LATERAL (SELECT x.status FROM dlent.expectation_result AS x "
                        "    WHERE x.model_id = $1 AND x.version = a.version AND x.name = e.name "
                        "    ORDER BY x.\"check\" DESC LIMIT 1) AS r "
                        "WHERE a.rollout_id = $2 AND a.arm > 0 AND e.model_id = $1 AND e.severity = 'error' "
                        "ORDER BY a.arm, e.name",
                        parameters));
    const MemoryContext previous = MemoryContextSwitchTo(caller);
    found.entries = static_cast<BrokenExpectation*>(palloc(sizeof(BrokenExpectation) * (found.count + 1)));
    for (int i = 0; i < found.count; ++i) {
        const Datum name = Result(i, 2);
        found.entries[i] = {DatumGetInt32(Result(i, 1)),
                            name == 0 ? nullptr : text_to_cstring(DatumGetTextPP(name))};
    }
    MemoryContextSwitchTo(previous);
    EndCatalogRead(read);
    return found;
}

// ---- C++ ----

double OrZero(double number) {
    return std::isnan(number) ? 0.0 : number;
}

std::optional<double> Known(double number) {
    return std::isnan(number) ? std::nullopt : std::optional<double>(number);
}

ArmNumbers* FindArm(RolloutNumbers* numbers, double arm) {
    for (ArmNumbers& candidate : numbers->arms) {
        if (candidate.arm == static_cast<int>(arm))
            return &candidate;
    }
    return nullptr;
}

void TakeArms(const Grid& grid, RolloutNumbers* numbers) {
    using M = Measurement;
    for (int row = 0; row < grid.rows; ++row) {
        ArmNumbers* const arm = FindArm(numbers, grid.at(row, M::kArm));
        if (arm == nullptr)
            continue;
        arm->units = grid.at(row, M::kUnits);
        arm->step_units = grid.at(row, M::kStepUnits);
        arm->answers = grid.at(row, M::kAnswers);
        arm->errors = grid.at(row, M::kErrors);
        arm->non_finite = grid.at(row, M::kNonFinite);
        arm->latency_us = Known(grid.at(row, M::kLatency));
        for (size_t i = 0; i < numbers->metrics.size(); ++i) {
            const int first = M::kArmColumns + static_cast<int>(i) * M::kMetricColumns;
            MetricNumbers& metric = arm->metrics[i];
            metric.units = {grid.at(row, first + M::kCount), OrZero(grid.at(row, first + M::kMean)),
                            OrZero(grid.at(row, first + M::kVariance))};
            metric.step_units = grid.at(row, first + M::kStepCount);
            metric.invalid = grid.at(row, first + M::kInvalid);
        }
    }
}

void TakePairs(const Grid& grid, RolloutNumbers* numbers) {
    using M = Measurement;
    for (int row = 0; row < grid.rows; ++row) {
        ArmNumbers* const arm = FindArm(numbers, grid.at(row, M::kPairArm));
        if (arm == nullptr)
            continue;
        arm->paired_requests = grid.at(row, M::kRequests);
        arm->agreement = Known(grid.at(row, M::kAgreement));
        arm->correlation = Known(grid.at(row, M::kCorrelation));
        arm->latency_ratio = Known(grid.at(row, M::kLatencyRatio));
        for (size_t i = 0; i < numbers->metrics.size(); ++i) {
            const int first = M::kPairColumns + static_cast<int>(i) * M::kPairMetricColumns;
            MetricNumbers& metric = arm->metrics[i];
            metric.pairs.n = grid.at(row, first + M::kPairs);
            metric.pairs.mean = OrZero(grid.at(row, first + M::kDifference));
            metric.pairs.variance = OrZero(grid.at(row, first + M::kDifferenceVariance));
            metric.pairs.control_mean = OrZero(grid.at(row, first + M::kControl));
            metric.pairs.control_variance = OrZero(grid.at(row, first + M::kControlVariance));
            metric.pairs.covariance = OrZero(grid.at(row, first + M::kCovariance));
            metric.step_pairs = grid.at(row, first + M::kStepPairs);
        }
    }
}

}  // namespace

int64_t RolloutOption(const OptionReader& reader) {
    const Json* const id = reader.Find("rollout");
    if (id == nullptr)
        return 0;
    if (!id->is_number_integer() || id->get<int64_t>() <= 0)
        reader.Refuse("rollout", "the number of a rollout");
    return id->get<int64_t>();
}

StudiedRollout StudyRollout(const std::string& model, int64_t id, Privilege privilege) {
    const RolloutRow row = CallPostgres([&] { return ReadRollout(model.c_str(), id, privilege); });
    StudiedRollout rollout;
    rollout.id = row.id;
    rollout.model_id = row.model_id;
    rollout.model = model;
    rollout.mode = row.mode;
    rollout.state = row.state;
    rollout.step = row.step;
    rollout.options = JsonFromDatum(row.options);
    rollout.task = row.task == nullptr ? Task::kBinary : ValueOrThrow(ParseTask(row.task));
    rollout.step_started_at = row.step_started_at;
    for (int i = 0; i < row.arm_count; ++i) {
        ArmNumbers arm;
        arm.arm = row.arms[i].arm;
        arm.name = ToUtf8(row.arms[i].name);
        arm.version = row.arms[i].version;
        arm.weight = row.arms[i].weight;
        arm.shadow = row.arms[i].shadow;
        rollout.arms.push_back(std::move(arm));
    }
    return rollout;
}

std::optional<Task> ChampionTask(const std::string& model) {
    const char* const task = CallPostgres([&model] { return ReadChampionTask(model.c_str()); });
    if (task == nullptr)
        return std::nullopt;
    return ValueOrThrow(ParseTask(task));
}

RolloutNumbers MeasureRollout(const StudiedRollout& rollout, const std::vector<std::string>& metrics,
                              TimestampTz from, TimestampTz until) {
    RolloutNumbers numbers;
    numbers.metrics = metrics;
    numbers.arms = rollout.arms;
    for (ArmNumbers& arm : numbers.arms)
        arm.metrics.resize(metrics.size());
    Measurement measurement(metrics, rollout.task);
    std::vector<std::string> outcomes;
    for (const std::string& outcome : measurement.outcomes())
        outcomes.push_back(FromUtf8(outcome));
    struct Parameters {
        Parameter list[kMostParameters];
        int count;
    };
    if (Measurement::kFirstOutcome + outcomes.size() > kMostParameters)
        throw SqlError(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, "too many metrics");
    const Parameters parameters = CallPostgres([&] {
        Parameters made{};
        made.list[Measurement::kRollout - 1] = Int8(rollout.id);
        made.list[Measurement::kFrom - 1] = Of(TIMESTAMPTZOID, TimestampTzGetDatum(from));
        made.list[Measurement::kUntil - 1] = Of(TIMESTAMPTZOID, TimestampTzGetDatum(until));
        made.list[Measurement::kStep - 1] = Of(TIMESTAMPTZOID, TimestampTzGetDatum(rollout.step_started_at));
        made.list[Measurement::kModel - 1] = Int8(rollout.model_id);
        made.list[Measurement::kTask - 1] = Text(TaskName(rollout.task));
        for (size_t i = 0; i < outcomes.size(); ++i)
            made.list[Measurement::kFirstOutcome - 1 + i] = Text(outcomes[i].c_str());
        made.count = Measurement::kFirstOutcome - 1 + static_cast<int>(outcomes.size());
        return made;
    });
    bool many = false;
    const auto measure = [&](const std::string& statement) {
        return CallPostgres(
            [&] { return ReadGrid(statement.c_str(), parameters.list, parameters.count, !many); });
    };
    if (!outcomes.empty() && measure(Measurement::ManyStatement()).at(0, 0) > 0.0) {
        measurement.JoinAll();
        many = true;
    }
    TakeArms(measure(measurement.ArmStatement()), &numbers);
    if (std::any_of(numbers.arms.begin(), numbers.arms.end(),
                    [](const ArmNumbers& arm) { return arm.shadow; }))
        TakePairs(measure(measurement.PairStatement()), &numbers);

    const BrokenExpectations broken =
        CallPostgres([&] { return ReadBrokenExpectations(rollout.model_id, rollout.id); });
    numbers.broken_expectations.resize(numbers.arms.size());
    for (int i = 0; i < broken.count; ++i) {
        for (size_t arm = 0; arm < numbers.arms.size(); ++arm) {
            if (numbers.arms[arm].arm != broken.entries[i].arm)
                continue;
            auto& names = numbers.broken_expectations[arm];
            if (!names)
                names.emplace();
            if (broken.entries[i].name != nullptr)
                names->push_back(ToUtf8(broken.entries[i].name));
        }
    }
    numbers.seconds_in_step =
        static_cast<double>(GetCurrentTimestamp() - rollout.step_started_at) / USECS_PER_SEC;
    return numbers;
}

}  // namespace dlent::pg
