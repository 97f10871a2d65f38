"""PyTorch beside dlent on one GPU: the networks of bench/gpu/device_bench.cpp, data resident, permuted on the device. A line of JSON a
measurement.

Modes: "eager"; "graph", a CUDA graph of a whole step; "compile", such a graph of what torch.compile makes of the network and its loss.
TORCH_MODES says which ("eager graph", and compile for COMPILED). Each network is measured in a process of its own, since after an error of
CUDA nothing works there any more. Usage: torch_peer.py [SECONDS [WORKLOAD]]"""

import json
import os
import subprocess
import sys
import time

import torch
from torch import nn

from workloads import COLUMNS, WORKLOADS

COMPILED = ("mlp_256x3_b1024", "tf32")
STEPS_AHEAD = 64  # before the host waits for the device, as dlent does
WARM_UP_SECONDS = 0.5


class BatchEnsembleLinear(nn.Module):
    """TabM's layer: one weight, a scale in and out and a bias a member."""

    def __init__(self, members, inputs, outputs):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        self.scale_in = nn.Parameter(torch.ones(members, inputs))
        self.scale_out = nn.Parameter(torch.ones(members, outputs))
        self.bias = nn.Parameter(torch.zeros(members, outputs))

    def forward(self, x):
        return self.linear(x * self.scale_in) * self.scale_out + self.bias


class Heads(nn.Module):
    def __init__(self, members, inputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(members, inputs, 1) * inputs ** -0.5)
        self.bias = nn.Parameter(torch.zeros(members, 1))

    def forward(self, x):
        return torch.einsum("bki,kio->bko", x, self.weight) + self.bias


class Expand(nn.Module):
    def __init__(self, members):
        super().__init__()
        self.members = members

    def forward(self, x):
        return x[:, None].expand(-1, self.members, -1)


def make_network(members, hidden):
    layers = [Expand(members)] if members > 1 else []
    width = COLUMNS
    for units in hidden:
        layers += [BatchEnsembleLinear(members, width, units) if members > 1 else nn.Linear(width, units), nn.ReLU()]
        width = units
    layers.append(Heads(members, width) if members > 1 else nn.Linear(width, 1))
    return nn.Sequential(*layers).cuda()


def recorded(step, optimizer):
    """A graph of a step, as PyTorch's notes on CUDA semantics advise: warmed up on another stream, gradients made within it."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            optimizer.zero_grad(set_to_none=True)
            step()
    torch.cuda.current_stream().wait_stream(side)
    optimizer.zero_grad(set_to_none=True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def measure(name, members, hidden, batch, rows, precision, mode, seconds):
    torch.manual_seed(1)
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    x = torch.rand(rows, COLUMNS, device="cuda") * 3.4 - 1.7
    y = ((x[:, 0] * x[:, 1] + x[:, 2]) > 0).float()
    network = make_network(members, hidden)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True, capturable=mode != "eager")
    loss_of = nn.BCEWithLogitsLoss()
    bx = torch.zeros(batch, COLUMNS, device="cuda")
    by = torch.zeros(batch, device="cuda")
    order = torch.randperm(rows, device="cuda")

    def forward(inputs, targets):
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
            logits = network(inputs)
        logits = logits.float().squeeze(-1)
        return loss_of(logits, targets[:, None].expand_as(logits) if members > 1 else targets)

    if mode == "compile":
        forward = torch.compile(forward)

    def step():
        forward(bx, by).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0, foreach=True)
        optimizer.step()

    def eager_step():
        optimizer.zero_grad(set_to_none=True)
        step()

    def feed(index):
        begin = index % (rows // batch) * batch
        chosen = order[begin:begin + batch]
        torch.index_select(x, 0, chosen, out=bx)
        torch.index_select(y, 0, chosen, out=by)

    feed(0)
    run = eager_step if mode == "eager" else recorded(step, optimizer)

    def train(limit):
        """Steps, and the seconds that they took, which are at least `limit`."""
        torch.cuda.synchronize()
        steps = 0
        start = time.perf_counter()
        while time.perf_counter() - start < limit:
            for _ in range(STEPS_AHEAD):
                feed(steps)
                run()
                steps += 1
            torch.cuda.synchronize()
        return steps, time.perf_counter() - start

    train(WARM_UP_SECONDS)
    steps, elapsed = train(seconds)
    print(json.dumps({"who": "pytorch " + torch.__version__ + " " + mode, "what": name, "precision": precision,
                      "rows_per_second": round(steps * batch / elapsed), "steps": steps, "seconds": round(elapsed, 2)}),
          flush=True)


def measure_all(workload, seconds):
    """In every precision and mode; the number of measurements that failed."""
    wanted = os.environ.get("TORCH_MODES", "").split()
    failed = 0
    for precision in ("fp32", "tf32", "bf16"):
        for mode in wanted or ["eager", "graph"] + ["compile"] * ((workload[0], precision) == COMPILED):
            try:
                measure(*workload, precision, mode, seconds)
            except Exception as error:  # one that fails must not cost the others
                failed += 1
                print(f"{workload[0]} {precision} {mode}: {error}", file=sys.stderr, flush=True)
    return failed


def main():
    seconds = sys.argv[1] if len(sys.argv) > 1 else "2"
    if not torch.cuda.is_available():
        print("SKIPPED: PyTorch sees no CUDA device", file=sys.stderr)
        sys.exit(77)
    if len(sys.argv) > 2:
        workload = next(of for of in WORKLOADS if of[0] == sys.argv[2])
        sys.exit(1 if measure_all(workload, float(seconds)) else 0)
    ended = [subprocess.run([sys.executable, __file__, seconds, name], check=False).returncode for name, *_ in WORKLOADS]
    sys.exit(1 if any(ended) else 0)


main()
