"""Columns in and out: Arrow, numpy, pandas; and views of the engine's memory."""

from __future__ import annotations

import array
import gc
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import microbatch
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from microbatch import Batch, Batcher, Error, Results
from test_values import collected


def values_of(source: Any) -> list[Any]:
    return [value for _, value in collected(source)]


WIDE = {
    "int8": (-128, 127),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint8": (0, 255),
    "uint16": (0, 2**16 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**63 - 1),
}


@pytest.mark.parametrize("name", WIDE)
def test_integers_of_every_width_widen_exactly(name: str) -> None:
    low, high = WIDE[name]
    numbers = [low, high, 1, 0]
    assert values_of(np.array(numbers, dtype=name)) == numbers
    assert values_of(np.array(numbers * 2, dtype=name)[::2]) == [low, 1, low, 1]
    column = pa.array([7, low, None, high, 1], type=getattr(pa, name)())
    assert values_of(column) == [7, low, None, high, 1]
    assert values_of(column[1:4]) == [low, None, high]
    assert values_of(column[2:]) == [None, high, 1]


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("float16", [1.5, -0.0, 65504.0, 2.0**-24, 6.1e-05, float("inf"), -float("inf")]),
        ("float32", [1.5, -0.0, 3.4028234663852886e38, 1e-45, float("inf")]),
        ("float64", [0.1, -0.0, 1.7976931348623157e308, 5e-324]),
    ],
)
def test_floats_of_every_width_widen_exactly(name: str, numbers: list[float]) -> None:
    expected = [float(number) for number in np.array(numbers, dtype=name)]
    for got in (values_of(np.array(numbers, dtype=name)), values_of(pa.array(np.array(numbers, dtype=name)))):
        assert [number.hex() for number in got] == [number.hex() for number in expected]


def test_every_half_is_the_float_that_numpy_says() -> None:
    halves = np.arange(2**16, dtype="u2").view("f2")
    wide = np.frombuffer(microbatch._microbatch.widen(halves.tobytes(), "e", None), dtype="f8")
    assert np.array_equal(wide, halves.astype("f8"), equal_nan=True)
    assert np.array_equal(np.signbit(wide), np.signbit(halves))


def test_integers_beyond_64_bits_are_refused_unless_they_are_null() -> None:
    column = pa.array([1, 2**64 - 1, 3], type=pa.uint64())
    with pytest.raises(Error, match="OUT_OF_RANGE: 18446744073709551615"):
        values_of(column)
    hidden = pa.Array.from_buffers(pa.uint64(), 3, [pa.py_buffer(b"\x05"), column.buffers()[1]])
    assert values_of(hidden) == [1, None, 3]


STRINGS = ["a", None, "", "long enough to lie in a buffer of its own", "\U0001f600", "x" * 13]


@pytest.mark.parametrize("kind", [pa.string, pa.large_string, pa.string_view], ids=lambda kind: str(kind()))
def test_strings_of_every_layout(kind: Callable[[], Any]) -> None:
    column = pa.array(STRINGS, type=kind())
    assert values_of(column) == STRINGS
    assert values_of(column[1:5]) == STRINGS[1:5]
    assert values_of(column[3:]) == STRINGS[3:]
    assert values_of(pa.chunked_array([column[:2], column[2:2], column[2:]])) == STRINGS
    assert values_of(column[:0]) == []


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(3)], ids=lambda kind: str(kind)
)
def test_bytes_of_every_layout(kind: Any) -> None:
    column = pa.array([b"abc", None, b"\0\xff\0", b"xyz"], type=kind)
    assert values_of(column) == [b"abc", None, b"\0\xff\0", b"xyz"]
    assert values_of(column[1:3]) == [None, b"\0\xff\0"]


def test_booleans_and_nulls_with_offsets() -> None:
    flags = [True, None, False, True, True, None, False, False, True, None, True]
    column = pa.array(flags)
    for first in range(len(flags)):
        assert values_of(column[first:]) == flags[first:]
    assert values_of(pa.array(list(range(20)) + [None] * 3)[9:]) == [*range(9, 20), None, None, None]


