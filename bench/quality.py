#!/usr/bin/env python3
"""Trains a model on each public data set with nothing but dlent_train(name, source, target) and compares its test score
with those of scikit-learn's peers.

Usage: quality.py [--quick] [--sets A,B,...] [--preset default|fast|best] [--jobs N] [--resume] [--data FOLDER]

The folder holds quality.json, which describes the sets (files, target, inputs, split, primary metric) and has the
peers' test scores, and a folder of compressed CSV files per set. It is --data, else $DLENT_DATA, else shared/data
beside the repository.

A score is (metric - trivial) / (perfect - trivial): 0 for a predictor that ignores its inputs (the majority peer), 1
for a perfect one. The metric is computed here from the scored test rows, and dlent_evaluate must agree with it.

A full run writes bench/results/quality-<preset>-<date>.md and .json; --resume goes on with one that was interrupted.
--quick trains four small sets with the fast preset, prints TAP, writes nothing, and fails when one of them is no better
than the trivial predictor or more than 0.03 below the linear model.

The connection is libpq's (PGHOST, PGPORT, PGDATABASE, PGUSER). Needs Python's standard library and psql only.
"""

import argparse
import csv
import datetime
import gzip
import io
import json
import lzma
import math
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from psql import PsqlError, identifier, literal, psql, query, value

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
SCHEMA = "dlent_quality"
QUICK_SETS = ("german_credit", "churn_mlc", "steel_plates_faults", "concrete_strength")
PEERS = ("linear", "mlp", "hist_gradient_boosting")
LOWER_IS_BETTER = ("rmse", "mae", "log_loss")

# How near to a peer counts as level, and how far below the best of linear and boosting a set may ever be.
LEVEL = 0.005
ALLOWED_GAP = 0.03

# One backend, no thread of its own, rows in the order they were stored in.
SESSION = """
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
SET synchronize_seqscans = off;
SET jit = off;
"""

INTEGER = re.compile(r"[+-]?[0-9]+")


# ---- metrics, by the definitions of scikit-learn ----


def descending_ties(truth, score):
    """Yields (positives, rows) of each group of equal scores, the highest score first."""
    pairs = sorted(zip(score, truth), key=lambda pair: -pair[0])
    start = 0
    while start < len(pairs):
        end = start
        while end < len(pairs) and pairs[end][0] == pairs[start][0]:
            end += 1
        yield sum(t for _, t in pairs[start:end]), end - start
        start = end


def roc_auc(truth, score):
    """Area under the ROC curve; equal scores count half.

    >>> roc_auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    >>> roc_auc([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5])
    0.5
    """
    area = above = 0.0
    for positives, rows in descending_ties(truth, score):
        area += (rows - positives) * (above + positives / 2)
        above += positives
    return area / (above * (len(truth) - above))


def average_precision(truth, score):
    """Sum over the thresholds of precision times the step in recall.

    >>> round(average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 6)
    0.833333
    >>> average_precision([0, 1, 0, 0], [0.5, 0.5, 0.5, 0.5])
    0.25
    """
    total = sum(truth)
    result = found = seen = 0
    for positives, rows in descending_ties(truth, score):
        found += positives
        seen += rows
        result += positives / total * found / seen
    return result


def accuracy(truth, label):
    """Share of equal labels.

    >>> accuracy(["a", "b", "c", "a"], ["a", "b", "a", "a"])
    0.75
    """
    return sum(t == p for t, p in zip(truth, label)) / len(truth)


def rmse(truth, predicted):
    """Root of the mean squared error.

    >>> rmse([1.0, 2.0], [1.0, 4.0]) == math.sqrt(2)
    True
    """
    return math.sqrt(math.fsum((t - p) ** 2 for t, p in zip(truth, predicted)) / len(truth))


METRICS = {"roc_auc": roc_auc, "average_precision": average_precision, "accuracy": accuracy, "rmse": rmse}


def normalised(spec, metric):
    """The score of a metric on a set: 0 is trivial, 1 perfect."""
    trivial = spec["peers"]["majority"][spec["primary"]]
    perfect = 0.0 if spec["primary"] in LOWER_IS_BETTER else 1.0
    return (metric - trivial) / (perfect - trivial)


# ---- a set in the database ----


