"""Functions and methods made batched."""

from __future__ import annotations

import functools
import inspect
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar, overload

from ._batch import OnBatch
from ._batcher import Batcher
from ._microbatch import Reply
from ._time import Option

T = TypeVar("T")
R = TypeVar("R")


class Batched(Generic[T, R]):
    """A function of a list of values, called with one value at a time: a call returns a Reply.

    A function has one batcher, a method one for each instance; it is made at the first use, in each process anew, so that
    instances can be pickled and processes forked. `batcher` is it.
    """

    def __init__(self, function: Callable[..., Any], options: dict[str, Option]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._options = options
        self._name = getattr(function, "__qualname__", repr(function))
        self._lock = threading.Lock()
        self._made: Batcher[T, R] | None = None
        self._of: dict[int, tuple[weakref.ref[Any], Batched[T, R]]] = {}
        """By identity: equal instances have batchers of their own, and need not be hashable."""

    @property
    def batcher(self) -> Batcher[T, R]:
        made = self._made
        if made is None or made._forked(os.getpid()) or made._host is None or made._loop_is_gone():
            with self._lock:
                made = self._made
                if made is None or made._forked(os.getpid()) or made._host is None or made._loop_is_gone():
                    made = self._made = Batcher(self._function, **self._options)  # type: ignore[arg-type]
        return made

    def __call__(self, value: T) -> Reply[R]:
        return self.batcher.submit(value)

    @overload
    def __get__(self, instance: None, owner: type) -> Batched[T, R]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Batched[T, R]: ...
    def __get__(self, instance: object, owner: type) -> Batched[T, R]:
        if instance is None:
            return self
        found = self._of.get(id(instance))
        if found is None or found[0]() is not instance:
            with self._lock:
                found = self._of.get(id(instance))
                if found is None or found[0]() is not instance:
                    found = self._of[id(instance)] = self._bind(instance)
        return found[1]

    def _bind(self, instance: object) -> tuple[weakref.ref[Any], Batched[T, R]]:
        place, known = id(instance), self._of

        def forget(gone: weakref.ref[Any]) -> None:
            found = known.get(place)
            if found is not None and found[0] is gone:
                del known[place]

        try:
            me = weakref.ref(instance, forget)
        except TypeError:
            kind = type(instance).__name__
            raise TypeError(f"a batched method needs weak references to its instance: add '__weakref__' to {kind}.__slots__") from None
        # weak: the batcher must not keep the instance that it goes with
        return me, Batched(_weak_method(self._function, me), self._options)

    def __reduce__(self) -> str:
        return self._name


def _weak_method(function: Callable[..., Any], me: weakref.ref[Any]) -> Callable[..., Any]:
    def strong() -> object:
        found = me()
        if found is None:
            raise ReferenceError(f"the instance whose {function.__name__} this is is gone")
        return found

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(values: list[Any]) -> Any:
            return await function(strong(), values)

        return call_async

    @functools.wraps(function)
    def call(values: list[Any]) -> Any:
        return function(strong(), values)

    return call


class _Decorates(Protocol):
    @overload
    def __call__(self, function: Callable[[list[T]], Awaitable[Iterable[R]]], /) -> Batched[T, R]: ...
    @overload
    def __call__(self, function: Callable[[list[T]], Iterable[R]], /) -> Batched[T, R]: ...
    @overload
    def __call__(self, function: Callable[[Any, list[T]], Awaitable[Iterable[R]]], /) -> Batched[T, R]: ...
    @overload
    def __call__(self, function: Callable[[Any, list[T]], Iterable[R]], /) -> Batched[T, R]: ...
    @overload
    def __call__(self, function: OnBatch, /) -> Batched[Any, Any]: ...


@overload
def batched(function: Callable[[list[T]], Awaitable[Iterable[R]]], /) -> Batched[T, R]: ...
@overload
def batched(function: Callable[[list[T]], Iterable[R]], /) -> Batched[T, R]: ...
@overload
def batched(function: Callable[[Any, list[T]], Awaitable[Iterable[R]]], /) -> Batched[T, R]: ...
@overload
def batched(function: Callable[[Any, list[T]], Iterable[R]], /) -> Batched[T, R]: ...
@overload
def batched(function: OnBatch, /) -> Batched[Any, Any]: ...
@overload
def batched(**options: Option) -> _Decorates: ...
def batched(function: Callable[..., Any] | None = None, /, **options: Option) -> Any:
    """Decorates a function or method that takes a list of values and returns their results, so that it is called with one
    value and returns a Reply: `await f(x)`, or `f(x).result()`. Options as those of Batcher."""

    def decorate(function: Callable[..., Any]) -> Batched[Any, Any]:
        if not callable(function):
            raise TypeError(f"batched decorates a function of a list of values, not {function!r}")
        return Batched(function, options)

    return decorate if function is None else decorate(function)
