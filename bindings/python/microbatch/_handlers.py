"""The handlers that a batcher is made with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Union

from ._batch import Native, OnBatch, Work
from ._error import KINDS, named

Handler = Union[Callable[[list[Any]], Any], OnBatch, Native]

DEFAULT = len(KINDS)
"""The place of the default handler, after those of the kinds."""
_PYTHON_KINDS = {type(None): "null", bool: "bool", int: "int64", float: "float64", str: "string", bytes: "bytes"}


def kind_place(kind: str | type | None) -> int:
    if kind is None or isinstance(kind, type):
        name = _PYTHON_KINDS.get(kind or type(None), "object")
    else:
        name = kind
    if name not in KINDS:
        raise named("INVALID_ARGUMENT", f"there is no kind {kind!r}: {', '.join(KINDS)}, or a type of Python's")
    return KINDS.index(name)


def pulled_kinds(kinds: Iterable[Any]) -> int:
    """pull_handlers as bits."""
    if isinstance(kinds, (str, bytes, type)) or not isinstance(kinds, Iterable):
        raise named("INVALID_ARGUMENT", f"pull_handlers is a list of kinds, such as [int, 'default'], not {kinds!r}")
    return sum({1 << (DEFAULT if kind == "default" else kind_place(kind)) for kind in kinds})


class Handlers:
    """One for each kind and the default, or None. works: those of Python's."""

    def __init__(self, handler: Handler | None, by_kind: Mapping[Any, Handler] | None, manual: bool) -> None:
        given: list[Handler | None] = [None] * (DEFAULT + 1)
        given[DEFAULT] = handler
        if by_kind is not None and not isinstance(by_kind, Mapping):
            raise named("INVALID_ARGUMENT", f"handlers is a mapping such as {{int: f, 'string': g}}, not {by_kind!r}")
        for kind, function in (by_kind or {}).items():
            given[kind_place(kind)] = function
        for one in given:
            if one is not None and not callable(one) and not isinstance(one, Native):
                raise named(
                    "INVALID_ARGUMENT", f"a handler is a function of a list, on_batch(f) or Native(address), not {one!r}"
                )
        self.given = given
        self.works = [None if f is None or isinstance(f, Native) else Work(f) for f in given]
        self.manual = manual
        works = [work for work in self.works if work is not None]
        natives = any(isinstance(f, Native) for f in given)
        self.any_works = bool(works)
        self.is_async = any(work.is_async for work in works)
        if self.is_async and (manual or natives or not all(work.is_async for work in works)):
            raise named("INVALID_OPTION", "async handlers go neither with plain or native ones nor with mode=manual")
        if natives and works and not manual:
            raise named("INVALID_OPTION", "native handlers and handlers of Python's do not mix, except with mode=manual")

    def for_host(self) -> list[Any]:
        """What the engine is given: native ones, and in manual mode those of Python's."""
        return [f.checked() if isinstance(f, Native) else True if self.manual and f is not None else None for f in self.given]

    def kinds(self) -> int:
        """Those that threads or a loop of Python's pull for."""
        return 0 if self.manual else sum(1 << place for place, work in enumerate(self.works) if work is not None)

    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The running loop, for async ones."""
        if not self.is_async:
            return None
        try:
            return asyncio.get_running_loop()
        except RuntimeError:
            raise named("WRONG_MODE", "an async handler needs a running loop: make the batcher inside it") from None
