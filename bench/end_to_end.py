#!/usr/bin/env python3
"""Training end to end, one epoch on 1 million rows of 30 columns: dlent_train against COPY to pandas to PyTorch.

Usage: /usr/bin/python3 end_to_end.py [--rows N] [--rounds N]

Both start from the table and end with a trained 30-128-64-1 ReLU network: standardised inputs, AdamW, binary
cross-entropy, batches of 1024 in random order, no validation rows, one thread. The peer takes the rows by COPY as CSV
(pandas.read_csv: the usual way, which is judged) and as binary by a reader of the format written for this table
(numpy.frombuffer: the fastest way known to us). Imports are not counted. Exit status 1 when ours is less than 3 times as fast
as the usual way.

The connection is libpq's (PGHOST, PGPORT, PGDATABASE, PGUSER). Needs pandas and PyTorch (Debian: python3-pandas,
python3-torch).
"""

import argparse
import io
import statistics
import subprocess
import sys
import time
from pathlib import Path

from psql import PsqlError, psql
from torch_peer import description, network, torch, train_epoch

try:
    import numpy
    import pandas
except ImportError as error:
    sys.exit(f"{error}: on Debian, apt install python3-pandas and run /usr/bin/python3")

HERE = Path(__file__).resolve().parent
BATCH = 1024
BOUND = 3.0
TABLE = "dlent_bench.wide"
FEATURES = [f"f{i}" for i in range(1, 31)]
OPTIONS = ('{"kind": "mlp", "hidden": [128, 64], "numeric_embedding": "none", "members": 1, "epochs": 1, "dropout": 0, '
           '"batch_size": %d, "validation": {"method": "none"}}' % BATCH)


def ours():
    """Seconds of dlent_train, the connection included."""
    psql("SELECT dlent_drop_model(model) FROM dlent.models WHERE model = 'bench_end_to_end';")
    start = time.perf_counter()
    psql(f"""SET client_min_messages = warning;
             SET max_parallel_workers_per_gather = 0;
             SELECT train_rows FROM dlent_train('bench_end_to_end', 'SELECT * FROM {TABLE}', 'y', '{OPTIONS}');""")
    return time.perf_counter() - start


def copy(form):
    """The bytes of the table in a COPY format."""
    return subprocess.run(["psql", "-X", "-q", "-c", f"COPY {TABLE} TO STDOUT ({form})"], stdout=subprocess.PIPE,
                          check=True).stdout


def frame_from_csv():
    frame = pandas.read_csv(io.BytesIO(copy("FORMAT csv, HEADER")), true_values=["t"], false_values=["f"])
    return frame[FEATURES].to_numpy(numpy.float32), frame["y"].to_numpy(numpy.float32)


def frame_from_binary():
    # A header of 19 bytes; per row a count of fields, and per field a length and the value, all big-endian; a trailer.
    fields = [("count", ">i2")]
    for name in FEATURES:
        fields += [(name + "_length", ">i4"), (name, ">f8")]
    row = numpy.dtype(fields + [("y_length", ">i4"), ("y", "i1")])
    data = copy("FORMAT binary")
    rows = numpy.frombuffer(data, row, offset=19, count=(len(data) - 21) // row.itemsize)
    frame = pandas.DataFrame({name: rows[name].astype(numpy.float32) for name in FEATURES})
    return frame.to_numpy(numpy.float32), rows["y"].astype(numpy.float32)


def theirs(read):
    """Seconds to read the rows and seconds in all, of the peer."""
    start = time.perf_counter()
    inputs, labels = read()
    inputs = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
    inputs, labels = torch.from_numpy(inputs), torch.from_numpy(labels).unsqueeze(1)
    middle = time.perf_counter()
    train_epoch(network(30), inputs, labels, BATCH, torch.randperm(len(inputs)), weight_decay=0.03)
    end = time.perf_counter()
    return middle - start, end - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    subprocess.run(["psql", "-X", "-v", f"rows={arguments.rows}", "-f", str(HERE / "sql/wide_table.sql")], check=True)

    mine, by_csv, by_binary = [], [], []
    for _ in range(arguments.rounds):
        mine.append(ours())
        by_csv.append(theirs(frame_from_csv))
        by_binary.append(theirs(frame_from_binary))
    psql("SELECT dlent_drop_model('bench_end_to_end');")

    print(f"{arguments.rows:,} rows by 30 columns, 30-128-64-1, one epoch, median seconds of {arguments.rounds}")
    print(f"The peer is {description()}.")
    seconds = statistics.median(mine)
    print(f"{'dlent_train':<34} {seconds:8.2f}")
    ratios = {}
    for what, runs in (("COPY csv -> pandas -> PyTorch", by_csv), ("COPY binary -> numpy -> PyTorch", by_binary)):
        reading, whole = (statistics.median(column) for column in zip(*runs))
        ratios[what] = whole / seconds
        print(f"{what:<34} {whole:8.2f}   {ratios[what]:.2f} times ours, of it reading {reading:.2f}")
    usual = ratios["COPY csv -> pandas -> PyTorch"]
    print(f"ratio to the usual way {usual:.2f}, asked: >= {BOUND}; the binary one takes a hand-written reader of the format")
    return 0 if usual >= BOUND else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (PsqlError, subprocess.CalledProcessError) as error:
        sys.exit(str(error))
