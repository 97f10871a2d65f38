#include "pg/bridge/postgres.h"

#include "pg/expectations/training_gate.h"

#include "pg/bridge/error.h"
#include "pg/bridge/text.h"
#include "pg/expectations/evaluate.h"

namespace dlent::pg {

Json CheckTrainingData(const std::string& model, const std::string& source) {
    Json found = Json::array();
    const std::vector<Expectation> expectations = ReadExpectations(model);
    if (expectations.empty())
        return found;
    std::string broken;
    for (const ExpectationOutcome& outcome : EvaluateExpectations(model, source, expectations, {})) {
        Json entry = {{"name", ToUtf8(outcome.expectation->name)},
                      {"status", StatusName(outcome.status)},
                      {"severity", outcome.expectation->severity},
                      {"rows", outcome.rows}};
        if (outcome.of_rows)
            entry["failing"] = outcome.failing;
        found.push_back(std::move(entry));
        const std::string text =
            "Expectation \"" + outcome.expectation->name + "\": " + outcome.Describe() + ".";
        if (outcome.rejects())
            broken += (broken.empty() ? "" : "\n") + text;
        else if (outcome.status == ExpectationOutcome::Status::kFail ||
                 outcome.status == ExpectationOutcome::Status::kError)
            CallPostgres([&] {
                ereport(WARNING,
                        (errmsg("the training data break an expectation of model \"%s\"", model.c_str()),
                         errdetail_internal("%s", text.c_str())));
            });
    }
    if (!broken.empty())
        throw SqlError(ERRCODE_CHECK_VIOLATION,
                       "the training data break expectations of model \"" + model + "\"", broken,
                       "dlent_check() shows them with queries for the rows; severity warn lets them pass.");
    return found;
}

}  // namespace dlent::pg
