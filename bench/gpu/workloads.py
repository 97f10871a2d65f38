"""The trainings that bench/gpu/device_bench.cpp and bench/gpu/torch_peer.py measure, and what of a card they need at least."""

COLUMNS = 28
# name, members, hidden layers, rows a step, rows
WORKLOADS = [
    ("mlp_256x3_b256", 1, [256, 256, 256], 256, 1 << 20),
    ("mlp_256x3_b1024", 1, [256, 256, 256], 1024, 1 << 20),
    ("mlp_256x3_b65536", 1, [256, 256, 256], 65536, 1 << 23),
    ("tabm_k32_512x3_b256", 32, [512, 512, 512], 256, 1 << 17),
]

# Vendor's figures, without sparsity: TFLOP/s in fp32, tf32 and bf16, TB/s of memory. The first name that a card's has counts.
PEAKS = [
    ("H200 NVL", {"fp32": 60, "tf32": 418, "bf16": 835}, 4.8),
    ("H200", {"fp32": 67, "tf32": 495, "bf16": 989}, 4.8),
    ("H100 NVL", {"fp32": 60, "tf32": 418, "bf16": 835}, 3.9),
    ("H100 PCIe", {"fp32": 51, "tf32": 378, "bf16": 756}, 2.0),
    ("H100", {"fp32": 67, "tf32": 495, "bf16": 989}, 3.35),
    ("A100-SXM4-80GB", {"fp32": 19.5, "tf32": 156, "bf16": 312}, 2.04),
    ("A100 80GB", {"fp32": 19.5, "tf32": 156, "bf16": 312}, 1.94),
    ("A100", {"fp32": 19.5, "tf32": 156, "bf16": 312}, 1.56),
    ("L40S", {"fp32": 91.6, "tf32": 183, "bf16": 362}, 0.86),
    ("L4", {"fp32": 30.3, "tf32": 60, "bf16": 121}, 0.3),
    ("A10", {"fp32": 31.2, "tf32": 62.5, "bf16": 125}, 0.6),
]


def peaks_of(card):
    """TFLOP/s by precision and TB/s; None of a card that is not known."""
    return next(((flops, bandwidth) for name, flops, bandwidth in PEAKS if name in card), None)


def needs(members, hidden, batch):
    """Floating-point operations and bytes of memory that a row of a training step takes at least.

    Operations: of the products alone, 6 a weight, 4 where inputs need no gradients; members share the hidden layers' weights but not
    the rows that they compute. Bytes: a row's inputs, target and number read once, its hidden activations written and read once,
    and, once a step, weights and moments read and written and gradients read (AdamW). What stays in a card's cache costs less.
    """
    widths = [COLUMNS, *hidden]
    weights = [a * b for a, b in zip(widths, hidden)] + [hidden[-1]]
    flops = members * (6 * sum(weights) - 2 * weights[0])
    parameters = sum(weights[:-1]) + members * (weights[-1] + 1)
    parameters += sum(hidden) if members == 1 else members * sum(a + 2 * b for a, b in zip(widths, hidden))
    return flops, 4 * (COLUMNS + 2) + 8 * members * sum(hidden) + 28 * parameters / batch


def rows_per_second_at_most(card, members, hidden, batch, precision):
    """By the roofline of the card; None where the card is not known."""
    peaks = peaks_of(card)
    if peaks is None:
        return None
    flops, moved = needs(members, hidden, batch)
    return 1 / max(flops / (peaks[0][precision] * 1e12), moved / (peaks[1] * 1e12))