@pytest.mark.parametrize("kind", [bool, int, float, str, bytes], ids=lambda kind: str(kind.__name__))
def test_columns_go_out_with_nulls_in_every_byte_of_their_bits(kind: Any) -> None:
    values = [None if at % 3 == 1 else kind(b"x" * at) if kind is bytes else kind(at % 5) for at in range(21)]
    batcher: Batcher[Any, Any] = Batcher(mode="manual", results="pull")
    with batcher:
        batcher.push_many(values, 1)
        batch = batcher.next_batch(0)
        assert pa.array(batch).to_pylist() == values
        batch.set_all(values)
        batch.complete()
        assert pa.array(batcher.next_results(0)).to_pylist() == values


@pytest.mark.parametrize("values", [[True, False, True], [1, 2, 3], ["a", "b", "c"], [1.5, 2.5, 3.5]], ids=str)
def test_chunks_have_one_tag_for_each_value_or_none_is_taken(values: list[Any]) -> None:
    column = pa.chunked_array([values[:2], values[2:]])
    told: list[Any] = []
    with Batcher(lambda got: got, mode="manual", on_result=told.extend) as batcher:
        for tags in ([7, 5], [7, 5, 3, 1], []):
            with pytest.raises(Error, match=f"there must be one tag for each value: {len(tags)} came for 3") as refused:
                batcher.push_many(column, tags)
            assert (refused.value.accepted, batcher.stats().accepted) == (0, 0)
        assert batcher.push_many(column, [7, 5, 3]) == 3
        batcher.flush()
    assert [(one.tag, one.value) for one in told] == list(zip([7, 5, 3], values, strict=True))


def test_what_is_no_column_of_ours_is_refused_with_what_would_be() -> None:
    with pytest.raises(Error, match="decode it first, with dictionary_decode"):
        values_of(pa.array(["a", "b", "a"]).dictionary_encode())
    with pytest.raises(Error, match="decode it first"):
        values_of(pa.chunked_array([pa.array(["a", "b", "a"]).dictionary_encode()]))
    for column in (pa.array([[1]]), pa.array([{"a": 1}]), pa.array([1], type=pa.decimal128(5))):
        with pytest.raises(Error, match="numbers, booleans, strings, binary and nulls can"):
            values_of(column)


def test_pandas_columns_go_in_and_come_out() -> None:
    frame = pd.DataFrame({"n": [1, 2, 3], "s": ["a", None, "c"], "x": [0.5, 1.5, 2.5]})
    assert values_of(frame["n"]) == [1, 2, 3]
    assert values_of(frame["x"]) == [0.5, 1.5, 2.5]
    assert values_of(frame["s"].astype("string[pyarrow]")) == ["a", None, "c"]
    assert values_of(frame["s"].astype("category").astype(str).astype("str"))[0] == "a"
    sets: list[Any] = []
    with Batcher(lambda values: values, on_result=sets.append, max_delay="1s") as batcher:
        batcher.push_many(frame["s"].astype("string[pyarrow]"))
        batcher.flush(30)
    back = pa.array(sets[0]).to_pandas()
    assert back[0] == "a" and back.isna().tolist() == [False, True, False]
    assert pa.schema([pa.field("x", pa.array(sets[0]).type)]).field("x").type == pa.large_string()
    from_arrow: Any = vars(pd.Series)["from_arrow"].__func__  # which the stubs do not know
    column = from_arrow(pd.Series, sets[0])
    assert column.tolist()[::2] == ["a", "c"] and column.isna().tolist() == [False, True, False]


