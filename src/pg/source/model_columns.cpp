#include "pg/bridge/postgres.h"

#include "pg/source/model_columns.h"

#include "pg/source/decode.h"

namespace dlent::pg {

void AddModelColumn(const Source& source, int attribute, ColumnDefinition definition,
                    TrainingColumns* columns) {
    DecodeTarget target;
    target.name = source.columns()[attribute].name;
    target.kind = definition.kind;
    (void)ValueDecoder::Create(target, source.columns()[attribute].type);
    TrainingColumns::Column column;
    column.definition = std::move(definition);
    column.attribute = attribute;
    column.type = source.columns()[attribute].type;
    columns->columns.push_back(std::move(column));
}

}  // namespace dlent::pg
