"""The same as bench/gpu/load.sql by the usual way: COPY to CSV, pandas, PyTorch. The rows are parsed while they come. PSQL is the command
of psql. A line of JSON."""

import json
import os
import shlex
import subprocess
import sys
import time

import pandas
import torch
from torch import nn

EPOCHS = 10
BATCH = 8192


def read_table():
    command = shlex.split(os.environ["PSQL"]) + ["-X", "-q", "-c", "COPY higgs TO STDOUT (FORMAT csv, HEADER)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as copy:
        frame = pandas.read_csv(copy.stdout, dtype={f"x{i}": "float32" for i in range(1, 29)}, true_values=["t"], false_values=["f"])
    if copy.returncode != 0:
        sys.exit("psql failed")
    return frame


def main():
    if not torch.cuda.is_available():
        print("SKIPPED: PyTorch sees no CUDA device", file=sys.stderr)
        sys.exit(77)
    start = time.perf_counter()
    frame = read_table()
    loaded = time.perf_counter()
    torch.set_float32_matmul_precision("high")
    y = torch.tensor(frame.pop("signal").to_numpy(dtype="float32"), device="cuda")
    x = torch.tensor(frame.to_numpy(dtype="float32"), device="cuda")
    x = (x - x.mean(0)) / x.std(0)
    network = nn.Sequential(nn.Linear(28, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(),
                            nn.Linear(256, 1)).cuda()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    loss_of = nn.BCEWithLogitsLoss()
    for _ in range(EPOCHS):
        order = torch.randperm(len(y), device="cuda")
        for begin in range(0, len(y), BATCH):
            chosen = order[begin:begin + BATCH]
            optimizer.zero_grad(set_to_none=True)
            loss_of(network(x[chosen]).squeeze(-1), y[chosen]).backward()
            optimizer.step()
    torch.cuda.synchronize()
    end = time.perf_counter()
    print(json.dumps({"who": "COPY, pandas, PyTorch eager", "what": "load_and_train_10_epochs", "precision": "tf32", "rows": len(y),
                      "seconds": round(end - start, 2), "load_seconds": round(loaded - start, 2)}))


main()
