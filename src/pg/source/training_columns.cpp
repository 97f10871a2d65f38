#include "pg/bridge/postgres.h"

#include "pg/source/training_columns.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "pg/bridge/text.h"
#include "pg/source/decode.h"

namespace dlent::pg {
namespace {

/// Option texts are UTF-8, column names are in the server's encoding.
std::set<int> Positions(const Source& source, const std::vector<std::string>& names, const char* what) {
    std::set<int> positions;
    for (const std::string& name : names)
        positions.insert(source.Require(FromUtf8(name), what));
    return positions;
}

class Planner {
 public:
    Planner(const Source& source, const TrainingOptions& options) : source_(source), options_(options) {}

    TrainingColumns Run(const std::string& target) {
        ReadOptions();
        target_ = source_.Require(target, "target");
        if (excluded_.contains(target_))
            throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                           "column \"" + target + "\" is the target and is in option exclude");
        AddTarget();
        AddSpecial(weight_, ColumnRole::kWeight, "weight_column");
        AddSpecial(
            split_,
            options_.validation.method == ValidationMethod::kTime ? ColumnRole::kOrder : ColumnRole::kGroup,
            "validation");
        size_t features = 0;
        for (int i = 0; i < static_cast<int>(source_.columns().size()); ++i)
            features += AddFeature(i) ? 1 : 0;
        if (features == 0)
            throw SqlError(ERRCODE_DATA_EXCEPTION, "no column of the source can be a feature", LeftOut(),
                           "Features are the columns besides target, weights and what option exclude names.");
        return std::move(plan_);
    }

 private:
    void ReadOptions() {
        excluded_ = Positions(source_, options_.exclude, "option exclude");
        for (const auto& [name, override_] : options_.features)
            kinds_[source_.Require(FromUtf8(name), "option features")] = override_.kind;
        if (!options_.weight_column.empty())
            weight_ = source_.Require(FromUtf8(options_.weight_column), "option weight_column");
        if (!options_.validation.column.empty())
            split_ = source_.Require(FromUtf8(options_.validation.column), "option validation");
    }

    /// The columns that their types keep out, as a sentence each.
    std::string LeftOut() const {
        std::string text;
        for (const Finding& finding : plan_.findings)
            text += (text.empty() ? "Column \"" : " Column \"") + FromUtf8(finding.column) +
                    "\": " + FromUtf8(finding.message) + ".";
        return text;
    }

    std::optional<ColumnKind> KindFromOptions(int column) const {
        const auto found = kinds_.find(column);
        return found == kinds_.end() ? std::nullopt : found->second;
    }

    ColumnKind KindOf(int column) const {
        if (const std::optional<ColumnKind> kind = KindFromOptions(column))
            return *kind;
        const SourceColumn& source = source_.columns()[column];
        Expected<ColumnKind> kind = KindOfType(source.type, source.name);
        if (!kind.ok())
            throw SqlError(ERRCODE_DATATYPE_MISMATCH, kind.status().message(), kind.status().detail(),
                           kind.status().hint());
        return *kind;
    }

    void Add(int column, ColumnKind kind, ColumnRole role) {
        const SourceColumn& source = source_.columns()[column];
        // Whether this type can be read as that kind is known before any row is read.
        DecodeTarget target;
        target.name = source.name;
        target.kind = kind;
        (void)ValueDecoder::Create(target, source.type);
        TrainingColumns::Column added;
        added.definition.name = ToUtf8(source.name);
        added.definition.kind = kind;
        added.definition.role = role;
        added.definition.width = kind == ColumnKind::kVector ? 0 : CellsOf(kind);
        added.definition.type_name = ToUtf8(source.type_name);
        added.attribute = column;
        added.type = source.type;
        plan_.columns.push_back(std::move(added));
    }

    void AddTarget() {
        ColumnKind kind = KindOf(target_);
        // Classes may be anything that has a text.
        const bool classes = options_.task == Task::kBinary || options_.task == Task::kMulticlass;
        if (classes &&
            (kind == ColumnKind::kDate || kind == ColumnKind::kTimestamp || kind == ColumnKind::kTime))
            kind = ColumnKind::kCategory;
        Add(target_, kind, ColumnRole::kTarget);
    }

    void AddSpecial(int column, ColumnRole role, const char* option) {
        if (column < 0)
            return;
        if (column == target_)
            throw SqlError(ERRCODE_INVALID_PARAMETER_VALUE,
                           "option " + std::string(option) + " names the target column");
        ColumnKind kind = KindOf(column);
        if (role == ColumnRole::kWeight)
            kind = ColumnKind::kNumeric;
        else if (role == ColumnRole::kGroup)
            kind = ColumnKind::kCategory;
        else if (kind != ColumnKind::kNumeric && kind != ColumnKind::kTimestamp && kind != ColumnKind::kDate)
            throw SqlError(ERRCODE_DATATYPE_MISMATCH,
                           "column \"" + source_.columns()[column].name + "\" of type " +
                               source_.columns()[column].type_name + " cannot order rows in time",
                           {}, "Option validation with method time needs a timestamp, a date or a number.");
        Add(column, kind, role);
    }

    /// Whether the column is a feature.
    bool AddFeature(int column) {
        if (column == target_ || excluded_.contains(column))
            return false;
        const bool named = kinds_.contains(column);
        if (!named && (column == weight_ || column == split_))
            return false;
        const SourceColumn& source = source_.columns()[column];
        if (!named) {
            const Expected<ColumnKind> kind = KindOfType(source.type, source.name);
            if (!kind.ok()) {
                plan_.findings.push_back(
                    {Finding::Severity::kNotice, "EXCLUDED_TYPE", ToUtf8(source.name),
                     "values of type " + ToUtf8(source.type_name) + " cannot be read by a network",
                     ToUtf8(kind.status().hint())});
                return false;
            }
        }
        Add(column, KindOf(column), ColumnRole::kFeature);
        return true;
    }

    const Source& source_;
    const TrainingOptions& options_;
    TrainingColumns plan_;
    std::set<int> excluded_;
    std::map<int, std::optional<ColumnKind>> kinds_;
    int target_ = -1;
    int weight_ = -1;
    int split_ = -1;
};

}  // namespace

bool TrainingColumns::Column::operator==(const Column& other) const {
    const auto all = [](const Column& column) {
        const auto& [name, kind, role, width, type_name] = column.definition;
        return std::tie(name, kind, role, width, type_name, column.attribute, column.type);
    };
    return all(*this) == all(other);
}

TrainingColumns PlanTrainingColumns(const Source& source, const std::string& target,
                                    const TrainingOptions& options) {
    return Planner(source, options).Run(target);
}

}  // namespace dlent::pg
