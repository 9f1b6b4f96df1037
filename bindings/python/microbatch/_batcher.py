"""The batcher."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic

from . import _exit, _microbatch, _threads
from ._batch import HeldBatch
from ._bulk import push_all
from ._ending import Ending
from ._error import named
from ._handlers import Handler, Handlers, pulled_kinds
from ._loop import Driver
from ._microbatch import unsigned
from ._results import Results
from ._stats import Stats, stats_of
from ._time import FOREVER, Option, Seconds, nanoseconds, option_text, time_out

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
OPTIONS = {row[0]: row for row in _microbatch.option_table()}


class Batcher(Ending, Generic[T, R]):
    """Takes values, forms batches, has them handled and delivers the results.

    handler: takes the list of a batch's values and returns their results, in order; an exception in the list fails its
    value, one that is raised fails the whole part. An async handler runs on the loop that is running when the batcher is
    made, with up to max_in_flight batches at a time; a plain one on `threads` threads of Python's; with mode="manual" on
    whatever thread calls `run`. `on_batch(f)` and `Native(address)` are other forms. handlers: handlers for kinds, by name
    ("int64") or type (int). Without any, batches are pulled: see `next_batch`. pull_handlers: the kinds that whoever pulls has
    handlers for, "default" among them: other kinds are refused then, and batches come in parts, each for one of these.
    on_result: takes each set of Results of values that were pushed with `push`. on_release: called with an object once the
    batcher has given it back. object_size: the size in bytes of an object, for the byte limits. count_results: results are
    only counted. log: called with a level, as logging has them, and a line: `logging.getLogger("microbatch").log` fits.
    Options: as `microbatch.options()` lists them; durations are seconds, a timedelta or text such as "2ms".

    Every method may be called from any thread.
    """

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
        manual = self._manual = options.get("mode") == "manual"
        those = Handlers(handler, handlers, manual)
        pulled = pulled_kinds(pull_handlers)
        if pulled and any(those.given):
            raise named("INVALID_OPTION", "pull_handlers is for a batcher whose batches are pulled: one without handlers")
        for name, callback in (
            ("on_result", on_result), ("on_release", on_release), ("object_size", object_size), ("log", log)
        ):
            if callback is not None and not callable(callback):
                raise named("INVALID_ARGUMENT", f"{name} is a function, not {callback!r}")
        loop = those.loop()
        if loop is not None:
            options = {**options, "mode": "manual"}
        self._work = those.works
        self._delivers = options.get("results") != "pull" and not count_results
        host = self._host = _microbatch.Host(
            weakref.ref(self),
            [(name, option_text(name, OPTIONS[name][1] if name in OPTIONS else "", value)) for name, value in options.items()],
            those.for_host(),
            on_release,
            object_size,
            log,
            self._delivers,
            not manual,
            pulled or those.kinds(),
        )
        self._set_callbacks(self._work, on_result)
        for name in ("close_timeout", "drain_at_exit"):
            value = options.get(name, "default")
            self._timeouts[name] = OPTIONS[name][8] if value == "default" else nanoseconds(value)
        if loop is not None:
            self._driver = Driver(self, loop, host)
        elif not manual:
            for number in range(host.threads if those.any_works else 0):
                _threads.start(_threads.serve, f"microbatch-handler-{number + 1}", host.serve_batches)
            if self._delivers:
                _threads.start(_threads.serve, "microbatch-results", host.serve_results)
        _exit.add(self)

    @classmethod
    def attach(cls, address: int) -> Batcher[T, R]:
        """Somebody else's batcher, in this process: `address` is that of an mb_shared. Push to it, flush it; its results go
        where its owner wants. Let go of it, by `close`, before its owner frees it."""
        address = unsigned("the address of an mb_shared", address)
        self = cls.__new__(cls)
        self._setup()
        self._host = _microbatch.Host.attach(address)
        self._attached = True
        return self

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
        return self._the_host().cancel(unsigned("a tag", tag))

    # ---- waiting ----

    def room(self, timeout: Seconds | None = None) -> None:
        """Waits until there is room for a value, in callbacks never; raises what is lacking."""
        if self._in_callback():
            timeout = 0
        if timeout != 0:
            self._refuse_where_waiting_blocks("room")
        self._the_host().room(time_out(timeout))

    async def aroom(self, timeout: Seconds | None = None) -> None:
        """The same, on a loop."""
        if self._driver is None:
            await _threads.waited(lambda: self.room(timeout))
        else:
            self._the_host()
            await self._driver.room(timeout)

    # ---- manual mode, and pulling ----

    def run(self) -> None:
        """Manual mode: does everything that is due now."""
        try:
            self._the_host().run()
        finally:
            self._raise_interrupt()

    def advance(self, now: Seconds) -> None:
        """Sets a given clock."""
        if now is None:
            raise named("INVALID_ARGUMENT", "a clock is set to a time, not to None")
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
        limit = time_out(timeout)
        self._refuse_in_callback("next_batch")
        if any(self._work) and not self._manual:
            raise named("WRONG_MODE", "batches go to the batcher's handlers; one without handlers is pulled")
        return self._the_host().next_batch(limit)

    def next_results(self, timeout: Seconds | None = None) -> Results[R]:
        """With results="pull": takes the next set of results. Raises Timeout, or CLOSED at the end."""
        limit = time_out(timeout)
        self._refuse_in_callback("next_results")
        if self._delivers:
            raise named("WRONG_MODE", 'results go to replies and on_result; results="pull" is for who takes them')
        return Results(self._the_host().next_results(limit))

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
