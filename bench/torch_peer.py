"""PyTorch as a peer: imported on one thread, with a word on the BLAS it computes with.

Debian's python3-torch takes whatever libblas.so.3 the system has. The default, netlib's reference BLAS, is five to ten
times slower than OpenBLAS on these networks, so a comparison says which one it ran with. To compare with OpenBLAS,
install libopenblas0-pthread, or name a folder with its libblas.so.3 in LD_LIBRARY_PATH.
"""

import os
import sys
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

try:
    import torch
except ImportError:
    sys.exit("needs PyTorch for this python3: on Debian, apt install python3-torch and run /usr/bin/python3")

torch.set_num_threads(1)
torch.set_flush_denormal(True)


def blas():
    """The name of the BLAS that this process computes with."""
    maps = Path("/proc/self/maps").read_text()
    for library, name in (("libmkl", "MKL"), ("openblas", "OpenBLAS"), ("libblis", "BLIS"), ("atlas", "ATLAS"),
                          ("libblas.so", "netlib reference BLAS")):
        if library in maps:
            return name
    return "its own BLAS"


def description():
    """Version and BLAS, with a warning when the BLAS makes a weak peer."""
    text = f"PyTorch {torch.__version__} with {blas()}"
    if "netlib" in text:
        text += " (slow: install libopenblas0-pthread for a fair peer)"
    return text


def network(inputs):
    """The network that all comparisons train."""
    return torch.nn.Sequential(torch.nn.Linear(inputs, 128), torch.nn.ReLU(), torch.nn.Linear(128, 64), torch.nn.ReLU(),
                               torch.nn.Linear(64, 1))


def train_epoch(model, inputs, labels, batch, order, weight_decay=0.01):
    """Trains on the rows in `order`, batches gathered by index, with AdamW and binary cross-entropy; the plain way."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=weight_decay)
    loss_of = torch.nn.BCEWithLogitsLoss()
    for i in range(0, len(order), batch):
        index = order[i:i + batch]
        optimiser.zero_grad(set_to_none=True)
        loss_of(model(inputs[index]), labels[index]).backward()
        optimiser.step()
