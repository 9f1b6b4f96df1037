"""Known data in one call."""

from __future__ import annotations

import array
import sys
from collections.abc import Callable, Iterable
from typing import Any

from . import _microbatch
from ._batch import Batch, Work
from ._columns import Numbers, Strings, chunks_of
from ._error import INT64, Error, MapError, named
from ._results import Results


def _numpy_of(source: object) -> Any:
    """numpy, if the source is of numpy's or pandas' kind: then it is loaded already."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    pandas = sys.modules.get("pandas")
    if isinstance(source, numpy.ndarray) or (pandas is not None and isinstance(source, (pandas.Series, pandas.Index))):
        return numpy
    return None


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
    chunks = chunks_of(values)
    thrown: dict[int, BaseException] = {}
    if len(chunks) == 1 and isinstance(chunks[0], Numbers):
        numbers = chunks[0]
        as_array = numbers.validity is None
        work = Work(_on_arrays(handler, numpy) if as_array else handler, thrown.setdefault)  # type: ignore[arg-type]
        columns = _microbatch.map_numbers(
            _caller(work), numbers.cells, numbers.floats, numbers.validity, max_batch_size, batches
        )
    else:
        everything: list[Any] = []
        for chunk in chunks:
            everything += _listed(chunk)
        work = Work(handler, thrown.setdefault)  # type: ignore[arg-type]
        columns = _microbatch.map_values(_caller(work), everything, max_batch_size, batches)
    if work.is_async:
        raise named("INVALID_ARGUMENT", "map has no loop: its handler cannot be async")
    results: Results[Any] = Results(columns)
    failure = results.first_error()
    if failure is not None:
        error = MapError(failure.code, failure.message, type_name=failure.type_name, handled=failure.handled)
        error.outcome = failure.outcome
        error.results = results
        raise error from next((thrown[tag] for tag in results.tags if tag in thrown), None)
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
    from ._batch import on_batch

    try:
        columns: Any = None
        work = Work(on_batch(handler))
        chunks = chunks_of(values)
        if len(chunks) == 1 and isinstance(chunks[0], Numbers):
            columns = _microbatch.map_numbers(
                _caller(work), chunks[0].cells, chunks[0].floats, chunks[0].validity, max_batch_size, batches
            )
        else:
            everything: list[Any] = []
            for chunk in chunks:
                everything += _listed(chunk)
            columns = _microbatch.map_values(_caller(work), everything, max_batch_size, batches)
    except Error:
        raise
    return Results(columns)


def _caller(work: Work) -> Callable[[_microbatch.Batch, int], int]:
    def call(handle: _microbatch.Batch, which: int) -> int:
        work.run(Batch(handle, None))
        return 0

    return call


def _on_arrays(handler: Callable[[Any], Any], numpy: Any) -> Any:
    """The same handler, given arrays instead of lists."""
    from ._batch import OnBatch

    if isinstance(handler, OnBatch):
        return handler

    def on_array(batch: Batch[Any]) -> None:
        view = batch.numbers
        values = view if numpy is None else numpy.frombuffer(view, dtype="i8" if batch._kind == INT64 else "f8")
        results = handler(values)
        if results is None:
            raise TypeError("the handler returned None instead of a sequence of results")
        batch.set_all(results)

    return OnBatch(on_array)


def _listed(chunk: Any) -> list[Any]:
    """A column that is not read in place."""
    if isinstance(chunk, Numbers):
        cells = memoryview(chunk.cells).cast("B").cast("d" if chunk.floats else "q").tolist()
        return [cell if _is_set(chunk.validity, at) else None for at, cell in enumerate(cells)]
    if isinstance(chunk, Strings):
        data = bytes(memoryview(chunk.data))
        ends = memoryview(chunk.offsets).cast("B").cast("q" if chunk.large else "i")
        return [
            data[ends[at] : ends[at + 1]].decode() if _is_set(chunk.validity, at) else None for at in range(chunk.rows)
        ]
    return chunk.values  # type: ignore[no-any-return]


def _is_set(bits: bytes | None, at: int) -> bool:
    return bits is None or bool(bits[at >> 3] >> (at & 7) & 1)
