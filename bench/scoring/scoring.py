#!/usr/bin/env python3
"""What a score costs a row: dlent beside its peers, the scan and the arithmetic, in one run.

Usage: /usr/bin/python3 scoring.py [--rows N] [--rounds N] [--build DIR] [--only wide|adult] [--save FILE]

Rows of 30 float8 and a 30-128-64-1 ReLU network, one thread, everything included, medians of rounds that alternate:
 - dlent_predict batched, row by row (dlent.batch off) and with 2 parallel workers, and of the same network scored in int8;
 - PyTorch in PL/Python on the same weights, a row a call and by batches;
 - ONNX Runtime on the same weights and the same rows in memory, without a database, at its best batch;
 - a C function of the same arguments that does nothing, and sum() of the columns: what the scan alone costs;
 - the network's floor: its multiply-adds at the rate of the processor's best matrix product.
Then one prepared row over libpq and the first row of a fresh connection; and a row of 6 numbers and 8 categories
(adult_income, DLENT_DATA) by the default preset, by a small network, and by that network taught by the default one.
Scores of the peers must be ours within 1e-5.

The connection is libpq's (PGHOST, ...); the user must be a superuser, and the server see --build. Peers that are not
installed are left out, and said so: postgresql-plpython3-NN and python3-torch of Debian; ONNX Runtime comes as
onnxruntime-node by npm, installed below --build with --ignore-scripts.
"""

import argparse
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from onnx_model import onnx_model  # noqa: E402
from psql import PsqlError, psql, query, value  # noqa: E402

HERE = Path(__file__).resolve().parent
WIDE = "dlent_bench.wide"
LARGE = "dlent_bench.wide_large"  # four times its rows: what workers cost to start counts for less
WIDTH = 30
COLUMNS = ", ".join(f"f{i}" for i in range(1, WIDTH + 1))
MODEL = "bench_score"
INT8 = "bench_score_int8"  # the same network, scored in int8
OPTIONS = '{"kind": "mlp", "hidden": [128, 64], "numeric_embedding": "none", "members": 1, "epochs": 1}'
CHECKED = 2000  # rows whose scores are compared
CHUNK = 4096  # rows of a PL/Python batch
ONNX_BATCHES = (1, 64, 256, 1024, 4096, 16384)
SETTINGS = "SET jit = off; SET max_parallel_workers_per_gather = 0; SET client_min_messages = warning;"
PARALLEL = ("SET max_parallel_workers_per_gather = 2; SET parallel_leader_participation = off; "
            "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;")


def network():
    """The trained network: (center, scale, clip, [(weight, bias)], 1 / temperature), from the catalog."""
    row = query(f"""SELECT v.specification, v.pipeline, encode(string_agg(c.data, '' ORDER BY c.sequence), 'hex')
                    FROM dlent.model AS m JOIN dlent.version AS v ON v.model_id = m.id
                    JOIN dlent.weight_chunk AS c ON c.version_id = v.id WHERE m.name = '{MODEL}'
                    GROUP BY v.id, v.specification, v.pipeline""")[0]
    specification, pipeline, weights = json.loads(row[0]), json.loads(row[1]), bytes.fromhex(row[2])
    header_bytes, = struct.unpack_from("<Q", weights)
    header = json.loads(weights[8:8 + header_bytes])

    def tensor(name):
        begin, end = header[f"0/{name}"]["data_offsets"]
        return struct.unpack_from(f"<{(end - begin) // 4}f", weights, 8 + header_bytes + begin)

    cells = [entry["cells"][0] for entry in pipeline["inputs"]]
    clip = next(layer for layer in specification["network"]["layers"] if layer["type"] == "smooth_clip")
    layers = [(tensor(layer["name"] + ".weight"), tensor(layer["name"] + ".bias"))
              for layer in specification["network"]["layers"] if layer["type"] == "dense"]
    return ([cell["center"] for cell in cells], [cell["scale"] for cell in cells], clip.get("limit", 3.0), layers,
            1.0 / specification["temperature"])


