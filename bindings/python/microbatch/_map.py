"""Known data in one call."""

from __future__ import annotations

import array
import sys
from collections.abc import Callable, Iterable
from typing import Any

from . import _microbatch
from ._batch import Batch, OnBatch, Work, on_batch
from ._columns import Numbers, Strings, chunks_of, is_pandas, listed
from ._error import MapError, named
from ._results import Results


def _numpy_of(source: object) -> Any:
    """numpy, if the source is of numpy's or pandas' kind: then it is loaded already."""
    numpy = sys.modules.get("numpy")
    return numpy if numpy is not None and (isinstance(source, numpy.ndarray) or is_pandas(source)) else None


def map(
    values: Iterable[Any],
    handler: Callable[[Any], Any],
    *,
    max_batch_size: int = 0,
    batches: int = 0,
) -> Any:
    """Handles known values in batches, on the calling thread, without a batcher; answers the results in order.

    handler: takes a batch's values and returns as many results; `on_batch(f)` takes the Batch. An array of numbers is read in
    place, and the handler gets each batch as an array: of numpy's if `values` is of numpy or pandas, else a memoryview. The
    results are an array of the same sort if all are integers or all floats, else a list. max_batch_size: values in each batch
    but the last. batches: how many batches instead, split as numpy.array_split does. A failed part fails its values, and a
    MapError then has all results.
    """
    numpy = _numpy_of(values)
    run = _Run(handler, numpy, arrays=True)
    results: Results[Any] = run(values, max_batch_size, batches)
    failure = results.first_error()
    if failure is not None:
        error = MapError(failure.code, failure.message, type_name=failure.type_name, handled=failure.handled)
        error.outcome = failure.outcome
        error.results = results
        raise error from next((run.thrown[tag] for tag in results.tags if tag in run.thrown), None)
    answer = results.values
    if isinstance(answer, memoryview):
        if numpy is not None:
            return numpy.frombuffer(answer, dtype=answer.format)
        if isinstance(values, array.array):
            return array.array(answer.format, answer)
        return answer.tolist()
    return answer


def map_batches(
    values: Iterable[Any], handler: Callable[[Batch[Any]], Any], *, max_batch_size: int = 0, batches: int = 0
) -> Results[Any]:
    """`map` for a handler that takes the Batch; answers all Results, failed ones too, instead of raising."""
    return _Run(on_batch(handler), None, arrays=False)(values, max_batch_size, batches)


class _Run:
    """One map: its handler, and what that threw."""

    def __init__(self, handler: Callable[[Any], Any], numpy: Any, arrays: bool) -> None:
        if not callable(handler):
            raise named("INVALID_ARGUMENT", f"a handler is a function of a batch's values or on_batch(f), not {handler!r}")
        self.work = Work(handler)
        self.thrown: dict[int, BaseException] = {}
        self.numpy = numpy
        self.arrays = arrays and not self.work.takes_batch
        self.cells: memoryview[Any] | None = None
        if self.work.is_async:
            raise named("INVALID_ARGUMENT", "map has no loop: its handler cannot be async")

    def __call__(self, values: Iterable[Any], size: int, batches: int) -> Results[Any]:
        for name, number in (("max_batch_size", size), ("batches", batches)):
            if not isinstance(number, int) or number < 0:
                raise named("INVALID_ARGUMENT", f"{name} is a whole number from 1 on, or 0 for none, not {number!r}")
        chunks = chunks_of(values)
        size, batches = min(size, 2**64 - 1), min(batches, 2**64 - 1)
        work = self.work
        if len(chunks) == 1 and isinstance(chunks[0], Numbers):
            numbers = chunks[0]
            if self.arrays and numbers.validity is None:
                self.cells = memoryview(numbers.cells).cast("B").cast("d" if numbers.floats else "q")
                work = Work(OnBatch(self._on_array))
            columns = _microbatch.map_numbers(
                (work, self.thrown), numbers.cells, numbers.floats, numbers.validity, size, batches
            )
        elif len(chunks) == 1 and isinstance(chunks[0], Strings) and not chunks[0].large:
            strings = chunks[0]
            columns = _microbatch.map_strings(
                (work, self.thrown), strings.data, strings.offsets, strings.validity, size, batches
            )
        else:
            columns = _microbatch.map_values((work, self.thrown), listed(chunks), size, batches)
        return Results(columns)

    def _on_array(self, batch: Batch[Any]) -> None:
        """The handler, given each batch as a slice of the caller's own array."""
        assert self.cells is not None
        first = batch.tags[0]
        part = self.cells[first : first + len(batch)]
        batch._answer(self.work.function(part if self.numpy is None else self.numpy.frombuffer(part, dtype=part.format)))
