// dlent_deploy, dlent_advance_rollout, dlent_hold_rollout, dlent_resume_rollout, dlent_stop_rollout: how
// versions are put to work beside the champion.
//
// The bodies below the guards hold nothing with a destructor.

#include "pg/bridge/postgres.h"

#include "pg/bridge/json.h"
#include "pg/bridge/text.h"
#include "pg/catalog/model_change.h"
#include "pg/catalog/models.h"
#include "pg/functions/arguments.h"
#include "pg/rollout/check_rollout.h"
#include "pg/rollout/deploy_options.h"
#include "pg/rollout/rollout_numbers.h"

namespace dlent::pg {
namespace {

/// A DeployRequest in C's terms.
struct NewArm {
    int version;
    const char* name;
    double weight;
    bool shadow;
};
struct NewRollout {
    const char* model;
    const char* mode;
    const char* unit;
    const char* seed;
    const char* reason;
    double coverage;
    Datum options;
    const NewArm* arms;
    int arm_count;
};

/// Refuses a version that cannot stand in for the champion.
void CheckArm(const FoundModel& model, const char* name, int version) {
    if (!VersionExists(model.id, version))
        RaiseNoVersion(name, version);
    if (version == model.champion)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("version %d is the champion of model \"%s\"", version, name),
                        errhint("A rollout puts another version to work beside it.")));
    const Parameter parameters[] = {Int8(model.id), Int4(version), Int4(model.champion)};
    Execute(
        "SELECT v.task, c.task, v.specification #> '{target,labels}', c.specification #> '{target,labels}', "
        "v.task = c.task, (v.specification #> '{target,labels}') IS NOT DISTINCT FROM "
        "(c.specification #> '{target,labels}') "
        "FROM dlent.version AS v, dlent.version AS c "
        "WHERE v.model_id = $1 AND v.number = $2 AND c.model_id = $1 AND c.number = $3",
        parameters);
    const auto task = [](int column) { return TextDatumGetCString(Result(0, column)); };
    const auto labels = [](int column) {
        const Datum value = Result(0, column);
        return value == 0 ? "none" : DatumGetCString(DirectFunctionCall1(jsonb_out, value));
    };
    if (!DatumGetBool(Result(0, 5)))
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                 errmsg("version %d of model \"%s\" has another task than the champion", version, name),
                 errdetail("The task of version %d is %s, that of version %d is %s.", version, task(1),
                           model.champion, task(2))));
    if (!DatumGetBool(Result(0, 6)))
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                 errmsg("version %d of model \"%s\" has other labels than the champion", version, name),
                 errdetail("The labels of version %d are %s, those of version %d are %s.", version, labels(3),
                           model.champion, labels(4))));
}

int64_t InsertRollout(const FoundModel& model, const NewRollout& rollout, const char* caller) {
    Execute("SELECT pg_catalog.nextval('dlent.rollout_id_seq')", nullptr, 0);
    const int64_t id = DatumGetInt64(Result(0, 1));
    // with its end marked, so that a seed and a unit of digits cannot be another pair's
    const char* seed = rollout.seed != nullptr
                           ? rollout.seed
                           : psprintf("%s/%lld/", rollout.model, static_cast<long long>(id));
    const Parameter parameters[] = {Int8(id),
                                    Int8(model.id),
                                    Text(rollout.mode),
                                    Text(rollout.unit),
                                    Text(seed),
                                    Float8(rollout.coverage),
                                    Of(JSONBOID, rollout.options),
                                    Text(caller),
                                    Text(rollout.reason)};
    Execute(
        "INSERT INTO dlent.rollout (id, model_id, mode, unit, seed, coverage, options, started_by, reason) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7 || pg_catalog.jsonb_build_object('seed', $5), "
        "$8::pg_catalog.name, $9)",
        parameters);
    for (int i = 0; i < rollout.arm_count; ++i) {
        const NewArm& arm = rollout.arms[i];
        const Parameter values[] = {Int8(id),           Int4(i),
                                    Text(arm.name),     Int4(arm.version == 0 ? model.champion : arm.version),
                                    Float8(arm.weight), Of(BOOLOID, BoolGetDatum(arm.shadow))};
        Execute("INSERT INTO dlent.rollout_arm VALUES ($1, $2, $3, $4, $5, $6)", values);
    }
    const Parameter link[] = {Int8(model.id), Int8(id)};
    Execute("UPDATE dlent.model SET rollout = $2 WHERE id = $1", link);
    return id;
}

