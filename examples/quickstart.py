"""Micro-batching shown in two parts: values of every kind through a handler for each kind, and 20,000 flights into an SQLite
database, once with one transaction a row and once in batches.

    pip install ./bindings/python
    python examples/quickstart.py [flights.csv [seconds]]

`seconds` bounds the one-transaction-a-row run (default 3). Lines that begin with `rate` are measured and differ from run to
run; every other line is always the same. examples/quickstart is the same program in Rust.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Union

import microbatch
from microbatch import Batch, Batcher, Error, Failure, Results

Cell = Union[int, float, str, None]

CHOSEN = (0, 1, 2, 375)
"""Flights by their place after the header: the first three, and the first that was cancelled."""

SCHEMA = """
    CREATE TABLE flights (
        id             INTEGER PRIMARY KEY,
        year           INTEGER NOT NULL,
        month          INTEGER NOT NULL,
        day            INTEGER NOT NULL,
        dep_time       INTEGER,
        sched_dep_time INTEGER NOT NULL,
        dep_delay      INTEGER,
        arr_time       INTEGER,
        sched_arr_time INTEGER NOT NULL,
        arr_delay      INTEGER,
        carrier        TEXT NOT NULL,
        flight         INTEGER NOT NULL,
        tailnum        TEXT,
        origin         TEXT NOT NULL,
        dest           TEXT NOT NULL,
        air_time       INTEGER,
        distance       INTEGER NOT NULL CONSTRAINT distance_is_positive CHECK (distance > 0),
        hour           INTEGER NOT NULL,
        minute         INTEGER NOT NULL,
        time_hour      TEXT NOT NULL,
        UNIQUE (year, month, day, carrier, flight)
    ) STRICT"""

INSERT = """
    INSERT INTO flights (year, month, day, dep_time, sched_dep_time, dep_delay, arr_time, sched_arr_time, arr_delay,
                         carrier, flight, tailnum, origin, dest, air_time, distance, hour, minute, time_hour)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""

EXTRA = "2013,2,7,1531,1530,1,1828,1855,-27,AA,9999,N3DGAA,JFK,JFK,152,0,15,30,2013-02-07T20:00:00Z"
"""A flight of no distance, which the table does not take."""

PRODUCERS = 4


# ---- A cell of the CSV file as the value it is ----


def parse(cell: str) -> Cell:
    """An integer, nothing (`NA` in this file), or text."""
    try:
        return int(cell)
    except ValueError:
        return None if cell in ("", "NA") else cell


def show(value: object) -> str:
    """A value as people read it."""
    return "null" if value is None else f'"{value}"' if isinstance(value, str) else str(value)


def show_all(values: list[Cell]) -> str:
    return " ".join(show(value) for value in values)


# ---- Part one: values of every kind ----


def kinds(flights: list[str]) -> None:
    print("1. Values of every kind")
    print("   int64 is doubled, float64 halved, a string reversed; the default handler, here for null, says so.")
    rows = [[parse(cell) for cell in flights[place].split(",")] for place in CHOSEN]
    cells = [cell for row in rows for cell in row]
    print(f"\n   The {len(cells)} cells of four flights (the last was cancelled), in batches of up to 32:\n")
    results = through_handlers(cells, 32)
    print("\n   pushed, and the results in push order, a flight a line:")
    for row in rows:
        print(f"     {show_all(row)}")
        print(f"  -> {' '.join(results[: len(row)])}")
        del results[: len(row)]

    values: list[Cell] = [1, 2.0, "hello", "world", 3, 4.0, 5, "Python", 6, 7.0, 8, "deep", "learning", 9, 10.0]
    print(f"\n   A list of {len(values)}, in 2 batches:\n")
    results = through_handlers(values, 8)
    print(f"\n     {show_all(values)}")
    print(f"  -> {' '.join(results)}")

    print("\n   The same list through map, which needs no batcher, in 2 batches:\n")
    number = 0

    def handler(batch: list[Cell]) -> list[Cell]:
        nonlocal number
        number += 1
        print(f"     batch {number}, map got {len(batch)}: {show_all(batch)}")
        return [other(value) for value in batch]

    print(f"\n  -> {show_all(microbatch.map(values, handler, batches=2))}")


def other(value: Cell) -> Cell:
    if isinstance(value, int):
        return 2 * value
    if isinstance(value, float):
        return value / 2
    return "missing" if value is None else value[::-1]


def reporting(name: str) -> microbatch.OnBatch:
    """A handler that says what it got."""

    def handler(batch: Batch[Cell]) -> None:
        trigger = batch.trigger.upper()
        print(f"     batch {batch.number}, {trigger:<5} {name:<7} got {len(batch):2}: {show_all(batch.values)}")
        batch.set_all([other(value) for value in batch])

    return microbatch.on_batch(handler)


def through_handlers(values: list[Cell], max_batch_size: int) -> list[str]:
    """Pushes the values one by one and returns what came back, in the order it came."""
    came: list[str] = []

    def on_result(results: Results[Cell]) -> None:
        print(f"     batch {results.batch}: {len(results)} results")
        came.extend(show(value) for value in results.values)

    # no threads: handlers and on_result run inside flush
    with Batcher[Cell, Cell](
        reporting("default"),
        handlers={int: reporting("int64"), float: reporting("float64"), str: reporting("string")},
        on_result=on_result,
        mode="manual",
        max_batch_size=max_batch_size,
    ) as batcher:
        for tag, value in enumerate(values):
            batcher.push(value, tag)
        batcher.flush()
    return came


# ---- Part two: a real database ----


