#include "core/explain/trial_refiner.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace dlent {
namespace {

constexpr int kContractSteps = 6;
constexpr int kTradeRounds = 3;
constexpr size_t kTradedValues = 8;

/// Fewer changes, then less distance.
bool Smaller(const Trial& a, const Trial& b) {
    return a.changes.size() != b.changes.size() ? a.changes.size() < b.changes.size()
                                                : a.distance < b.distance;
}

}  // namespace

Status TrialRefiner::Contract(std::vector<Trial>* trials) {
    struct Range {
        double reached = 1.0;
        double missed = 0.0;
    };
    const std::vector<Trial> whole = *trials;
    std::vector<Range> ranges(whole.size());
    for (int step = 0; step < kContractSteps; ++step) {
        std::vector<Trial> drawn = whole;
        for (size_t i = 0; i < drawn.size(); ++i) {
            const double share = (ranges[i].reached + ranges[i].missed) / 2.0;
            for (Counterfactual::Change& change : drawn[i].changes) {
                const ChangeDomain& domain = domains_[change.feature];
                if (!domain.categorical())
                    change.to = domain.Snap(domain.anchor() + share * (change.to - domain.anchor()));
            }
        }
        DLENT_RETURN_IF_ERROR(scorer_.Score(drawn));
        for (size_t i = 0; i < drawn.size(); ++i) {
            const double share = (ranges[i].reached + ranges[i].missed) / 2.0;
            (drawn[i].reached ? ranges[i].reached : ranges[i].missed) = share;
            if (drawn[i].reached)
                (*trials)[i] = std::move(drawn[i]);
        }
    }
    return Status::Ok();
}

Status TrialRefiner::Bisect(std::vector<Bisection>* bisections) {
    std::vector<size_t> open(bisections->size());
    for (size_t i = 0; i < open.size(); ++i)
        open[i] = i;
    while (true) {
        std::vector<Trial> middle;
        std::erase_if(open, [&](size_t i) {
            Bisection& bisection = (*bisections)[i];
            const Counterfactual::Change& change = bisection.trial.changes[bisection.index];
            const double to = domains_[change.feature].Between(bisection.near, change.to);
            if (std::isnan(to))
                return true;
            middle.push_back(bisection.trial);
            middle.back().changes[bisection.index].to = to;
            return false;
        });
        if (open.empty() || scorer_.remaining() == 0)
            return Status::Ok();
        DLENT_RETURN_IF_ERROR(scorer_.Score(middle));
        for (size_t m = 0; m < open.size(); ++m) {
            Bisection& bisection = (*bisections)[open[m]];
            if (middle[m].reached)
                bisection.trial = std::move(middle[m]);
            else
                bisection.near = middle[m].changes[bisection.index].to;
        }
    }
}

Status TrialRefiner::Drop(Trial* trial) {
    while (trial->changes.size() > 1) {
        std::vector<Trial> without(trial->changes.size(), *trial);
        for (size_t i = 0; i < without.size(); ++i)
            without[i].changes.erase(without[i].changes.begin() + static_cast<std::ptrdiff_t>(i));
        DLENT_RETURN_IF_ERROR(scorer_.Score(without));
        const Trial* best = nullptr;
        for (const Trial& candidate : without) {
            if (candidate.reached && (best == nullptr || candidate.distance < best->distance))
                best = &candidate;
        }
        if (best == nullptr)
            return Status::Ok();
        *trial = *best;
    }
    return Status::Ok();
}