def read_csv(path, null):
    """Returns the header and the rows of a compressed CSV file, with None for NULL."""
    opener = lzma.open if path.suffix == ".xz" else gzip.open
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header = next(reader)
        rows = [[None if field in ("", null) else field for field in row] for row in reader]
    return header, rows


def column_type(spec, name, values):
    """The SQL type of a column: text for categories, classes and what is no input, else a number."""
    classes = name == spec["target"] and spec["task"] != "regression"
    if classes or name in spec["categorical"] or name in spec["exclude"]:
        return "text"
    present = [v for v in values if v is not None]
    if name == spec["target"] or not present or not all(INTEGER.fullmatch(v) for v in present):
        return "float8"
    return "int" if max(abs(int(v)) for v in present) < 2**31 else "bigint"


def load(spec, data):
    """Copies a set into a table of its own, with views on its train and test rows; returns the names of its inputs."""
    name, split = spec["name"], spec["split"]
    parts = ["train", "test"] if split["method"] == "files" else ["all"]
    content = {part: read_csv(data / name / spec["files"][part], spec["null"]) for part in parts}
    header = content[parts[0]][0]
    if any(part_header != header for part_header, _ in content.values()):
        raise ValueError(f"{name}: the files differ in their columns")
    rows = [row for _, part_rows in content.values() for row in part_rows]
    table = f"{SCHEMA}.{identifier(name)}"
    types = [column_type(spec, column, [row[i] for row in rows]) for i, column in enumerate(header)]
    columns = ", ".join(f"{identifier(column)} {type_}" for column, type_ in zip(header, types))
    # An earlier model goes first: it holds on to the columns it was trained on.
    psql(f"""{SESSION}
        SELECT dlent_drop_model(model) FROM dlent.models WHERE model = {literal(name)};
        DROP TABLE IF EXISTS {table} CASCADE;
        CREATE TABLE {table} (dlent_row int GENERATED ALWAYS AS IDENTITY, dlent_part text, {columns});""")

    names = ", ".join(identifier(column) for column in header)
    for part in parts:
        psql(f"ALTER TABLE {table} ALTER dlent_part SET DEFAULT {literal(part)};")
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(content[part][1])
        psql(f"\\copy {table} ({names}) FROM pstdin (FORMAT csv, NULL '')", stdin=out.getvalue())

    is_test = {
        "files": lambda: "dlent_part = 'test'",
        "mod": lambda: f"dlent_row % {split['k']} = {split['test_remainder']}",
        "tail": lambda: f"dlent_row > {len(rows) - int(len(rows) * split['fraction'] + 1e-9)}",
    }[split["method"]]()
    target = identifier(spec["target"])
    inputs = [c for c in header if c != spec["target"] and c not in spec["exclude"]]
    names = ", ".join(identifier(column) for column in inputs + [spec["target"]])
    view = f"CREATE VIEW {SCHEMA}.{{}} AS SELECT {names} FROM {table} WHERE {target} IS NOT NULL AND {{}};"
    psql(view.format(identifier(name + "_train"), f"NOT ({is_test})") + view.format(identifier(name + "_test"), is_test)
         + f"ANALYZE {table};")
    for part in ("train", "test"):
        count = int(value(f"SELECT count(*) FROM {SCHEMA}.{identifier(f'{name}_{part}')}"))
        if count != spec["rows"][part]:
            raise ValueError(f"{name}: {count} {part} rows, not the {spec['rows'][part]} of quality.json")


def train(spec, preset):
    """Trains on the train rows and returns the row of dlent_train, with the warnings it gave."""
    name = spec["name"]
    source = literal(f"SELECT * FROM {SCHEMA}.{identifier(name + '_train')}")
    options = "" if preset == "default" else f", '{{\"preset\": \"{preset}\"}}'"
    start = time.perf_counter()
    out, err = psql(f"""{SESSION}
        SELECT row_to_json(t)
        FROM dlent_train({literal(name)}, {source}, {literal(spec['target'])}{options}) AS t;""")
    result = json.loads(out)
    result["wall_seconds"] = round(time.perf_counter() - start, 3)
    result["warnings"] = [line for line in err.splitlines() if "WARNING" in line]
    return result


