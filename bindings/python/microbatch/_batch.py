"""A batch as a handler sees it, and the forms that handlers have."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Awaitable, Callable, Iterator, Mapping, Set
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from . import _microbatch
from ._columns import Numbers, Strings, arrow_column, chunks_of, listed
from ._results import Results
from ._error import CODES, FLOAT64, INT64, KINDS, TRIGGERS, describe, named
from ._microbatch import unsigned

T = TypeVar("T")


class Native(NamedTuple):
    """A handler in native code: the address of an mb_handler_fn, its user data, and the mb_release_fn that releases it."""

    address: int
    user_data: int = 0
    release: int = 0

    def checked(self) -> tuple[int, int, int]:
        return (
            unsigned("the address of a native handler", self.address),
            unsigned("the user_data of a native handler", self.user_data),
            unsigned("the release of a native handler", self.release),
        )


class OnBatch:
    """Marks a handler that takes the Batch and sets the results itself, instead of taking values and returning results."""

    def __init__(self, function: Callable[[Batch[Any]], Any]) -> None:
        self.function = function

    def __call__(self, batch: Batch[Any]) -> Any:
        return self.function(batch)


def on_batch(function: Callable[[Batch[Any]], Any]) -> OnBatch:
    """A handler of the form `handler(batch)`, plain or async: it sets results with `batch.set` and can keep the batch."""
    if not callable(function):
        raise named("INVALID_ARGUMENT", f"on_batch takes a function of a batch, not {function!r}")
    return OnBatch(function)


class Batch(_microbatch.Batch, Generic[T]):
    """A batch, or a handler's part of one.

    It is good until the handler returns, unless `keep` was called: then until `complete`. Views of it (`numbers`, `tags`, what
    Arrow takes) show the engine's own memory, and keep it as long as they live. number: 1, 2, 3, ... in order of
    dispatch. trigger: why it was sealed. age: seconds from the acceptance of its first value to its dispatch. kind: the
    kind of all its values, or "mixed".
    """

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def values(self) -> list[T]: ...
        def __getitem__(self, row: int) -> T: ...
        def keep(self) -> HeldBatch[T]: ...

    @property
    def kind(self) -> str:
        return KINDS[self._kind] if self._kind < len(KINDS) else "mixed"

    @property
    def trigger(self) -> str:
        return TRIGGERS[self._trigger - 1] if self._trigger else ""

    @property
    def age(self) -> float:
        return self.age_ns / 1e9

    def __iter__(self) -> Iterator[T]:
        return iter(self.values)

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """Integers, floats, strings and bytes in place; other kinds, if all are of one, as a copy."""
        return _microbatch.arrow_export(*self._arrow())

    def __arrow_c_schema__(self) -> object:
        return _microbatch.arrow_export(*self._arrow())[0]

    def _arrow(self) -> tuple[str, int, int, tuple[Any, ...]]:
        if self._kind in (INT64, FLOAT64):
            return "l" if self._kind == INT64 else "g", len(self), 0, (None, self.numbers)
        texts = self._texts()
        if texts is not None:
            return "u" if self.kind == "string" else "z", len(self), 0, (None, *texts)
        return arrow_column(self.values)

    def _row(self, row: object) -> int:
        """A row by number, or why there is none."""
        try:
            index = operator.index(row)  # type: ignore[arg-type]
        except TypeError:
            raise named("INVALID_ARGUMENT", f"a row is an integer from 0 to {len(self) - 1}, not {row!r}") from None
        if not 0 <= index < len(self):
            raise named("OUT_OF_RANGE", f"row {index} of a batch of {len(self)}")
        return index

    def fail(self, row: int, failure: BaseException) -> None:
        """Fails a row with an exception: a Failure has a code of your own."""
        self._fail(self._row(row), failure, *describe(failure))

    def fail_all(self, failure: BaseException) -> None:
        """Fails the whole part, whatever else is set."""
        self._fail(-1, failure, *describe(failure))


class HeldBatch(Batch[T]):
    """A batch that was kept or pulled. Its holder completes or frees it, once; what is only forgotten is freed. `keep` of a
    pulled part says that its handler has returned: the next part of its batch may come."""

    __slots__ = ()

    def complete(self) -> None:
        """What was set counts; values without a result fail with NO_RESULT."""
        self._complete()

    def complete_ok(self) -> None:
        """The same, but values without a result are OK, with None."""
        self._complete_ok()

    def complete_next(self) -> Results[Any] | None:
        """Completes it, and answers the next set of results that is ready then, for who pulls results."""
        return self._complete_next()

    def free(self) -> None:
        """Gives the batch up: its values fail with NO_RESULT."""
        self._free()


def set_column(batch: Batch[Any], results: Any) -> None:
    """Sets results that are neither a list nor a plain buffer."""
    if isinstance(results, (Mapping, Set)):
        raise TypeError(f"results come in the order of their values, and a {type(results).__name__} has no such order")
    chunks = chunks_of(results, "results")
    if len(chunks) == 1 and isinstance(chunks[0], Numbers):
        batch._set_numbers(chunks[0].cells, chunks[0].floats, chunks[0].validity)
    elif len(chunks) == 1 and isinstance(chunks[0], Strings) and not chunks[0].large:
        batch._set_strings(chunks[0].data, chunks[0].offsets, chunks[0].validity)
    else:
        batch.set_all(listed(chunks))


def tell_failure(batch: Batch[Any], failure: BaseException) -> None:
    """A handler raised: its part fails."""
    if batch._kept:
        report("a handler failed after it had kept its batch", failure)
        return
    try:
        batch.fail_all(failure)
    except Exception as late:
        if getattr(late, "code", 0) != CODES["TOO_LATE"]:
            report("a failure could not be told", late)


class Work:
    """A handler of any form."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.takes_batch = isinstance(function, OnBatch)
        self.function: Callable[..., Any] = function.function if isinstance(function, OnBatch) else function
        call = getattr(self.function, "__call__", None)
        self.is_async = inspect.iscoroutinefunction(self.function) or inspect.iscoroutinefunction(call)

    async def run_async(self, batch: Batch[Any]) -> None:
        try:
            if self.takes_batch:
                await self.function(batch)
            else:
                pending: Awaitable[Any] = self.function(batch.values)
                batch._answer(await pending)
        except BaseException as failure:
            tell_failure(batch, failure)
            if not isinstance(failure, Exception):
                raise  # the loop is told to stop, or the task


def report(what: str, failure: BaseException) -> None:
    """Tells what has nobody to be raised to, the way Python does."""
    _microbatch.unraisable(failure, f"microbatch: {what}")


_microbatch.setup(Batch=Batch, HeldBatch=HeldBatch, set_column=set_column, tell_failure=tell_failure)
