"""Many values in one call."""

from __future__ import annotations

import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ._columns import Numbers, Strings, chunks_of
from ._error import Error, make, named
from ._microbatch import unsigned

if TYPE_CHECKING:
    from ._batcher import Batcher

REPLY_TAGS = 2**63
"""Tags of replies have this bit."""


def push_all(batcher: Batcher[Any, Any], values: Iterable[Any], tags: Sequence[int] | int, due: int) -> int:
    """Pushes a source chunk by chunk, each in one call."""
    first, given = _tags(tags)
    host, taken = batcher._the_host(), 0
    wait = host.may_wait()
    if given is not None and any(tag >= REPLY_TAGS for tag in given):
        host.claim_tags()
    chunks = chunks_of(values)
    count = sum(chunk.rows for chunk in chunks)
    if given is not None and len(given) != count:
        refused = named("INVALID_ARGUMENT", f"there must be one tag for each value: {len(given)} came for {count}")
        refused.accepted = 0
        raise refused
    for chunk in chunks:
        last = first + taken + chunk.rows - 1
        if given is None and last >= REPLY_TAGS:
            try:
                unsigned("a tag", last)
            except Error as beyond:
                beyond.accepted = taken
                raise
            host.claim_tags()
        mine = None if given is None else given[taken : taken + chunk.rows]
        if isinstance(chunk, Numbers):
            accepted, status = host.push_numbers(
                chunk.cells, chunk.floats, chunk.validity, mine, first + taken, due, wait
            )
        elif isinstance(chunk, Strings):
            accepted, status = host.push_strings(
                chunk.data, chunk.offsets, chunk.large, chunk.validity, mine, first + taken, due, wait
            )
        else:
            accepted, status = host.push_values(chunk.values, mine, first + taken, due, wait)
        taken += accepted
        if status != 0:
            error = _explain(batcher, chunk, accepted, status)
            error.accepted = taken
            raise error
    return taken


def _tags(tags: Any) -> tuple[int, array.array[int] | None]:
    """The first of tags that count up, or all of them."""
    if isinstance(tags, (str, bytes)) or not hasattr(tags, "__iter__"):
        return unsigned("a tag", tags), None
    try:
        return 0, array.array("Q", tags)
    except (TypeError, OverflowError, ValueError) as wrong:
        raise named(
            "INVALID_ARGUMENT", f"tags are integers from 0 to {2**64 - 1}, one for each value or the first of them: {wrong}"
        ) from None


def _explain(batcher: Batcher[Any, Any], chunk: Any, place: int, status: int) -> Error:
    if not isinstance(chunk, (Numbers, Strings)):
        try:
            batcher._the_host().check(chunk.values[place])
        except Error as why:
            if why.code == status:
                return why
    return make(status)