WITHOUT_PYARROW = """
import sys
sys.modules["pyarrow"] = None
import numpy as np, pandas as pd, microbatch
inside = []
prices = pd.Series([1.5, float("nan"), -0.0])
back = microbatch.map(prices, lambda part: (inside.append(np.shares_memory(part, prices.to_numpy())), part)[1])
assert inside == [True] and np.array_equal(back, prices, equal_nan=True), back
columns = {
    "int": (pd.Series([1, 2, 3], dtype="u2"), [1, 2, 3]),
    "bool": (pd.Series([True, False]), [True, False]),
    "strided": (pd.DataFrame({"a": [1, 2], "b": [3, 4]})["b"], [3, 4]),
    "index": (pd.Index([5, 6]), [5, 6]),
    "range": (pd.RangeIndex(3), [0, 1, 2]),
    "str": (pd.Series(["a", None, "c"], dtype="str"), ["a", None, "c"]),
    "object": (pd.Series(["a", None, 2.5], dtype="object"), ["a", None, 2.5]),
    "nullable": (pd.Series([1, None, 3], dtype="Int64"), [1, None, 3]),
    "levels": (pd.MultiIndex.from_tuples([(1, "a"), (2, "b")]), [(1, "a"), (2, "b")]),
}
for name, (column, values) in columns.items():
    told = []
    with microbatch.Batcher(lambda got: got, on_result=told.extend, mode="manual") as batcher:
        assert batcher.push_many(column) == len(values)
        batcher.flush()
    assert [one.value for one in told] == values, (name, told)
sets = []
with microbatch.Batcher(lambda got: got, on_result=sets.append, mode="manual") as batcher:
    batcher.push_many(["a", None, "b"])
    batcher.flush()
    batcher.push_many(sets[0])  # Arrow from one to the other
    batcher.flush()
assert list(sets[1].values) == ["a", None, "b"]
"""


def test_pandas_columns_and_arrow_without_pyarrow() -> None:
    subprocess.run([sys.executable, "-P", "-c", WITHOUT_PYARROW], check=True, timeout=120)


def test_nothing_of_others_is_imported() -> None:
    program = (
        "import sys, microbatch, array\n"
        "with microbatch.Batcher(lambda xs: xs) as b:\n"
        "    b.push_many(array.array('d', [1.5])); b.push_many(['a', None]); b.submit(object()).result(30)\n"
        "microbatch.map(array.array('d', [1.5]), lambda xs: xs)\n"
        "assert not {'numpy', 'pandas', 'pyarrow'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-P", "-c", program], check=True, timeout=120)


def echo_batch(seen: list[Any], look: Callable[[Batch[Any]], Any]) -> Any:
    def handler(batch: Batch[Any]) -> None:
        seen.append(look(batch))
        batch.set_all(batch.values)

    return microbatch.on_batch(handler)


@pytest.mark.parametrize("mode", ["threaded", "manual"])
def test_views_of_a_batch_show_its_memory_and_outlive_it(mode: str) -> None:
    kept: list[Any] = []
    with Batcher(
        echo_batch(kept, lambda batch: (np.frombuffer(batch.numbers, dtype="i8"), batch.tags)),
        mode=mode,
        max_batch_size=64,
        max_delay="forever",
        count_results=True,
    ) as batcher:
        for first in range(0, 6400, 64):
            batcher.push_many(array.array("q", range(first, first + 64)), first)
            batcher.flush(30)
    del batcher
    gc.collect()
    assert len(kept) == 100
    for at, (numbers, tags) in enumerate(kept):
        assert numbers.tolist() == list(tags) == list(range(64 * at, 64 * at + 64))
        with pytest.raises(ValueError):
            numbers[0] = 1


def test_a_view_is_of_the_very_memory_that_was_pushed_to() -> None:
    addresses: list[int] = []
    with Batcher(
        echo_batch(addresses, lambda batch: np.frombuffer(batch.numbers, dtype="i8").ctypes.data), count_results=True
    ) as batcher:
        for _ in range(20):
            batcher.push(1)
            batcher.flush(30)
    assert len(set(addresses)) < 20  # no copy: batches that nobody looks at any more are used again
    kept: list[Any] = []
    with Batcher(echo_batch(kept, lambda batch: batch.numbers), count_results=True) as batcher:
        for _ in range(20):
            batcher.push(1)
            batcher.flush(30)
    assert len({np.frombuffer(view, dtype="i8").ctypes.data for view in kept}) == 20


def test_a_batch_goes_to_arrow_in_place() -> None:
    seen: list[Any] = []
    with Batcher(echo_batch(seen, pa.array), max_batch_size=8, max_delay="forever") as batcher:
        for column in ([1, 2, 3], [1.5, -0.0], ["a", "", "\U0001f600"], [b"\0", b"x"], [True, False], [None, None]):
            batcher.push_many(column)
            batcher.flush(30)
    gc.collect()
    assert [one.to_pylist() for one in seen] == [
        [1, 2, 3], [1.5, -0.0], ["a", "", "\U0001f600"], [b"\0", b"x"], [True, False], [None, None]
    ]  # fmt: skip


