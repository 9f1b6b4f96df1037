"""Columns of others, read in place: the buffer protocol and the Arrow PyCapsule protocol. Neither needs an import."""

from __future__ import annotations

import array
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from . import _microbatch
from ._error import CODES, make

_INTEGERS = frozenset("bBhHiIlLqQ")
_ARROW_NUMBERS = dict(c="b", C="B", s="h", S="H", i="i", I="I", l="q", L="Q", e="e", f="f", g="d")
_WIDTHS = dict(b=1, B=1, h=2, H=2, e=2, i=4, I=4, f=4, l=8, L=8, q=8, Q=8, d=8)


class Numbers(NamedTuple):
    """8-byte cells."""

    cells: Any
    floats: bool
    validity: bytes | None
    rows: int


class Strings(NamedTuple):
    """Arrow's strings."""

    data: Any
    offsets: Any
    large: bool
    validity: bytes | None
    rows: int


class Values(NamedTuple):
    """A list of any kinds."""

    values: list[Any]

    @property
    def rows(self) -> int:
        return len(self.values)


Chunk = Numbers | Strings | Values


def _widen(raw: memoryview[Any], letter: str, validity: bytes | None) -> Numbers:
    """Bytes of numbers as 8-byte cells, exactly; what needs more than 64 bits with a sign is refused."""
    rows = len(raw) // _WIDTHS[letter]
    if letter in "lqd":
        return Numbers(raw, letter == "d", validity, rows)
    return Numbers(_microbatch.widen(raw, letter, validity), letter in "ef", validity, rows)


def _from_buffer(source: Any) -> Chunk | None:
    try:
        view = memoryview(source)
    except (TypeError, ValueError, BufferError):
        return None
    letter = view.format.lstrip("@=<") if view.format else "B"
    if view.ndim != 1 or letter not in _INTEGERS | {"e", "f", "d", "?"}:
        return None
    if letter == "?":
        return Values([cell != 0 for cell in view.tobytes()])
    if _WIDTHS[letter] != view.itemsize:
        return None
    if not view.c_contiguous:
        return _widen(memoryview(view.tobytes()), letter, None)
    return _widen(view.cast("B") if view.nbytes else memoryview(b""), letter, None)


