"""A batcher whose handlers are async: the loop watches its descriptor, and nothing else drives it."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import _microbatch
from ._batch import Batch, report
from ._error import Error, named
from ._time import Seconds, time_out

if TYPE_CHECKING:
    from ._batcher import Batcher


class Driver:
    """Takes batches as slots allow, each handled by a task, and brings results."""

    def __init__(self, batcher: Batcher[Any, Any], loop: asyncio.AbstractEventLoop, host: _microbatch.Host) -> None:
        self.loop = loop
        self.host = host
        # weak: the loop must not keep a batcher that is only forgotten
        self.batcher = weakref.ref(batcher)
        self.tasks: set[asyncio.Task[None]] = set()
        self.progress: set[asyncio.Future[None]] = set()
        self.handling: dict[int, asyncio.Future[None] | None] = {}
        """Batches with a handler that runs, by number, and who waits for it to return."""
        self.pumping = False
        self.delivers = batcher._delivers
        loop.add_reader(host.fd(), self.pump)

    def is_here(self) -> bool:
        return asyncio._get_running_loop() is self.loop

    def pump(self) -> None:
        """Takes what is there."""
        batcher = self.batcher()
        if batcher is None or self.pumping:
            return
        host = self.host
        self.pumping = True
        try:
            while (batch := host.take_batch()) is not None:
                task = self.loop.create_task(self.handle(batcher, batch))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
            if self.delivers:
                host.take_results()
            host.has_room()  # the descriptor need not go on about it
        except Error as failure:
            if failure.name not in ("CLOSED", "FORKED"):
                report("the loop could not serve the batcher", failure)
        finally:
            self.pumping = False
        for waiter in self.progress:
            if not waiter.done():
                waiter.set_result(None)

    async def handle(self, batcher: Batcher[Any, Any], batch: Batch[Any]) -> None:
        try:
            # a part that was kept or completed lets the next one come: its handler begins when the one before has returned
            while batch.number in self.handling:
                waiter = self.handling[batch.number] = self.handling[batch.number] or self.loop.create_future()
                await waiter
            self.handling[batch.number] = None
            try:
                await batcher._work_of(batch).run_async(batch)
            finally:
                next_part = self.handling.pop(batch.number)
                if next_part is not None and not next_part.done():
                    next_part.set_result(None)
        finally:
            batch._finish()
            self.pump()  # at once: the descriptor need not say that a slot is free

    async def poll(self, ask: Callable[[], bool]) -> None:
        """Waits on the loop until `ask` says so."""
        while True:
            self.pump()
            if ask():
                return
            waiter = self.loop.create_future()
            self.progress.add(waiter)
            try:
                await waiter
            finally:
                self.progress.discard(waiter)

    async def room(self, timeout: Seconds | None) -> None:
        await within(self.poll(self.host.has_room), timeout)

    async def flush(self, timeout: Seconds | None) -> None:
        mark = self.host.flush_begin()

        def is_done() -> bool:
            try:
                self.host.flush_end(mark, 0)
            except Error as going_on:
                if going_on.name == "IN_PROGRESS":
                    return False
                raise
            return True

        await within(self.poll(is_done), timeout)

    async def close(self, limit: int) -> tuple[int, int]:
        answer = (0, 0)

        def is_closed() -> bool:
            nonlocal answer
            answer = self.host.close(limit)
            return answer[0] != named("IN_PROGRESS").code

        await self.poll(is_closed)
        if self.delivers:
            self.host.take_results()
        return answer

    def free(self) -> None:
        """Discards what is left, and brings that; any thread."""
        try:
            self.host.close(0)
            if self.delivers:
                self.host.take_results()
        except Error:
            pass
        # the loop lets go of the descriptor before its number can be another's
        if self.loop.is_closed() or self.is_here():
            self.leave()
        else:
            try:
                self.loop.call_soon_threadsafe(self.leave)
            except RuntimeError:
                self.host.abandon()

    def leave(self) -> None:
        if not self.loop.is_closed():
            try:
                self.loop.remove_reader(self.host.fd())
            except Error:
                pass
        self.host.abandon()


async def within(work: Any, timeout: Seconds | None) -> None:
    try:
        await asyncio.wait_for(work, None if timeout is None else time_out(timeout) / 1e9)
    except TimeoutError as passed:
        raise (passed if isinstance(passed, Error) else named("TIMEOUT")) from None
