"""The batcher."""

from __future__ import annotations

import array
import asyncio
import os
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Union

from . import _exit, _microbatch
from ._batch import Batch, HeldBatch, Native, OnBatch, Work, _Flight, report
from ._columns import Numbers, Strings, chunks_of
from ._error import CODES, KINDS, OUTCOMES, Error, make, named
from ._reply import Reply
from ._results import Results
from ._stats import Stats, stats_of
from ._time import FOREVER, Option, Seconds, nanoseconds, option_text

if TYPE_CHECKING:
    # a batcher whose types nobody names is one of Any
    from typing_extensions import TypeVar

    T = TypeVar("T", default=Any)
    R = TypeVar("R", default=Any)
else:
    from typing import TypeVar

    T = TypeVar("T")
    R = TypeVar("R")
Handler = Union[Callable[[list[Any]], Any], OnBatch, Native]

OPTIONS = {row[0]: row for row in _microbatch.option_table()}
_DEFAULT = len(KINDS)
_REPLY = 1 << 63
"""Tags from here on are those of replies, once `submit` was used."""
_FAILED = OUTCOMES.index("failed")
_PYTHON_KINDS = {type(None): "null", bool: "bool", int: "int64", float: "float64", str: "string", bytes: "bytes"}


def _kind_place(kind: str | type | None) -> int:
    name = _PYTHON_KINDS.get(type(None) if kind is None else kind, "object") if not isinstance(kind, str) else kind
    if name not in KINDS:
        raise named("INVALID_ARGUMENT", f"there is no kind {kind!r}: {', '.join(KINDS)}, or a type of Python's")
    return KINDS.index(name)


