"""Talks to PostgreSQL through psql, so that the benchmarks need nothing but Python's standard library.

The connection is libpq's: PGHOST, PGPORT, PGDATABASE, PGUSER in the environment.
"""

import csv
import io
import subprocess


class PsqlError(Exception):
    """psql failed; the text is what it wrote to stderr."""


def psql(script, *, stdin=None, timeout=None):
    """Runs a psql script in one session and returns (stdout, stderr). `stdin` is what a \\copy FROM pstdin reads."""
    command = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
    if stdin is None:
        command += ["-f", "-"]
        stdin = script
    else:
        command += ["-c", script]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise PsqlError(done.stderr.strip() or f"psql ended with status {done.returncode}")
    return done.stdout, done.stderr


def query(sql, setup=""):
    """Returns the rows of one query as lists of text, NULL and the empty text alike as ''."""
    out, _ = psql(f"{setup}\nCOPY ({sql}) TO STDOUT (FORMAT csv);")
    return list(csv.reader(io.StringIO(out)))


def value(sql, setup=""):
    """Returns the one value of a query of one row and one column, as text."""
    rows = query(sql, setup)
    if len(rows) != 1 or len(rows[0]) != 1:
        raise PsqlError(f"expected one value from: {sql}")
    return rows[0][0]


def identifier(name):
    """Quotes a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text):
    """Quotes a text for SQL (standard_conforming_strings on, as it is by default)."""
    return "'" + text.replace("'", "''") + "'"
