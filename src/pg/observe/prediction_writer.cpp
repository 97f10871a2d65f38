// The writer of a database: takes records out of the ring into dlent.prediction, and distributions out of
// memory into dlent.sketch. It is started when there is something to write and goes when there has been
// nothing for a while.

#include "pg/bridge/postgres.h"

#include "pg/observe/prediction_writer.h"

#include <algorithm>
#include <csignal>
#include <map>
#include <set>
#include <string>

#include "core/observe/prediction_record.h"
#include "core/observe/recorded_features.h"
#include "pg/bridge/error.h"
#include "pg/bridge/json.h"
#include "pg/bridge/text.h"
#include "pg/cache/scorer_cache.h"
#include "pg/catalog/writer.h"
#include "pg/observe/prediction_ring.h"
#include "pg/observe/prediction_store.h"
#include "pg/observe/settings.h"
#include "pg/observe/sketch_counting.h"
#include "pg/observe/sketch_memory.h"
#include "pg/workers/database_worker.h"
#include "pg/workers/job_session.h"
#include "pg/workers/scheduler_memory.h"

extern "C" {
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/procarray.h"
}

namespace dlent::pg {
namespace {

/// Records of one transaction, and transactions in a row before anything else is looked at.
constexpr size_t kBatchRecords = 2000;
constexpr int kMostBatches = 20;
/// Transactions that delete old predictions, likewise.
constexpr int kMostPrunings = 4;
constexpr long kSleepMilliseconds = 1000;
constexpr int kIdleTicks = 60;
/// Records that were refused so often, for a reason that is theirs, are given up.
constexpr int kMostFailures = 3;

bool IsRunning(uint32_t pid, void*) {
    return BackendPidGetProc(static_cast<int>(pid)) != nullptr;
}

/// What the writer knows of a version that there is.
struct RecordedVersion {
    VersionIdentity identity;
    std::shared_ptr<Scorer> scorer;   ///< once its labels or features were asked for
    std::vector<std::string> labels;  ///< in the server's encoding
};

class Writer {
 public:
    Writer(MemoryContext context, PredictionRing* ring) : context_(context), ring_(ring) {
        ring_->records().Rewind();
    }

    /// Writes what there is, with `all` also distributions whose window has not ended; false when there is no
    /// extension any more.
    bool Tick(bool all) {
        there_ = true;
        bool worked = false;
        RecordRing& records = ring_->records();
        if (records.used_slots() > 0)
            records.Reclaim(IsRunning, nullptr);
        more_ = false;
        for (int batch = 0; there_ && !more_ && WriteBatch(); ++batch) {
            worked = true;
            more_ = batch + 1 == kMostBatches;
        }
        if (there_)
            StoreSketches(all);
        if (there_ && worked)
            Prune();
        idle_ticks_ = worked || SketchesWait(MyDatabaseId) ? 0 : idle_ticks_ + 1;
        if (!there_)
            Forget();
        return there_;
    }

    /// Whether Tick() had better be called again at once.
    bool more() const { return more_; }
    bool IsIdle() const { return idle_ticks_ >= kIdleTicks; }

 private:
    enum class Outcome {
        kDone,   ///< or there is no extension any more
        kLater,  ///< a lock, a full disk, a shutdown: nothing that is to blame on what was written
        kFailed,
    };

    /// Runs `function` in a transaction unless the extension is gone.
    template <typename Function>
    Outcome Try(Function function) {
        ErrorReport report;
        try {
            extension_ = BeginWorkerTransaction(context_);
            there_ = OidIsValid(extension_);
            if (there_)
                function();
            EndWorkerTransaction(context_);
            return Outcome::kDone;
        } catch (...) {
            report.Capture();
        }
        const int category = ERRCODE_TO_CATEGORY(report.SqlState());
        LogOnce(report.Message());
        AbortWorkerTransaction(context_);
        const bool passing = category == ERRCODE_INSUFFICIENT_RESOURCES ||
                             category == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE ||
                             category == ERRCODE_OPERATOR_INTERVENTION ||
                             category == ERRCODE_TRANSACTION_ROLLBACK;
        return passing ? Outcome::kLater : Outcome::kFailed;
    }

