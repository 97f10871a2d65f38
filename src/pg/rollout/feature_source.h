#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pg/catalog/models.h"
#include "pg/functions/feature_arguments.h"

namespace dlent::pg {

/// How a call gives its features: as arguments, or, to the batching node, as columns of a tuple.
struct FeatureSource {
    int first_argument = 1;
    bool from_columns = false;
    std::vector<FeatureArguments::Column> columns;
    bool by_name = false;       ///< columns are a row's, else the features in order
    TupleDesc tuple = nullptr;  ///< that has the columns
    int attributes_needed = 0;  ///< of it
};

/// One row of it.
struct FeatureRow {
    FunctionCallInfo call = nullptr;
    TupleTableSlot* slot = nullptr;              ///< of the columns; deformed as far as needed
    const HeapTupleHeaderData* tuple = nullptr;  ///< where they lie, when they do so in a heap tuple
};

/// How a version reads them, under `title` in messages. For C++ frames.
inline std::unique_ptr<FeatureArguments> MakeFeatureArguments(const FeatureSource& source,
                                                              FunctionCallInfo call, const Pipeline& pipeline,
                                                              const VersionIdentity& version,
                                                              const std::string& title,
                                                              MemoryContext context) {
    if (source.from_columns)
        return std::make_unique<FeatureArguments>(source.columns, source.by_name, pipeline, title, context);
    return std::make_unique<FeatureArguments>(call, source.first_argument, pipeline, version.model_id,
                                              version.version, title, context);
}

}  // namespace dlent::pg
