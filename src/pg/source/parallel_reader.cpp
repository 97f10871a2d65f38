#include "pg/bridge/postgres.h"

#include "pg/source/parallel_reader.h"

#include <algorithm>

#include "core/base/json.h"
#include "pg/bridge/memory.h"
#include "pg/source/block_scan.h"
#include "pg/source/piece_queue.h"
#include "pg/source/source_context.h"

extern "C" {
#include "access/parallel.h"
#include "nodes/nodes.h"
#include "pgstat.h"
#include "storage/lwlock.h"
#include "storage/shm_toc.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"

__attribute__((visibility("default"))) void dlent_read_chunks(dsm_segment* segment, shm_toc* contents);
}

namespace dlent::pg {
namespace {

using Columns = std::vector<TrainingColumns::Column>;

/// What the leader hands to its workers.
enum ContentKey : uint64 { kSharedKey = 1, kBlocksKey, kPlanKey, kTextKey, kColumnsKey, kAreaKey };

std::string ColumnsToJson(const Columns& columns) {
    Json list = Json::array();
    for (const TrainingColumns::Column& column : columns)
        list.push_back({{"name", column.definition.name},
                        {"kind", column.definition.kind},
                        {"width", column.definition.width},
                        {"attribute", column.attribute},
                        {"type", column.type}});
    return list.dump();
}

Columns ColumnsFromJson(const char* text) {
    Columns columns;
    for (const Json& item : Json::parse(text)) {
        TrainingColumns::Column column;
        column.definition.name = item["name"];
        column.definition.kind = item["kind"];
        column.definition.width = item["width"];
        column.attribute = item["attribute"];
        column.type = item["type"];
        columns.push_back(std::move(column));
    }
    return columns;
}

// ---- one process's part ----

/// Encodes the rows of a chunk into pieces, and queues them.
class ChunkReader : private RowSink, private CategoryCoder {
 public:
    ChunkReader(const Columns& columns, const BlockScan& scan, const PieceQueue& queue)
        : queue_(queue),
          scan_(scan),
          encoder_(columns, this),
          piece_(DefinitionsOf(columns), TablePiece::UsualCapacity(encoder_.cell_count())) {}

    /// Reads a chunk that was claimed. Throws PgError.
    void Read(uint64 chunk) {
        chunk_ = chunk;
        const ChunkPlan& plan = queue_.plan();
        const uint64 first = chunk * plan.chunk_blocks;
        const uint64 count = std::min(plan.chunk_blocks, plan.blocks - first);
        CallPostgres([&] { scan_.Read(plan.first_block + first, count, this); });
        Send(true);
    }

 protected:
    /// Returns once a piece of the chunk may be queued.
    virtual void WaitForRoom(uint64 chunk) {
        CallPostgres([&] { queue_.WaitForRoomFor(chunk); });
    }

    PieceQueue queue_;

 private:
    void Receive(TupleTableSlot* slot) override {
        if (piece_.is_full())
            Send(false);
        piece_.Append(encoder_.Encode(slot));
    }
    int32_t Code(int column, std::string_view text) override { return piece_.Intern(column, text); }
    int32_t NullCode(int) const override { return ColumnarTable::kNullCode; }

    void Send(bool is_last) {
        WaitForRoom(chunk_);
        CallPostgres([&] { queue_.Push(piece_, chunk_, is_last); });
        piece_.Clear();
        encoder_.ForgetCodes();
    }

    const BlockScan scan_;
    RowEncoder encoder_;
    TablePiece piece_;
    uint64 chunk_ = 0;
};

// ---- the leader ----

/// A parallel context with what the workers need, between entering and leaving parallel mode. Plain values:
/// the transaction's end cleans up after an error. What it does raises PostgreSQL errors.
struct Workers {
    ParallelContext* context;
    SharedReading* shared;  ///< null when there are no workers
    dsa_area* area;
    int launched;

