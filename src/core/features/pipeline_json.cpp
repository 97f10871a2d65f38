#include <cmath>
#include <set>

#include "core/features/pipeline.h"
#include "core/nn/json_integer.h"

namespace dlent {
namespace {

constexpr int kFormat = 1;
constexpr size_t kMaxInputs = 10000;
constexpr size_t kMaxLevels = 1 << 20;
constexpr int kMaxWidth = 1 << 16;
constexpr size_t kMaxEdges = 4096;
constexpr int64_t kMaxCount = int64_t{1} << 53;

Json CellJson(const PipelineInput::CellStatistics& cell) {
    Json json = {{"center", cell.center},
                 {"scale", cell.scale},
                 {"minimum", cell.minimum},
                 {"maximum", cell.maximum},
                 {"mean", cell.mean},
                 {"standard_deviation", cell.standard_deviation},
                 {"percentiles_1_5_25_50_75_95_99", cell.quantiles},
                 {"nulls", cell.null_count},
                 {"null_indicator", cell.has_indicator},
                 {"block", cell.plain ? "plain" : "numeric"}};
    if (!cell.edges.empty())
        json["edges"] = cell.edges;
    return json;
}

/// Reads a count of rows; false when it is not one.
bool ReadCount(const Json& json, uint64_t* count) {
    const std::optional<int64_t> value = IntegerWithin(json, 0, kMaxCount);
    *count = static_cast<uint64_t>(value.value_or(0));
    return value.has_value();
}

bool ReadCounts(const Json& json, std::vector<uint64_t>* counts) {
    if (!json.is_array())
        return false;
    for (const Json& entry : json) {
        if (!ReadCount(entry, &counts->emplace_back()))
            return false;
    }
    return true;
}

bool Finite(const std::vector<float>& values) {
    for (const float value : values) {
        if (!std::isfinite(value))
            return false;
    }
    return true;
}

/// Throws Json::exception when a key or type is wrong; false when a value is.
bool ReadCell(const Json& json, uint64_t rows, PipelineInput::CellStatistics* cell) {
    cell->center = json.at("center").get<float>();
    cell->scale = json.at("scale").get<float>();
    cell->minimum = json.at("minimum").get<float>();
    cell->maximum = json.at("maximum").get<float>();
    cell->mean = json.at("mean").get<float>();
    cell->standard_deviation = json.at("standard_deviation").get<float>();
    cell->quantiles = json.at("percentiles_1_5_25_50_75_95_99").get<std::vector<float>>();
    cell->has_indicator = json.at("null_indicator").get<bool>();
    const std::string block = json.at("block").get<std::string>();
    cell->plain = block == "plain";
    if (json.contains("edges"))
        cell->edges = json.at("edges").get<std::vector<float>>();
    if (!ReadCount(json.at("nulls"), &cell->null_count) || cell->null_count > rows)
        return false;
    // a vector's element that was NULL in every row has no quantiles
    if ((block != "plain" && block != "numeric") || cell->minimum > cell->maximum || cell->scale < 0.0f ||
        (cell->quantiles.size() != 7 && !(cell->quantiles.empty() && cell->plain)) ||
        (cell->plain && !cell->edges.empty()) || cell->edges.size() == 1 || cell->edges.size() > kMaxEdges ||
        !Finite(cell->edges) || !Finite(cell->quantiles))
        return false;
    for (size_t i = 1; i < cell->edges.size(); ++i) {
        if (!(cell->edges[i] > cell->edges[i - 1]))
            return false;
    }
    return Finite(
        {cell->center, cell->scale, cell->minimum, cell->maximum, cell->mean, cell->standard_deviation});
}

}  // namespace

Json Pipeline::ToJson() const {
    Json inputs = Json::array();
    for (const PipelineInput& input : inputs_) {
        Json json = {{"name", input.name}, {"kind", ColumnKindName(input.kind)}, {"type", input.type_name}};
        if (input.kind == ColumnKind::kCategory) {
            json["encoding"] = input.one_hot ? "one_hot" : "embedding";
            json["levels"] = input.levels;
            json["counts"] = input.level_counts;
            json["other"] = input.other_count;
            json["nulls"] = input.null_level_count;
        } else {
            json["width"] = input.width;
            Json cells = Json::array();
            for (const PipelineInput::CellStatistics& cell : input.cells)
                cells.push_back(CellJson(cell));
            json["cells"] = std::move(cells);
        }
        inputs.push_back(std::move(json));
    }
    return {{"format", kFormat}, {"rows", row_count_}, {"inputs", std::move(inputs)}};
}

Expected<Pipeline> Pipeline::FromJson(const Json& json) {
    auto bad = [](const std::string& what) {
        return Status::Corrupt("the stored feature pipeline is not valid", "The reason: " + what + ".");
    };
    try {
        if (json.at("format") != kFormat)
            return bad("its format is unknown");
        Pipeline pipeline;
        if (!ReadCount(json.at("rows"), &pipeline.row_count_))
            return bad("its number of rows is not a count");
        const Json& inputs = json.at("inputs");
        if (!inputs.is_array() || inputs.empty() || inputs.size() > kMaxInputs || pipeline.row_count_ == 0)
            return bad("it has no inputs, or too many");
        std::set<std::string> names;
        for (const Json& entry : inputs) {
            PipelineInput input;
            input.name = entry.at("name").get<std::string>();
            input.type_name = entry.at("type").get<std::string>();
            const Expected<ColumnKind> kind = ParseColumnKind(entry.at("kind").get<std::string>());
            if (!kind.ok())
                return bad(kind.status().message());
            input.kind = *kind;
            if (!names.insert(input.name).second)
                return bad("input \"" + input.name + "\" is repeated");
            const std::string where = "input \"" + input.name + "\"";
            if (input.kind == ColumnKind::kCategory) {
                const std::string encoding = entry.at("encoding").get<std::string>();
                if (encoding != "one_hot" && encoding != "embedding")
                    return bad(where + " has an unknown encoding");
                input.one_hot = encoding == "one_hot";
                input.levels = entry.at("levels").get<std::vector<std::string>>();
                if (!ReadCounts(entry.at("counts"), &input.level_counts) ||
                    !ReadCount(entry.at("other"), &input.other_count) ||
                    !ReadCount(entry.at("nulls"), &input.null_level_count))
                    return bad(where + " has a count that is not one");
                const std::set<std::string> distinct(input.levels.begin(), input.levels.end());
                if (input.levels.size() > kMaxLevels || input.level_counts.size() != input.levels.size() ||
                    distinct.size() != input.levels.size() ||
                    input.levels.size() + (input.other_count > 0) + (input.null_level_count > 0) == 0)
                    return bad(where + " has no valid levels");
            } else {
                input.width = static_cast<int>(IntegerWithin(entry.at("width"), 1, kMaxWidth).value_or(0));
                const Json& cells = entry.at("cells");
                if (input.width < 1 || !cells.is_array() ||
                    cells.size() != static_cast<size_t>(input.width) ||
                    (input.kind != ColumnKind::kVector && input.width != CellsOf(input.kind)))
                    return bad(where + " has the wrong number of cells");
                for (const Json& cell : cells) {
                    input.cells.emplace_back();
                    if (!ReadCell(cell, pipeline.row_count_, &input.cells.back()))
                        return bad(where + " has statistics that are not valid");
                }
            }
            pipeline.inputs_.push_back(std::move(input));
        }
        pipeline.BuildLayout();
        return pipeline;
    } catch (const Json::exception& error) {
        return bad(error.what());
    }
}

}  // namespace dlent