def _slice_bits(bits: Any, offset: int, count: int) -> bytes:
    if offset == 0:
        return bytes(memoryview(bits)[: (count + 7) // 8])
    whole = int.from_bytes(memoryview(bits)[: (offset + count + 7) // 8], "little") >> offset
    return whole.to_bytes((count + 7) // 8 + 1, "little")


def _bit(bits: bytes | None, at: int) -> bool:
    return bits is None or bool(bits[at >> 3] >> (at & 7) & 1)


def _from_arrow(taken: tuple[str, int, int, int, list[Any]]) -> Chunk:
    layout, count, nulls, offset, buffers = taken
    validity = None
    if layout != "n" and buffers and buffers[0] is not None and nulls != 0:
        validity = _slice_bits(buffers[0], offset, count)
    if layout == "n":
        return Values([None] * count)
    if count == 0:
        return Values([])
    if layout in _ARROW_NUMBERS:
        letter = _ARROW_NUMBERS[layout]
        size = _WIDTHS[letter]
        return _widen(memoryview(buffers[1])[offset * size : (offset + count) * size], letter, validity)
    if layout == "b":
        bits = _slice_bits(buffers[1], offset, count)
        return Values([_bit(bits, at) if _bit(validity, at) else None for at in range(count)])
    if layout in "uU":
        size = 8 if layout == "U" else 4
        offsets = memoryview(buffers[1])[offset * size : (offset + count + 1) * size]
        return Strings(b"" if buffers[2] is None else buffers[2], offsets, layout == "U", validity, count)
    if layout in "zZ":
        binary = b"" if buffers[2] is None else bytes(memoryview(buffers[2]))
        ends = memoryview(buffers[1]).cast("q" if layout == "Z" else "i")[offset : offset + count + 1]
        return Values(_bytes_of(binary, ends, validity))
    if layout.startswith("w:"):
        width = int(layout[2:])
        whole = bytes(memoryview(buffers[1])[offset * width : (offset + count) * width])
        parts = [whole[at * width : (at + 1) * width] for at in range(count)]
        return Values([part if _bit(validity, at) else None for at, part in enumerate(parts)])
    if layout in ("vu", "vz"):
        views = memoryview(buffers[1])[offset * 16 : (offset + count) * 16]
        text, starts = _microbatch.views(views, buffers[2:-1], validity)
        if layout == "vu":
            return Strings(text, starts, True, validity, count)
        return Values(_bytes_of(text, memoryview(starts).cast("q"), validity))
    if layout == "a dictionary":
        raise make(
            CODES["INVALID_ARGUMENT"],
            "an Arrow dictionary array (a categorical column) cannot be pushed: decode it first, with dictionary_decode() or"
            " astype(str)",
        )
    raise make(
        CODES["INVALID_ARGUMENT"],
        f"an Arrow array of format {layout!r} cannot be pushed: numbers, booleans, strings, binary and nulls can",
    )


def _bytes_of(data: bytes, ends: Any, validity: bytes | None) -> list[bytes | None]:
    return [data[ends[at] : ends[at + 1]] if _bit(validity, at) else None for at in range(len(ends) - 1)]


def is_pandas(source: object) -> bool:
    pandas = sys.modules.get("pandas")
    if pandas is None or isinstance(source, pandas.MultiIndex):
        return False
    return isinstance(source, (pandas.Series, pandas.Index))


def _from_pandas(column: Any) -> list[Chunk]:
    """A column is an array of numpy's, or pandas has a way to Arrow for it, which needs pyarrow; or it is read one by one."""
    if isinstance(column.dtype, sys.modules["numpy"].dtype):
        chunk = _from_buffer(column.to_numpy())
        if chunk is not None:
            return [chunk]
    elif hasattr(column, "__arrow_c_stream__"):
        try:
            return [_from_arrow(taken) for taken in _microbatch.arrow_stream(column)]
        except ImportError:
            pass
    return [Values([None if missing else value for value, missing in zip(column, column.isna())])]


def chunks_of(source: Iterable[Any], what: str = "values") -> list[Chunk]:
    """Reads a source of values or results in the cheapest way it offers."""
    if isinstance(source, list):
        return [Values(source)]
    if isinstance(source, (str, bytes, bytearray)):
        raise make(CODES["INVALID_ARGUMENT"], f"{type(source).__name__} is one value; many come as a list or an array")
    if is_pandas(source):
        return _from_pandas(source)
    chunk = _from_buffer(source)
    if chunk is not None:
        return [chunk]
    if hasattr(source, "__arrow_c_array__"):
        return [_from_arrow(_microbatch.arrow_array(source))]
    if hasattr(source, "__arrow_c_stream__"):
        return [_from_arrow(taken) for taken in _microbatch.arrow_stream(source)]
    if not isinstance(source, Iterable) and not hasattr(source, "__getitem__"):
        raise make(CODES["INVALID_ARGUMENT"], f"{what} come as an iterable or an array, not {source!r}")
    return [Values(list(source))]


def listed(chunks: list[Chunk]) -> list[Any]:
    """Columns that are not read in place."""
    values: list[Any] = []
    for chunk in chunks:
        if isinstance(chunk, Numbers):
            cells = memoryview(chunk.cells).cast("B").cast("d" if chunk.floats else "q").tolist()
            values += [cell if _bit(chunk.validity, at) else None for at, cell in enumerate(cells)]
        elif isinstance(chunk, Strings):
            data = bytes(memoryview(chunk.data))
            ends = memoryview(chunk.offsets).cast("B").cast("q" if chunk.large else "i")
            texts = _bytes_of(data, ends, chunk.validity)
            values += [None if text is None else text.decode() for text in texts]
        else:
            values += chunk.values
    return values


# ---- Ours, for others ----


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