int64_t Deploy(const NewRollout& rollout) {
    CatalogWrite write;
    FoundModel model;
    LockModel("dlent_deploy()", rollout.model, Who::kManager, &write, &model);
    if (model.champion == 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("model \"%s\" has no champion", rollout.model),
                        errhint("Promote a version of it with dlent_promote().")));
    if (model.rollout != 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("a rollout of model \"%s\" is under way", rollout.model),
                        errhint("View dlent.rollouts shows it; dlent_stop_rollout(%s) ends it.",
                                quote_literal_cstr(rollout.model))));
    for (int i = 1; i < rollout.arm_count; ++i)
        CheckArm(model, rollout.model, rollout.arms[i].version);
    const int64_t id = InsertRollout(model, rollout, CallerName(write));
    const Parameter parameters[] = {Int8(id), Text(rollout.mode), Text(rollout.unit),
                                    Float8(rollout.coverage)};
    Execute(
        "SELECT pg_catalog.jsonb_build_object('rollout', $1, 'mode', $2, 'unit', $3, 'coverage', $4, 'arms', "
        "(SELECT pg_catalog.jsonb_object_agg(a.version, a.weight) FROM dlent.rollout_arm AS a "
        "WHERE a.rollout_id = $1))",
        parameters);
    RecordEvent({.action = "deploy",
                 .model_id = model.id,
                 .model = rollout.model,
                 .version = rollout.arms[1].version,
                 .role = CallerName(write),
                 .reason = rollout.reason,
                 .details = Result(0, 1)});
    EndCatalogWrite(write);
    return id;
}

/// A rollout that is under way, as its functions need it.
struct UnderWay {
    bool held = false;
    bool shadow = false;
    int step = 0;             ///< from 1
    int candidate = 0;        ///< version: the heaviest arm beside the champion; 0: the catalog has lost it
    double next_share = 1.0;  ///< 1: promotion
};

UnderWay ReadUnderWay(const FoundModel& model, const char* name) {
    if (model.rollout == 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("no rollout of model \"%s\" is under way", name),
                        errhint("dlent_deploy() begins one.")));
    const Parameter parameters[] = {Int8(model.rollout)};
    UnderWay rollout;
    if (Execute("SELECT r.state = 'held', r.mode = 'shadow', (r.options -> 'steps' ->> r.step)::float8, "
                "(SELECT a.version FROM dlent.rollout_arm AS a WHERE a.rollout_id = r.id AND a.arm > 0 "
                "ORDER BY a.weight DESC, a.arm LIMIT 1), r.step "
                "FROM dlent.rollout AS r WHERE r.id = $1",
                parameters) == 0)
        return rollout;
    rollout.held = DatumGetBool(Result(0, 1));
    rollout.shadow = DatumGetBool(Result(0, 2));
    rollout.next_share = DatumGetFloat8(Result(0, 3, Float8GetDatum(1.0)));
    rollout.candidate = DatumGetInt32(Result(0, 4));
    rollout.step = DatumGetInt32(Result(0, 5));
    return rollout;
}

void RecordRolloutEvent(const CatalogWrite& write, const FoundModel& model, const char* name,
                        const char* action, int version, const char* reason, Datum details) {
    RecordEvent({.action = action,
                 .model_id = model.id,
                 .model = name,
                 .version = version,
                 .role = CallerName(write),
                 .reason = reason,
                 .details = details});
}

/// `expected_step` 0: from whatever step it is at.
double Advance(const char* name, const char* reason, int expected_step) {
    CatalogWrite write;
    FoundModel model;
    LockModel("dlent_advance_rollout()", name, Who::kManager, &write, &model);
    const UnderWay rollout = ReadUnderWay(model, name);
    if (rollout.held)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("the rollout of model \"%s\" is held", name),
                        errhint("Let it go on with dlent_resume_rollout(%s).", quote_literal_cstr(name))));
    if (rollout.candidate == 0)
        RaiseIncompleteRollout(model.rollout);
    if (expected_step != 0 && rollout.step != expected_step)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("the rollout of model \"%s\" is at step %d, not %d", name, rollout.step,
                               expected_step),
                        errhint("Somebody else has advanced it meanwhile; view dlent.rollouts shows how it "
                                "stands.")));
    if (rollout.next_share >= 1.0) {
        PromoteVersion(write, model, name, rollout.candidate, reason);
    } else {
        const Parameter parameters[] = {Int8(model.rollout), Float8(CanaryCoverage(rollout.next_share)),
                                        Text(reason), Float8(rollout.next_share)};
        Execute(
            "WITH advanced AS (UPDATE dlent.rollout SET step = step + 1, coverage = $2, reason = $3, "
            "step_started_at = pg_catalog.clock_timestamp() WHERE id = $1 RETURNING id, step) "
            "SELECT pg_catalog.jsonb_build_object('rollout', id, 'step', step, 'share', $4) FROM advanced",
            parameters);
        RecordRolloutEvent(write, model, name, "advance", rollout.candidate, reason, Result(0, 1));
    }
    EndCatalogWrite(write);
    return rollout.next_share;
}