def test_results_are_views_that_outlive_the_batcher() -> None:
    sets: list[Results[Any]] = []
    with Batcher(lambda values: values, on_result=sets.append, max_batch_size=64, max_delay="forever") as batcher:
        for first in range(0, 640, 64):
            batcher.push_many(array.array("d", range(first, first + 64)), first)
        batcher.push_many(["a", "bb", ""], 900)
        batcher.flush(30)
    numbers = [np.frombuffer(one.values, dtype="f8") for one in sets[:10]]  # type: ignore[call-overload]
    texts = pa.array(sets[10])
    tags = [one.tags for one in sets]
    del sets, batcher
    gc.collect()
    assert np.concatenate(numbers).tolist() == list(range(640))
    assert [tag for one in tags[:10] for tag in one] == list(range(640))
    assert texts.to_pylist() == ["a", "bb", ""]


def test_handlers_answer_with_columns() -> None:
    for answer in (pa.array([7, None, 9]), pa.array(["a", None, "c"]), pa.chunked_array([[1.5], [2.5, None]]), (1, "b", None)):
        expected = answer.to_pylist() if hasattr(answer, "to_pylist") else list(answer)
        with Batcher(lambda values: answer, max_batch_size=3, max_delay="forever") as batcher:
            assert [reply.result(30) for reply in [batcher.submit(n) for n in range(3)]] == expected


def test_a_batch_of_a_map_is_a_slice_of_the_callers_array() -> None:
    column, inside = np.arange(10.0), []
    microbatch.map(column, lambda part: (inside.append(np.shares_memory(part, column)), part)[1], max_batch_size=4)
    assert inside == [True] * 3
    texts = pa.array(["a", None, "ccc"])
    assert microbatch.map(texts, lambda part: [text and text.upper() for text in part]) == ["A", None, "CCC"]


@pytest.mark.parametrize("values", [[1, 2], [1.5, -0.0], ["a", None], [b"x", True]], ids=str)
def test_results_are_pickled_with_what_went_wrong(values: list[Any]) -> None:
    def handler(given: list[Any]) -> list[Any]:
        return given if fine else [given[0], microbatch.Failure(7, "no", "Odd")]

    sets: list[Results[Any]] = []
    with Batcher(handler, on_result=sets.append, mode="manual") as batcher:
        for fine in (True, False):
            batcher.push_many(values, 5)
            batcher.flush()
    for one in sets:
        again: Results[Any] = pickle.loads(pickle.dumps(one))
        assert (again.batch, again.kind, list(again.tags), again.all_ok) == (one.batch, one.kind, list(one.tags), one.all_ok)
        for mine, its in zip(one, again):
            assert mine[:3] == its[:3] and repr(mine.value) == repr(its.value) and str(mine.error) == str(its.error)


def test_bulk_pushes_from_several_threads_lose_nothing() -> None:
    total = [0, 0]
    lock = threading.Lock()

    def on_result(results: Results[int]) -> None:
        with lock:
            total[0] += len(results)
            total[1] += sum(results.tolist())

    with Batcher(lambda values: values, on_result=on_result, threads=2, max_batch_size=100) as batcher:
        threads = [
            threading.Thread(target=lambda: [batcher.push_many(np.arange(1000)) for _ in range(20)]) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        batcher.flush(60)
        assert total == [60_000, 60 * sum(range(1000))]


def test_a_map_keeps_neither_its_handler_nor_its_values() -> None:
    class Handler:
        def __call__(self, values: list[Any]) -> list[Any]:
            return values

    handler, thing = Handler(), Handler()
    ghosts = [weakref.ref(handler), weakref.ref(thing)]
    assert microbatch.map([thing, 1, thing], handler, max_batch_size=1) == [thing, 1, thing]
    made = microbatch.map([object() for _ in range(9)], lambda values: [[at] for at, _ in enumerate(values)], max_batch_size=3)
    assert made == [[0], [1], [2]] * 3
    assert list(microbatch.map(np.array([1.5, 2.5]), handler)) == [1.5, 2.5]
    del handler, thing
    gc.collect()
    assert [ghost() for ghost in ghosts] == [None, None]
