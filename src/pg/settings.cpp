#include "pg/bridge/postgres.h"

#include "pg/settings.h"

namespace dlent::pg {
namespace {

constexpr int kSmallestTrainingMemory = 1024;
constexpr int kMostTrainingThreads = 256;
constexpr int kDefaultTrainingMemory = 2 * 1024 * 1024;

int max_training_kilobytes = kDefaultTrainingMemory;
int kept_rows_kilobytes = kDefaultTrainingMemory;
bool progress_messages = true;
int training_threads = 1;

}  // namespace

size_t MaxTrainingMemory() {
    return static_cast<size_t>(max_training_kilobytes) * 1024;
}

size_t KeptRowsMemory() {
    return static_cast<size_t>(kept_rows_kilobytes) * 1024;
}

int TrainingThreads() {
    return MyBackendType == B_BG_WORKER ? training_threads : 1;
}

bool ProgressMessages() {
    return progress_messages;
}

void DefineTrainingSettings() {
    DefineCustomIntVariable("dlent.max_training_memory", "Memory that one training may hold of encoded rows.",
                            "Four bytes a number or category; a source that needs more is refused.",
                            &max_training_kilobytes, kDefaultTrainingMemory, kSmallestTrainingMemory,
                            MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB, nullptr, nullptr, nullptr);
    DefineCustomIntVariable(
        "dlent.kept_rows_memory", "Memory of encoded rows that a training may leave to the next one.",
        "In a transaction with one snapshot (REPEATABLE READ, SERIALIZABLE), to its end at "
        "most; 0 keeps none.",
        &kept_rows_kilobytes, kDefaultTrainingMemory, 0, MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB, nullptr,
        nullptr, nullptr);
    DefineCustomBoolVariable("dlent.progress_messages", "Tells the client how far dlent_train is.", nullptr,
                             &progress_messages, true, PGC_USERSET, 0, nullptr, nullptr, nullptr);
    DefineCustomIntVariable("dlent.training_threads",
                            "Threads that train networks beside each other in a background worker.",
                            "The session that calls dlent_train never starts a thread.", &training_threads, 1,
                            1, kMostTrainingThreads, PGC_SUSET, 0, nullptr, nullptr, nullptr);
}

}  // namespace dlent::pg