class Batcher(Generic[T, R]):
    """Takes values, forms batches, has them handled and delivers the results.

    handler: takes the list of a batch's values and returns their results, in order; an exception in the list fails its
    value, one that is raised fails the whole part. An async handler runs on the loop that is running when the batcher is
    made, with up to max_in_flight batches at a time; a plain one on `threads` threads of Python's; with mode="manual" on
    whatever thread calls `run`. `on_batch(f)` and `Native(address)` are other forms. handlers: handlers for kinds, by name
    ("int64") or type (int). Without any, batches are pulled: see `next_batch`. on_result: takes each set of Results of values
    that were pushed with `push`. on_release: called with an object once the batcher has given it back. object_size: the
    size in bytes of an object, for the byte limits. count_results: results are only counted. Options: as
    `microbatch.options()` lists them; durations are seconds, a timedelta or text such as "2ms".

    Every method may be called from any thread.
    """

    def _setup(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._replies: dict[int, Reply[R]] = {}
        self._thrown: dict[int, BaseException] = {}
        self._next_tag = _REPLY
        self._tags_of_pushers = False
        self._inside = threading.local()
        self._delivered = threading.Condition()
        self._begun = self._finished = 0
        self._results_ended = True
        self._progress: set[asyncio.Future[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._work: list[Work | None] = []
        self._kinds: set[str] | None = None
        self._on_result: Callable[[Results[R]], None] | None = None
        self._delivers = False
        self._manual = False
        self._closed = False
        self._timeouts: dict[str, int] = {}

    def __init__(
        self,
        handler: Handler | None = None,
        *,
        handlers: Mapping[Any, Handler] | None = None,
        on_result: Callable[[Results[R]], None] | None = None,
        on_release: Callable[[Any], None] | None = None,
        object_size: Callable[[Any], int] | None = None,
        count_results: bool = False,
        **options: Option,
    ) -> None:
        self._host: _microbatch.Host | None = None
        self._setup()
        given: list[Handler | None] = [None] * (_DEFAULT + 1)
        given[_DEFAULT] = handler
        for kind, function in (handlers or {}).items():
            given[_kind_place(kind)] = function
        self._work = [None if f is None or isinstance(f, Native) else Work(f, self._throw) for f in given]
        works = [work for work in self._work if work is not None]
        natives = any(isinstance(f, Native) for f in given)
        manual = options.get("mode") == "manual"
        on_loop = any(work.is_async for work in works)
        if on_loop:
            if manual or not all(work.is_async for work in works) or natives:
                raise named("INVALID_OPTION", "async handlers go neither with plain or native ones nor with mode=manual")
            try:
                self._loop = asyncio.get_running_loop()
            except RuntimeError:
                raise named("WRONG_MODE", "an async handler needs a running loop: make the batcher inside it") from None
            options = {**options, "mode": "manual"}
        elif natives and works and not manual:
            raise named("INVALID_OPTION", "native handlers and handlers of Python's do not mix, except with mode=manual")
        self._manual = manual
        self._only = self._work[_DEFAULT] if not any(self._work[:_DEFAULT]) else None
        self._kinds = None
        if works and self._work[_DEFAULT] is None and not manual:
            self._kinds = {KINDS[place] for place in range(_DEFAULT) if self._work[place] is not None}
        self._on_result = on_result
        user_pulls = options.get("results") == "pull"
        self._delivers = not user_pulls and not count_results
        self._pulls_results = self._delivers and not manual
        pairs = [(name, option_text(OPTIONS[name][1] if name in OPTIONS else "", value)) for name, value in options.items()]
        upcalls = [
            tuple(f) if isinstance(f, Native) else True if manual and f is not None else None for f in given
        ]
        # weak: the host is in the hands of threads and must not keep the batcher
        me = weakref.ref(self)
        self._host = _microbatch.Host(
            pairs,
            upcalls,
            _on_batch(me) if manual else None,
            _on_results(me) if manual and self._delivers else None,
            on_release,
            object_size,
            self._pulls_results,
        )
        self._timeouts = {name: self._duration(name, options) for name in ("close_timeout", "drain_at_exit")}
        if self._loop is not None:
            self._slots = int(options.get("max_in_flight") or 1)  # type: ignore[arg-type]
            self._loop.add_reader(self._host.fd(), _pump, me)
        elif not manual:
            self._start(int(options.get("threads") or OPTIONS["threads"][8]) if works else 0)  # type: ignore[arg-type]
        _exit.add(self)

    @classmethod
    def attach(cls, address: int) -> Batcher[T, R]:
        """Somebody else's batcher, in this process: `address` is that of an mb_shared. Push to it, flush it; its results go
        where its owner wants. Let go of it, by `close`, before its owner frees it."""
        self = cls.__new__(cls)
        self._setup()
        self._host = _microbatch.Host.attach(address)
        self._attached = True
        return self

    _attached = False

    @staticmethod
    def _duration(name: str, options: Mapping[str, Option]) -> int:
        value = options.get(name, "default")
        return OPTIONS[name][8] if value == "default" else nanoseconds(value)

    # ---- threads ----

    def _start(self, handlers: int) -> None:
        host = self._the_host()
        me = weakref.ref(self)
        for number in range(handlers):
            _thread(_take_batches, f"microbatch-handler-{number + 1}", host, me)
        if self._pulls_results:
            self._results_ended = False
            _thread(_take_results, "microbatch-results", host, me)

    def _the_host(self) -> _microbatch.Host:
        host = self._host
        if host is None:
            raise named("CLOSED", "the batcher is freed")
        return host

    def _enter(self) -> None:
        self._inside.depth = getattr(self._inside, "depth", 0) + 1

    def _leave(self) -> None:
        self._inside.depth -= 1

    def _in_callback(self) -> bool:
        return getattr(self._inside, "depth", 0) > 0

    def _refuse_in_callback(self, call: str) -> None:
        if not self._manual and self._in_callback():
            raise named("REENTRANT", f"{call} is not allowed inside a callback of the same batcher")

    def _refuse_where_waiting_blocks(self, call: str) -> None:
        """Whoever waits here would wait for itself."""
        if self._in_callback():
            raise named("REENTRANT", f"{call} is not allowed inside a callback of the same batcher")
        if self._loop is not None and asyncio._get_running_loop() is self._loop:
            raise named("REENTRANT", f"{call} would block the loop that has to do the work: await instead")

    def _may_wait(self) -> bool:
        return asyncio._get_running_loop() is None and not self._in_callback()

    def _forked(self, pid: int) -> bool:
        return pid != self._pid

    def _loop_is_gone(self) -> bool:
        return self._loop is not None and self._loop.is_closed()

    # ---- batches ----

    def _parts(self, handle: _microbatch.Batch) -> list[tuple[Work, Batch[T]]]:
        """The handlers' shares in order of kind code, those of the default handler last."""
        only = self._only
        if only is not None:
            return [(only, Batch(handle, _Flight(handle)))]
        kinds = handle.columns()[1]
        rows: dict[int, list[int]] = {}
        for row, kind in enumerate(kinds):
            rows.setdefault(kind if self._work[kind] is not None else _DEFAULT, []).append(row)
        flight = _Flight(handle, len(rows))
        whole = len(rows) == 1
        parts = []
        for place in sorted(rows):
            work = self._work[place]
            assert work is not None
            parts.append((work, Batch[T](handle, flight, None if whole else rows[place])))
        return parts

    def _handle(self, handle: _microbatch.Batch) -> None:
        self._enter()
        try:
            for work, batch in self._parts(handle):
                work.run(batch)
                if not batch._kept and batch._flight is not None:
                    batch._flight.end("complete")
        except Error as late:
            if late.name != "TOO_LATE":
                report("a batch could not be handled", late)
        finally:
            self._leave()

    async def _handle_async(self, handle: _microbatch.Batch) -> None:
        try:
            for work, batch in self._parts(handle):
                await work.run_async(batch)
                if not batch._kept and batch._flight is not None:
                    batch._flight.end("complete")
        except Error as late:
            if late.name != "TOO_LATE":
                report("a batch could not be handled", late)
        finally:
            self._pump()

    def _borrowed(self, handle: _microbatch.Batch, which: int) -> int:
        """A handler in manual mode."""
        work = self._work[which]
        assert work is not None
        self._enter()
        try:
            work.run(Batch(handle, None))
        finally:
            self._leave()
        return 0

    # ---- the loop ----

    def _pump(self) -> None:
        """On the loop: takes what is there."""
        host = self._host
        if host is None or self._loop is None:
            return
        try:
            host.run()
            while len(self._tasks) < self._slots:
                try:
                    handle = host.next_batch(0, False)
                except Error as end:
                    if end.name not in ("TIMEOUT", "CLOSED"):
                        raise
                    break
                task = self._loop.create_task(self._handle_async(handle))
                self._tasks.add(task)
                task.add_done_callback(self._task_done)
            while self._delivers:
                try:
                    columns = host.next_results(0, False)
                except Error as end:
                    if end.name not in ("TIMEOUT", "CLOSED"):
                        raise
                    break
                self._deliver(columns)
            try:
                host.room(0)  # the descriptor need not go on about it
            except Error:
                pass
        except Error as failure:
            if failure.name not in ("CLOSED", "FORKED"):
                report("the loop could not serve the batcher", failure)
        for waiter in self._progress:
            if not waiter.done():
                waiter.set_result(None)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._pump()

    async def _poll(self, ask: Callable[[], bool]) -> None:
        """Waits on the loop until `ask` says so."""
        assert self._loop is not None
        while True:
            self._pump()
            if ask():
                return
            waiter = self._loop.create_future()
            self._progress.add(waiter)
            try:
                await waiter
            finally:
                self._progress.discard(waiter)

    # ---- results ----

    def _throw(self, tag: int, failure: BaseException) -> None:
        if tag >= _REPLY and tag in self._replies:
            self._thrown[tag] = failure

    def _deliver(self, columns: tuple[int, int, bytes, bytes | None, bytes | None, Any, object]) -> None:
        results: Results[R] = Results(columns)
        self._enter()
        try:
            others = self._resolve(results) if self._replies else True
            if others and self._on_result is not None:
                try:
                    self._on_result(results)
                except BaseException as failure:
                    report("on_result failed", failure)
        finally:
            self._leave()

    def _resolve(self, results: Results[R]) -> bool:
        """Gives replies what they wait for; answers whether there are rows of others. Replies are woken once a set."""
        waiters: list[Any] = []
        others = False
        replies, thrown = self._replies, self._thrown
        failed = not results.all_ok
        values = results.values
        with self._lock:
            for row, tag in enumerate(results.tags):
                reply = replies.pop(tag, None) if tag >= _REPLY else None
                if reply is None:
                    others = True
                    continue
                value = values[row]
                if failed and not results._is_ok(row):
                    error = thrown.pop(tag, None)
                    assert isinstance(value, Error)
                    own = error is not None and results._outcomes is not None and results._outcomes[row] == _FAILED
                    reply._error = error if own else value
                else:
                    if thrown:
                        thrown.pop(tag, None)
                    reply._value = value
                reply._done = True
                if reply._waiters is not None:
                    waiters += reply._waiters
                    reply._waiters = None
        loops: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        for waiter in waiters:
            if isinstance(waiter, tuple):
                loops.setdefault(waiter[0], []).append(waiter[1])
            else:
                waiter.set()
        for loop, futures in loops.items():
            if loop is self._loop and asyncio._get_running_loop() is loop:
                _wake(futures)
            else:
                try:
                    loop.call_soon_threadsafe(_wake, futures)
                except RuntimeError:
                    pass  # the loop is closed, and nobody awaits on it
        return others

    # ---- pushing ----

    def submit(self, value: T, *, deadline: Seconds | None = None, timeout: Seconds | None = None) -> Reply[R]:
        """Pushes a value and returns its Reply: await it, or call its `result(timeout)`.

        deadline: when the value expires if it still waits, in seconds of the batcher's clock (`now`). timeout: the same,
        from now on. Where waiting for room would block a loop, a full queue raises QUEUE_FULL at once: `await aroom()`."""
        if not self._delivers:
            raise named("WRONG_MODE", "submit needs results: not with count_results, results=pull, or attached")
        if self._tags_of_pushers:
            raise named("INVALID_ARGUMENT", f"tags from {_REPLY} on are in use by push, and submit needs them")
        if self._kinds is not None:
            self._refuse_kind(value)
        with self._lock:
            tag = self._next_tag
            self._next_tag = tag + 1
        reply: Reply[R] = Reply(self, tag)
        self._replies[tag] = reply
        try:
            due = 0 if deadline is None and timeout is None else self._deadline(deadline, timeout)
            self._the_host().push(value, tag, due, self._may_wait())
        except BaseException:
            self._replies.pop(tag, None)
            raise
        return reply

    def push(
        self, value: T, tag: int = 0, *, deadline: Seconds | None = None, timeout: Seconds | None = None
    ) -> None:
        """Pushes a value whose result goes to on_result, with this tag: any number from 0 to 2**64 - 1; below 2**63 if
        `submit` is used too."""
        if tag >= _REPLY:
            self._claim_tags()
        if self._kinds is not None:
            self._refuse_kind(value)
        due = 0 if deadline is None and timeout is None else self._deadline(deadline, timeout)
        self._the_host().push(value, tag, due, self._may_wait())

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
        if isinstance(tags, int):
            first, given = tags, None
        else:
            first, given = 0, array.array("Q", tags)
        if given is not None and any(tag >= _REPLY for tag in given) or first >= _REPLY:
            self._claim_tags()
        due = 0 if deadline is None and timeout is None else self._deadline(deadline, timeout)
        host, wait, taken = self._the_host(), self._may_wait(), 0
        for chunk in chunks_of(values):
            mine = given
            if isinstance(chunk, Numbers):
                if given is not None:
                    mine = given[taken : taken + chunk.rows]
                self._refuse_column("float64" if chunk.floats else "int64", chunk.validity, taken)
                accepted, status = host.push_numbers(
                    chunk.cells, chunk.floats, chunk.validity, mine, first + taken, due, wait
                )
                count = chunk.rows
            elif isinstance(chunk, Strings):
                if given is not None:
                    mine = given[taken : taken + chunk.rows]
                self._refuse_column("string", chunk.validity, taken)
                accepted, status = host.push_strings(
                    chunk.data, chunk.offsets, chunk.large, chunk.validity, mine, first + taken, due, wait
                )
                count = chunk.rows
            else:
                known = chunk.values
                count = len(known)
                refusal: Error | None = None
                if self._kinds is not None:
                    for place, value in enumerate(known):
                        try:
                            self._refuse_kind(value)
                        except Error as unknown:
                            known, refusal = known[:place], unknown
                            break
                if given is not None:
                    mine = given[taken : taken + len(known)] if len(given) >= taken + count else given
                accepted, status = host.push_values(known, mine, first + taken, due, wait)
                if status == 0 and refusal is not None:
                    refusal.accepted = taken + accepted
                    raise refusal
            taken += accepted
            if status != 0:
                error = self._explain(chunk, accepted, status)
                error.accepted = taken
                raise error
            assert accepted == count
        return taken

    def _explain(self, chunk: Any, place: int, status: int) -> Error:
        if not isinstance(chunk, (Numbers, Strings)):
            try:
                self._the_host().check(chunk.values[place])
            except Error as why:
                if why.code == status:
                    return why
        return make(status)

    def check(self, value: T) -> None:
        """Raises what `push` would raise now, without pushing or waiting."""
        if self._kinds is not None:
            self._refuse_kind(value)
        self._the_host().check(value)

    def _claim_tags(self) -> None:
        with self._lock:
            if self._next_tag != _REPLY:
                raise named("INVALID_ARGUMENT", f"tags are below {_REPLY} in a batcher that submit is used with")
            self._tags_of_pushers = True

    def _refuse_kind(self, value: object) -> None:
        """Of threaded batchers Python pulls, the engine does not know the handlers' kinds."""
        kind = _PYTHON_KINDS.get(type(value)) or _kind_of(value)
        if self._kinds is not None and kind not in self._kinds:
            raise named("NO_HANDLER", f"{value!r:.200}: no handler takes {kind}, and there is no default")

    def _refuse_column(self, kind: str, validity: bytes | None, accepted: int) -> None:
        if self._kinds is None:
            return
        for needed in (kind, "null") if validity is not None else (kind,):
            if needed not in self._kinds:
                error = named("NO_HANDLER", f"no handler takes {needed}, and there is no default")
                error.accepted = accepted
                raise error

    def _deadline(self, deadline: Seconds | None, timeout: Seconds | None) -> int:
        if deadline is not None and timeout is not None:
            raise named("INVALID_ARGUMENT", "a value has a deadline or a timeout, not both")
        if timeout is not None:
            return min(FOREVER, self._the_host().now() + nanoseconds(timeout))
        return nanoseconds(deadline)

    def cancel(self, tag: int) -> int:
        """Cancels every waiting value with this tag; answers how many. Raises NOT_FOUND, or TOO_LATE if one is in flight."""
        return self._the_host().cancel(tag)

    def _cancel_quietly(self, tag: int) -> None:
        try:
            self.cancel(tag)
        except Error:
            pass

    # ---- waiting ----

    def room(self, timeout: Seconds | None = None) -> None:
        """Waits until there is room for a value; raises what is lacking."""
        if timeout != 0:
            self._refuse_where_waiting_blocks("room")
        self._the_host().room(nanoseconds(timeout))

    async def aroom(self, timeout: Seconds | None = None) -> None:
        """The same, on a loop."""
        host = self._the_host()
        if self._loop is None:
            await asyncio.to_thread(self.room, timeout)
            return

        def has_room() -> bool:
            try:
                host.room(0)
            except Error as full:
                if full.retriable:
                    return False
                raise
            return True

        await _within(self._poll(has_room), timeout)

    def seal(self) -> None:
        """Seals the open batch and does not wait."""
        self._the_host().seal()

    def flush(self, timeout: Seconds | None = None) -> None:
        """Seals, and waits until every value accepted before the call is delivered. Raises Timeout."""
        self._refuse_in_callback("flush")
        limit = nanoseconds(timeout)
        if self._loop is not None:
            self._refuse_where_waiting_blocks("flush")
            asyncio.run_coroutine_threadsafe(self.aflush(timeout), self._loop).result()
            return
        begun = time.monotonic_ns()
        self._the_host().flush(limit)
        self._await_delivery(limit, begun)

    def flush_begin(self) -> int:
        """Seals, and answers a mark behind everything accepted so far."""
        return self._the_host().flush_begin()

    def flush_end(self, mark: int, timeout: Seconds | None = None) -> None:
        """Waits until everything before the mark is delivered."""
        self._refuse_in_callback("flush_end")
        limit, begun = nanoseconds(timeout), time.monotonic_ns()
        self._the_host().flush_end(mark, limit)
        self._await_delivery(limit, begun)

    def _await_delivery(self, limit: int, begun: int) -> None:
        """What the engine has handed out may be in the hands of the results thread still."""
        if self._results_ended:
            return
        with self._delivered:
            mark = self._begun
            while self._finished < mark:
                left = limit - (time.monotonic_ns() - begun)
                if left <= 0:
                    raise named("TIMEOUT" if limit else "IN_PROGRESS")
                self._delivered.wait(None if limit == FOREVER else left / 1e9)

    async def aflush(self, timeout: Seconds | None = None) -> None:
        """flush, on a loop."""
        if self._loop is None:
            await asyncio.to_thread(self.flush, timeout)
            return
        host = self._the_host()
        mark = host.flush_begin()

        def is_done() -> bool:
            try:
                host.flush_end(mark, 0)
            except Error as going_on:
                if going_on.name == "IN_PROGRESS":
                    return False
                raise
            return True

        await _within(self._poll(is_done), timeout)

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
        if self._loop is not None:
            self._refuse_where_waiting_blocks("close")
            asyncio.run_coroutine_threadsafe(self.aclose(timeout), self._loop).result()
            return
        if self._manual:
            self._closing_done(*host.close(limit))
            return
        if self._in_callback():
            _thread(_close_quietly, "microbatch-close", host, limit)
            raise named("IN_PROGRESS")
        begun = time.monotonic_ns()
        status, left = host.close(limit)
        if not self._results_ended:
            with self._delivered:
                while not self._results_ended:
                    remaining = limit - (time.monotonic_ns() - begun)
                    if remaining <= 0 and status == CODES["TIMEOUT"]:
                        # a callback that outlasts the time: close does not wait for it
                        self._delivered.wait(0.05)
                        if self._begun != self._finished:
                            break
                    else:
                        self._delivered.wait(0.05 if limit != FOREVER else None)
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
        host = self._host
        if self._loop is None or host is None:
            await asyncio.to_thread(self.close, timeout)
            return
        if asyncio.get_running_loop() is not self._loop:
            future = asyncio.run_coroutine_threadsafe(self.aclose(timeout), self._loop)
            await asyncio.wrap_future(future)
            return
        limit = nanoseconds(timeout)
        answer = [0, 0]

        def is_closed() -> bool:
            answer[:] = host.close(limit)
            if answer[0] == CODES["IN_PROGRESS"]:
                return False
            self._pump_results()
            return True

        await self._poll(is_closed)
        self._closing_done(*answer)

    def _pump_results(self) -> None:
        host = self._the_host()
        while self._delivers:
            try:
                self._deliver(host.next_results(0, False))
            except Error:
                return

    def abandon(self) -> None:
        """Gives everything back without waiting: outstanding values are discarded. Also what the end of `with` does after
        close."""
        self._free()

    def _free(self) -> None:
        host = self._host
        if host is None:
            return
        loop = self._loop
        if loop is None or self._forked(os.getpid()):
            host.abandon()
        else:
            try:
                host.close(0)
                while self._delivers:
                    self._deliver(host.next_results(0, False))
            except Error:
                pass
            # the loop lets go of the descriptor before its number can be another's
            if loop.is_closed() or asyncio._get_running_loop() is loop:
                _leave_loop(loop, host)
            else:
                try:
                    loop.call_soon_threadsafe(_leave_loop, loop, host)
                except RuntimeError:
                    host.abandon()
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
            while self._manual and not self._closed:
                self.run()  # pragma: no cover - close answers IN_PROGRESS instead
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
        self._the_host().run()

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
        handle = self._the_host().next_batch(nanoseconds(timeout), True)
        return HeldBatch(handle, None)

    def next_results(self, timeout: Seconds | None = None) -> Results[R]:
        """With results="pull": takes the next set of results. Raises Timeout, or CLOSED at the end."""
        self._refuse_in_callback("next_results")
        return Results(self._the_host().next_results(nanoseconds(timeout), True))

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


# ---- Functions of threads and callbacks, which must not hold the batcher while they wait ----


def _thread(target: Callable[..., None], name: str, *args: Any) -> None:
    threading.Thread(target=target, name=name, args=args, daemon=True).start()


def _take_batches(host: _microbatch.Host, me: weakref.ref[Batcher[Any, Any]]) -> None:
    while True:
        try:
            handle = host.next_batch(FOREVER, False)
        except Error as end:
            if end.name not in ("CLOSED", "FORKED"):
                report("no more batches can be taken", end)
            return
        batcher = me()
        if batcher is None:
            return
        batcher._handle(handle)
        del handle, batcher


def _take_results(host: _microbatch.Host, me: weakref.ref[Batcher[Any, Any]]) -> None:
    while True:
        try:
            columns = host.next_results(FOREVER, False)
        except Error as end:
            if end.name not in ("CLOSED", "FORKED"):
                report("no more results can be taken", end)
            break
        batcher = me()
        if batcher is None:
            return
        with batcher._delivered:
            batcher._begun += 1
        try:
            batcher._deliver(columns)
        except BaseException as failure:
            report("results could not be delivered", failure)
        with batcher._delivered:
            batcher._finished += 1
            batcher._delivered.notify_all()
        del columns, batcher
    batcher = me()
    if batcher is not None:
        with batcher._delivered:
            batcher._results_ended = True
            batcher._delivered.notify_all()


def _on_batch(me: weakref.ref[Batcher[Any, Any]]) -> Callable[[_microbatch.Batch, int], int]:
    def call(handle: _microbatch.Batch, which: int) -> int:
        batcher = me()
        return CODES["HANDLER_FAILED"] if batcher is None else batcher._borrowed(handle, which)

    return call


def _on_results(me: weakref.ref[Batcher[Any, Any]]) -> Callable[[Any], None]:
    def call(columns: Any) -> None:
        batcher = me()
        if batcher is not None:
            batcher._deliver(columns)

    return call


def _pump(me: weakref.ref[Batcher[Any, Any]]) -> None:
    batcher = me()
    if batcher is not None:
        batcher._pump()


def _leave_loop(loop: asyncio.AbstractEventLoop, host: _microbatch.Host) -> None:
    if not loop.is_closed():
        try:
            loop.remove_reader(host.fd())
        except Error:
            pass
    host.abandon()


def _close_quietly(host: _microbatch.Host, limit: int) -> None:
    try:
        host.close(limit)
    except Error:
        pass


def _wake(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


async def _within(work: Any, timeout: Seconds | None) -> None:
    try:
        await asyncio.wait_for(work, None if timeout is None else nanoseconds(timeout) / 1e9)
    except TimeoutError as passed:
        raise (passed if isinstance(passed, Error) else named("TIMEOUT")) from None


def _kind_of(value: object) -> str:
    for kind, name in _PYTHON_KINDS.items():
        if isinstance(value, kind):
            return name
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic) and value.dtype.kind in "biuf":
        return {"b": "bool", "f": "float64"}.get(value.dtype.kind, "int64")
    return "object"
