"""A batch as a handler sees it, and the forms that handlers have."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from . import _microbatch
from ._columns import Numbers, Strings, arrow_column, chunks_of, listed
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


class Batch(Generic[T]):
    """A batch, or a handler's part of one.

    It is good until the handler returns, unless `keep` was called: then until `complete`. Views of it (`numbers`, `tags`, what
    Arrow takes) show the engine's own memory, and keep it as long as they live. number: 1, 2, 3, ... in order of
    dispatch. trigger: why it was sealed. age: seconds from the acceptance of its first value to its dispatch. kind: the
    kind of all its values, or "mixed".
    """

    def __init__(self, handle: _microbatch.Batch) -> None:
        self._handle = handle
        self._count, self._kind, self._trigger, self.age_ns, self.number = handle.info()

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
        """The tag of each value, as a memoryview of uint64."""
        return memoryview(self._handle.columns()[0]).cast("B").cast("Q")

    @property
    def values(self) -> list[T]:
        """The values as a list."""
        return self._handle.values(None)

    @property
    def numbers(self) -> memoryview[Any]:
        """The values of a batch of integers or floats as a memoryview of int64 or float64, read-only."""
        cells = self._handle.cells()
        if cells is None:
            raise make(CODES["INVALID_ARGUMENT"], f"the batch is of kind {self.kind}, not int64 or float64")
        return memoryview(cells).cast("B").cast("q" if self._kind == INT64 else "d")

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """Integers, floats, strings and bytes in place; other kinds, if all are of one, as a copy."""
        return _microbatch.arrow_export(*self._arrow())

    def __arrow_c_schema__(self) -> object:
        return _microbatch.arrow_export(*self._arrow())[0]

    def _arrow(self) -> tuple[str, int, int, tuple[Any, ...]]:
        if self._kind in (INT64, FLOAT64):
            return "l" if self._kind == INT64 else "g", self._count, 0, (None, self._handle.cells())
        texts = self._handle.texts()
        if texts is not None:
            return "u" if self.kind == "string" else "z", self._count, 0, (None, *texts)
        return arrow_column(self.values)

    def __iter__(self) -> Iterator[T]:
        return iter(self.values)

    def __getitem__(self, row: int) -> T:
        return self._handle.values([row])[0]  # type: ignore[no-any-return]

    def set(self, row: int, value: object) -> None:
        """Makes this the result of a row. Set twice, the last counts."""
        self._handle.set(row, value)

    def set_all(self, results: Any) -> None:
        """Sets all results at once: a list, a buffer such as a numpy array, or an Arrow array. An exception in a list fails
        the value in its place. Another number of results than values fails the part with RESULT_COUNT."""
        set_results(self._handle, results, None)

    def fail(self, row: int, failure: BaseException) -> None:
        """Fails a row with an exception: a Failure has a code of your own."""
        self._handle.fail(row, *describe(failure))

    def fail_all(self, failure: BaseException) -> None:
        """Fails the whole part, whatever else is set."""
        self._handle.fail(-1, *describe(failure))

    def keep(self) -> HeldBatch[T]:
        """Keeps the batch past its handler: complete what is answered, once, from any thread."""
        self._handle.keep()
        return HeldBatch(self._handle)


class HeldBatch(Batch[T]):
    """A batch that was kept or pulled. Its holder completes or frees it, once; what is only forgotten is freed."""

    def complete(self) -> None:
        """What was set counts; values without a result fail with NO_RESULT."""
        self._handle.complete()

    def complete_ok(self) -> None:
        """The same, but values without a result are OK, with None."""
        self._handle.complete_ok()

    def free(self) -> None:
        """Gives the batch up: its values fail with NO_RESULT."""
        self._handle.free()


def set_results(handle: _microbatch.Batch, results: Any, thrown: dict[int, BaseException] | None) -> None:
    """Sets what a handler returned; exceptions among it fail their values, and are kept in `thrown` by tag."""
    if not isinstance(results, list):
        if handle.set_buffer(results):
            return
        chunks = chunks_of(results)
        if len(chunks) == 1 and isinstance(chunks[0], Numbers):
            handle.set_numbers(chunks[0].cells, chunks[0].floats, chunks[0].validity)
            return
        if len(chunks) == 1 and isinstance(chunks[0], Strings) and not chunks[0].large:
            handle.set_strings(chunks[0].data, chunks[0].offsets, chunks[0].validity)
            return
        results = listed(chunks)
    failures = handle.set_list(results)
    if failures:
        tags = memoryview(handle.columns()[0]).cast("B").cast("Q")
        for place, failure in failures:
            if thrown is not None:
                thrown[tags[place]] = failure
            handle.fail(place, *describe(failure))


class Work:
    """A handler of any form."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.takes_batch = isinstance(function, OnBatch)
        self.function: Callable[..., Any] = function.function if isinstance(function, OnBatch) else function
        call = getattr(self.function, "__call__", None)
        self.is_async = inspect.iscoroutinefunction(self.function) or inspect.iscoroutinefunction(call)
        self.thrown: dict[int, BaseException] | None = None
        """What was thrown for values that a Reply waits for, by tag."""

    def run(self, handle: _microbatch.Batch) -> BaseException | None:
        """Calls a plain handler; what it raises fails the part. Answers it if it is more than an Exception: Ctrl-C, say."""
        try:
            if self.takes_batch:
                self.function(Batch(handle))
            else:
                self._answer(handle, self.function(handle.values(None)))
        except BaseException as failure:
            self._failed(handle, failure)
            return None if isinstance(failure, Exception) else failure
        return None

    async def run_async(self, handle: _microbatch.Batch) -> None:
        try:
            if self.takes_batch:
                await self.function(Batch(handle))
            else:
                pending: Awaitable[Any] = self.function(handle.values(None))
                self._answer(handle, await pending)
        except BaseException as failure:
            self._failed(handle, failure)
            if not isinstance(failure, Exception):
                raise  # the loop is told to stop, or the task

    def _answer(self, handle: _microbatch.Batch, results: Any) -> None:
        if results is None:
            raise TypeError("the handler returned None instead of a sequence of results")
        try:
            set_results(handle, results, self.thrown)
        except Exception as refused:
            # the part says so itself
            if getattr(refused, "code", 0) != CODES["RESULT_COUNT"]:
                raise

    def _failed(self, handle: _microbatch.Batch, failure: BaseException) -> None:
        if handle.is_kept():
            report("a handler failed after it had kept its batch", failure)
            return
        try:
            if self.thrown is not None:
                for tag in memoryview(handle.columns()[0]).cast("B").cast("Q"):
                    self.thrown[tag] = failure
            handle.fail(-1, *describe(failure))
        except Exception as late:
            if getattr(late, "code", 0) != CODES["TOO_LATE"]:
                report("a failure could not be told", late)


def report(what: str, failure: BaseException) -> None:
    """Tells what has nobody to be raised to, the way Python does."""
    _microbatch.unraisable(failure, f"microbatch: {what}")