    static Workers Start(const Source& source, const BlockScan& scan, const ChunkPlan& chunks,
                         const char* columns, int wanted);
    void Finish() const;
};

char* AddToContents(ParallelContext* context, ContentKey key, const void* data, Size size) {
    auto* const place = static_cast<char*>(shm_toc_allocate(context->toc, size));
    if (data != nullptr)
        memcpy(place, data, size);
    shm_toc_insert(context->toc, key, place);
    return place;
}

Workers Workers::Start(const Source& source, const BlockScan& scan, const ChunkPlan& chunks,
                       const char* columns, int wanted) {
    Workers workers{};
    EnterParallelMode();
    ParallelContext* const context = CreateParallelContext("$libdir/dlent", "dlent_read_chunks", wanted);
    workers.context = context;
    struct Content {
        ContentKey key;
        const void* data;
        Size size;
    };
    const char* const plan = nodeToString(source.plan());
    const char* const text = source.text().c_str();
    const int participants = wanted + 1;
    const Content contents[] = {{kSharedKey, nullptr, SharedReading::SizeFor(participants)},
                                {kBlocksKey, scan.blocks(), sizeof(BlockNumber) * scan.scans()},
                                {kPlanKey, plan, strlen(plan) + 1},
                                {kTextKey, text, strlen(text) + 1},
                                {kColumnsKey, columns, strlen(columns) + 1},
                                {kAreaKey, nullptr, dsa_minimum_size()}};
    for (const Content& content : contents)
        shm_toc_estimate_chunk(&context->estimator, content.size);
    shm_toc_estimate_keys(&context->estimator, lengthof(contents));
    InitializeParallelDSM(context);
    if (context->seg == nullptr)
        return workers;
    for (const Content& content : contents) {
        char* const place = AddToContents(context, content.key, content.data, content.size);
        if (content.key == kSharedKey) {
            workers.shared = reinterpret_cast<SharedReading*>(place);
            workers.shared->Initialize(chunks, participants);
        } else if (content.key == kAreaKey) {
            workers.area =
                dsa_create_in_place(place, content.size, LWTRANCHE_PARALLEL_QUERY_DSA, context->seg);
        }
    }
    LaunchParallelWorkers(context);
    workers.launched = context->nworkers_launched;
    return workers;
}

void Workers::Finish() const {
    WaitForParallelWorkersToFinish(context);
    if (area != nullptr)
        dsa_detach(area);
    DestroyParallelContext(context);
    ExitParallelMode();
}

/// Reads chunks as workers do, and puts the pieces of all together.
class LeadingReader final : public ChunkReader {
 public:
    LeadingReader(const Columns& columns, const BlockScan& scan, const PieceQueue& queue, TableSink* sink)
        : ChunkReader(columns, scan, queue), definitions_(DefinitionsOf(columns)), sink_(sink) {}

    /// Until all rows are in the table.
    void Run() {
        while (!queue_.is_finished()) {
            uint64 chunk = 0;
            if (TakeDue())
                continue;
            if (CallPostgres([&] { return queue_.Claim(&chunk); }))
                Read(chunk);
            else
                CallPostgres([&] { queue_.WaitForDue(); });
        }
    }

 private:
    /// Moves the piece whose turn it is, if it is there.
    bool TakeDue() {
        QueuedPiece* const piece = CallPostgres([&] { return queue_.Due(); });
        if (piece == nullptr)
            return false;
        TablePieceReader reader(definitions_, PieceQueue::ImageOf(piece));
        sink_->Append(&reader);
        CallPostgres([&] { queue_.Pop(piece); });
        return true;
    }

    void WaitForRoom(uint64 chunk) override {
        while (!queue_.HasRoomFor(chunk)) {
            if (!TakeDue())
                CallPostgres([&] { queue_.WaitForDue(); });
        }
    }

