"""What automatic retraining is worth on streams that drift: prequential accuracy of a monitor (dlent_run_monitor after every step) against
never retraining, and against retraining and promoting at every step, with the number of trainings of each.

Every step answers the next rows with the champion of that time before their outcomes are known, then learns, or not, from the last rows.
usage: drift_loop.py [--step ROWS] [--window ROWS] [--preset P] [SET ...]

Needs a server (PGHOST, ...), and the data (DLENT_DATA, ../shared/data beside the checkout by default).
"""

import argparse
import gzip
import os
import pathlib
import time

from psql import psql, query, value

SETS = {
    "elec2": ("elec2/elec2.csv.gz", "class"),
    "noaa": ("noaa_weather_bellevue/weather.csv.gz", "target"),
}
MODEL = "bench_loop"


def data_folder():
    beside = pathlib.Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    return pathlib.Path(os.environ.get("DLENT_DATA", beside))


def load(path, target):
    """Loads a stream into dlent_bench.stream(id, features ..., outcome); returns the number of rows."""
    with gzip.open(path, "rt") as file:
        header = file.readline().strip().split(",")
        rows = file.read()
    columns = ", ".join("outcome text" if name == target else f'"{name}" float8' for name in header)
    psql(f"""
        SET client_min_messages = error;
        CREATE SCHEMA IF NOT EXISTS dlent_bench;
        DROP TABLE IF EXISTS dlent_bench.stream CASCADE;
        CREATE TABLE dlent_bench.stream (id bigint GENERATED ALWAYS AS IDENTITY, {columns});""")
    names = ", ".join("outcome" if name == target else f'"{name}"' for name in header)
    psql(f"\\copy dlent_bench.stream ({names}) FROM pstdin (FORMAT csv)", stdin=rows)
    psql("ALTER TABLE dlent_bench.stream ALTER outcome TYPE boolean USING outcome::float8 = 1; ANALYZE dlent_bench.stream;"
         " CREATE UNIQUE INDEX ON dlent_bench.stream (id);")
    return int(value("SELECT count(*) FROM dlent_bench.stream"))


class Stream:
    """One way to live with a stream."""

    def __init__(self, arguments, rows):
        self.arguments = arguments
        self.rows = rows
        self.trainings = 1
        self.correct = 0
        self.answered = 0
        self.promotions = 0
        self.seconds = 0.0
        self.see(arguments.window)
        psql(f"""
            SET client_min_messages = error;
            SET dlent.progress_messages = off;
            SELECT count(dlent_drop_model(model)) FROM dlent.models WHERE model = '{MODEL}';
            SELECT dlent_train('{MODEL}', 'dlent_bench.window', 'outcome', '{{"preset": "{arguments.preset}", "exclude": ["id"]}}');""")

    def see(self, last):
        """The rows up to `last` have come: the window holds the last ones, `latest` those of the last step."""
        psql(f"""
            SET client_min_messages = error;
            DROP VIEW IF EXISTS dlent_bench.latest;
            CREATE OR REPLACE VIEW dlent_bench.window AS
                SELECT * FROM dlent_bench.stream WHERE id BETWEEN {last - self.arguments.window + 1} AND {last};
            CREATE OR REPLACE VIEW dlent_bench.latest AS
                SELECT * FROM dlent_bench.stream WHERE id BETWEEN {last - self.arguments.step + 1} AND {last};""")

    def answer(self, first):
        last = min(first + self.arguments.step - 1, self.rows)
        answered, correct = query(
            f"SELECT count(*), count(*) FILTER (WHERE dlent_classify('{MODEL}', s)::boolean = outcome) "
            f"FROM dlent_bench.stream AS s WHERE id BETWEEN {first} AND {last}")[0]
        self.answered += int(answered)
        self.correct += int(correct)
        return last

    def run(self):
        first = self.arguments.window + 1
        self.begin()
        while first <= self.rows:
            last = self.answer(first)
            if last < self.rows:
                self.see(last)
                started = time.monotonic()
                self.learn()
                self.seconds += time.monotonic() - started
            first = last + 1
        return self

    def begin(self):
        pass

    def learn(self):
        pass


class Never(Stream):
    name = "never"


class Always(Stream):
    name = "at every step"

    def learn(self):
        psql(f"""
            SET client_min_messages = error;
            SET dlent.progress_messages = off;
            SELECT dlent_train('{MODEL}', 'dlent_bench.window', 'outcome',
                '{{"preset": "{self.arguments.preset}", "exclude": ["id"], "promote": true}}');""")
        self.trainings += 1
        self.promotions += 1


class Monitored(Stream):
    name = "by its monitor"
    refit = "false"

    def begin(self):
        psql(f"""
            SET client_min_messages = error;
            SELECT dlent_monitor('{MODEL}', 'dlent_bench.latest', NULL, '{{"cooldown": 0, "backoff": {{"period": 0}},
                "refit": {self.refit}, "triggers": {{"drift": {{"alarms": 1, "windows": 1}}, "metric": {{"name": "accuracy", "drop": 0.02}}}}}}');""")

    def learn(self):
        psql(f"""
            SET client_min_messages = error;
            SET dlent.progress_messages = off;
            SELECT dlent_run_monitor('{MODEL}');""")

    def run(self):
        super().run()
        self.trainings += int(value(f"SELECT count(*) FROM dlent.monitor_runs WHERE model = '{MODEL}' AND name IN ('train', 'refit')"))
        self.promotions = int(value(f"SELECT count(*) FROM dlent.monitor_runs WHERE model = '{MODEL}' AND decision = 'promoted'"))
        return self


class Refitted(Monitored):
    name = "by its monitor, refitted"
    refit = "true"


def no_change(arguments):
    """Accuracy of saying what was true last."""
    return float(value(
        "SELECT avg((outcome = before)::int) FROM (SELECT id, outcome, lag(outcome) OVER (ORDER BY id) AS before "
        f"FROM dlent_bench.stream) AS s WHERE id > {arguments.window}"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step", type=int, default=500)
    parser.add_argument("--window", type=int, default=4000)
    parser.add_argument("--preset", default="fast")
    parser.add_argument("sets", nargs="*", default=list(SETS))
    arguments = parser.parse_args()
    print(f"steps of {arguments.step} rows, windows of {arguments.window}, preset {arguments.preset}\n")
    print("| stream | retrained | prequential accuracy | trainings | promotions | seconds |")
    print("|---|---|---|---|---|---|")
    for name in arguments.sets:
        path, target = SETS[name]
        rows = load(data_folder() / path, target)
        for way in (Never, Monitored, Refitted, Always):
            stream = way(arguments, rows).run()
            print(f"| {name} | {way.name} | {stream.correct / stream.answered:.4f} | {stream.trainings} | {stream.promotions} "
                  f"| {stream.seconds:.0f} |", flush=True)
        print(f"| {name} | (the last outcome again) | {no_change(arguments):.4f} | | | |", flush=True)
    psql(f"SELECT dlent_drop_model('{MODEL}'); DROP SCHEMA dlent_bench CASCADE;")


if __name__ == "__main__":
    main()
