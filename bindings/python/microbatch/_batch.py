"""A batch as a handler sees it, and the forms that handlers have."""

from __future__ import annotations

import array
import inspect
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from . import _microbatch
from ._columns import Numbers, chunks_of
from ._error import CODES, FLOAT64, INT64, KINDS, TRIGGERS, describe, make

T = TypeVar("T")


class Native(NamedTuple):
    """A handler in native code: the address of an mb_handler_fn, its user data, and the mb_release_fn that releases it."""

    address: int
    user_data: int = 0
    release: int = 0


class OnBatch:
    """Marks a handler that takes the Batch and sets the results itself, instead of taking values and returning results."""

    def __init__(self, function: Callable[[Batch[Any]], Any]) -> None:
        self.function = function

    def __call__(self, batch: Batch[Any]) -> Any:
        return self.function(batch)


def on_batch(function: Callable[[Batch[Any]], Any]) -> OnBatch:
    """A handler of the form `handler(batch)`, plain or async: it sets results with `batch.set` and can keep the batch."""
    return OnBatch(function)


class _Flight:
    """A batch that was pulled: completed when its last part is."""

    __slots__ = ("handle", "parts", "lock")

    def __init__(self, handle: _microbatch.Batch, parts: int = 1) -> None:
        self.handle = handle
        self.parts = parts
        self.lock = threading.Lock()

    def end(self, how: str) -> None:
        with self.lock:
            self.parts -= 1
            if self.parts > 0:
                return
        getattr(self.handle, how)()


class Batch(Generic[T]):
    """A batch, or a handler's part of one.

    It is good until the handler returns, unless `keep` was called: then until `complete`. number: 1, 2, 3, ... in order of
    dispatch. trigger: why it was sealed. age: seconds from the acceptance of its first value to its dispatch. kind: the
    kind of all its values, or "mixed".
    """

    def __init__(self, handle: _microbatch.Batch, flight: _Flight | None, rows: list[int] | None = None) -> None:
        self._handle = handle
        self._flight = flight
        self._rows = rows
        self._kept = False
        self._ended = False
        self._answered: set[int] = set()
        count, kind, trigger, self.age_ns, self.number = handle.info()
        self._count = count if rows is None else len(rows)
        self._trigger = trigger
        if rows is not None:
            mine = {handle.columns()[1][row] for row in rows}
            kind = mine.pop() if len(mine) == 1 else 255
        self._kind = kind

    def __len__(self) -> int:
        return self._count

    @property
    def kind(self) -> str:
        return KINDS[self._kind] if self._kind < len(KINDS) else "mixed"

    @property
    def trigger(self) -> str:
        return TRIGGERS[self._trigger - 1] if self._trigger else ""

    @property
    def age(self) -> float:
        return self.age_ns / 1e9

    @property
    def tags(self) -> Sequence[int]:
        """The tag of each value."""
        tags = memoryview(self._handle.columns()[0]).cast("Q")
        return tags if self._rows is None else [tags[row] for row in self._rows]

    @property
    def values(self) -> list[T]:
        """The values as a list."""
        return self._handle.values(self._rows)

    @property
    def numbers(self) -> memoryview[Any]:
        """The values of a batch of integers or floats as a memoryview of int64 or float64."""
        cells = self._handle.cells() if self._rows is None else None
        if cells is not None:
            view: memoryview[Any] = memoryview(cells)
            return view.cast("q" if self._kind == INT64 else "d")
        if self._kind not in (INT64, FLOAT64):
            raise make(CODES["INVALID_ARGUMENT"], f"the batch is of kind {self.kind}, not int64 or float64")
        values: list[Any] = self._handle.values(self._rows)
        return memoryview(array.array("q" if self._kind == INT64 else "d", values))

    def __iter__(self) -> Iterator[T]:
        return iter(self.values)

    def __getitem__(self, row: int) -> T:
        return self._handle.values([self._row(row)])[0]  # type: ignore[no-any-return]

    def _row(self, row: int) -> int:
        if self._rows is None:
            return row
        if not 0 <= row < len(self._rows):
            raise make(CODES["OUT_OF_RANGE"], f"row {row} lies outside a batch of {len(self._rows)}")
        return self._rows[row]

    def _check(self) -> None:
        if self._ended or (self._kept and self._flight is None and not isinstance(self, HeldBatch)):
            raise make(CODES["TOO_LATE"], "the batch was completed or kept")

    def set(self, row: int, value: object) -> None:
        """Makes this the result of a row. Set twice, the last counts."""
        self._check()
        self._handle.set(self._row(row), value)
        self._answered.add(row)

    def set_all(self, results: Any) -> None:
        """Sets all results at once: a list, a buffer such as a numpy array, or an Arrow array. An exception in a list fails
        the value in its place. Another number of results than values fails the part with RESULT_COUNT."""
        self._check()
        chunks = chunks_of(results)
        if len(chunks) == 1 and isinstance(chunks[0], Numbers) and self._rows is None:
            numbers = chunks[0]
            self._handle.set_numbers(numbers.cells, numbers.floats, numbers.validity)
            return
        if not isinstance(results, list):
            results = list(results)
        if len(results) != self._count:
            message = f"the handler returned {len(results)} results for {self._count} values"
            self._fail_all(CODES["RESULT_COUNT"], "", message)
            return
        for place, failure in self._handle.set_list(results, self._rows):
            self.fail(place, failure)
        self._answered.update(range(self._count))

    def fail(self, row: int, failure: BaseException) -> None:
        """Fails a row with an exception: a Failure has a code of your own."""
        self._check()
        code, type_name, message = describe(failure)
        self._handle.fail(self._row(row), code, type_name, message)
        self._answered.add(row)

    def fail_all(self, failure: BaseException) -> None:
        """Fails the whole part, whatever else is set."""
        self._check()
        self._fail_all(*describe(failure))

    def _fail_all(self, code: int, type_name: str, message: str) -> None:
        if self._rows is None:
            self._handle.fail(-1, code, type_name, message)
            return
        for row in self._rows:
            self._handle.fail(row, code, type_name, message)
        self._answered.update(range(self._count))

    def keep(self) -> HeldBatch[T]:
        """Keeps the batch past its handler: complete what is answered, once, from any thread."""
        self._check()
        if self._flight is None:
            self._handle.keep()
        self._kept = True
        return HeldBatch(self._handle, self._flight, self._rows)