    const std::vector<ColumnDefinition> definitions_;
    TableSink* const sink_;
};

/// Chunks that take a few pieces each, and several for each process.
ChunkPlan PlanChunks(uint64 first_block, uint64 blocks, double bytes_a_block, int processes) {
    constexpr double kBytes = 1 << 21;
    constexpr uint64 kMostBlocks = 512;
    constexpr uint64 kChunksEach = 8;
    const auto by_size = static_cast<uint64>(std::min<double>(kBytes / bytes_a_block, kMostBlocks));
    const uint64 by_share = blocks / (kChunksEach * static_cast<uint64>(processes));
    const uint64 chunk_blocks = std::max<uint64>(std::min(by_size, by_share), 1);
    return {first_block, blocks, chunk_blocks, (blocks + chunk_blocks - 1) / chunk_blocks};
}

double BytesABlock(const Columns& columns, const Plan* plan, uint64 blocks) {
    double cells = 0;
    for (const TrainingColumns::Column& column : columns)
        cells += column.definition.width;
    return std::max(cells * sizeof(Cell) * plan->plan_rows / static_cast<double>(blocks), 1.0);
}

/// Reads from the beginning until the lengths of all vectors are known; returns the next block.
uint64 ReadUntilBegun(const BlockScan& scan, uint64 blocks, TableSink* sink) {
    constexpr uint64 kStep = 8;
    uint64 next = 0;
    for (; !sink->is_begun() && next < blocks; next = std::min(next + kStep, blocks))
        CallPostgres([&] { scan.Read(next, std::min(kStep, blocks - next), sink); });
    return next;
}

int ReadRest(const Source& source, const BlockScan& scan, uint64 first_block, uint64 blocks, int wanted,
             TableSink* sink) {
    const Columns columns = sink->columns();
    const std::string columns_json = ColumnsToJson(columns);
    const ChunkPlan chunks =
        PlanChunks(first_block, blocks, BytesABlock(columns, source.plan()->planTree, blocks), wanted + 1);
    const Workers workers =
        CallPostgres([&] { return Workers::Start(source, scan, chunks, columns_json.c_str(), wanted); });
    if (workers.launched > 0) {
        LeadingReader(columns, scan, PieceQueue(workers.shared, workers.area, 0), sink).Run();
    } else {
        CallPostgres([&] { scan.Read(first_block, blocks, sink); });
    }
    CallPostgres([&] { workers.Finish(); });
    return workers.launched;
}

// ---- a worker ----

struct Attached {
    SharedReading* shared;
    dsa_area* area;
    BlockScan scan;
    const char* columns;
};

Attached Attach(dsm_segment* segment, shm_toc* contents) {
    const auto find = [contents](ContentKey key) {
        return static_cast<char*>(shm_toc_lookup(contents, key, false));
    };
    Attached attached{};
    attached.shared = reinterpret_cast<SharedReading*>(find(kSharedKey));
    attached.area = dsa_attach_in_place(find(kAreaKey), segment);
    attached.columns = find(kColumnsKey);
    auto* const plan = static_cast<PlannedStmt*>(stringToNode(find(kPlanKey)));
    const char* const query = find(kTextKey);
    debug_query_string = query;
    pgstat_report_activity(STATE_RUNNING, query);
    attached.scan = BlockScan::Open(plan, query);
    memcpy(attached.scan.blocks(), find(kBlocksKey), sizeof(BlockNumber) * attached.scan.scans());
    return attached;
}

void Work(dsm_segment* segment, shm_toc* contents) {
    Attached attached = CallPostgres([&] { return Attach(segment, contents); });
    PieceQueue queue(attached.shared, attached.area, ParallelWorkerNumber + 1);
    ChunkReader reader(ColumnsFromJson(attached.columns), attached.scan, queue);
    uint64 chunk = 0;
    while (CallPostgres([&] { return queue.Claim(&chunk); }))
        reader.Read(chunk);
    CallPostgres([&] {
        attached.scan.Close();
        dsa_detach(attached.area);
    });
}

}  // namespace

int ReadInParallel(const Source& source, int workers, TableSink* sink) {
    const SourceContext source_context(source.text().c_str());
    const MemoryContext memory = CallPostgres([] {
        return AllocSetContextCreate(CurrentMemoryContext, "dlent parallel reading", ALLOCSET_DEFAULT_SIZES);
    });
    const ContextScope scope(memory);
    BlockScan scan = CallPostgres([&] {
        BlockScan opened = BlockScan::Open(source.plan(), source.text().c_str());
        opened.CountBlocks();
        return opened;
    });
    const uint64 blocks = scan.total_blocks();
    const uint64 begun = ReadUntilBegun(scan, blocks, sink);
    const int helped = begun < blocks ? ReadRest(source, scan, begun, blocks - begun, workers, sink) : 0;
    CallPostgres([&] {
        scan.Close();
        MemoryContextSwitchTo(MemoryContextGetParent(memory));
        MemoryContextDelete(memory);
    });
    return helped;
}

}  // namespace dlent::pg

/// What a parallel worker runs.
void dlent_read_chunks(dsm_segment* segment, shm_toc* contents) {
    dlent::pg::GuardCallback([&] { dlent::pg::Work(segment, contents); });
}