def build_c(build):
    """Compiles the no-op function and the latency client; None where that is not possible."""
    try:
        pg_config = os.environ.get("PG_CONFIG", "pg_config")
        config = {name: subprocess.run([pg_config, "--" + name], check=True, capture_output=True, text=True).stdout.strip()
                  for name in ("includedir", "includedir-server", "libdir")}
        subprocess.run(["cc", "-O2", "-fPIC", "-shared", "-I" + config["includedir-server"], str(HERE / "noop.c"), "-o",
                        str(build / "noop.so")], check=True)
        subprocess.run(["cc", "-O2", "-I" + config["includedir"], str(HERE / "latency.c"), "-o", str(build / "latency"),
                        "-L" + config["libdir"], "-lpq"], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"without the no-op function and the latencies: {error}")
        return False
    psql(f"""CREATE OR REPLACE FUNCTION dlent_bench.noop(text{', float8' * WIDTH}) RETURNS float8
             LANGUAGE c IMMUTABLE PARALLEL SAFE AS '{build / "noop.so"}', 'dlent_bench_noop';""")
    return True


def measure_latency(build, statement, call, features):
    """Microseconds of a prepared statement and of a scoring call, in turn, and of the first ones of fresh connections."""
    done = subprocess.run([str(build / "latency"), statement, call, str(features), "20000", "100"], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def torch_peer(net):
    """Hands the weights to PL/Python; False without it."""
    center, scale, clip, layers, inverse_temperature = net
    description = {"center": center, "scale": scale, "clip": clip, "inverse_temperature": inverse_temperature,
                   "layers": [[len(weight) // len(bias), len(bias)] for weight, bias in layers]}
    weights = b"".join(struct.pack(f"<{len(part)}f", *part) for layer in layers for part in layer)
    try:
        psql(f"""DROP TABLE IF EXISTS dlent_bench.peer_weights;
                 CREATE TABLE dlent_bench.peer_weights AS
                 SELECT '{json.dumps(description)}'::text AS description, '\\x{weights.hex()}'::bytea AS weights;""")
        psql("SET client_min_messages = warning;\n" + (HERE / "peers.sql").read_text())
        return value("SELECT dlent_bench.torch_setup()")
    except PsqlError as error:
        print(f"without PyTorch in PL/Python: {str(error).splitlines()[0]}")
        return None


class OnnxRuntime:
    """The peer's process; `seconds` times one run."""

    def __init__(self, build, net, rows):
        module = build / "onnxruntime" / "node_modules" / "onnxruntime-node"
        if not module.exists():
            (build / "onnxruntime").mkdir(parents=True, exist_ok=True)
            subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--prefix",
                            str(build / "onnxruntime"), "onnxruntime-node"], check=True)
        (build / "network.onnx").write_bytes(onnx_model(*net))
        raw = subprocess.run(["psql", "-X", "-q", "-c", f"COPY (SELECT {COLUMNS} FROM {WIDE} LIMIT {rows}) TO STDOUT (FORMAT binary)"],
                             check=True, capture_output=True).stdout
        out = bytearray()
        row = struct.Struct(">h" + "id" * WIDTH)  # a count of fields, then a length and a value each
        for fields in row.iter_unpack(raw[19:-2]):
            out += struct.pack(f"<{WIDTH}f", *fields[2::2])
        (build / "rows.f32").write_bytes(out)
        self.process = subprocess.Popen(
            ["node", str(HERE / "onnxruntime_peer.mjs"), str(module), str(build / "network.onnx"), str(build / "rows.f32"),
             str(WIDTH), str(CHECKED)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        first = json.loads(self.process.stdout.readline())
        self.version, self.scores = first["version"], first["scores"]

    def seconds(self, batch, rows):
        self.process.stdin.write(json.dumps({"batch": batch, "rows": rows}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())["seconds"]


def sgemm_rate():
    """Multiply-adds a second of one thread, by PyTorch's BLAS; None without it."""
    try:
        from torch_peer import torch
    except SystemExit:
        return None
    best = 0.0
    for m, n, k in ((512, 512, 512), (1024, 1024, 1024), (1024, 128, 128)):
        a, b = torch.randn(m, k), torch.randn(k, n)
        for _ in range(30):
            start = time.perf_counter()
            torch.mm(a, b)
            best = max(best, m * n * k / (time.perf_counter() - start))
    return best


STUDENT = '"members": 1, "hidden": [64, 32], "numeric_embedding": "none"'
ADULT = {  # model: (what it is, options)
    "adult_income": ("default preset", "{}"),
    "adult_small": ("one network of 64-32", f"{{{STUDENT}}}"),
    "adult_student": ("the same, taught by the default preset", f'{{{STUDENT}, "teacher": {{}}}}'),
}


def adult(rounds):
    """Of each model of adult_income: microseconds a row and AUC on the test rows; None without the data."""
    import quality
    data = Path(os.environ.get("DLENT_DATA", ""))
    if not (data / "quality.json").exists():
        return None
    spec = next(one for one in json.loads((data / "quality.json").read_text()) if one["name"] == "adult_income")
    psql(f"SET client_min_messages = warning; CREATE SCHEMA IF NOT EXISTS {quality.SCHEMA};")
    quality.load(spec, data)
    source = f"{quality.SCHEMA}.adult_income"
    count = int(value(f"SELECT count(*) FROM {source}_test"))
    models = {}
    for model, (what, options) in ADULT.items():
        psql(f"""SET client_min_messages = warning; SET dlent.progress_messages = off;
                 SELECT count(dlent_drop_model(model)) FROM dlent.models WHERE model = '{model}';
                 SELECT seconds FROM dlent_train('{model}', 'SELECT * FROM {source}_train', '{spec["target"]}', '{options}');""")
        figures = models[what] = {"roc_auc": float(value(
            f"SELECT dlent_evaluate('{model}', 'SELECT * FROM {source}_test') ->> 'roc_auc'"))}
        for name, batch in (("batched", "on"), ("row by row", "off")):
            sql = f"SELECT sum(dlent_predict('{model}', t)) FROM {source}_test AS t"
            timed = run_sql({model: sql}, rounds, f"SET dlent.batch = {batch};")
            figures[name] = 1e6 * statistics.median(timed[model]) / count
    return models


def run_sql(statements, rounds, setup=""):
    """Seconds of each statement in each round, in one session that has run all of them before."""
    body = "\n".join(
        f"start := clock_timestamp(); EXECUTE {quoted(sql)}; "
        f"INSERT INTO timings VALUES ({quoted(name)}, round, extract(epoch FROM clock_timestamp() - start));"
        for name, sql in statements.items())
    out, _ = psql(f"""{SETTINGS} {setup}
        CREATE TEMP TABLE timings (what text, round int, seconds float8);
        DO $bench$ DECLARE start timestamptz; BEGIN FOR round IN 0..{rounds} LOOP {body} END LOOP; END $bench$;
        COPY (SELECT what, seconds FROM timings WHERE round > 0) TO STDOUT;""")
    timed = {name: [] for name in statements}
    for line in out.splitlines():
        name, seconds = line.split("\t")
        timed[name].append(float(seconds))
    return timed


def processor():
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return next((line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")), "processor unknown")


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def expect_equal(name, ours, theirs):
    worst = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    if not worst <= 1e-5:
        sys.exit(f"{name} does not score as dlent does: {worst:g} apart")


def write(arguments, lines, result):
    print("\n".join(lines))
    if arguments.save:
        title = ["# Scoring", "", f"{time.strftime('%Y-%m-%d')}, {value('SELECT version()').split(',')[0]}, {processor()}.", ""]
        arguments.save.with_suffix(".md").write_text("\n".join(title + lines) + "\n")
        arguments.save.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--build", type=Path, default=HERE.parent.parent / "build" / "bench-scoring")
    parser.add_argument("--save", type=Path)
    parser.add_argument("--only", choices=("wide", "adult"), help="one of the two halves: the wide rows and their peers, or adult_income")
    arguments = parser.parse_args()
    lines, result = [], {}
    if arguments.only != "adult":
        lines, result = wide(arguments)
    mixed = adult(arguments.rounds) if arguments.only != "wide" else None
    if mixed:
        result["adult"] = mixed
        lines += ["", "| adult_income (6 numbers, 8 categories), record | AUC on test rows | batched µs a row | row by row |", "|---|---:|---:|---:|"]
        lines += [f"| {what} | {of['roc_auc']:.4f} | {of['batched']:.2f} | {of['row by row']:.2f} |" for what, of in mixed.items()]
    write(arguments, lines, result)


def wide(arguments):
    """Lines and figures of the wide rows, ours and their peers'."""
    rows, rounds, build = arguments.rows, arguments.rounds, arguments.build.resolve()
    build.mkdir(parents=True, exist_ok=True)
    # every scan begins at the table's first row, so that all score the same rows
    os.environ["PGOPTIONS"] = os.environ.get("PGOPTIONS", "") + " -c synchronize_seqscans=off"

    subprocess.run(["psql", "-X", "-v", f"rows={rows}", "-f", str(HERE.parent / "sql" / "wide_table.sql")], check=True,
                   stdout=subprocess.DEVNULL)
    int8_options = json.dumps(json.loads(OPTIONS) | {"score_precision": "int8"})
    psql(f"""{SETTINGS} SELECT count(dlent_drop_model(model)) FROM dlent.models WHERE model IN ('{MODEL}', '{INT8}');
             SET dlent.progress_messages = off;
             SELECT train_rows FROM dlent_train('{MODEL}', 'SELECT * FROM {WIDE} LIMIT 20000', 'y', '{OPTIONS}');
             SELECT train_rows FROM dlent_train('{INT8}', 'SELECT * FROM {WIDE} LIMIT 20000', 'y', '{int8_options}');""")
    psql(f"""DROP TABLE IF EXISTS {LARGE};
             CREATE UNLOGGED TABLE {LARGE} AS SELECT w.* FROM {WIDE} AS w, generate_series(1, 4);
             VACUUM (FREEZE, ANALYZE) {LARGE};""")
    psql(f"CREATE EXTENSION IF NOT EXISTS pg_prewarm; SELECT pg_prewarm('{WIDE}');")  # a table kept from an earlier run is not in memory
    net = network()
    compiled = build_c(build)
    torch_version = torch_peer(net)
    onnx = OnnxRuntime(build, net, min(rows, 1_000_000)) if shutil.which("npm") and shutil.which("node") else None
    if onnx is None:
        print("without ONNX Runtime: npm is not installed")

    ours = [float(row[0]) for row in query(f"SELECT dlent_predict('{MODEL}', w) FROM {WIDE} AS w LIMIT {CHECKED}")]
    peer_rows = min(rows, 50 * CHUNK)
    row_calls = min(rows, 20_000)
    chunks = f"(SELECT *, (row_number() OVER () - 1) / {CHUNK} AS chunk FROM (SELECT * FROM {WIDE} LIMIT {{}}) AS w) AS w GROUP BY chunk"
    sent = " || ".join(f"float8send(f{i})" for i in range(1, WIDTH + 1))
    in_bytes = f"SELECT chunk, dlent_bench.torch_bytes(string_agg({sent}, '')) AS scores FROM {chunks}"
    in_arrays = f"SELECT chunk, dlent_bench.torch_arrays(array_agg(ARRAY[{COLUMNS}])) AS scores FROM {chunks}"

    cases = {  # name: (statement, rows, settings)
        "dlent_predict, batched, record": (f"SELECT sum(dlent_predict('{MODEL}', w)) FROM {WIDE} AS w", rows, ""),
        "dlent_predict, batched, columns": (f"SELECT sum(dlent_predict('{MODEL}', {COLUMNS})) FROM {WIDE}", rows, ""),
        "dlent_predict, row by row, record": (f"SELECT sum(dlent_predict('{MODEL}', w)) FROM {WIDE} AS w", rows, "SET dlent.batch = off;"),
        "dlent_predict, row by row, columns": (f"SELECT sum(dlent_predict('{MODEL}', {COLUMNS})) FROM {WIDE}", rows, "SET dlent.batch = off;"),
        "dlent_predict in int8, batched, record": (f"SELECT sum(dlent_predict('{INT8}', w)) FROM {WIDE} AS w", rows, ""),
        "dlent_predict in int8, row by row, record": (f"SELECT sum(dlent_predict('{INT8}', w)) FROM {WIDE} AS w", rows, "SET dlent.batch = off;"),
        "dlent_predict, batched, 2 workers": (f"SELECT sum(dlent_predict('{MODEL}', w)) FROM {WIDE} AS w", rows, PARALLEL),
        "dlent_predict, batched, four times the rows": (f"SELECT sum(dlent_predict('{MODEL}', w)) FROM {LARGE} AS w", 4 * rows, ""),
        "dlent_predict, batched, four times the rows, 2 workers": (f"SELECT sum(dlent_predict('{MODEL}', w)) FROM {LARGE} AS w", 4 * rows, PARALLEL),
        "count(*)": (f"SELECT count(*) FROM {WIDE}", rows, ""),
        "sum of the 30 columns": (f"SELECT sum({' + '.join(f'f{i}' for i in range(1, WIDTH + 1))}) FROM {WIDE}", rows, ""),
    }
    if compiled:
        cases["a C function that does nothing"] = (f"SELECT sum(dlent_bench.noop('{MODEL}', {COLUMNS})) FROM {WIDE}", rows, "")
    if torch_version:
        setup = "DO $$ BEGIN PERFORM dlent_bench.torch_setup(); END $$;"
        cases["PL/Python and PyTorch, batches of bytes"] = (
            f"SELECT sum(s) FROM ({in_bytes.format(peer_rows)}) AS b, unnest(scores) AS s", peer_rows, setup)
        cases["PL/Python and PyTorch, batches of arrays"] = (
            f"SELECT sum(s) FROM ({in_arrays.format(peer_rows)}) AS b, unnest(scores) AS s", peer_rows, setup)
        cases["PL/Python and PyTorch, row by row"] = (
            f"SELECT sum(dlent_bench.torch_row({COLUMNS})) FROM (SELECT * FROM {WIDE} LIMIT {row_calls}) AS w", row_calls, setup)
        for what, sql in (("batches of bytes", in_bytes), ("batches of arrays", in_arrays)):
            got = query(f"SELECT s FROM ({sql.format(CHECKED)}) AS b, unnest(scores) AS s", setup)
            expect_equal(f"PyTorch by {what}", ours, [float(row[-1]) for row in got[-CHECKED:]])
    if onnx:
        expect_equal("ONNX Runtime", ours, onnx.scores)

    seconds = {name: [] for name in cases}
    onnx_seconds = {batch: [] for batch in ONNX_BATCHES}
    for _ in range(rounds):
        for name, (sql, _, setup) in cases.items():
            seconds[name] += run_sql({name: sql}, 1, setup)[name]
        if onnx:
            for batch in ONNX_BATCHES:
                onnx.seconds(batch, 2000)
                onnx_seconds[batch].append(onnx.seconds(batch, rows if batch > 1 else row_calls))

    cost = {name: 1e6 * statistics.median(seconds[name]) / cases[name][1] for name in cases}
    if onnx:
        for batch in ONNX_BATCHES:
            cost[f"ONNX Runtime in memory, batch {batch}"] = 1e6 * statistics.median(onnx_seconds[batch]) / (rows if batch > 1 else row_calls)
    ours_cost = min(cost["dlent_predict, batched, record"], cost["dlent_predict, batched, columns"])
    lines = [f"{rows:,} rows of {WIDTH} float8, 30-128-64-1, one thread, medians of {rounds} alternated rounds", "",
             "| what | µs a row | times ours |", "|---|---:|---:|"]
    lines += [f"| {name} | {figure:.3f} | {figure / ours_cost:.2f} |" for name, figure in cost.items()]
    rate = sgemm_rate()
    result = {"rows": rows, "microseconds": cost, "pytorch": torch_version, "onnxruntime": onnx.version if onnx else None}
    if rate:
        multiply_adds = sum(len(weight) for weight, _ in net[3])
        floor = 1e6 * multiply_adds / rate
        scan = cost["sum of the 30 columns"]
        result["network_floor"] = floor
        lines += [f"| the network's floor: {multiply_adds:,} multiply-adds at {rate / 1e9:.1f} G/s | {floor:.3f} | {floor / ours_cost:.2f} |", "",
                  f"Ours over the floors of scan and network: {ours_cost / (scan + floor):.2f} (asked: at most 2)."]
    large = "dlent_predict, batched, four times the rows"
    check = json.loads(value(f"SELECT details -> 'score_precision' FROM dlent.versions WHERE model = '{INT8}'"))
    result["int8"] = check
    lines.append(f"int8 beside fp32, without the scan: {check['score_us']['int8']['batched']:.3f} and {check['score_us']['fp32']['batched']:.3f} µs a row in batches, "
                 f"{check['score_us']['int8']['single']:.3f} and {check['score_us']['fp32']['single']:.3f} alone; roc_auc {check['metrics']['int8']['roc_auc']:.5f} and "
                 f"{check['metrics']['fp32']['roc_auc']:.5f}; answers differ by {check['rms_difference']:.5f} root mean square, {check['largest_difference']:.5f} at most.")
    lines.append(f"2 workers over one backend: {cost['dlent_predict, batched, record'] / cost['dlent_predict, batched, 2 workers']:.2f} times, "
                 f"with four times the rows {cost[large] / cost[large + ', 2 workers']:.2f} (asked: at least 1.7).")
    psql(f"DROP TABLE {LARGE};")

    if compiled:
        latency = {"call": measure_latency(build, "SELECT 1", f"SELECT dlent_predict('{MODEL}', {', '.join(f'${i}' for i in range(1, WIDTH + 1))})", WIDTH),
                   "lookup": measure_latency(build, f"SELECT f1 FROM {WIDE} WHERE ctid = '(0,1)'", f"SELECT dlent_predict('{MODEL}', t) FROM {WIDE} AS t WHERE ctid = '(0,1)'", 0)}
        result["latency"] = latency
        call, lookup = latency["call"], latency["lookup"]
        lines += ["", "| one prepared row over libpq, 20,000 times; 100 fresh connections | p50 µs | p99 µs |", "|---|---:|---:|"]
        lines += [f"| {what} | {times['p50']:.1f} | {times['p99']:.1f} |"
                  for times, what in ((call["empty"], "`SELECT 1`"), (call["score"], "`SELECT dlent_predict(...)` of 30 parameters"),
                                      (lookup["empty"], "a column of one row of the table"), (lookup["score"], "the score of that row"),
                                      (call["connect"], "a connection"), (call["first_empty"], "its first `SELECT 1`"), (call["first_score"], "its first score"))]
        lines.append("")
        lines.append(f"A prepared score over `SELECT 1`: +{call['score']['p50'] - call['empty']['p50']:.1f} µs (asked: at most 15), of a row of the table over "
                     f"reading it: +{lookup['score']['p50'] - lookup['empty']['p50']:.1f} µs; "
                     f"a fresh connection's first score: {call['first_score']['p50'] / 1e3:.2f} ms (asked: at most 5).")
    return lines, result


if __name__ == "__main__":
    try:
        main()
    except PsqlError as error:
        sys.exit(str(error))