def test(spec):
    """Scores the test rows; returns the primary metric computed here and the one of dlent_evaluate."""
    model, target, primary = literal(spec["name"]), identifier(spec["target"]), spec["primary"]
    rows = f"{SCHEMA}.{identifier(spec['name'] + '_test')}"
    evaluation = json.loads(value(f"SELECT dlent_evaluate({model}, {literal(f'SELECT * FROM {rows}')})", SESSION))
    metrics = evaluation.get("metrics", evaluation)
    if spec["task"] == "regression":
        scored = query(f"SELECT {target}, dlent_predict({model}, t) FROM {rows} AS t", SESSION)
        columns = [list(map(float, column)) for column in zip(*scored)]
    elif spec["task"] == "binary":
        positive = literal(spec["positive_class"])
        scored = query(f"""SELECT ({target} = {positive})::int, dlent_probabilities({model}, t) ->> {positive}
                           FROM {rows} AS t""", SESSION)
        columns = [[int(t) for t, _ in scored], [float(p) for _, p in scored]]
    else:
        columns = list(zip(*query(f"SELECT {target}, dlent_classify({model}, t) FROM {rows} AS t", SESSION)))
    return METRICS[primary](*columns), metrics.get(primary)


def scoring_cost(spec):
    """Microseconds a row of scoring the test rows, repeated to at least 20,000, in one backend, everything included."""
    function = "dlent_classify" if spec["task"] == "multiclass" else "dlent_predict"
    rows = f"{SCHEMA}.{identifier(spec['name'] + '_test')}"
    times = math.ceil(20000 / spec["rows"]["test"])
    score = f"SELECT {function}({literal(spec['name'])}, t) AS score FROM {rows} AS t"
    out, _ = psql(f"""{SESSION}
        SELECT count(score) FROM ({score} LIMIT 1) AS s \\g /dev/null
        SELECT extract(epoch FROM clock_timestamp()) AS start \\gset
        SELECT count(score) FROM ({score}, generate_series(1, {times})) AS s \\g /dev/null
        SELECT 1e6 * (extract(epoch FROM clock_timestamp()) - :start) / {times * spec['rows']['test']};""")
    return float(out)


def run(spec, data, preset):
    """Loads, trains and tests one set and returns its result."""
    load(spec, data)
    trained = train(spec, preset)
    metric, evaluated = test(spec)
    result = {"name": spec["name"], "primary": spec["primary"], "metric": metric, "evaluated": evaluated,
              "kind": trained["kind"], "epochs": trained["epochs"], "warnings": trained["warnings"],
              "train_seconds": trained["wall_seconds"], "microseconds_a_row": round(scoring_cost(spec), 2)}
    agrees = evaluated is not None and math.isclose(metric, evaluated, rel_tol=1e-4, abs_tol=1e-6)
    return result | {"agrees": agrees} | compared(spec, metric)


# ---- comparison ----


def compared(spec, metric):
    """The scores of ours and of the peers, and how far ours may be below the best of linear and boosting."""
    primary, peers = spec["primary"], spec["peers"]
    scores = {peer: normalised(spec, peers[peer][primary]) for peer in PEERS}
    ours = normalised(spec, metric)
    best = max(("linear", "hist_gradient_boosting"), key=scores.get)
    error = abs(normalised(spec, peers[best]["primary_se"]) - normalised(spec, 0.0))
    return {"score": ours, "peer_scores": scores, "gap": scores[best] - ours, "standard_error": error,
            "allowed_gap": max(ALLOWED_GAP, error)}


def summary(results):
    """The three rates that the sets are held to, each with its bound."""
    count = len(results)
    above = sum(r["score"] > r["peer_scores"]["mlp"] for r in results)
    level = sum(r["score"] >= r["peer_scores"]["hist_gradient_boosting"] - LEVEL for r in results)
    worst = max(results, key=lambda r: r["gap"] - r["allowed_gap"])
    return {
        "sets": count,
        "above_mlp": above / count, "above_mlp_bound": 0.9,
        "level_with_boosting": level / count, "level_with_boosting_bound": 2 / 3,
        "worst_gap": worst["gap"], "worst_gap_allowed": worst["allowed_gap"], "worst_gap_set": worst["name"],
        "too_far_below": [r["name"] for r in results if r["gap"] > r["allowed_gap"]],
        "disagreeing": [r["name"] for r in results if not r["agrees"]],
    }


