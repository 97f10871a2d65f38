#pragma once

#include "core/features/finding.h"
#include "core/features/table.h"
#include "core/train/training_options.h"
#include "pg/source/source.h"

namespace dlent::pg {

/// Which columns of a source a training reads, and as what.
struct TrainingColumns {
    struct Column {
        ColumnDefinition definition;  ///< width 0: a vector whose length the rows will tell
        int attribute = 0;            ///< of the source
        Oid type = InvalidOid;

        bool operator==(const Column& other) const;
    };
    std::vector<Column> columns;
    std::vector<Finding> findings;  ///< columns left out because of their type
};

inline std::vector<ColumnDefinition> DefinitionsOf(const std::vector<TrainingColumns::Column>& columns) {
    std::vector<ColumnDefinition> definitions;
    for (const TrainingColumns::Column& column : columns)
        definitions.push_back(column.definition);
    return definitions;
}

/// Gives every column of `source` its role and kind, by its type and the options. The columns that the
/// options name for weights and for the validation split are not features, except when option `features`
/// names them too. Errors: 42703 for names that are not in the source, 42804 for a kind that a type cannot be
/// read as, 22023 for roles that contradict each other, 22000 when nothing is left to learn from.
TrainingColumns PlanTrainingColumns(const Source& source, const std::string& target,
                                    const TrainingOptions& options);

}  // namespace dlent::pg
