#include "pg/bridge/postgres.h"

#include "pg/functions/training_monitor.h"

#include <cmath>
#include <cstdio>

namespace dlent::pg {
namespace {

constexpr double kSecondsBetweenMessages = 2.0;

std::string Line(const std::string& model, const TrainingProgress& progress) {
    char text[256];
    std::string line = "model \"" + model + "\": ";
    if (std::strcmp(progress.phase, "refitting") == 0)
        line += "all rows, ";
    std::snprintf(text, sizeof(text), "epoch %d/%d", progress.epoch, progress.epochs);
    line += text;
    if (progress.members > 1) {
        std::snprintf(text, sizeof(text), ", member %d/%d", progress.member + 1, progress.members);
        line += text;
    }
    std::snprintf(text, sizeof(text), ", train loss %.4f", progress.train_loss);
    line += text;
    if (!std::isnan(progress.validation_loss)) {
        std::snprintf(text, sizeof(text), ", validation loss %.4f", progress.validation_loss);
        line += text;
    }
    std::snprintf(text, sizeof(text), ", %.0f rows/s", progress.rows_per_second);
    line += text;
    return line;
}

}  // namespace

void TrainingMonitor::Report(const TrainingProgress& progress) {
    if (display_ != nullptr)
        display_->ShowTraining(progress);
    if (listener_)
        Guard([&] { listener_(progress); });
    if (!progress.epoch_ended)
        return;
    last_ = progress;
    last_is_sent_ = false;
    if (messages_ && progress.seconds_elapsed - sent_at_ >= kSecondsBetweenMessages)
        Send(progress);
}

void TrainingMonitor::Finish() {
    if (messages_ && !last_is_sent_) {
        last_.seconds_left = 0.0;
        Send(last_);
    }
    ThrowIfFailed();
}

void TrainingMonitor::Send(const TrainingProgress& progress) {
    Guard([&] {
        std::string line = Line(model_, progress);
        if (progress.seconds_left >= 1.0)
            line += ", about " + std::to_string(std::lround(progress.seconds_left)) + " s left";
        CallPostgres([&line] { ereport(INFO, (errmsg_internal("%s", line.c_str()))); });
        last_is_sent_ = true;
        sent_at_ = progress.seconds_elapsed;
    });
}

void TrainingMonitor::ThrowIfFailed() const {
    if (error_ != nullptr)
        throw PgError(error_);
    interrupts_.ThrowIfCancelled();
}

}  // namespace dlent::pg
