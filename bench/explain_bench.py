"""LIME beside the reference implementation (marcotcr/lime), on the same rows and network, in one run on one thread.

Usage: explain_bench.py EXPLAIN_BENCH [--save FILE]

The peer is found through LIME_PYTHONPATH (its source folder) and Debian's python3-sklearn and python3-skimage; without it only
our numbers are printed. pyDOE2, which the defaults never call, is replaced by an empty module.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import types

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

EXPLAINED = 10


def reference(folder):
    """Milliseconds of the peer's explain_instance at 5 and 10 features, and its greatest error as a network."""
    source = os.environ.get("LIME_PYTHONPATH")
    if not source:
        return None
    sys.path.insert(0, source)
    stub = types.ModuleType("pyDOE2")
    stub.lhs = None
    sys.modules["pyDOE2"] = stub
    try:
        import numpy as np
        import sklearn
        from lime.lime_tabular import LimeTabularExplainer
    except ImportError as error:
        print(f"no peer: {error}", file=sys.stderr)
        return None

    def read(name, *shape):
        return np.fromfile(os.path.join(folder, name + ".f32"), dtype=np.float32).reshape(shape)

    rows = read("rows", -1, 30)
    scaling = read("scaling", 30, 2)
    w1, b1 = read("hidden_1.weight", 30, 128), read("hidden_1.bias", 128)
    w2, b2 = read("hidden_2.weight", 128, 64), read("hidden_2.bias", 64)
    w3, b3 = read("output.weight", 64, 1), read("output.bias", 1)

    def predict(x):
        u = (x.astype(np.float32) - scaling[:, 0]) * scaling[:, 1]
        u = u / np.sqrt(1 + (u / 3) ** 2)
        h = np.maximum(np.maximum(u @ w1 + b1, 0) @ w2 + b2, 0) @ w3 + b3
        p = 1 / (1 + np.exp(-h[:, 0]))
        return np.stack([1 - p, p], axis=1)

    outputs = read("outputs", -1)
    error = float(np.abs(predict(rows[: len(outputs)])[:, 1] - outputs).max())
    explainer = LimeTabularExplainer(rows.astype(float), random_state=1)
    sample = rows[np.arange(5000) % len(rows)].astype(float)
    times = []
    for _ in range(11):
        start = time.perf_counter()
        predict(sample)
        times.append(time.perf_counter() - start)
    answer = {"network_error": error, "scikit_learn": sklearn.__version__, "numpy": np.__version__,
              "score_5000_ms": 1e3 * statistics.median(times)}
    for features in (5, 10):
        times = []
        for row in rows[: EXPLAINED + 1].astype(float):
            start = time.perf_counter()
            explainer.explain_instance(row, predict, num_features=features)
            times.append(time.perf_counter() - start)
        answer[str(features)] = 1e3 * statistics.median(times[1:])
    return answer


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("--save")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ours = json.loads(subprocess.run([arguments.bench, folder], check=True, capture_output=True, text=True).stdout)
        peer = reference(folder)
    cpu = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    lines = [f"LIME, 30 numbers, network 30-128-64-1, 5000 samples, one thread, {cpu} ({ours['kernels']} kernels)", "",
             "| per explanation | 5 features | 10 features |", "|---|---|---|"]

    def row(name, values, unit="ms", digits=2):
        lines.append(f"| {name} | " + " | ".join(f"{value:.{digits}f} {unit}" for value in values) + " |")

    row("dlent, fresh samples", [ours[k]["fresh_ms"] for k in ("5", "10")])
    row("dlent, shared probe", [ours[k]["probe_ms"] for k in ("5", "10")], digits=3)
    row("dlent, table with the probe", [ours[k]["table_rows_per_second"] for k in ("5", "10")], "rows/s", 0)
    if peer:
        row("reference", [peer[k] for k in ("5", "10")], digits=1)
        for name, kind in (("fresh", "fresh_ms"), ("shared probe", "probe_ms")):
            row(f"reference over dlent, {name}", [peer[k] / ours[k][kind] for k in ("5", "10")], "x", 0)
    lines += ["", f"Making the probe takes {ours['make_probe_ms']:.2f} ms, of which the network {ours['score_5000_ms']:.2f} ms; "
              f"it has {ours['probe_bytes'] / 1e3:.0f} kB. With a probe of 50000 samples: {ours['probe_of_50000_ms']:.2f} ms."]
    if peer:
        lines.append(f"The reference is marcotcr/lime on scikit-learn {peer['scikit_learn']}, NumPy {peer['numpy']}, whose network "
                     f"takes {peer['score_5000_ms']:.1f} ms and differs by at most {peer['network_error']:.1e}.")
    else:
        lines.append("The reference was not there (LIME_PYTHONPATH).")
    text = "\n".join(lines)
    print(text)
    if arguments.save:
        with open(arguments.save, "w", encoding="utf-8") as file:
            file.write("# Explanations\n\n" + text + "\n\nMeasured by bench/explain_bench.py.\n")


if __name__ == "__main__":
    main()
