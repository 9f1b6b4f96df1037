"""What all of a batcher rests on: its host, and where it may be called from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from . import _microbatch
from ._error import named
from ._handlers import DEFAULT
from ._time import FOREVER, Seconds, nanoseconds, time_out

if TYPE_CHECKING:
    from ._batch import Batch, Work
    from ._loop import Driver


class Core(_microbatch.Pusher):
    """A batcher without its face."""

    _attached = False

    def _setup(self) -> None:
        self._pid = os.getpid()
        self._driver: Driver | None = None
        self._work: list[Work | None] = []
        self._delivers = False
        self._manual = False
        self._closed = False
        self._timeouts: dict[str, int] = {}

    def _the_host(self) -> _microbatch.Host:
        host = self._host
        if host is None:
            raise named("CLOSED", "the batcher is freed")
        return host

    def _in_callback(self) -> bool:
        return self._host is not None and self._host.in_callback()

    def _refuse_in_callback(self, call: str) -> None:
        if not self._manual and self._in_callback():
            raise named("REENTRANT", f"{call} is not allowed inside a callback of the same batcher")

    def _refuse_where_waiting_blocks(self, call: str) -> None:
        """Whoever waits here would wait for itself."""
        if self._in_callback():
            raise named("REENTRANT", f"{call} is not allowed inside a callback of the same batcher")
        if self._driver is not None and self._driver.is_here():
            raise named("REENTRANT", f"{call} would block the loop that has to do the work: await instead")

    def _wait_limit(self, timeout: Seconds | None) -> int:
        """For a Reply that is about to wait."""
        self._refuse_where_waiting_blocks("result")
        return time_out(timeout)

    def _deadline(self, deadline: Seconds | None, timeout: Seconds | None) -> int:
        if deadline is not None and timeout is not None:
            raise named("INVALID_ARGUMENT", "a value has a deadline or a timeout, not both")
        if timeout is not None:
            return min(FOREVER, self._the_host().now() + nanoseconds(timeout))
        return nanoseconds(deadline) if deadline is not None else 0

    def _forked(self, pid: int) -> bool:
        return pid != self._pid

    def _loop_is_gone(self) -> bool:
        return self._driver is not None and self._driver.loop.is_closed()

    def _work_of(self, batch: Batch[Any]) -> Work:
        """A part is of one kind that has a handler of its own, or for the default."""
        work = (self._work[batch._kind] if batch._kind < DEFAULT else None) or self._work[DEFAULT]
        assert work is not None
        return work

    def _raise_interrupt(self) -> None:
        """Ctrl-C or SystemExit in a callback of manual mode ends the call that ran it."""
        interrupt = None if self._host is None else self._host.take_interrupt()
        if interrupt is not None:
            raise interrupt
