"""PyTorch beside dlent on one GPU: the networks of bench/gpu/device_bench.cpp, data resident, permuted on the device.
Eager, torch.compile, and one CUDA graph of a whole step. A line of JSON a measurement. Usage: torch_peer.py [SECONDS]"""

import json
import sys
import time

import torch
from torch import nn

COLUMNS = 28
WORKLOADS = [
    ("mlp_256x3_b256", 1, [256, 256, 256], 256, 1 << 20),
    ("mlp_256x3_b1024", 1, [256, 256, 256], 1024, 1 << 20),
    ("mlp_256x3_b65536", 1, [256, 256, 256], 65536, 1 << 23),
    ("tabm_k32_512x3_b256", 32, [512, 512, 512], 256, 1 << 17),
]


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


def measure(name, members, hidden, batch, rows, precision, mode, seconds):
    torch.manual_seed(1)
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    x = torch.rand(rows, COLUMNS, device="cuda") * 3.4 - 1.7
    y = ((x[:, 0] * x[:, 1] + x[:, 2]) > 0).float()
    network = make_network(members, hidden)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True, capturable=True)
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
        loss = forward(bx, by)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=mode != "graph")

    if mode == "graph":
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        run = graph.replay
    else:
        run = step

    def feed(index):
        begin = index * batch % (rows - batch + 1)
        chosen = order[begin:begin + batch]
        torch.index_select(x, 0, chosen, out=bx)
        torch.index_select(y, 0, chosen, out=by)

    for i in range(10):
        feed(i)
        run()
    torch.cuda.synchronize()
    steps = 0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        for _ in range(20):
            feed(steps)
            run()
            steps += 1
        torch.cuda.synchronize()
    elapsed = time.perf_counter() - start
    print(json.dumps({"who": "pytorch " + torch.__version__ + " " + mode, "what": name, "precision": precision,
                      "rows_per_second": round(steps * batch / elapsed), "steps": steps, "seconds": round(elapsed, 2)}),
          flush=True)


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    if not torch.cuda.is_available():
        print("SKIPPED: PyTorch sees no CUDA device", file=sys.stderr)
        sys.exit(77)
    for name, members, hidden, batch, rows in WORKLOADS:
        for precision in ("fp32", "tf32", "bf16"):
            for mode in ("eager", "graph", "compile"):
                try:
                    measure(name, members, hidden, batch, rows, precision, mode, seconds)
                except Exception as error:  # one mode that fails must not cost the others
                    print(f"{name} {precision} {mode}: {error}", file=sys.stderr, flush=True)


main()
