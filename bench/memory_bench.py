#!/usr/bin/env python3
"""Peak memory of a backend that trains on 5 million rows of 30 columns, against the size of the encoded rows.

Usage: memory_bench.py [rows [workers]]

The encoded size is 4 bytes for each of the 30 features and the target of each row. The peak is the largest private
(anonymous) resident memory seen while training, sampled every 20 ms, less what the backend had before it; the kernel's
own high-water mark, which counts shared buffers too, is printed beside it. Parallel workers that help to read (none
unless asked for) count with their private memory, and so does the server's dynamic shared memory, which should be
nobody else's meanwhile. Exit status 1 when the ratio is above 1.3.

Must run on the server's machine: it reads /proc. The connection is libpq's (PGHOST, PGPORT, PGDATABASE, PGUSER).
"""

import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

HERE = Path(__file__).resolve().parent
BOUND = 1.3
OPTIONS = '{"kind": "mlp", "hidden": [128, 64], "numeric_embedding": "none", "members": 1, "epochs": 1}'


def status(pid, field):
    """A figure of /proc/PID/status in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def private(pid):
    """What a process holds for itself, with nothing when it has ended."""
    try:
        return status(pid, "RssAnon")
    except (OSError, KeyError):
        return 0


def workers_of(pid):
    title = f"parallel worker for PID {pid}".encode()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and title in (entry / "cmdline").read_bytes():
                yield entry.name
        except OSError:
            pass


def dynamic_shared_memory():
    size = 0
    for segment in Path("/dev/shm").glob("PostgreSQL.*"):
        try:
            size += segment.stat().st_size
        except OSError:
            pass
    return size


def main():
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000
    workers = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    encoded = 4 * 31 * rows
    subprocess.run(["psql", "-X", "-v", f"rows={rows}", "-f", str(HERE / "sql/wide_table.sql")], check=True)
    session = subprocess.Popen(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, bufsize=1)

    def send(sql):
        session.stdin.write(sql + "\n\\echo done\n")
        session.stdin.flush()

    def answer():
        lines = []
        for line in session.stdout:
            if line.strip() == "done":
                return lines
            lines.append(line.strip())
        sys.exit("psql ended early")

    # A small training first, so that what every backend needs once is there before the count begins.
    def train(source):
        return f"SELECT train_rows FROM dlent_train('bench_memory', '{source}', 'y', '{OPTIONS}');"

    send(f"SET client_min_messages = warning; SET max_parallel_workers_per_gather = {workers};"
         "SELECT count(dlent_drop_model(model)) FROM dlent.models WHERE model = 'bench_memory';"
         + train("SELECT * FROM dlent_bench.wide LIMIT 10000") + "SELECT pg_backend_pid();")
    pid = int(answer()[-1])
    shared_before = dynamic_shared_memory()
    before = peak = status(pid, "RssAnon")
    most_shared = most_workers = 0
    send(f"SET dlent.max_training_memory = '{256 + (2 * encoded >> 20)}MB';" + train("SELECT * FROM dlent_bench.wide"))
    done = []
    waiter = Thread(target=lambda: done.extend(answer()))
    start = time.monotonic()
    waiter.start()
    while waiter.is_alive():
        in_workers = sum(private(worker) for worker in workers_of(pid)) if workers > 0 else 0
        in_shared = dynamic_shared_memory() - shared_before
        peak = max(peak, status(pid, "RssAnon") + in_workers + in_shared)
        most_workers, most_shared = max(most_workers, in_workers), max(most_shared, in_shared)
        time.sleep(0.02)
    seconds = time.monotonic() - start
    high, shared = status(pid, "VmHWM"), status(pid, "RssShmem")
    send("SELECT dlent_drop_model('bench_memory');")
    answer()
    session.stdin.close()

    ratio = (peak - before) / encoded
    mib = 1 << 20
    print(f"rows {rows:,}, one epoch in {seconds:.1f} s")
    print(f"encoded size (4 bytes x 31 x rows)        {encoded / mib:8.0f} MiB")
    print(f"private memory before training            {before / mib:8.0f} MiB")
    print(f"memory, peak                              {peak / mib:8.0f} MiB")
    if workers > 0:
        print(f"private memory of workers, at most        {most_workers / mib:8.0f} MiB")
        print(f"dynamic shared memory, at most            {most_shared / mib:8.0f} MiB")
    print(f"VmHWM (with {shared / mib:.0f} MiB of shared buffers)   {high / mib:8.0f} MiB")
    print(f"ratio (peak - before) / encoded           {ratio:8.2f}   asked: <= {BOUND}")
    return 0 if ratio <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