Status TrialRefiner::Retract(Trial* trial) {
    // what is taken back first is taken back most, so every change is once the first, from the changes as
    // they are and from the contracted ones
    std::vector<Trial> starts = {*trial};
    if (trial->changes.size() > 1) {
        DLENT_RETURN_IF_ERROR(Contract(&starts));
        starts.push_back(*trial);
    }
    const size_t count = trial->changes.size();
    std::vector<Bisection> orders;
    for (const Trial& start : starts) {
        for (size_t first = 0; first < count; ++first)
            orders.push_back({start, static_cast<int>(first), 0.0});
    }
    for (size_t turn = 0; turn < count; ++turn) {
        for (size_t order = 0; order < orders.size(); ++order) {
            Bisection& bisection = orders[order];
            bisection.index = static_cast<int>((order + turn) % count);
            bisection.near = domains_[bisection.trial.changes[bisection.index].feature].anchor();
        }
        DLENT_RETURN_IF_ERROR(Bisect(&orders));
    }
    for (Bisection& order : orders) {
        if (order.trial.distance < trial->distance)
            *trial = std::move(order.trial);
    }
    return Status::Ok();
}

Status TrialRefiner::Trade(Trial* trial) {
    const int count = static_cast<int>(trial->changes.size());
    for (int round = 0; round < kTradeRounds && count > 1; ++round) {
        std::vector<Trial> trades;
        std::vector<int> drawn;  // the change of each trade that makes room for the other
        for (int given = 0; given < count; ++given) {
            const ChangeDomain& given_domain = domains_[trial->changes[given].feature];
            std::vector<double> values;
            for (const double value : given_domain.candidates()) {
                if (given_domain.Distance(value) < trial->distance && value != trial->changes[given].to)
                    values.push_back(value);
            }
            const size_t stride = (values.size() + kTradedValues - 1) / kTradedValues;
            for (int taken = 0; taken < count; ++taken) {
                const ChangeDomain& taken_domain = domains_[trial->changes[taken].feature];
                if (taken == given || taken_domain.categorical())
                    continue;
                for (size_t v = 0; v < values.size(); v += stride) {
                    Trial trade = *trial;
                    trade.changes[given].to = values[v];
                    // as far out as makes it no larger
                    const double room = trial->distance - scorer_.Distance(trade) +
                                        taken_domain.Distance(trade.changes[taken].to);
                    if (room <= 0.0)
                        continue;
                    trade.changes[taken].to = taken_domain.AtDistance(room, trade.changes[taken].to);
                    trades.push_back(std::move(trade));
                    drawn.push_back(taken);
                }
            }
        }
        DLENT_RETURN_IF_ERROR(scorer_.Score(trades));
        std::vector<Bisection> bisections;
        for (size_t i = 0; i < trades.size(); ++i) {
            if (trades[i].reached)
                bisections.push_back(
                    {trades[i], drawn[i], domains_[trades[i].changes[drawn[i]].feature].anchor()});
        }
        DLENT_RETURN_IF_ERROR(Bisect(&bisections));
        const double before = trial->distance;
        for (Bisection& bisection : bisections) {
            if (bisection.trial.distance < trial->distance)
                *trial = std::move(bisection.trial);
        }
        if (trial->distance > 0.99 * before)
            break;
    }
    return Status::Ok();
}

Status TrialRefiner::Round(Trial* trial) {
    for (size_t i = 0; i < trial->changes.size(); ++i) {
        std::vector<Trial> rounded;
        for (const double to : domains_[trial->changes[i].feature].Rounded(trial->changes[i].to)) {
            rounded.push_back(*trial);
            rounded.back().changes[i].to = to;
        }
        DLENT_RETURN_IF_ERROR(scorer_.Score(rounded));
        const auto first = std::find_if(rounded.begin(), rounded.end(),
                                        [](const Trial& candidate) { return candidate.reached; });
        if (first != rounded.end())
            *trial = *first;
    }
    return Status::Ok();
}

Status TrialRefiner::Refine(Trial* trial) {
    DLENT_RETURN_IF_ERROR(Drop(trial));
    DLENT_RETURN_IF_ERROR(Retract(trial));
    DLENT_RETURN_IF_ERROR(Trade(trial));
    Trial smaller = *trial;
    DLENT_RETURN_IF_ERROR(Drop(&smaller));
    if (Smaller(smaller, *trial)) {
        DLENT_RETURN_IF_ERROR(Retract(&smaller));
        *trial = std::move(smaller);
    }
    return Round(trial);
}

}  // namespace dlent
