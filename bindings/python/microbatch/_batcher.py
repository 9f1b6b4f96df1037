"""The batcher."""

from __future__ import annotations

import asyncio
import os
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Union

from . import _exit, _microbatch, _threads
from ._batch import Batch, HeldBatch, Native, OnBatch, Work, report
from ._bulk import push_all
from ._error import CODES, KINDS, Error, make, named
from ._loop import Driver
from ._results import Results
from ._stats import Stats, stats_of
from ._time import FOREVER, Option, Seconds, nanoseconds, option_text

if TYPE_CHECKING:
    # a batcher whose types nobody names is one of Any
    from typing_extensions import TypeVar

    from ._microbatch import Producer, Reply

    T = TypeVar("T", default=Any)
    R = TypeVar("R", default=Any)
else:
    from typing import TypeVar

    T = TypeVar("T")
    R = TypeVar("R")
Handler = Union[Callable[[list[Any]], Any], OnBatch, Native]

OPTIONS = {row[0]: row for row in _microbatch.option_table()}
_DEFAULT = len(KINDS)
_PYTHON_KINDS = {type(None): "null", bool: "bool", int: "int64", float: "float64", str: "string", bytes: "bytes"}


def _kind_place(kind: str | type | None) -> int:
    name = _PYTHON_KINDS.get(type(None) if kind is None else kind, "object") if not isinstance(kind, str) else kind
    if name not in KINDS:
        raise named("INVALID_ARGUMENT", f"there is no kind {kind!r}: {', '.join(KINDS)}, or a type of Python's")
    return KINDS.index(name)