    /// False when nothing was written.
    bool WriteBatch() {
        RecordRing& records = ring_->records();
        const std::vector<RecordRing::Entry> entries = records.Collect(kBatchRecords);
        if (entries.empty()) {
            records.Rewind();
            return false;
        }
        bytes_.resize(std::max(bytes_.size(), entries.size()));
        std::vector<PredictionRecord> batch;
        for (size_t i = 0; i < entries.size(); ++i) {
            records.Read(entries[i], &bytes_[i]);
            PredictionRecord record;
            if (PredictionRecord::Decode(bytes_[i], &record))
                batch.push_back(record);
        }
        const Outcome outcome = Try([&] { Write(batch); });
        failures_ = outcome == Outcome::kFailed ? failures_ + 1 : 0;
        const bool given_up = failures_ == kMostFailures;
        if (outcome != Outcome::kDone && !given_up) {
            records.Rewind();
            return false;
        }
        records.Release(entries);
        if (given_up) {
            failures_ = 0;
            records.CountDropped(entries.size());
        }
        return there_;
    }

    void Write(const std::vector<PredictionRecord>& batch) {
        FindVersions(batch);
        std::vector<PredictionRow> rows;
        for (const PredictionRecord& record : batch) {
            const auto version = versions_.find(record.version_id);
            if (record.catalog != extension_ || version == versions_.end())
                continue;  // it was dropped, or is not committed
            rows.push_back(RowOf(record, &version->second));
        }
        CallPostgres([&rows] {
            CatalogWrite write;
            BeginCatalogWrite("dlent prediction writer", &write);
            InsertPredictions({rows.data(), rows.size()});
            EndCatalogWrite(write, false);
        });
    }

    PredictionRow RowOf(const PredictionRecord& record, RecordedVersion* version) {
        PredictionRow row = PredictionRow::Of(record, version->identity.model_id, version->identity.version);
        if ((record.label >= 0 || !record.cells.empty()) && version->scorer == nullptr) {
            version->scorer = AcquireScorer(version->identity);
            for (const std::string& label : version->scorer->model().target.labels())
                version->labels.push_back(FromUtf8(label));
        }
        if (record.label >= 0 && static_cast<size_t>(record.label) < version->labels.size())
            row.label = version->labels[static_cast<size_t>(record.label)];
        if (!record.cells.empty() &&
            record.cells.size() == static_cast<size_t>(version->scorer->cell_count()))
            row.features = JsonbDatum(RecordedFeatures(version->scorer->model().pipeline, record.cells));
        if (!record.probabilities.empty() && version->scorer != nullptr)
            row.probabilities = JsonbDatum(
                RecordedProbabilities(version->scorer->model().target.labels(), record.probabilities));
        return row;
    }

    /// Fills versions_ with those of the batch that there are.
    void FindVersions(const std::vector<PredictionRecord>& batch) {
        std::set<int64_t> wanted;
        for (const PredictionRecord& record : batch)
            wanted.insert(record.version_id);
        std::map<int64_t, RecordedVersion> found;
        for (const int64_t id : wanted) {
            VersionIdentity identity;
            if (!FindVersionById(id, &identity))
                continue;
            const auto known = versions_.find(id);
            found[id] = known == versions_.end() ? RecordedVersion{} : std::move(known->second);
            found[id].identity = std::move(identity);
        }
        versions_ = std::move(found);
    }

    static bool FindVersionById(int64_t id, VersionIdentity* identity) {
        struct Found {
            bool there;
            RecordedVersionRow version;
        };
        const Found found = CallPostgres([id] {
            Found result{};
            result.there = FindRecordedVersion(id, &result.version);
            return result;
        });
        if (found.there)
            *identity = {found.version.model_id, id,
                         found.version.number,   found.version.owner,
                         found.version.digest,   found.version.model};
        return found.there;
    }

    void StoreSketches(bool all) {
        for (const CountedSketch& sketch :
             TakeSketches(MyDatabaseId, GetCurrentTimestamp(), SketchWindow(), all)) {
            // one that is damaged is lost, and in no other's way
            if (Try([&] { StoreSketch(sketch); }) == Outcome::kLater)
                ReturnSketch(sketch);
        }
    }

