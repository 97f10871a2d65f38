#include "pg/bridge/postgres.h"

#include "pg/source/table_reader.h"

#include "pg/source/table_sink.h"

namespace dlent::pg {

ColumnarTable ReadTrainingTable(Source* source, const TrainingColumns& plan, size_t memory_limit,
                                const std::function<void(uint64_t)>& on_rows) {
    TableSink sink(plan, memory_limit, on_rows);
    source->Read(&sink);
    return sink.Finish();
}

}  // namespace dlent::pg