class Batcher(_microbatch.Pusher, Generic[T, R]):
    """Takes values, forms batches, has them handled and delivers the results.

    handler: takes the list of a batch's values and returns their results, in order; an exception in the list fails its
    value, one that is raised fails the whole part. An async handler runs on the loop that is running when the batcher is
    made, with up to max_in_flight batches at a time; a plain one on `threads` threads of Python's; with mode="manual" on
    whatever thread calls `run`. `on_batch(f)` and `Native(address)` are other forms. handlers: handlers for kinds, by name
    ("int64") or type (int). Without any, batches are pulled: see `next_batch`; pull_handlers: the kinds that whoever pulls has
    handlers for, "default" too: then other kinds are refused, and batches come in parts, each for one of them. on_result: takes each set of Results of values
    that were pushed with `push`. on_release: called with an object once the batcher has given it back. object_size: the
    size in bytes of an object, for the byte limits. count_results: results are only counted. log: called with a level, as logging has them, and a line:
    `logging.getLogger("microbatch").log` fits. Options: as
    `microbatch.options()` lists them; durations are seconds, a timedelta or text such as "2ms".

    Every method may be called from any thread.
    """

    _attached = False

    def _setup(self) -> None:
        self._pid = os.getpid()
        self._driver: Driver | None = None
        self._work: list[Work | None] = []
        self._delivers = False
        self._manual = False
        self._closed = False
        self._timeouts: dict[str, int] = {}

    def __init__(
        self,
        handler: Handler | None = None,
        *,
        handlers: Mapping[Any, Handler] | None = None,
        pull_handlers: Iterable[Any] = (),
        on_result: Callable[[Results[R]], None] | None = None,
        on_release: Callable[[Any], None] | None = None,
        object_size: Callable[[Any], int] | None = None,
        log: Callable[[int, str], object] | None = None,
        count_results: bool = False,
        **options: Option,
    ) -> None:
        self._setup()
        given: list[Handler | None] = [None] * (_DEFAULT + 1)
        given[_DEFAULT] = handler
        for kind, function in (handlers or {}).items():
            given[_kind_place(kind)] = function
        pulled = sum({1 << (_DEFAULT if kind == "default" else _kind_place(kind)) for kind in pull_handlers})
        if pulled and any(given):
            raise named("INVALID_OPTION", "pull_handlers is for a batcher whose batches are pulled: one without handlers")
        self._work = [None if f is None or isinstance(f, Native) else Work(f) for f in given]
        works = [work for work in self._work if work is not None]
        natives = any(isinstance(f, Native) for f in given)
        manual = self._manual = options.get("mode") == "manual"
        loop = self._loop_of(works, natives)
        if loop is not None:
            options = {**options, "mode": "manual"}
        elif natives and works and not manual:
            raise named("INVALID_OPTION", "native handlers and handlers of Python's do not mix, except with mode=manual")
        self._delivers = options.get("results") != "pull" and not count_results
        host = self._host = _microbatch.Host(
            weakref.ref(self),
            [(name, option_text(OPTIONS[name][1] if name in OPTIONS else "", value)) for name, value in options.items()],
            [tuple(f) if isinstance(f, Native) else True if manual and f is not None else None for f in given],
            on_release,
            object_size,
            log,
            self._delivers,
            not manual,
            pulled if manual or pulled else sum(1 << place for place, work in enumerate(self._work) if work is not None),
        )
        self._set_callbacks(self._work, on_result)
        for name in ("close_timeout", "drain_at_exit"):
            value = options.get(name, "default")
            self._timeouts[name] = OPTIONS[name][8] if value == "default" else nanoseconds(value)
        if loop is not None:
            self._driver = Driver(self, loop, host)
        elif not manual:
            for number in range(int(options.get("threads") or OPTIONS["threads"][8]) if works else 0):  # type: ignore[arg-type]
                _threads.start(_threads.serve, f"microbatch-handler-{number + 1}", host.serve_batches)
            if self._delivers:
                _threads.start(_threads.serve, "microbatch-results", host.serve_results)
        _exit.add(self)

    def _loop_of(self, works: list[Work], natives: bool) -> asyncio.AbstractEventLoop | None:
        if not any(work.is_async for work in works):
            return None
        if self._manual or natives or not all(work.is_async for work in works):
            raise named("INVALID_OPTION", "async handlers go neither with plain or native ones nor with mode=manual")
        try:
            return asyncio.get_running_loop()
        except RuntimeError:
            raise named("WRONG_MODE", "an async handler needs a running loop: make the batcher inside it") from None

    @classmethod
    def attach(cls, address: int) -> Batcher[T, R]:
        """Somebody else's batcher, in this process: `address` is that of an mb_shared. Push to it, flush it; its results go
        where its owner wants. Let go of it, by `close`, before its owner frees it."""
        self = cls.__new__(cls)
        self._setup()
        self._host = _microbatch.Host.attach(address)
        self._attached = True
        return self

    # ---- what threads, loops and callbacks ask ----

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
        return nanoseconds(timeout)

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
        work = (self._work[batch._kind] if batch._kind < _DEFAULT else None) or self._work[_DEFAULT]
        assert work is not None
        return work

    def _raise_interrupt(self) -> None:
        """Ctrl-C or SystemExit in a callback of manual mode ends the call that ran it."""
        interrupt = None if self._host is None else self._host.take_interrupt()
        if interrupt is not None:
            raise interrupt

    # ---- pushing ----

    if TYPE_CHECKING:

        def submit(
            self, value: T, *, deadline: Seconds | None = None, timeout: Seconds | None = None
        ) -> Reply[R]: ...

        def push(
            self, value: T, tag: int = 0, *, deadline: Seconds | None = None, timeout: Seconds | None = None
        ) -> None: ...

    def push_many(
        self,
        values: Iterable[T],
        tags: Sequence[int] | int = 0,
        *,
        deadline: Seconds | None = None,
        timeout: Seconds | None = None,
    ) -> int:
        """Pushes many values at once: any iterable; arrays of numbers by the buffer protocol (numpy, array.array) and Arrow
        arrays and streams, strings and nulls too, are read in place. tags: one for each, or the first of a sequence that
        counts up. Answers how many were taken: all of them, or it raises, with `accepted` in the error."""
        return push_all(self, values, tags, self._deadline(deadline, timeout))

    def producer(self) -> Producer[T, R]:
        """A way in for one thread: what it pushes keeps its order, and is in no order with what others push."""
        return _microbatch.producer(self)

    def check(self, value: T) -> None:
        """Raises what `push` would raise now, without pushing or waiting."""
        self._the_host().check(value)

    def cancel(self, tag: int) -> int:
        """Cancels every waiting value with this tag; answers how many. Raises NOT_FOUND, or TOO_LATE if one is in flight."""
        return self._the_host().cancel(tag)

    # ---- waiting ----

    def room(self, timeout: Seconds | None = None) -> None:
        """Waits until there is room for a value, in callbacks never; raises what is lacking."""
        if self._in_callback():
            timeout = 0
        if timeout != 0:
            self._refuse_where_waiting_blocks("room")
        self._the_host().room(nanoseconds(timeout))

    async def aroom(self, timeout: Seconds | None = None) -> None:
        """The same, on a loop."""
        if self._driver is None:
            await asyncio.to_thread(self.room, timeout)
        else:
            self._the_host()
            await self._driver.room(timeout)

    def seal(self) -> None:
        """Seals the open batch and does not wait."""
        self._the_host().seal()

    def flush(self, timeout: Seconds | None = None) -> None:
        """Seals, and waits until every value accepted before the call is delivered. Raises Timeout."""
        self._refuse_in_callback("flush")
        limit = nanoseconds(timeout)
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
        host, limit, begun = self._the_host(), nanoseconds(timeout), time.monotonic_ns()
        try:
            host.flush_end(mark, limit)
        finally:
            self._raise_interrupt()
        host.await_delivered(limit, begun)

    async def aflush(self, timeout: Seconds | None = None) -> None:
        """flush, on a loop."""
        if self._driver is None:
            await asyncio.to_thread(self.flush, timeout)
        else:
            self._the_host()
            await self._driver.flush(timeout)

    def close(self, timeout: Seconds | None = None) -> None:
        """Stops acceptance at once, waits until all values have their outcome and all results are delivered, and discards
        what is left when the time has come, which raises Timeout with the number in its message. Inside a callback it
        begins, and raises IN_PROGRESS. In manual mode it does what `run` does, and raises IN_PROGRESS if something is left:
        call again. Closing again is fine."""
        limit = nanoseconds(timeout)
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
            await asyncio.to_thread(self.close, timeout)
        elif driver.is_here():
            self._closing_done(*await driver.close(nanoseconds(timeout)))
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

    def __enter__(self) -> Batcher[T, R]:
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

    async def __aenter__(self) -> Batcher[T, R]:
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

    # ---- manual mode, and pulling ----

    def run(self) -> None:
        """Manual mode: does everything that is due now."""
        try:
            self._the_host().run()
        finally:
            self._raise_interrupt()

    def advance(self, now: Seconds) -> None:
        """Sets a given clock."""
        self._the_host().advance(nanoseconds(now))

    def now_ns(self) -> int:
        """The time on the batcher's clock, in nanoseconds."""
        return self._the_host().now()

    def now(self) -> float:
        """The time on the batcher's clock, in seconds: what deadlines are compared with."""
        return self.now_ns() / 1e9

    def next_due_ns(self) -> int | None:
        """When `run` or a pull will have something to do, on the batcher's clock; None if nothing is in sight."""
        due = self._the_host().next_due()
        return None if due == FOREVER else due

    def fileno(self) -> int:
        """A descriptor that is readable while there is something to do, for select and loops. Only wait for it."""
        return self._the_host().fd()

    def next_batch(self, timeout: Seconds | None = None) -> HeldBatch[T]:
        """Without handlers: takes a whole batch. Complete it. Raises Timeout, or CLOSED at the end."""
        self._refuse_in_callback("next_batch")
        return self._the_host().next_batch(nanoseconds(timeout))

    def next_results(self, timeout: Seconds | None = None) -> Results[R]:
        """With results="pull": takes the next set of results. Raises Timeout, or CLOSED at the end."""
        self._refuse_in_callback("next_results")
        return Results(self._the_host().next_results(nanoseconds(timeout)))

    # ---- seeing ----

    def stats(self) -> Stats:
        """One consistent snapshot."""
        return stats_of(self._the_host().stats())

    def stats_text(self) -> str:
        """A snapshot as text for Prometheus."""
        return self._the_host().stats_text()

    def share(self) -> int:
        """The address of an mb_shared, for other copies of the library in this process, good as long as this batcher."""
        return self._the_host().share()