    void StoreSketch(const CountedSketch& sketch) {
        VersionIdentity identity;
        if (sketch.extension != extension_ || !FindVersionById(sketch.version_id, &identity))
            return;  // it was dropped, or is not committed
        const std::shared_ptr<const LiveSketch> layout =
            LiveSketchOf(extension_, sketch.version_id, AcquireScorer(identity)->model());
        if (layout == nullptr || layout->counter_count() > sketch.counters.size())
            return;
        const Datum json = JsonbDatum(layout->ToJson(sketch.counters));
        const auto rows = static_cast<int64_t>(LiveSketch::Rows(sketch.counters));
        CallPostgres([&] {
            CatalogWrite write;
            BeginCatalogWrite("dlent prediction writer", &write);
            InsertSketch({sketch.version_id, sketch.since, sketch.until, rows, json});
            EndCatalogWrite(write, false);
        });
    }

    /// What belongs to an extension that is gone.
    void Forget() {
        RecordRing& records = ring_->records();
        records.Rewind();
        records.Release(records.Collect(records.slots()));
        ForgetSketches(MyDatabaseId);
    }

    void Prune() {
        bool more = true;
        for (int i = 0; i < kMostPrunings && there_ && more; ++i) {
            more = false;
            (void)Try([&more] { more = PruneOldPredictions(); });
        }
    }

    void LogOnce(const std::string& message) {
        if (message == logged_)
            return;
        logged_ = message;
        CallPostgres([&message] {
            ereport(LOG, (errmsg_internal("dlent: recorded answers were not written: %s", message.c_str())));
        });
    }

    const MemoryContext context_;
    PredictionRing* const ring_;
    Oid extension_ = InvalidOid;
    bool there_ = true;
    bool more_ = false;
    int idle_ticks_ = 0;
    int failures_ = 0;
    std::string logged_;
    std::vector<std::vector<std::byte>> bytes_;
    std::map<int64_t, RecordedVersion> versions_;
};

void RunWriter() {
    const MemoryContext context = CallPostgres([] {
        return AllocSetContextCreate(TopMemoryContext, "dlent prediction writer", ALLOCSET_DEFAULT_SIZES);
    });
    const bool alone = IsAloneWith(kPredictionWriterLock);
    PredictionRing* const ring = PredictionRing::OfThisDatabase();
    if (!alone || ring == nullptr)
        return;
    ring->RegisterWriter();
    Writer writer(context, ring);
    bool stopping = false;
    while (!stopping && !writer.IsIdle() && !IsHeld(MyDatabaseId)) {
        // what is there when the server stops is written before this process does
        stopping = ShutdownRequestPending != 0;
        if (!writer.Tick(stopping))
            return;
        CallPostgres([] {
            pgstat_report_stat(false);
            pgstat_report_activity(STATE_IDLE, nullptr);
        });
        if (!stopping)
            SleepUntilWoken(writer.more() ? 0 : kSleepMilliseconds);
    }
}

}  // namespace

bool StartPredictionWriter(Oid database, BackgroundWorkerHandle** handle) {
    return StartDatabaseWorker("dlent_prediction_writer_main", "dlent prediction writer", database, handle);
}

bool WantsPredictionWriter(Oid database) {
    return HasPredictionRing(database) && !PredictionWriterIsAlive(database) &&
           (PredictionsWait(database) || SketchesWait(database));
}

}  // namespace dlent::pg

extern "C" __attribute__((visibility("default"))) void dlent_prediction_writer_main(Datum);

void dlent_prediction_writer_main(Datum database) {
    using namespace dlent::pg;
    pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(database), InvalidOid, 0);
    PrepareJobSession("dlent prediction writer");
    // records may be lost with a server that crashes: those in the ring are
    SetConfigOption("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION);
    // nobody's lock keeps it from leaving when it is told to
    SetConfigOption("lock_timeout", "2s", PGC_USERSET, PGC_S_SESSION);
    GuardCallback([] {
        RunWriter();
        return true;
    });
    proc_exit(0);
}
