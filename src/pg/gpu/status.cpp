// dlent.gpu_entries(): the rows of view dlent.gpus.

#include "pg/bridge/postgres.h"

#include "pg/bridge/error.h"
#include "pg/bridge/interrupts.h"
#include "pg/bridge/text.h"
#include "pg/gpu/connection.h"
#include "pg/gpu/settings.h"

extern "C" {
#include "utils/tuplestore.h"
}

namespace dlent::pg {
namespace {

constexpr int kColumns = 15;

struct GpuRow {
    Datum values[kColumns];
    bool nulls[kColumns];
};

void PutRow(ReturnSetInfo* result, GpuRow* row) {
    CallPostgres([=] { tuplestore_putvalues(result->setResult, result->setDesc, row->values, row->nulls); });
}

Datum BigInt(uint64_t value) {
    return CallPostgres([value] { return Int64GetDatum(static_cast<int64>(value)); });
}

/// Fills a row from left to right; NULL where there is nothing to say.
class RowBuilder {
 public:
    RowBuilder& Text(const std::string& text) {
        return Put(!text.empty(), text.empty() ? Datum{0} : TextDatum(FromUtf8(text)));
    }
    RowBuilder& Number(bool known, uint64_t value) { return Put(known, known ? BigInt(value) : Datum{0}); }
    RowBuilder& Integer(bool known, int value) { return Put(known, Int32GetDatum(value)); }
    GpuRow* row() { return &row_; }

 private:
    RowBuilder& Put(bool known, Datum value) {
        row_.nulls[column_] = !known;
        row_.values[column_++] = value;
        return *this;
    }
    GpuRow row_{};
    int column_ = 0;
};

std::string Describe(const Status& status) {
    return status.detail().empty() ? status.message() : status.message() + ": " + status.detail();
}

void PutDevice(ReturnSetInfo* result, int device, const GpuListing::Entry& entry, const CancelToken& cancel) {
    const Expected<GpuConnection> connection = GpuConnection::OpenRunning(device, cancel);
    const bool runs = connection.ok();
    const gpu::DeviceStatus now = runs ? connection->status() : gpu::DeviceStatus();
    const bool refused = !runs && connection.status().code() != StatusCode::kNotFound;
    RowBuilder row;
    row.Integer(true, device)
        .Text(entry.name)
        .Text(entry.kind)
        .Text(runs      ? "ready"
              : refused ? "unavailable"
                        : "stopped")
        .Number(true, entry.memory)
        .Number(runs, now.memory_limit)
        .Number(runs, now.memory_used)
        .Integer(runs, static_cast<int>(now.jobs))
        .Integer(runs, static_cast<int>(now.waiting))
        .Number(runs, now.jobs_done)
        .Integer(runs, static_cast<int>(now.models))
        .Number(runs, now.rows_scored)
        .Text(entry.driver)
        .Integer(runs, static_cast<int>(now.pid))
        .Text(refused ? Describe(connection.status()) : std::string());
    PutRow(result, row.row());
}

void PutProblem(ReturnSetInfo* result, const Status& problem) {
    RowBuilder row;
    row.Integer(false, 0).Text({}).Text({}).Text("unavailable");
    row.Number(false, 0).Number(false, 0).Number(false, 0);
    row.Integer(false, 0).Integer(false, 0).Number(false, 0);
    row.Integer(false, 0).Number(false, 0).Text({}).Integer(false, 0);
    row.Text(Describe(problem));
    PutRow(result, row.row());
}

}  // namespace
}  // namespace dlent::pg

using namespace dlent::pg;

DLENT_FUNCTION(dlent_gpu_entries) {
    return Entry(fcinfo, [fcinfo] {
        InitMaterializedSRF(fcinfo, 0);
        auto* const result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
        if (CurrentGpuPolicy() == GpuPolicy::kOff)
            return Datum{0};
        const InterruptToken interrupts;
        const GpuListing listing = ListGpus(interrupts);
        interrupts.ThrowIfCancelled();
        if (!listing.problem.ok())
            PutProblem(result, listing.problem);
        for (size_t i = 0; i < listing.devices.size(); ++i)
            PutDevice(result, static_cast<int>(i), listing.devices[i], interrupts);
        interrupts.ThrowIfCancelled();
        return Datum{0};
    });
}