class HeldBatch(Batch[T]):
    """A batch that was kept or pulled. Its holder completes or frees it, once; what is only forgotten is freed."""

    def complete(self) -> None:
        """What was set counts; values without a result fail with NO_RESULT."""
        self._end("complete")

    def complete_ok(self) -> None:
        """The same, but values without a result are OK, with None."""
        if self._rows is not None and not self._ended:
            for place, row in enumerate(self._rows):
                if place not in self._answered:
                    self._handle.set(row, None)
        self._end("complete" if self._rows is not None else "complete_ok")

    def free(self) -> None:
        """Gives the batch up: its values fail with NO_RESULT."""
        self._end("complete" if self._rows is not None else "free")

    def _end(self, how: str) -> None:
        self._check()
        self._ended = True
        if self._flight is not None:
            self._flight.end(how)
        else:
            getattr(self._handle, how)()


class Work:
    """A handler of any form."""

    def __init__(self, function: Callable[..., Any], thrown: Callable[[int, BaseException], None] | None = None) -> None:
        self.takes_batch = isinstance(function, OnBatch)
        self.function: Callable[..., Any] = function.function if isinstance(function, OnBatch) else function
        call = getattr(self.function, "__call__", None)
        self.is_async = inspect.iscoroutinefunction(self.function) or inspect.iscoroutinefunction(call)
        self.thrown = thrown

    def run(self, batch: Batch[Any]) -> None:
        """Calls a plain handler; what it raises fails the part."""
        try:
            if self.takes_batch:
                self.function(batch)
            else:
                self._answer(batch, self.function(batch.values))
        except BaseException as failure:
            self._failed(batch, failure)

    async def run_async(self, batch: Batch[Any]) -> None:
        try:
            pending: Awaitable[Any] = self.function(batch if self.takes_batch else batch.values)
            answer = await pending
            if not self.takes_batch:
                self._answer(batch, answer)
        except BaseException as failure:
            self._failed(batch, failure)

    def _answer(self, batch: Batch[Any], results: Any) -> None:
        if results is None:
            raise TypeError("the handler returned None instead of a sequence of results")
        if self.thrown is not None and isinstance(results, list):
            tags = None
            for place, result in enumerate(results):
                if isinstance(result, BaseException) and place < len(batch):
                    tags = batch.tags if tags is None else tags
                    self.thrown(tags[place], result)
        try:
            batch.set_all(results)
        except Exception as refused:
            if getattr(refused, "code", 0) != CODES["RESULT_COUNT"]:
                raise

    def _failed(self, batch: Batch[Any], failure: BaseException) -> None:
        if batch._kept:
            report("a handler failed after it had kept its batch", failure)
            return
        try:
            if self.thrown is not None:
                for tag in batch.tags:
                    self.thrown(tag, failure)
            batch.fail_all(failure)
        except Exception as late:
            if getattr(late, "code", 0) != CODES["TOO_LATE"]:
                report("a failure could not be told", late)


def report(what: str, failure: BaseException) -> None:
    """Tells what has nobody to be raised to, the way Python does."""
    _microbatch.unraisable(failure, f"microbatch: {what}")
