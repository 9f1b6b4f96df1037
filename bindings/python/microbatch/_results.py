"""Sets of results, as columns and row by row."""

from __future__ import annotations

import array
from collections.abc import Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from . import _microbatch
from ._columns import arrow_column
from ._error import HANDLED, INT64, KINDS, OUTCOMES, Error, of_row

R = TypeVar("R")
_OK = OUTCOMES.index("ok")


class Result(NamedTuple):
    """One value's result. value is None and error says why if the outcome is not "ok"."""

    tag: int
    outcome: str
    handled: str
    value: Any
    error: Error | None


class Results(Generic[R]):
    """A set of results, in order. It is yours: its memory stays as long as you keep it, or a view of it.

    batch: the number of the batch; 0 for values that were never dispatched, and in a map. kind: the one kind of all results
    if all are OK, or "mixed". tags: memoryview of uint64.
    """

    __slots__ = ("batch", "kind", "_tags", "_outcomes", "_handled", "_values", "_kind", "_set")

    def __init__(self, columns: _microbatch.Columns) -> None:
        self.batch, self._kind, self._tags, self._outcomes, self._handled, self._values, self._set = columns
        self.kind = KINDS[self._kind] if self._kind < len(KINDS) else "mixed"

    @property
    def tags(self) -> memoryview[Any]:
        return memoryview(self._tags)

    def __len__(self) -> int:
        return len(memoryview(self._tags))

    @property
    def all_ok(self) -> bool:
        return self._outcomes is None

    def __reduce__(self) -> tuple[object, ...]:
        tags = array.array("Q", self.tags)
        values = array.array("q" if self._kind == INT64 else "d", memoryview(self._values)) if self._is_numbers() else self._list()
        return Results, ((self.batch, self._kind, tags, self._outcomes, self._handled, values, None),)

    def _list(self) -> list[Any]:
        if self._values is None:
            self._values = _microbatch.set_values(self._set)
        return self._values  # type: ignore[no-any-return]

    def _is_numbers(self) -> bool:
        return self._values is not None and not isinstance(self._values, list)

    @property
    def values(self) -> Sequence[R]:
        """The results: a memoryview of int64 or float64 if all are OK and of that kind, else a list with an Error for each
        value that has no result."""
        if self._is_numbers():
            return memoryview(self._values)
        if self._outcomes is None:
            return self._list()
        return [value if self._is_ok(row) else self._error(row) for row, value in enumerate(self._list())]  # type: ignore[misc]

    def tolist(self) -> list[R]:
        """`values` as a list."""
        if self._is_numbers():
            return memoryview(self._values).tolist()  # type: ignore[return-value]
        return list(self.values)

    def _is_ok(self, row: int) -> bool:
        return self._outcomes is None or self._outcomes[row] == _OK

    def _error(self, row: int) -> Error:
        code, type_name, message = self._list()[row]
        outcome = self._outcomes[row] if self._outcomes is not None else _OK
        return of_row(code, type_name, message, outcome, self._handled[row] if self._handled is not None else -1)

    def __iter__(self) -> Iterator[Result]:
        values = self.values
        for row, tag in enumerate(self.tags):
            outcome = OUTCOMES[self._outcomes[row]] if self._outcomes is not None else OUTCOMES[_OK]
            handled = HANDLED[self._handled[row]] if self._handled is not None else HANDLED[-1]
            value = values[row]
            if outcome == OUTCOMES[_OK]:
                yield Result(tag, outcome, handled, value, None)
            else:
                yield Result(tag, outcome, handled, None, value)  # type: ignore[arg-type]

    def first_error(self) -> Error | None:
        for row in range(len(self) if self._outcomes is not None else 0):
            if not self._is_ok(row):
                return self._error(row)
        return None

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        return _microbatch.arrow_export(*self._arrow())

    def __arrow_c_schema__(self) -> object:
        return _microbatch.arrow_export(*self._arrow())[0]

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return _microbatch.arrow_export_stream(*self._arrow())

    def _arrow(self) -> tuple[str, int, int, tuple[Any, ...]]:
        if self._outcomes is not None:
            raise self.first_error() or AssertionError
        if self._is_numbers():
            return "l" if self._kind == INT64 else "g", len(self), 0, (None, self._values)
        if self._values is None and self.kind in ("string", "bytes"):
            return "u" if self.kind == "string" else "z", len(self), 0, (None, *_microbatch.set_texts(self._set))
        return arrow_column(self._list())


_microbatch.setup(Results=Results)
