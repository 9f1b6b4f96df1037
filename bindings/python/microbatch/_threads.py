"""Threads of Python's that work for a batcher: they take whole batches, and bring results."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import _microbatch
from ._batch import report
from ._error import named
from ._time import FOREVER

if TYPE_CHECKING:
    from ._batcher import Batcher


class Delivery:
    """Results on their way to on_result: taken by several threads, delivered by one at a time in the order of their turns."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.waiting: dict[int, _microbatch.Taken] = {}
        self.turn = 1
        self.values = 0
        """How many were delivered: a flush waits for as many as the engine has handed out."""
        self.running = False
        """There is a thread that takes results."""
        self.busy = False

    def bring(self, batcher: Batcher[Any, Any], taken: _microbatch.Taken) -> None:
        """Delivers a set, and whatever is due after it; or leaves it to the thread that delivers now."""
        with self.changed:
            self.waiting[taken[0]] = taken
            if self.busy:
                return
            self.busy = True
        while True:
            with self.changed:
                now = self.waiting.pop(self.turn, None)
                if now is None:
                    self.busy = False
                    self.changed.notify_all()
                    return
                self.turn += 1
            if now[2] is not None:
                batcher._deliver(now[2])
            with self.changed:
                self.values += now[1]
                self.changed.notify_all()

    def wait(self, host: _microbatch.Host, limit: int, begun: int) -> None:
        """Until everything that the engine has handed out is delivered. Raises Timeout."""
        if not self.running:
            return
        stats = host.stats()
        outcomes = sum(stats[name] for name in ("ok", "failed", "expired", "cancelled", "discarded"))
        wanted = outcomes - stats["undelivered"]
        with self.changed:
            while self.values < wanted and (self.running or self.busy):
                left = limit - (time.monotonic_ns() - begun)
                if left <= 0:
                    raise named("TIMEOUT" if limit else "IN_PROGRESS")
                self.changed.wait(min(left / 1e9, 3600))

    def wait_for_end(self, limit: int, begun: int, in_time: bool) -> None:
        """After a close: until the last set is delivered; not for a callback that outlasts the time."""
        with self.changed:
            while self.running or self.busy:
                if not in_time and limit - (time.monotonic_ns() - begun) <= 0 and self.busy:
                    return
                self.changed.wait(0.05 if limit != FOREVER else 3600)


def start(target: Callable[..., None], name: str, *args: Any) -> None:
    threading.Thread(target=target, name=name, args=args, daemon=True).start()


# The threads must not hold the batcher while they wait: one that is only forgotten could never be freed.


def take_batches(host: _microbatch.Host, me: weakref.ref[Batcher[Any, Any]]) -> None:
    while True:
        handle = host.take_batch(FOREVER)
        batcher = me()
        if handle is None or batcher is None:
            return
        batcher._handle(handle)
        del handle, batcher


def take_results(host: _microbatch.Host, me: weakref.ref[Batcher[Any, Any]], delivery: Delivery) -> None:
    try:
        while (taken := host.take_results(FOREVER)) is not None:
            batcher = me()
            if batcher is None:
                return
            delivery.bring(batcher, taken)
            del taken, batcher
    except BaseException as failure:
        report("no more results can be taken", failure)
    finally:
        with delivery.changed:
            delivery.running = False
            delivery.changed.notify_all()


def close_quietly(host: _microbatch.Host, limit: int) -> None:
    try:
        host.close(limit)
    except Exception as refused:
        report("a close that began in a callback failed", refused)
