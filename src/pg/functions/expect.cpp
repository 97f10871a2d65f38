// dlent_expect, dlent_drop_expectation, dlent_check: what a model's rows and answers are expected to be, and
// whether they are.

#include "pg/bridge/postgres.h"

#include <algorithm>

#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/bridge/option_reader.h"
#include "pg/catalog/expectations.h"
#include "pg/catalog/lookup.h"
#include "pg/catalog/models.h"
#include "pg/catalog/writer.h"
#include "pg/expectations/evaluate.h"
#include "pg/expectations/predicate.h"
#include "pg/functions/arguments.h"
#include "pg/rollout/resolved_model.h"

extern "C" {
#include "utils/tuplestore.h"
}

namespace dlent::pg {
namespace {

void ParseExpectOptions(const Json& json, Expectation* expectation) {
    const OptionReader reader(json, {"severity", "tolerance", "nulls", "description"});
    expectation->severity = reader.Word("severity", expectation->severity, {"error", "warn"});
    expectation->tolerance = reader
                                 .OptionalNumberThat(
                                     "tolerance", [](double share) { return share >= 0.0 && share < 1.0; },
                                     "a share of rows, from 0 to below 1")
                                 .value_or(expectation->tolerance);
    expectation->nulls_pass =
        reader.Word("nulls", expectation->nulls_pass ? "pass" : "fail", {"fail", "pass"}) == "pass";
    expectation->description = reader.Text("description", expectation->description);
}

void Expect(FunctionCallInfo fcinfo) {
    const std::string model = ParseModelName(RequiredText(fcinfo, 0, "model"));
    Expectation expectation;
    expectation.name = RequiredText(fcinfo, 1, "name");
    if (expectation.name.empty() || expectation.name.size() >= NAMEDATALEN)
        throw SqlError(ERRCODE_INVALID_NAME, "the name of an expectation must have 1 to " +
                                                 std::to_string(NAMEDATALEN - 1) + " bytes");
    expectation.predicate =
        RequiredText(fcinfo, 2, "predicate", "For example: amount > 0, or count(*) >= 1000.");
    ParseExpectOptions(PG_ARGISNULL(3) ? Json::object() : JsonFromDatum(PG_GETARG_DATUM(3)), &expectation);
    (void)CallPostgres(
        [&] { return ParsePredicate(expectation.name.c_str(), expectation.predicate.c_str()); });
    struct Facts {
        const char* path;
        const char* author;
    };
    const Facts facts = CallPostgres([] {
        return Facts{EffectiveSearchPath(), GetUserNameFromId(GetUserId(), false)};
    });
    expectation.search_path = facts.path;
    expectation.author = facts.author;
    StoreExpectation(model, expectation);
}

struct CheckOptions {
    std::vector<std::string> names;  ///< empty: all
    bool store = false;
};

CheckOptions ParseCheckOptions(const Json& json) {
    const OptionReader reader(json, {"names", "store"});
    CheckOptions options;
    options.names = reader.Texts("names", "an array of names");
    options.store = reader.Boolean("store", false);
    return options;
}

void PutOutcome(FunctionCallInfo fcinfo, const ExpectationOutcome& outcome) {
    constexpr int kColumns = 10;
    struct Row {
        Datum values[kColumns];
        bool nulls[kColumns];
    } row{};
    const auto text_or_null = [&row](int column, const std::string& text) {
        row.nulls[column] = text.empty();
        if (!text.empty())
            row.values[column] = TextDatum(text);
    };
    row.values[0] = TextDatum(outcome.expectation->name);
    row.values[1] = TextDatum(StatusName(outcome.status));
    row.values[2] = TextDatum(outcome.expectation->severity);
    row.values[3] = CallPostgres([&outcome] { return Int64GetDatum(outcome.rows); });
    row.nulls[4] = !outcome.of_rows || outcome.status == ExpectationOutcome::Status::kError;
    row.values[4] = CallPostgres([&outcome] { return Int64GetDatum(outcome.failing); });
    row.values[5] = CallPostgres([&outcome] { return Float8GetDatum(outcome.expectation->tolerance); });
    row.values[6] = TextDatum(outcome.expectation->predicate);
    text_or_null(7, outcome.message);
    text_or_null(8, outcome.sample_query);
    row.nulls[9] = outcome.version == 0;
    row.values[9] = Int32GetDatum(outcome.version);
    CallPostgres([&] {
        auto* const result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
        tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.nulls);
    });
}

/// The model's own source, when none is given.
const char* SourceOfVersion(int64_t version_id) {
    const MemoryContext caller = CurrentMemoryContext;
    CatalogWrite read;
    BeginCatalogRead(&read);
    const Parameter parameters[] = {Int8(version_id)};
    const char* source = "";
    if (ExecuteReadOnly("SELECT source FROM dlent.version WHERE id = $1", parameters) == 1) {
        const MemoryContext previous = MemoryContextSwitchTo(caller);
        source = TextDatumGetCString(Result(0, 1));
        MemoryContextSwitchTo(previous);
    }
    EndCatalogRead(read);
    return source;
}

/// Each version's as a check of its own; what no version was asked for goes with the first.
void StoreOutcomes(const std::string& model, const std::vector<VersionIdentity>& versions,
                   const std::string& source, const std::vector<ExpectationOutcome>& outcomes) {
    const int first = versions.empty() ? 0 : versions.front().version;
    const auto version_of = [first](const ExpectationOutcome& outcome) {
        return outcome.version == 0 ? first : outcome.version;
    };
    size_t next = 0;
    do {
        const int version = next < outcomes.size() ? version_of(outcomes[next]) : first;
        std::vector<ExpectationResult> results;
        for (; next < outcomes.size() && version_of(outcomes[next]) == version; ++next) {
            const ExpectationOutcome& outcome = outcomes[next];
            results.push_back({outcome.expectation->name, StatusName(outcome.status),
                               outcome.expectation->severity, outcome.rows,
                               outcome.of_rows ? outcome.failing : -1, outcome.expectation->tolerance,
                               outcome.expectation->predicate, outcome.message});
        }
        (void)StoreExpectationResults(model, version, source, results);
    } while (next < outcomes.size());
}

void Check(FunctionCallInfo fcinfo) {
    const ModelReference reference = ParseModelReference(RequiredText(fcinfo, 0, "model"));
    const CheckOptions options =
        ParseCheckOptions(PG_ARGISNULL(2) ? Json::object() : JsonFromDatum(PG_GETARG_DATUM(2)));
    // a model may have expectations before it has a version
    struct Found {
        FoundModel model;
        bool allowed;
    };
    const Found found = CallPostgres([&reference] {
        Found result{};
        if (!FindModel(reference.name.c_str(), &result.model))
            RaiseNoModel(reference.name.c_str());
        result.allowed = HasPrivilege(result.model, Privilege::kPredict);
        if (!result.allowed)
            RaiseDenied(reference.name.c_str());
        return result;
    });
    // by name: the champion, and while a rollout is under way its other arms
    std::vector<VersionIdentity> versions;
    if (reference.version > 0 || found.model.champion > 0) {
        for (ResolvedArm& arm : ResolveModel(reference, Privilege::kPredict).arms)
            versions.push_back(std::move(arm.version));
    }
    std::string source;
    if (!PG_ARGISNULL(1))
        source = TextOf(PG_GETARG_DATUM(1));
    else if (!versions.empty())
        source = CallPostgres([&versions] { return SourceOfVersion(versions.front().version_id); });
    else
        throw SqlError(ERRCODE_NULL_VALUE_NOT_ALLOWED, "source must not be NULL", {},
                       "Model \"" + reference.name + "\" has no version yet, whose source could be taken.");

    std::vector<Expectation> expectations = ReadExpectations(reference.name);
    for (const std::string& name : options.names) {
        if (std::none_of(expectations.begin(), expectations.end(),
                         [&name](const Expectation& expectation) { return expectation.name == name; }))
            throw SqlError(ERRCODE_UNDEFINED_OBJECT,
                           "model \"" + reference.name + "\" has no expectation \"" + name + "\"");
    }
    if (!options.names.empty())
        std::erase_if(expectations, [&options](const Expectation& expectation) {
            return std::find(options.names.begin(), options.names.end(), expectation.name) ==
                   options.names.end();
        });
    const std::vector<ExpectationOutcome> outcomes =
        EvaluateExpectations(reference.name, source, expectations, versions);
    if (options.store)
        StoreOutcomes(reference.name, versions, source, outcomes);
    for (const ExpectationOutcome& outcome : outcomes)
        PutOutcome(fcinfo, outcome);
}

}  // namespace
}  // namespace dlent::pg

using namespace dlent::pg;

DLENT_FUNCTION(dlent_expect) {
    return Entry(fcinfo, [fcinfo] {
        Expect(fcinfo);
        return Datum{0};
    });
}

DLENT_FUNCTION(dlent_drop_expectation) {
    return Entry(fcinfo, [fcinfo] {
        const std::string model = ParseModelName(RequiredText(fcinfo, 0, "model"));
        const std::string name = RequiredText(fcinfo, 1, "name");
        return BoolGetDatum(DropExpectation(model, name));
    });
}

DLENT_FUNCTION(dlent_check) {
    return Entry(fcinfo, [fcinfo] {
        InitMaterializedSRF(fcinfo, 0);
        Check(fcinfo);
        return Datum{0};
    });
}
