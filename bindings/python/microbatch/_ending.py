"""Sealing, flushing, closing, and letting go."""

from __future__ import annotations

import asyncio
import os
import time
import warnings
from types import TracebackType
from typing import TypeVar

from . import _exit, _threads
from ._batch import report
from ._core import Core
from ._error import CODES, Error, make, named
from ._microbatch import unsigned
from ._time import FOREVER, Seconds, time_out

B = TypeVar("B", bound="Ending")


class Ending(Core):
    def seal(self) -> None:
        """Seals the open batch and does not wait."""
        self._the_host().seal()

    def flush(self, timeout: Seconds | None = None) -> None:
        """Seals, and waits until every value accepted before the call is delivered. Raises Timeout."""
        self._refuse_in_callback("flush")
        limit = time_out(timeout)
        if self._driver is not None:
            self._refuse_where_waiting_blocks("flush")
            asyncio.run_coroutine_threadsafe(self.aflush(timeout), self._driver.loop).result()
            return
        host, begun = self._the_host(), time.monotonic_ns()
        try:
            host.flush(limit)
        finally:
            self._raise_interrupt()
        host.await_delivered(limit, begun)

    def flush_begin(self) -> int:
        """Seals, and answers a mark behind everything accepted so far."""
        return self._the_host().flush_begin()

    def flush_end(self, mark: int, timeout: Seconds | None = None) -> None:
        """Waits until everything before the mark is delivered."""
        self._refuse_in_callback("flush_end")
        mark, limit = unsigned("a mark", mark), time_out(timeout)
        host, begun = self._the_host(), time.monotonic_ns()
        try:
            host.flush_end(mark, limit)
        except Error as refused:
            if refused.code == CODES["INVALID_ARGUMENT"]:
                raise named("INVALID_ARGUMENT", f"a mark is what flush_begin answered, not {mark}") from None
            raise
        finally:
            self._raise_interrupt()
        host.await_delivered(limit, begun)

    async def aflush(self, timeout: Seconds | None = None) -> None:
        """flush, on a loop."""
        if self._driver is None:
            await _threads.waited(lambda: self.flush(timeout))
        else:
            self._the_host()
            await self._driver.flush(timeout)

    def close(self, timeout: Seconds | None = None) -> None:
        """Stops acceptance at once, waits until all values have their outcome and all results are delivered, and discards
        what is left when the time has come, which raises Timeout with the number in its message. Inside a callback it
        begins, and raises IN_PROGRESS. In manual mode it does what `run` does, and raises IN_PROGRESS if something is left:
        call again. Closing again is fine."""
        limit = time_out(timeout)
        if self._attached:
            self._free()
            return
        host = self._host
        if host is None:
            return
        if self._driver is not None:
            self._refuse_where_waiting_blocks("close")
            asyncio.run_coroutine_threadsafe(self.aclose(timeout), self._driver.loop).result()
            return
        if self._manual:
            try:
                answer = host.close(limit)
            finally:
                self._raise_interrupt()
            self._closing_done(*answer)
            return
        if self._in_callback():
            _threads.start(_threads.close_quietly, "microbatch-close", host, limit)
            raise named("IN_PROGRESS")
        begun = time.monotonic_ns()
        status, left = host.close(limit)
        host.await_end(limit, begun, status == 0)
        self._closing_done(status, left)

    def _closing_done(self, status: int, left: int) -> None:
        if status == CODES["TIMEOUT"]:
            error = make(status, f"{left} values were discarded when the time had passed")
            error.left = left  # type: ignore[attr-defined]
            raise error
        if status != 0:
            raise make(status)
        self._closed = True

    async def aclose(self, timeout: Seconds | None = None) -> None:
        """close, on a loop."""
        driver = self._driver
        if driver is None or self._host is None:
            await _threads.waited(lambda: self.close(timeout))
        elif driver.is_here():
            self._closing_done(*await driver.close(time_out(timeout)))
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self.aclose(timeout), driver.loop))

    def abandon(self) -> None:
        """Gives everything back without waiting: outstanding values are discarded. Also what the end of `with` does after
        close."""
        self._free()

    def _free(self) -> None:
        host = self._host
        if host is None:
            return
        if self._driver is None or self._forked(os.getpid()):
            host.abandon()
        else:
            self._driver.free()
        self._host = None
        _exit.remove(self)

    def __enter__(self: B) -> B:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._host is None:
            return
        limit = self._timeouts.get("close_timeout", 0)
        try:
            self.close(limit / 1e9 if limit != FOREVER else None)
        finally:
            self._free()

    async def __aenter__(self: B) -> B:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._host is None:
            return
        limit = self._timeouts.get("close_timeout", 0)
        try:
            await self.aclose(limit / 1e9 if limit != FOREVER else None)
        finally:
            self._free()

    def __del__(self) -> None:
        host = getattr(self, "_host", None)
        if host is None or self._forked(os.getpid()):
            return
        if not self._attached and not self._closed:
            warnings.warn("a batcher was not closed", ResourceWarning, source=self, stacklevel=2)
        try:
            self._free()
        except Exception as failure:
            report("a batcher could not be freed", failure)
