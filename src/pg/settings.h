#pragma once

#include "pg/bridge/postgres.h"

namespace dlent::pg {

/// dlent.max_training_memory, in bytes: what one training may hold of encoded rows.
size_t MaxTrainingMemory();
/// dlent.kept_rows_memory, in bytes: what a training may leave of them to the next one of its transaction.
size_t KeptRowsMemory();
/// Threads that may train in this process: dlent.training_threads in a background worker, else 1, since a
/// session's process must not have a second thread.
int TrainingThreads();
/// dlent.progress_messages: whether dlent_train tells its client how far it is.
bool ProgressMessages();

/// To be called once, from _PG_init().
void DefineTrainingSettings();

}  // namespace dlent::pg
