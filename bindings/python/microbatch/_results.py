"""Sets of results, as columns and row by row; and columns that Arrow can take."""

from __future__ import annotations

import array
from collections.abc import Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from . import _microbatch
from ._error import CODES, FLOAT64, HANDLED, INT64, KINDS, OUTCOMES, Error, make, of_row

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
    """A set of results, in order. It is a copy: it lives as long as you keep it.

    batch: the number of the batch; 0 for values that were never dispatched, and in a map. kind: the one kind of all results
    if all are OK, or "mixed". tags: memoryview of uint64.
    """

    __slots__ = ("batch", "kind", "tags", "_outcomes", "_handled", "_values", "_kind", "_set")

    def __init__(self, columns: _microbatch.Columns) -> None:
        self.batch, self._kind, tags, self._outcomes, self._handled, self._values, self._set = columns
        self.kind = KINDS[self._kind] if self._kind < len(KINDS) else "mixed"
        self.tags = memoryview(tags).cast("Q")

    def __len__(self) -> int:
        return len(self.tags)

    @property
    def all_ok(self) -> bool:
        return self._outcomes is None

    @property
    def values(self) -> Sequence[R]:
        """The results: a memoryview of int64 or float64 if all are OK and of that kind, else a list with an Error for each
        value that has no result."""
        if isinstance(self._values, bytes):
            return memoryview(self._values).cast("q" if self._kind == INT64 else "d")  # type: ignore[return-value]
        if self._outcomes is None:
            return self._values  # type: ignore[no-any-return]
        return [value if self._is_ok(row) else self._error(row) for row, value in enumerate(self._values)]  # type: ignore[misc]

    def _is_ok(self, row: int) -> bool:
        return self._outcomes is None or self._outcomes[row] == _OK

    def _error(self, row: int) -> Error:
        code, type_name, message = self._values[row]
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

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return _microbatch.arrow_export_stream(*self._arrow())

    def _arrow(self) -> tuple[str, int, int, tuple[bytes | None, ...]]:
        if self._outcomes is not None:
            raise self.first_error() or AssertionError
        if isinstance(self._values, bytes):
            return "l" if self._kind == INT64 else "g", len(self), 0, (None, self._values)
        return arrow_column(self._values)


def _bits(flags: Sequence[bool]) -> bytes:
    bits = bytearray((len(flags) + 7) // 8)
    for at, flag in enumerate(flags):
        if flag:
            bits[at >> 3] |= 1 << (at & 7)
    return bytes(bits)


def arrow_column(values: Sequence[Any]) -> tuple[str, int, int, tuple[bytes | None, ...]]:
    """A list of one kind, with None for nulls, in Arrow's shape."""
    kinds = {type(value) for value in values if value is not None}
    nulls = sum(value is None for value in values)
    validity = _bits([value is not None for value in values]) if nulls else None
    count = len(values)
    if not kinds:
        return "n", count, count, ()
    if kinds == {bool}:
        return "b", count, nulls, (validity, _bits([bool(value) for value in values]))
    if kinds == {int}:
        return "l", count, nulls, (validity, array.array("q", [value or 0 for value in values]).tobytes())
    if kinds == {float} or kinds == {int, float}:
        if kinds != {float}:
            raise make(CODES["INVALID_ARGUMENT"], "an Arrow column has one kind, and these are integers and floats")
        return "g", count, nulls, (validity, array.array("d", [value or 0.0 for value in values]).tobytes())
    if kinds == {str} or kinds == {bytes}:
        parts = [b"" if value is None else value.encode() if isinstance(value, str) else value for value in values]
        offsets = array.array("q", [0])
        end = 0
        for part in parts:
            end += len(part)
            offsets.append(end)
        return "U" if kinds == {str} else "Z", count, nulls, (validity, offsets.tobytes(), b"".join(parts))
    shown = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise make(CODES["INVALID_ARGUMENT"], f"an Arrow column has one kind of number or text; these are {shown}")


assert FLOAT64 != INT64
