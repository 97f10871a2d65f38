// A row's score has the same bits alone and in any block.

#include <gtest/gtest.h>

#include <cstring>

#include "core/base/float_environment.h"
#include "core/base/random.h"
#include "core/train/train_model.h"
#include "cpu/cpu_backend.h"
#include "cpu/row_kernels.h"
#include "cpu/row_scorer.h"
#include "table_testing.h"

namespace dlent {
namespace {

/// The sets that this processor runs.
std::vector<const RowKernels*> KernelsOfThisMachine() {
    std::vector<const RowKernels*> all;
    for (const CpuIsa isa : {CpuIsa::kGeneric, CpuIsa::kAvx2, CpuIsa::kAvx512}) {
        const RowKernels* kernels = &SelectRowKernels(isa);
        if (all.empty() || all.back() != kernels)
            all.push_back(kernels);
    }
    return all;
}

/// Values of every size, many zeros of both signs, some that flush to zero.
float AnyValue(RandomStream* random) {
    switch (random->NextBelow(8)) {
        case 0:
            return 0.0f;
        case 1:
            return -0.0f;
        case 2:
            return 1e-40f;
        case 3:
            return random->Normal() * 1e-20f;
        case 4:
            return random->Normal() * 1e10f;
        default:
            return random->Normal();
    }
}

TEST(RowBlock, KernelsSumInTheSameOrder) {
    RandomStream random(11);
    const ScopedFlushToZero flush;
    for (const RowKernels* kernels : KernelsOfThisMachine()) {
        for (const int outputs : {16, 32, 64, 80, 128, 256}) {
            for (const int inputs : {0, 1, 5, 30, 100}) {
                const int extra = inputs % 3;
                const bool relu = outputs % 32 == 0;
                const int stride = inputs + 7;
                const int block = 1 + static_cast<int>(random.NextBelow(50));
                const int weight_rows = inputs + 4;
                std::vector<float> weight(static_cast<size_t>(weight_rows) * outputs);
                std::vector<float> bias(outputs);
                std::vector<float> x(static_cast<size_t>(block) * stride);
                std::vector<int32_t> rows(static_cast<size_t>(block) * extra + 1);
                for (float& value : weight)
                    value = AnyValue(&random);
                for (float& value : bias)
                    value = random.Normal();
                for (float& value : x)
                    value = AnyValue(&random);
                for (int32_t& row : rows)
                    row = random.NextBelow(3) == 0 ? -1 : inputs + static_cast<int32_t>(random.NextBelow(4));
                std::vector<float> out(static_cast<size_t>(block) * outputs);
                kernels->affine_block(weight.data(), outputs, x.data(), stride, inputs, rows.data(), extra,
                                      block, bias.data(), relu, out.data());
                for (int r = 0; r < block; ++r) {
                    std::vector<int32_t> used(inputs + extra + 1);
                    std::vector<float> values(inputs + extra + 1);
                    int count = kernels->compress(x.data() + r * stride, inputs, used.data(), values.data());
                    for (int k = 0; k < extra; ++k) {
                        if (rows[r * extra + k] >= 0) {
                            used[count] = rows[r * extra + k];
                            values[count++] = 1.0f;
                        }
                    }
                    std::vector<float> alone(outputs);
                    kernels->affine(weight.data(), outputs, used.data(), values.data(), count, bias.data(),
                                    relu, alone.data());
                    for (int j = 0; j < outputs; ++j) {
                        const float a = alone[j];
                        const float b = out[static_cast<size_t>(r) * outputs + j];
                        ASSERT_EQ(std::memcmp(&a, &b, sizeof(a)), 0)
                            << kernels->name << " " << inputs << "x" << outputs << " row " << r << ": " << a
                            << " " << b;
                    }
                }
            }
        }
    }
}

struct Case {
    const char* options;
    const char* target;
};

class RowBlockModel : public testing::TestWithParam<Case> {};

TEST_P(RowBlockModel, ScoresTheSameBitsInEveryBlock) {
    constexpr size_t kRows = 400;
    RandomStream random(7);
    std::vector<ColumnDefinition> columns = {
        {"y", ColumnKind::kNumeric, ColumnRole::kTarget, 1, "double precision"},
        {"label", ColumnKind::kCategory, ColumnRole::kIgnored, 1, "text"},
        {"a", ColumnKind::kNumeric, ColumnRole::kFeature, 1, "double precision"},
        {"b", ColumnKind::kNumeric, ColumnRole::kFeature, 1, "double precision"},
        {"flag", ColumnKind::kBoolean, ColumnRole::kFeature, 1, "boolean"},
        {"colour", ColumnKind::kCategory, ColumnRole::kFeature, 1, "text"},
        {"code", ColumnKind::kCategory, ColumnRole::kFeature, 1, "text"}};
    if (std::string(GetParam().target) == "label") {
        columns[0].role = ColumnRole::kIgnored;
        columns[1].role = ColumnRole::kTarget;
    }
    ColumnarTable rows(columns);
    for (size_t i = 0; i < kRows; ++i) {
        const float a = random.Normal();
        const float b = random.Normal() * 100.0f;
        rows.BeginRow();
        rows.SetFloat(0, a * 3.0f + b / 50.0f);
        rows.SetCode(1, rows.dictionary(1).Intern(a > 0.5f ? "high" : b > 20.0f ? "low" : "mid"));
        rows.SetFloat(2, i % 9 == 0 ? ColumnarTable::kNull : a);
        rows.SetFloat(3, b);
        rows.SetFloat(4, i % 4 == 0 ? 1.0f : 0.0f);
        rows.SetCode(5, i % 11 == 0
                            ? ColumnarTable::kNullCode
                            : rows.dictionary(5).Intern(std::string(1, static_cast<char>('a' + i % 5))));
        rows.SetCode(6, rows.dictionary(6).Intern("c" + std::to_string(i % 300)));
        rows.CommitRow();
    }
    const Expected<TrainingOptions> options = TrainingOptions::Parse(Json::parse(GetParam().options));
    ASSERT_TRUE(options.ok()) << options.status().message();
    const std::unique_ptr<Backend> backend = MakeCpuBackend();
    Expected<TrainedModel> trained = TrainModel(rows, *options, {*backend, NeverCancelled()});
    ASSERT_TRUE(trained.ok()) << trained.status().message() << trained.status().detail();
    Expected<std::unique_ptr<Scorer>> made = MakeCpuScorer(trained->model);
    ASSERT_TRUE(made.ok()) << made.status().message();
    Scorer& scorer = **made;

    constexpr int kScored = 131;
    const Pipeline& pipeline = scorer.model().pipeline;
    std::vector<Cell> cells(static_cast<size_t>(kScored) * scorer.cell_count());
    for (int row = 0; row < kScored; ++row) {
        Cell* cell = cells.data() + static_cast<size_t>(row) * scorer.cell_count();
        for (size_t i = 0; i < pipeline.inputs().size(); ++i, ++cell) {
            if (pipeline.inputs()[i].kind == ColumnKind::kCategory)
                cell->code = random.NextBelow(4) == 0
                                 ? pipeline.NullCode(static_cast<int>(i))
                                 : pipeline.CategoryCode(static_cast<int>(i),
                                                         random.NextBelow(2) == 0 ? "b" : "unseen");
            else
                cell->f = random.NextBelow(5) == 0   ? NAN
                          : random.NextBelow(9) == 0 ? INFINITY
                                                     : AnyValue(&random) * 10.0f;
        }
    }
    const size_t outputs = scorer.output_count();
    std::vector<float> alone(kScored * outputs);
    for (int row = 0; row < kScored; ++row)
        scorer.Score(1, cells.data() + static_cast<size_t>(row) * scorer.cell_count(),
                     alone.data() + row * outputs);
    for (int size = 1; size <= kScored; ++size) {
        const int first = size % 3 == 0 ? kScored - size : 0;
        std::vector<float> block(size * outputs, -1.0f);
        scorer.Score(size, cells.data() + static_cast<size_t>(first) * scorer.cell_count(), block.data());
        ASSERT_EQ(std::memcmp(block.data(), alone.data() + first * outputs, block.size() * sizeof(float)), 0)
            << "blocks of " << size;
    }
}

INSTANTIATE_TEST_SUITE_P(
    Networks, RowBlockModel,
    testing::Values(Case{R"({"preset":"fast","epochs":2})", "y"},
                    Case{R"({"preset":"fast","epochs":2,"numeric_embedding":"none","hidden":[33,17]})", "y"},
                    Case{R"({"epochs":1})", "y"}, Case{R"({"epochs":2})", "label"},
                    Case{R"({"preset":"fast","epochs":2,"hidden":[]})", "label"},
                    Case{R"({"preset":"fast","epochs":2,"hidden":[7],"activation":"tanh"})", "y"},
                    Case{R"({"preset":"fast","epochs":2,"hidden":[20,20,20],"activation":"gelu"})", "label"},
                    Case{R"({"kind":"tabm","epochs":1,"members":3,"hidden":[12]})", "y"},
                    Case{R"({"preset":"fast","epochs":1,"numeric_embedding":"periodic"})", "y"}));

}  // namespace
}  // namespace dlent