def database(flights: list[str], seconds: float, directory: Path) -> None:
    print("\n2. A real database\n")
    begun = time.monotonic()
    count = one_by_one(directory / "one-by-one.db", flights, seconds)
    slow = rate(count, time.monotonic() - begun)

    # the extra line travels in the middle of the others
    lines = flights[: len(flights) // 2] + [EXTRA] + flights[len(flights) // 2 :]
    begun = time.monotonic()
    answers = in_batches(directory / "in-batches.db", lines)
    fast = rate(len(flights), time.monotonic() - begun)

    verify(directory / "in-batches.db", lines, answers)
    print(f"\n   rate  one transaction a row: {slow[1]}")
    print(f"   rate  a transaction a batch: {fast[1]}")
    print(f"   rate  ratio: {fast[0] / slow[0]:.1f}")


def rate(rows: int, seconds: float) -> tuple[float, str]:
    return rows / seconds, f"{rows} rows in {seconds:.2f} s, {rows / seconds:.0f} rows/s"


def connect(path: Path) -> sqlite3.Connection:
    """Transactions are ours; the handler's thread is not the one that connects."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute(SCHEMA)
    return connection


def insert_flight(connection: sqlite3.Connection, line: str) -> int:
    row = connection.execute(INSERT, [parse(cell) for cell in line.split(",")]).lastrowid
    assert row is not None
    return row


def one_by_one(path: Path, flights: list[str], seconds: float) -> int:
    """Every INSERT is its own transaction. Stops at the time limit and answers how many rows it inserted."""
    connection = connect(path)
    progress = Progress("one transaction a row", seconds)
    begun = time.monotonic()
    count = 0
    for flight in flights:
        insert_flight(connection, flight)
        count += 1
        passed = time.monotonic() - begun
        progress.set(passed)
        if passed >= seconds:
            break
    progress.set(seconds)
    connection.close()
    return count


def in_batches(path: Path, lines: list[str]) -> list[int | Error]:
    """Pushes every line from four threads; the handler inserts a batch in one transaction. Answers the answers by tag."""
    connection = connect(path)
    progress = Progress("a transaction a batch", len(lines))
    answers: list[int | Error | None] = [None] * len(lines)
    came = 0

    def insert_batch(batch: list[str]) -> list[int | Failure]:
        """A batch is one transaction. What is raised fails the whole batch."""
        rows: list[int | Failure] = []
        connection.execute("BEGIN")
        try:
            for line in batch:
                try:
                    rows.append(insert_flight(connection, line))
                except sqlite3.IntegrityError as error:
                    rows.append(Failure(error.sqlite_errorcode, str(error)))
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        return rows

    def on_result(results: Results[int]) -> None:
        nonlocal came
        for result in results:
            if answers[result.tag] is not None:
                raise ValueError(f"line {result.tag} has two results")
            answers[result.tag] = result.value if result.error is None else result.error
        came += len(results)
        progress.set(came)

    with Batcher[str, int](insert_batch, on_result=on_result, max_batch_size=512, max_delay="2ms") as batcher:
        share = -(-len(lines) // PRODUCERS)

        def push_lines(first: int) -> None:
            for tag in range(first, min(first + share, len(lines))):
                batcher.push(lines[tag], tag)

        each(push_lines, range(0, len(lines), share))
        batcher.flush()
        stats = batcher.stats()
        print(f"   {stats.accepted} lines pushed one by one from {PRODUCERS} threads")
        print(f"   {stats.ok} rows inserted, each answered with its row id")
        print(f"   {stats.failed} row failed, alone")
    connection.close()
    known = [answer for answer in answers if answer is not None]
    if len(known) != len(lines):
        raise ValueError("a line has no result")
    return known


def each(work: Callable[[int], None], firsts: range) -> None:
    threads = [threading.Thread(target=work, args=(first,)) for first in firsts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def verify(path: Path, lines: list[str], answers: list[int | Error]) -> None:
    """Reads the table back: under each row id stands the line that was answered with it, and nothing else is there."""
    line_of: dict[int, str] = {}
    for answer, line in zip(answers, lines):
        if isinstance(answer, Error):
            assert answer.outcome is not None
            print(f'   its outcome: {answer.outcome.upper()}, code {answer.code}, "{answer.message}"')
        elif line_of.setdefault(answer, line) is not line:
            raise ValueError(f"row id {answer} came twice")
    connection = sqlite3.connect(path)
    count = 0
    for row, *cells in connection.execute("SELECT * FROM flights"):
        if line_of.pop(row, None) != ",".join("NA" if cell is None else str(cell) for cell in cells):
            raise ValueError(f"row {row} is not the line that was answered with it")
        count += 1
    connection.close()
    if line_of:
        raise ValueError(f"{len(line_of)} rows are missing")
    print(f"   {count} rows read back, each line there exactly once")


class Progress:
    """Quarters of a long piece of work, on standard error."""

    def __init__(self, label: str, total: float) -> None:
        self.label, self.total, self.quarter = label, total, 0

    def set(self, done: float) -> None:
        quarter = int(4 * min(done, self.total) / self.total)
        if quarter > self.quarter:
            self.quarter = quarter
            print(f"   {self.label}: {25 * quarter} %", file=sys.stderr)


def main() -> None:
    bundled = Path(__file__).parent / "data" / "flights-2013-02.csv"
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else bundled
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 3.0
    flights = path.read_text().splitlines()[1:]
    kinds(flights)
    with tempfile.TemporaryDirectory(prefix="microbatch-quickstart-") as directory:
        database(flights, seconds, Path(directory))


if __name__ == "__main__":
    main()
