"""The same as bench/gpu/load.sql by the usual way: COPY to CSV, pandas, PyTorch. PSQL is the command of psql. A line of JSON."""

import io
import json
import os
import shlex
import subprocess
import time

import pandas
import torch
from torch import nn

EPOCHS = 10
BATCH = 8192


def main():
    start = time.perf_counter()
    copy = subprocess.run(shlex.split(os.environ["PSQL"]) + ["-X", "-q", "-c", "COPY higgs TO STDOUT (FORMAT csv, HEADER)"],
                          stdout=subprocess.PIPE, check=True).stdout
    frame = pandas.read_csv(io.BytesIO(copy))
    loaded = time.perf_counter()
    torch.backends.cuda.matmul.allow_tf32 = True
    y = torch.tensor((frame.pop("signal") == "t").to_numpy(), dtype=torch.float32, device="cuda")
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
    print(json.dumps({"who": "COPY, pandas, PyTorch eager", "what": "load_and_train_10_epochs", "rows": len(y),
                      "seconds": round(end - start, 2), "load_seconds": round(loaded - start, 2)}))


main()