def number(figure):
    """Five significant digits, never an exponent for what is written out easily.

    >>> number(48963.2), number(0.92714), number(0.00076466)
    ('48963', '0.92714', '0.00076466')
    """
    return f"{figure:.0f}" if abs(figure) >= 1e4 else f"{figure:.5g}"


def report(facts, results, specs):
    """The results as Markdown."""
    lines = [
        f"# Quality of the `{facts['preset']}` preset",
        "",
        "`dlent_train(name, source, target)` on CPU, nothing tuned, beside scikit-learn's peers at their defaults. "
        "Score = (metric - trivial) / (perfect - trivial). **Bold**: level with (within 0.005) or above the boosting. "
        "s.e.: bootstrap standard error, in units of the score, of the best of linear and boosting. µs a row: `dlent_predict` "
        "(`dlent_classify` for more than two classes) of a record in one backend, everything included.",
        "",
        f"{facts['date']}, dlent {facts['dlent']} ({facts['commit']}), PostgreSQL {facts['postgresql']}, "
        f"{facts['cpu']}, {facts['jobs']} at a time.",
        "",
        "| set | metric | ours | linear | mlp | boosting | score | linear | mlp | boosting | - mlp | - boosting "
        "| s.e. | train s | µs a row |",
        "|---|---|" + "---:|" * 13,
    ]
    for r in results:
        peers, scores = specs[r["name"]]["peers"], r["peer_scores"]
        ours = f"{r['score']:.3f}"
        if r["score"] >= scores["hist_gradient_boosting"] - LEVEL:
            ours = f"**{ours}**"
        cells = [r["name"], r["primary"], number(r["metric"]), *(number(peers[p][r["primary"]]) for p in PEERS), ours,
                 *(f"{scores[p]:.3f}" for p in PEERS), f"{r['score'] - scores['mlp']:+.3f}",
                 f"{r['score'] - scores['hist_gradient_boosting']:+.3f}", f"{r['standard_error']:.3f}",
                 f"{r['train_seconds']:.1f}", f"{r['microseconds_a_row']:.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    s = summary(results)
    lines += [
        "",
        "| what | measured | asked |",
        "|---|---:|---:|",
        f"| above the mlp | {s['above_mlp']:.0%} of {s['sets']} sets | ≥ 90 % |",
        f"| level with or above the boosting | {s['level_with_boosting']:.0%} of {s['sets']} sets | ≥ 67 % |",
        f"| worst gap to the best of linear and boosting, {s['worst_gap_set']} | {s['worst_gap']:.3f} "
        f"| ≤ {s['worst_gap_allowed']:.3f} |",
        f"| further below than allowed | {', '.join(s['too_far_below']) or 'none'} | none |",
        f"| `dlent_evaluate` differs from the metric computed by hand | {', '.join(s['disagreeing']) or 'none'} | none |",
    ]
    return "\n".join(lines) + "\n"


# ---- the run ----


def environment(preset, jobs):
    """What the figures depend on."""
    git = subprocess.run(["git", "-C", str(HERE), "describe", "--always", "--dirty"], capture_output=True, text=True)
    cpu = "unknown CPU"
    if os.path.exists("/proc/cpuinfo"):
        models = re.findall(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        cpu = f"{len(models)} x {models[0]}" if models else cpu
    return {"preset": preset, "date": datetime.date.today().isoformat(), "commit": git.stdout.strip() or "no commit",
            "dlent": value("SELECT extversion FROM pg_extension WHERE extname = 'dlent'"),
            "postgresql": value("SELECT current_setting('server_version')"), "cpu": cpu, "jobs": jobs}


def quick(specs, data, jobs):
    """Prints TAP for the small sets and returns the exit status."""
    print(f"1..{len(specs)}", flush=True)
    failed = 0
    with ThreadPoolExecutor(jobs) as pool:
        running = [(spec, pool.submit(run, spec, data, "fast")) for spec in specs]
        for i, (spec, future) in enumerate(running, 1):
            try:
                r = future.result()
                linear = r["peer_scores"]["linear"]
                good = r["score"] > 0 and r["score"] >= linear - ALLOWED_GAP and r["agrees"]
                fact = (f"{r['primary']} {number(r['metric'])}, score {r['score']:.3f} (linear {linear:.3f}), "
                        f"trained in {r['train_seconds']:.1f} s, {r['microseconds_a_row']:.1f} us a row")
                if not r["agrees"]:
                    fact += f"; dlent_evaluate says {r['evaluated']}"
            except (PsqlError, ValueError, KeyError) as error:
                good, fact = False, f"{type(error).__name__}: {error}".replace("\n", " ")
            failed += not good
            print(f"{'ok' if good else 'not ok'} {i} - {spec['name']}: {fact}", flush=True)
    return 1 if failed else 0


def full(specs, data, preset, jobs, resume):
    """Runs the sets, writes and prints the report, and returns the exit status."""
    facts = environment(preset, jobs)
    RESULTS.mkdir(exist_ok=True)
    partial = RESULTS / f"quality-{preset}.partial.json"
    done = {r["name"]: r for r in json.loads(partial.read_text())} if resume and partial.exists() else {}
    failed, lock = {}, Lock()

    def one(spec):
        if spec["name"] in done:
            return
        try:
            r = run(spec, data, preset)
            with lock:
                done[spec["name"]] = r
                partial.write_text(json.dumps(list(done.values()), indent=1) + "\n")
            print(f"{spec['name']}: {r['primary']} {number(r['metric'])}, score {r['score']:.3f}, "
                  f"{r['train_seconds']:.1f} s, {r['microseconds_a_row']:.1f} us a row", file=sys.stderr, flush=True)
        except (PsqlError, ValueError, KeyError) as error:
            failed[spec["name"]] = str(error)
            print(f"{spec['name']}: FAILED: {error}", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, specs))
    results = [done[spec["name"]] for spec in specs if spec["name"] in done]
    if results:
        text = report(facts, results, {spec["name"]: spec for spec in specs})
        if failed:
            text += "\nFailed: " + "; ".join(f"{name} ({error})" for name, error in failed.items()) + "\n"
        stem = RESULTS / f"quality-{preset}-{facts['date']}"
        stem.with_suffix(".md").write_text(text)
        everything = facts | {"summary": summary(results), "results": results, "failed": failed}
        stem.with_suffix(".json").write_text(json.dumps(everything, indent=1) + "\n")
        print(text)
    if not failed:
        partial.unlink(missing_ok=True)
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="four small sets, preset fast, TAP")
    parser.add_argument("--sets", help="only these, by name, separated by commas")
    parser.add_argument("--preset", default="default", choices=("default", "fast", "best"))
    parser.add_argument("--jobs", type=int, help="sets at a time (1; with --quick, 2); more disturb the times")
    parser.add_argument("--resume", action="store_true", help="keep the sets that an interrupted run has finished")
    data = os.environ.get("DLENT_DATA", HERE.parent.parent / "shared/data")
    parser.add_argument("--data", type=Path, default=Path(data))
    arguments = parser.parse_args()

    if not (arguments.data / "quality.json").exists():
        if arguments.quick:
            print(f"1..0 # SKIP no public data in {arguments.data}: set DLENT_DATA")
            return 0
        sys.exit(f"no quality.json in {arguments.data}: set DLENT_DATA or --data")
    specs = json.loads((arguments.data / "quality.json").read_text())
    names = QUICK_SETS if arguments.quick else [spec["name"] for spec in specs]
    if arguments.sets:
        names = arguments.sets.split(",")
    unknown = set(names) - {spec["name"] for spec in specs}
    if unknown:
        sys.exit(f"not in quality.json: {', '.join(sorted(unknown))}")
    specs = [spec for spec in specs if spec["name"] in names]
    psql(f"""SET client_min_messages = warning;
        CREATE EXTENSION IF NOT EXISTS dlent;
        CREATE SCHEMA IF NOT EXISTS {SCHEMA};""")
    if arguments.quick:
        return quick(specs, arguments.data, arguments.jobs or min(2, os.cpu_count() or 1))
    return full(specs, arguments.data, arguments.preset, arguments.jobs or 1, arguments.resume)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PsqlError as error:
        sys.exit(str(error))
