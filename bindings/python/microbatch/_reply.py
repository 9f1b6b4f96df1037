"""What submit returns: one object to await and to wait for."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ._error import CODES, make
from ._time import Seconds, nanoseconds

if TYPE_CHECKING:
    from ._batcher import Batcher

R = TypeVar("R")


class Reply(Generic[R]):
    """The result to come of one value: `await reply` on a loop, `reply.result(timeout)` elsewhere.

    A task that is cancelled while it awaits cancels the value if it still waits, never the batch.
    """

    __slots__ = ("_batcher", "_tag", "_done", "_value", "_error", "_waiters", "__weakref__")

    def __init__(self, batcher: Batcher[Any, R], tag: int) -> None:
        self._batcher = batcher
        self._tag = tag
        self._done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._waiters: list[Any] | None = None

    def done(self) -> bool:
        """Whether the result is there."""
        return self._done

    def cancel(self) -> bool:
        """Cancels the value if it still waits; answers whether it did."""
        return not self._done and self._batcher.cancel(self._tag) > 0

    def exception(self, timeout: Seconds | None = None) -> BaseException | None:
        """Waits, and answers the error, or None."""
        self._wait(timeout)
        return self._error

    def result(self, timeout: Seconds | None = None) -> R:
        """Waits for the result, or raises why there is none. Raises Timeout, a TimeoutError, when the time has passed: the
        value goes its way all the same."""
        self._wait(timeout)
        return self._get()

    def _get(self) -> R:
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[no-any-return]

    def _wait(self, timeout: Seconds | None) -> None:
        if self._done:
            return
        batcher = self._batcher
        batcher._refuse_where_waiting_blocks("result")
        if batcher._forked(os.getpid()):
            raise make(CODES["FORKED"])
        event = threading.Event()
        if not self._add_waiter(event):
            return
        limit = None if timeout is None else nanoseconds(timeout) / 1e9
        if not event.wait(limit):
            raise make(CODES["TIMEOUT"], f"no result came within {limit} s")

    def _add_waiter(self, waiter: Any) -> bool:
        with self._batcher._lock:
            if self._done:
                return False
            if self._waiters is None:
                self._waiters = []
            self._waiters.append(waiter)
            return True

    def __await__(self) -> Generator[Any, None, R]:
        if not self._done:
            loop = asyncio.get_running_loop()
            future = loop.create_future()
            if self._add_waiter((loop, future)):
                try:
                    yield from future
                except asyncio.CancelledError:
                    if not self._done:
                        self._batcher._cancel_quietly(self._tag)
                    raise
        return self._get()
