"""P25: every public method of a batcher inside every callback: the answer the contract gives it, and none hangs."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import faulthandler
import inspect
import threading
from collections.abc import Callable
from typing import Any

import pytest

from microbatch import Batcher, Error, Native, map, on_batch

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


# Where the user is called: from within the batcher, by the loop that it works on, or while it calls nobody: a push that asks
# for a size, another loop.
PLACES = {
    "handler": "inside", "handlers": "inside", "on_batch": "inside", "async": "loop", "log": "inside",
    "on_result": "inside", "on_release": "inside", "object_size": "outside", "done callback": "inside",
    "done callback on a loop": "outside", "map": "outside",
}


def answer(name: str, where: str, mode: str) -> str | None:
    """What a method does in such a place."""
    if name in ("next_batch", "next_results"):
        return "REENTRANT" if where == "inside" and mode == "threaded" else "WRONG_MODE"
    if name == "run" and (mode == "manual" or where == "loop"):
        return "REENTRANT" if where == "inside" else None
    if where == "loop" and name in ("flush", "room", "close"):
        return "REENTRANT"
    if where != "inside" and name in ("flush", "flush_end", "close"):
        return None
    return TABLE[name][1]


class Thing:
    """An object to the engine."""


def test_p25_no_callback_is_left_out() -> None:
    taken = [name for name, of in inspect.signature(Batcher.__init__).parameters.items() if "Callable" in str(of.annotation)]
    assert set(taken) <= PLACES.keys() and len(taken) == 4


def make(place: str, mode: str, ready: threading.Event, visit: Callable[[], object]) -> Any:
    """A batcher that calls `visit` in one place."""

    def handler(values: list[Any]) -> list[Any]:
        visit()
        return [1 for _ in values]

    async def coroutine(values: list[Any]) -> list[Any]:
        visit()
        return [1 for _ in values]

    def batch_handler(batch: Any) -> None:
        visit()
        batch.set_all([1] * batch.count)

    def plain(values: list[Any]) -> list[Any]:
        ready.wait()
        return [1 for _ in values]

    def size(thing: Any) -> int:
        visit()
        return 8

    def log(level: int, line: str) -> None:
        visit()

    def called(thing: Any) -> None:
        visit()

    if place == "log":
        # A handler that ends its thread.
        leave = ctypes.cast(ctypes.CDLL(None).pthread_exit, ctypes.c_void_p).value
        assert leave is not None
        return Batcher(Native(leave), log=log)
    options: dict[str, Any] = {} if place == "async" else {"mode": mode}
    made: dict[str, Callable[[], Any]] = {
        "handler": lambda: Batcher(handler, **options),
        "handlers": lambda: Batcher(plain, handlers={"object": handler}, **options),
        "on_batch": lambda: Batcher(on_batch(batch_handler), **options),
        "async": lambda: Batcher(coroutine, **options),
        "on_result": lambda: Batcher(plain, on_result=called, **options),
        "on_release": lambda: Batcher(plain, on_release=called, **options),
        "object_size": lambda: Batcher(plain, object_size=size, **options),
    }
    one = made.get(place)
    return one() if one is not None else Batcher(plain, **options)


def provoke(batcher: Any, place: str, visit: Callable[[], object]) -> None:
    def submit() -> None:
        batcher.submit(Thing()).add_done_callback(lambda _: visit())

    if place == "done callback":
        # Of a thread without a loop, and not done yet.
        thread = threading.Thread(target=submit)
        thread.start()
        thread.join()
    elif place == "done callback on a loop":
        submit()
    elif place == "map":
        map([1, 2], lambda values: visit() or values, max_batch_size=2)
    else:
        with contextlib.suppress(Error):  # a size that closes the batcher
            batcher.push(Thing())


# A loop and a handler in C have one mode.
@pytest.mark.parametrize(
    ("place", "mode"),
    [(place, mode) for place in PLACES for mode in ("threaded", "manual") if mode == "threaded" or place not in ("async", "log")],
)
@pytest.mark.parametrize("name", TABLE)
def test_p25_every_method_inside_every_callback(name: str, place: str, mode: str) -> None:
    told: list[str | None] = []
    entered: list[str] = []
    batcher: Any = None
    # A hang is a failure that says where.
    faulthandler.dump_traceback_later(60, exit=True)

    def visit() -> None:
        if entered:
            return
        entered.append(name)
        try:
            TABLE[name][0](batcher)
            told.append(None)
        except Error as error:
            told.append(error.name)

    async def act() -> None:
        nonlocal batcher
        ready = threading.Event()
        batcher = make(place, mode, ready, visit)
        provoke(batcher, place, visit)
        ready.set()
        while not told:
            if mode == "manual":
                with contextlib.suppress(Error):
                    batcher.run()
            await asyncio.sleep(0)
        if name != "abandon":
            await batcher.aclose()

    try:
        asyncio.run(act())
    finally:
        faulthandler.cancel_dump_traceback_later()
    assert told == [answer(name, PLACES[place], mode)]
