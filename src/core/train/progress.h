#pragma once

namespace dlent {

/// One line of a training log: an epoch of one member.
struct EpochRecord {
    int member = 0;
    int epoch = 0;  ///< from 1
    double train_loss = 0.0;
    double validation_loss = 0.0;  ///< NaN without validation rows
    double learning_rate = 0.0;
    double seconds = 0.0;  ///< since training began
};

/// What a progress display needs; sent at every epoch's end and at least every 500 ms within one.
struct TrainingProgress {
    const char* phase = "";  ///< "preparing", "training", "evaluating", "refitting"
    int member = 0;          ///< from 0
    int members = 1;
    int epoch = 0;
    int epochs = 0;         ///< at most
    double fraction = 0.0;  ///< of the whole run, by its budget; early stopping may end sooner
    double train_loss = 0.0;
    double validation_loss = 0.0;
    double rows_per_second = 0.0;
    double seconds_elapsed = 0.0;
    double seconds_left = 0.0;  ///< estimate
    bool epoch_ended = false;
};

}  // namespace dlent
