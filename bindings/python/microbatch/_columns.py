"""Columns of others, read in place: the buffer protocol and the Arrow PyCapsule protocol. Neither needs an import."""

from __future__ import annotations

import array
from collections.abc import Iterable
from typing import Any, NamedTuple

from . import _microbatch
from ._error import CODES, make

_INTEGERS = frozenset("bBhHiIlLqQ")
_ARROW_NUMBERS = dict(c="b", C="B", s="h", S="H", i="i", I="I", l="q", L="Q", f="f", g="d")


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


Chunk = Numbers | Strings | Values


def _widen(view: memoryview, letter: str, validity: bytes | None) -> Numbers:
    """Narrower numbers, exactly; what needs more than 64 bits with a sign is refused."""
    floats = letter in "fd"
    if letter == "d" or (letter in "ql" and view.itemsize == 8):
        return Numbers(view.cast("B") if view.nbytes else b"", floats, validity, len(view))
    try:
        wide = array.array("d" if floats else "q", view)
    except OverflowError:
        worst = max(view)
        raise make(CODES["OUT_OF_RANGE"], f"{worst}: integers are 64 bits with a sign, up to {2**63 - 1}") from None
    return Numbers(wide, floats, validity, len(wide))


def _from_buffer(source: Any) -> Chunk | None:
    try:
        view = memoryview(source)
    except (TypeError, ValueError, BufferError):
        return None
    letter = view.format.lstrip("@=<") if view.format else "B"
    if view.ndim != 1 or letter not in _INTEGERS | {"f", "d", "?"}:
        return None
    if letter == "?":
        return Values(view.tolist())
    if not view.c_contiguous:
        return _widen(memoryview(array.array(letter, view.tolist())), letter, None)
    if view.format != letter and view.nbytes:
        view = view.cast("B").cast(letter)  # type: ignore[call-overload]
    return _widen(view, letter, None)


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
        size = array.array(letter).itemsize
        raw = memoryview(buffers[1])[offset * size : (offset + count) * size]
        view: memoryview[Any] = raw.cast(letter)  # type: ignore[call-overload]
        if layout == "L" and validity is not None:
            cells = [number if _bit(validity, at) else 0 for at, number in enumerate(view)]
            view = memoryview(array.array("Q", cells))
        return _widen(view, letter, validity)
    if layout == "b":
        bits = _slice_bits(buffers[1], offset, count)
        return Values([_bit(bits, at) if _bit(validity, at) else None for at in range(count)])
    if layout in "uU":
        size = 8 if layout == "U" else 4
        offsets = memoryview(buffers[1])[offset * size : (offset + count + 1) * size]
        return Strings(b"" if buffers[2] is None else buffers[2], offsets, layout == "U", validity, count)
    if layout in "zZ":
        data = b"" if buffers[2] is None else bytes(memoryview(buffers[2]))
        ends = memoryview(buffers[1]).cast("q" if layout == "Z" else "i")[offset : offset + count + 1]
        return Values([data[ends[at] : ends[at + 1]] if _bit(validity, at) else None for at in range(count)])
    raise make(
        CODES["INVALID_ARGUMENT"],
        f"an Arrow array of format {layout!r} cannot be pushed: numbers, booleans, strings, binary and nulls can",
    )


def chunks_of(source: Iterable[Any]) -> list[Chunk]:
    """Reads a source in the cheapest way it offers."""
    if isinstance(source, list):
        return [Values(source)]
    if isinstance(source, (str, bytes, bytearray)):
        raise make(CODES["INVALID_ARGUMENT"], f"{type(source).__name__} is one value; many come as a list or an array")
    chunk = _from_buffer(source)
    if chunk is not None:
        return [chunk]
    if hasattr(source, "__arrow_c_array__"):
        return [_from_arrow(_microbatch.arrow_array(*source.__arrow_c_array__()))]
    if hasattr(source, "__arrow_c_stream__"):
        return [_from_arrow(taken) for taken in _microbatch.arrow_stream(source.__arrow_c_stream__())]
    return [Values(list(source))]
