#include "pg/bridge/postgres.h"

#include "pg/monitor/held_out.h"

#include <algorithm>
#include <numeric>

#include "pg/bridge/error.h"
#include "pg/bridge/text.h"
#include "pg/cache/scorer_cache.h"
#include "pg/catalog/sql_call.h"
#include "pg/expectations/predicate.h"
#include "pg/source/source.h"

namespace dlent::pg {
namespace {

/// More parts say nothing of any of them.
constexpr size_t kMostParts = 1000;

std::string SliceColumn(size_t number) {
    return "dlent_slice_" + std::to_string(number);
}

/// Hands each row to all versions, and notes which parts it belongs to.
class RowsForAll final : public RowSink {
 public:
    RowsForAll(const std::vector<std::unique_ptr<EvaluationSink>>& sinks, const Source& source,
               std::vector<Slicing>* slicings)
        : sinks_(sinks), slicings_(slicings), known_(slicings->size()) {
        for (size_t i = 0; i < slicings->size(); ++i)
            attributes_.push_back(source.Find(SliceColumn(i)));
    }

    void Receive(TupleTableSlot* slot) override {
        bool known = true;
        for (const std::unique_ptr<EvaluationSink>& sink : sinks_)
            known = sink->ReadOutcome(slot) && known;
        if (!known)
            return;
        for (const std::unique_ptr<EvaluationSink>& sink : sinks_)
            sink->Keep(slot);
        if (!attributes_.empty())
            slot_getallattrs(slot);
        for (size_t i = 0; i < attributes_.size(); ++i)
            (*slicings_)[i].part.push_back(
                slot->tts_isnull[attributes_[i]] ? -1 : PartOf(i, TextOf(slot->tts_values[attributes_[i]])));
    }

 private:
    int PartOf(size_t slicing, const std::string& name) {
        std::vector<std::string>& names = (*slicings_)[slicing].names;
        const auto found = known_[slicing].find(name);
        if (found != known_[slicing].end())
            return found->second;
        if (names.size() == kMostParts)
            return -1;
        const int part = static_cast<int>(names.size());
        names.push_back(name);
        known_[slicing].emplace(name, part);
        return part;
    }

    const std::vector<std::unique_ptr<EvaluationSink>>& sinks_;
    std::vector<Slicing>* const slicings_;
    std::vector<std::map<std::string, int>> known_;
    std::vector<int> attributes_;
};

}  // namespace

HeldOutRows::HeldOutRows(const std::string& source_text, const std::vector<VersionIdentity>& versions,
                         const std::vector<std::string>& slicings, const std::string& weight_column) {
    std::string text = source_text;
    if (!slicings.empty()) {
        const Source plain = Source::Open(source_text);
        std::string columns = "source.*";
        for (const std::string& slicing : slicings) {
            const std::string name = SliceColumn(slicings_.size());
            slicings_.push_back({slicing, {}, {}});
            if (plain.Find(slicing) >= 0) {
                columns += ", (source." + QuoteIdentifier(slicing) + ")::pg_catalog.text AS " + name;
            } else {
                (void)CallPostgres([&] { return ParsePredicate(slicing.c_str(), slicing.c_str()); });
                columns += ", CASE WHEN (" + slicing + "\n) THEN 'true'::pg_catalog.text END AS " + name;
            }
        }
        text = "SELECT " + columns + " FROM " + FromSource(source_text) + " AS source";
    }
    Source source = Source::Open(text);
    weighted_ = !weight_column.empty() && source.Find(weight_column) >= 0;
    for (const VersionIdentity& version : versions) {
        scorers_.push_back(AcquireScorer(version));
        sinks_.push_back(
            std::make_unique<EvaluationSink>(source, scorers_.back().get(), weighted_ ? weight_column : ""));
    }
    RowsForAll rows(sinks_, source, &slicings_);
    source.Read(&rows);
    for (const std::unique_ptr<EvaluationSink>& sink : sinks_)
        sink->Finish();
}

size_t HeldOutRows::rows() const {
    return sinks_.front()->rows();
}

std::vector<uint32_t> HeldOutRows::Rows() const {
    std::vector<uint32_t> all(rows());
    std::iota(all.begin(), all.end(), 0U);
    return all;
}

std::vector<uint32_t> HeldOutRows::Rows(const Slicing& slicing, int part) const {
    std::vector<uint32_t> chosen;
    for (uint32_t row = 0; row < slicing.part.size(); ++row) {
        if (slicing.part[row] == part)
            chosen.push_back(row);
    }
    return chosen;
}

}  // namespace dlent::pg
