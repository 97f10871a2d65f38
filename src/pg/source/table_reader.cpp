#include "pg/bridge/postgres.h"

#include "pg/source/table_reader.h"

#include "pg/source/kept_rows.h"
#include "pg/source/parallel_choice.h"
#include "pg/source/parallel_reader.h"

namespace dlent::pg {

ColumnarTable ReadTrainingTable(Source* source, const TrainingColumns& plan, size_t memory_limit,
                                const std::function<void(uint64_t)>& on_rows, int* workers) {
    ForgetKeptRows();
    TableSink sink(plan, memory_limit, on_rows);
    int helped = ChooseParallelWorkers(*source, plan);
    if (helped > 0)
        helped = ReadInParallel(*source, helped, &sink);
    else
        source->Read(&sink);
    if (workers != nullptr)
        *workers = helped;
    return sink.Finish();
}

}  // namespace dlent::pg