/// Between running and held; false when there is nothing to change.
bool Hold(bool hold, const char* name, const char* reason) {
    CatalogWrite write;
    FoundModel model;
    LockModel(hold ? "dlent_hold_rollout()" : "dlent_resume_rollout()", name, Who::kManager, &write, &model);
    const UnderWay rollout = ReadUnderWay(model, name);
    const bool changes = rollout.held != hold;
    if (changes) {
        const Parameter parameters[] = {Int8(model.rollout), Text(hold ? "held" : "running"), Text(reason)};
        Execute("UPDATE dlent.rollout SET state = $2, reason = $3 WHERE id = $1", parameters);
        RecordRolloutEvent(write, model, name, hold ? "hold" : "resume", rollout.candidate, reason,
                           NumberDetail("rollout", model.rollout));
    }
    EndCatalogWrite(write, false);
    return changes;
}

bool Stop(const char* name, const char* reason) {
    CatalogWrite write;
    FoundModel model;
    LockModel("dlent_stop_rollout()", name, Who::kManager, &write, &model);
    const bool under_way = model.rollout != 0;
    if (under_way) {
        const UnderWay rollout = ReadUnderWay(model, name);
        EndRollout(model, rollout.shadow ? "stopped" : "rolled back", reason);
        RecordRolloutEvent(write, model, name, "stop", rollout.candidate, reason,
                           NumberDetail("rollout", model.rollout));
    }
    EndCatalogWrite(write, under_way);
    return under_way;
}

/// Calls `function` with the first two arguments (model text, reason text).
template <typename Function>
auto WithModelAndReason(FunctionCallInfo fcinfo, Function function) {
    const std::string name = ParseModelName(RequiredText(fcinfo, 0, "the model"));
    const std::string reason = PG_ARGISNULL(1) ? std::string() : TextOf(PG_GETARG_DATUM(1));
    const char* reason_text = PG_ARGISNULL(1) ? nullptr : reason.c_str();
    return CallPostgres([&] { return function(name.c_str(), reason_text); });
}

const char* TextOrNull(const std::string& text) {
    return text.empty() ? nullptr : text.c_str();
}

}  // namespace
}  // namespace dlent::pg

DLENT_FUNCTION(dlent_deploy) {
    using namespace dlent::pg;
    return Entry(fcinfo, [&] {
        const std::string name = ParseModelName(RequiredText(fcinfo, 0, "the model"));
        if (PG_ARGISNULL(2))
            throw SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED, "the options must not be NULL");
        if (!PG_ARGISNULL(1) && PG_GETARG_INT32(1) < 1)
            throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "a version is a number from 1");
        const DeployRequest request =
            DeployRequest::Parse(JsonFromDatum(PG_GETARG_DATUM(2)), PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1));
        if (const std::optional<dlent::Task> task = ChampionTask(name))
            CheckDecisionRule(request.decision.rule, *task, request.mode == "shadow");
        std::vector<NewArm> arms;
        for (const DeployRequest::Arm& arm : request.arms)
            arms.push_back({arm.version, arm.name.c_str(), arm.weight, arm.shadow});
        const NewRollout rollout = {.model = name.c_str(),
                                    .mode = request.mode.c_str(),
                                    .unit = TextOrNull(request.unit),
                                    .seed = TextOrNull(request.seed),
                                    .reason = TextOrNull(request.reason),
                                    .coverage = request.coverage,
                                    .options = JsonbDatum(request.options),
                                    .arms = arms.data(),
                                    .arm_count = static_cast<int>(arms.size())};
        const int64_t id = CallPostgres([&] { return Deploy(rollout); });
        if (request.decision.check > 0.0)
            ScheduleRolloutChecks(name, id, request.decision.check);
        return Int64GetDatum(id);
    });
}

DLENT_FUNCTION(dlent_advance_rollout) {
    using namespace dlent::pg;
    return Entry(fcinfo, [&] {
        const int expected_step = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT32(2);
        if (!PG_ARGISNULL(2) && expected_step < 1)
            throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE, "a step is a number from 1");
        return Float8GetDatum(
            WithModelAndReason(fcinfo, [expected_step](const char* name, const char* reason) {
                return Advance(name, reason, expected_step);
            }));
    });
}

DLENT_FUNCTION(dlent_hold_rollout) {
    using namespace dlent::pg;
    return Entry(fcinfo, [&] {
        return BoolGetDatum(WithModelAndReason(
            fcinfo, [](const char* name, const char* reason) { return Hold(true, name, reason); }));
    });
}

DLENT_FUNCTION(dlent_resume_rollout) {
    using namespace dlent::pg;
    return Entry(fcinfo, [&] {
        return BoolGetDatum(WithModelAndReason(
            fcinfo, [](const char* name, const char* reason) { return Hold(false, name, reason); }));
    });
}

DLENT_FUNCTION(dlent_stop_rollout) {
    using namespace dlent::pg;
    return Entry(fcinfo, [&] { return BoolGetDatum(WithModelAndReason(fcinfo, Stop)); });
}
