"""P25: every public method of a batcher inside every callback: the answer the contract gives it, and none hangs."""

from __future__ import annotations

import faulthandler
from collections.abc import Callable
from typing import Any

import pytest

from microbatch import Batcher, Error

FOREVER_LONG = 1e6

# What a method does inside a callback of its own batcher: a status by name, or None where it works.
TABLE: dict[str, tuple[Callable[[Any], Any], str | None]] = {
    "submit": (lambda b: b.submit(1), None),
    "push": (lambda b: b.push(1), None),
    "push_many": (lambda b: b.push_many([1, 2]), None),
    "producer": (lambda b: b.producer(), None),
    "check": (lambda b: b.check(1), None),
    "cancel": (lambda b: b.cancel(12345), "NOT_FOUND"),
    "room": (lambda b: b.room(FOREVER_LONG), None),
    "seal": (lambda b: b.seal(), None),
    "flush": (lambda b: b.flush(FOREVER_LONG), "REENTRANT"),
    "flush_begin": (lambda b: b.flush_begin(), None),
    "flush_end": (lambda b: b.flush_end(0, FOREVER_LONG), "REENTRANT"),
    "run": (lambda b: b.run(), "WRONG_MODE"),
    "advance": (lambda b: b.advance(1), "WRONG_MODE"),
    "now": (lambda b: b.now(), None),
    "now_ns": (lambda b: b.now_ns(), None),
    "next_due_ns": (lambda b: b.next_due_ns(), None),
    "fileno": (lambda b: b.fileno(), None),
    "next_batch": (lambda b: b.next_batch(FOREVER_LONG), "REENTRANT"),
    "next_results": (lambda b: b.next_results(FOREVER_LONG), "REENTRANT"),
    "stats": (lambda b: b.stats(), None),
    "stats_text": (lambda b: b.stats_text(), None),
    "share": (lambda b: b.share(), None),
    "close": (lambda b: b.close(FOREVER_LONG), "IN_PROGRESS"),
    "abandon": (lambda b: b.abandon(), None),
}

# Not called here: what makes batchers, and what waits on a loop.
ELSEWHERE = {"attach", "aflush", "aclose", "aroom"}


def test_p25_no_method_is_left_out() -> None:
    public = {name for name in dir(Batcher) if not name.startswith("_") and callable(getattr(Batcher, name))}
    assert public - ELSEWHERE - TABLE.keys() == set()


@pytest.mark.parametrize("place", ["handler", "on_result"])
@pytest.mark.parametrize("name", TABLE)
def test_p25_every_method_inside_every_callback(name: str, place: str) -> None:
    call, expected = TABLE[name]
    told: list[str | None] = []
    # A hang is a failure that says where.
    faulthandler.dump_traceback_later(60, exit=True)

    def visit() -> None:
        if told:
            return
        try:
            call(batcher)
            told.append(None)
        except Error as error:
            told.append(error.name)

    def handler(values: list[int]) -> list[int]:
        if place == "handler":
            visit()
        return values

    def on_result(results: Any) -> None:
        if place == "on_result":
            visit()

    batcher: Any = Batcher(handler, on_result=on_result)
    try:
        batcher.push(1)
        if name not in ("abandon", "close"):
            batcher.flush(30)
        if name != "abandon":
            batcher.close(30)
        while not told:
            pass
    finally:
        faulthandler.cancel_dump_traceback_later()
    assert told == [expected]
