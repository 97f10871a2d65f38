// What the server looks for in the library: the magic block and the initialiser.

#include "pg/bridge/postgres.h"

#include "pg/bridge/error.h"
#include "pg/cache/session_cache.h"
#include "pg/cache/version_file.h"
#include "pg/catalog/relations.h"
#include "pg/functions/progress.h"
#include "pg/gpu/settings.h"
#include "pg/observe/prediction_ring.h"
#include "pg/observe/settings.h"
#include "pg/observe/sketch_memory.h"
#include "pg/scan/hooks.h"
#include "pg/settings.h"
#include "pg/source/kept_rows.h"
#include "pg/workers/gpu_supervisor.h"
#include "pg/workers/job_settings.h"
#include "pg/workers/job_worker.h"
#include "pg/workers/scheduler.h"
#include "pg/workers/scheduler_memory.h"
#include "pg/workers/worker_places.h"

extern "C" {

__attribute__((visibility("default"))) DLENT_MODULE_MAGIC;

__attribute__((visibility("default"))) void _PG_init();

void _PG_init() {
    dlent::pg::GuardCallback([] {
        dlent::pg::DefineTrainingSettings();
        dlent::pg::DefineModelCacheSettings();
        dlent::pg::DefineGpuSettings();
        dlent::pg::DefineJobSettings();
        dlent::pg::DefineObservationSettings();
        dlent::pg::InstallScanHooks();
        MarkGUCPrefixReserved("dlent");
        dlent::pg::RegisterCatalogCallbacks();
        dlent::pg::RegisterVersionFileCallbacks();
        dlent::pg::RegisterJobCallbacks();
        dlent::pg::RegisterKeptRowsCallbacks();
        dlent::pg::RequestProgressMemory();
        dlent::pg::RequestSchedulerMemory();
        dlent::pg::RequestWorkerPlaces();
        dlent::pg::RequestPredictionMemory();
        dlent::pg::RequestSketchMemory();
        dlent::pg::RegisterLauncherWorker();
        dlent::pg::InstallDatabaseHook();
        dlent::pg::RegisterGpuSupervisor();
        return true;
    });
}
}
