#!/usr/bin/env python3
"""Training throughput of a 32-128-64-1 ReLU network, one thread, against PyTorch in the same run.

Usage: /usr/bin/python3 train_vs_pytorch.py TRAIN_BENCH [--rounds N] [--epochs N]

TRAIN_BENCH is the C++ benchmark of the build (bench/train_bench); of its output, the JSON lines named
train_32-128-64-1 count. PyTorch (Debian's python3-torch) trains the same network with AdamW and binary cross-entropy on
200,000 rows in memory, in eager mode, batches gathered by a random permutation. The two take turns; medians are
printed. Exit status 1 when ours is less than 2 times as fast.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

from torch_peer import description, network, torch, train_epoch

NAME = "train_32-128-64-1"
ROWS = 200_000
BATCHES = (256, 1024)
BOUND = 2.0


def pytorch_rate(inputs, labels, batch, epochs):
    """Rows per second over the epochs after a short warm-up."""
    model = network(32)
    train_epoch(model, inputs, labels, batch, torch.randperm(20 * batch) % ROWS)
    start = time.perf_counter()
    for _ in range(epochs):
        train_epoch(model, inputs, labels, batch, torch.randperm(ROWS))
    return epochs * ROWS / (time.perf_counter() - start)


def our_rates(binary):
    """Rows per second by batch size, from one run of the C++ benchmark."""
    done = subprocess.run([binary], capture_output=True, text=True, check=True)
    rates = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            result = json.loads(line)
            if result["name"] == NAME:
                rates[result["batch"]] = result["rows_per_second"]
    missing = set(BATCHES) - set(rates)
    if missing:
        sys.exit(f"{binary} printed no {NAME} for batch {sorted(missing)}")
    return rates


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", help="the C++ benchmark, bench/train_bench of the build folder")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3, help="of PyTorch in each round")
    arguments = parser.parse_args()

    torch.manual_seed(1)
    inputs = torch.randn(ROWS, 32)
    labels = ((inputs[:, 0] * inputs[:, 1] + inputs[:, 2]) > 0).float().unsqueeze(1)

    ours = {batch: [] for batch in BATCHES}
    theirs = {batch: [] for batch in BATCHES}
    for _ in range(arguments.rounds):
        for batch, rate in our_rates(arguments.binary).items():
            if batch in ours:
                ours[batch].append(rate)
        for batch in BATCHES:
            theirs[batch].append(pytorch_rate(inputs, labels, batch, arguments.epochs))

    print(f"32-128-64-1 ReLU, AdamW, one thread, rows a second, median of {arguments.rounds} (least - most)")
    print(f"The peer is {description()}.")
    print(f"{'batch':>6} {'dlent':>34} {'PyTorch':>34} {'ratio':>7}   asked: >= {BOUND}")
    worst = float("inf")
    for batch in BATCHES:
        cells = [f"{statistics.median(r):,.0f} ({min(r):,.0f} - {max(r):,.0f})" for r in (ours[batch], theirs[batch])]
        ratio = statistics.median(ours[batch]) / statistics.median(theirs[batch])
        worst = min(worst, ratio)
        print(f"{batch:>6} {cells[0]:>34} {cells[1]:>34} {ratio:>7.2f}")
    return 0 if worst >= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
