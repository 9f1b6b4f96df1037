"""Values of every kind, there and back; columns in and out; what is refused."""

from __future__ import annotations

import array
import gc
import math
import struct
import subprocess
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import microbatch
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from microbatch import Batcher, Error

AWKWARD: list[Any] = [
    None,
    True,
    False,
    0,
    2**63 - 1,
    -(2**63),
    0.0,
    -0.0,
    math.inf,
    -math.inf,
    5e-324,
    "",
    "\0",
    "a\0b",
    "\U0001f600 \u00e9 \uffff",
    b"",
    b"\0\xff",
]


def bits(value: Any) -> Any:
    return struct.pack(">d", value) if isinstance(value, float) else (type(value), value)


def echo(values: list[Any]) -> list[Any]:
    return list(values)


@pytest.fixture
def batcher() -> Iterator[Batcher[Any, Any]]:
    with Batcher(echo, max_batch_size=7, max_delay="1ms") as made:
        yield made


@pytest.mark.parametrize("value", AWKWARD, ids=repr)
def test_every_value_comes_back_as_it_was(batcher: Batcher[Any, Any], value: Any) -> None:
    assert bits(batcher.submit(value).result(30)) == bits(value)


def test_awkward_values_travel_together(batcher: Batcher[Any, Any]) -> None:
    replies = [batcher.submit(value) for value in AWKWARD]
    assert [bits(reply.result(30)) for reply in replies] == [bits(value) for value in AWKWARD]
    assert math.isnan(batcher.submit(math.nan).result(30))


@pytest.mark.parametrize(
    ("value", "name"), [(2**63, "OUT_OF_RANGE"), (-(2**63) - 1, "OUT_OF_RANGE"), ("a\ud800", "INVALID_UTF8")]
)
def test_what_does_not_fit_is_refused_with_its_name(batcher: Batcher[Any, Any], value: Any, name: str) -> None:
    with pytest.raises(Error) as refused:
        batcher.submit(value)
    assert refused.value.name == name
    assert ascii(value)[:200] in refused.value.message
    assert batcher.stats().accepted == 0


@pytest.mark.parametrize("value", [2**63, "\udfff"])
def test_a_result_that_does_not_fit_fails_its_part(value: Any) -> None:
    with Batcher(lambda values: [value for _ in values]) as batcher:
        with pytest.raises(Error, match="OUT_OF_RANGE|INVALID_UTF8"):
            batcher.submit(1).result(30)


class Thing:
    pass


def test_objects_travel_by_reference_and_are_released_once(batcher: Batcher[Any, Any]) -> None:
    things = [Thing() for _ in range(100)]
    ghosts = [weakref.ref(thing) for thing in things]
    replies = [batcher.submit(thing) for thing in things]
    for reply, thing in zip(replies, things):
        assert reply.result(30) is thing
    batcher.flush(30)
    counts = {sys.getrefcount(thing) for thing in things}
    del replies, reply, thing, things
    batcher.stats()  # a call in which what was given back is let go
    gc.collect()
    assert [ghost() for ghost in ghosts] == [None] * 100, counts


def test_an_ndarray_is_one_value_and_an_object(batcher: Batcher[Any, Any]) -> None:
    matrix = np.arange(4.0)
    assert batcher.submit(matrix).result(30) is matrix


@pytest.mark.parametrize(
    ("scalar", "same"),
    [(np.int8(-3), -3), (np.uint64(3), 3), (np.float32(0.5), 0.5), (np.float64(-0.0), -0.0), (np.bool_(True), True)],
)
def test_numpy_scalars_follow_their_dtype(batcher: Batcher[Any, Any], scalar: Any, same: Any) -> None:
    result = batcher.submit(scalar).result(30)
    assert bits(result) == bits(same)


def collected(source: Any, tags: Any = 0, **options: Any) -> list[tuple[int, Any]]:
    rows: list[tuple[int, Any]] = []
    with Batcher(echo, on_result=lambda results: rows.extend((r.tag, r.value) for r in results), **options) as batcher:
        count = batcher.push_many(source, tags)
        batcher.flush(30)
    assert len(rows) == count
    return rows


@pytest.mark.parametrize(
    "source",
    [
        [1, 2, 3],
        (1, 2, 3),
        range(1, 4),
        iter([1, 2, 3]),
        array.array("q", [1, 2, 3]),
        array.array("B", [1, 2, 3]),
        np.array([1, 2, 3]),
        np.array([1, 0, 2, 0, 3])[::2],
        np.array([1, 2, 3], dtype="u2"),
        pa.array([1, 2, 3]),
        pa.array([0, 1, 2, 3], type=pa.int16())[1:],
        pa.chunked_array([[1], [2, 3]]),
        pd.Series([1, 2, 3]),
    ],
    ids=lambda source: type(source).__name__,
)
def test_push_many_takes_integers_from_anywhere(source: Any) -> None:
    assert collected(source, 10) == [(10, 1), (11, 2), (12, 3)]


def test_push_many_takes_floats_strings_nulls_and_bytes_from_arrow() -> None:
    assert collected(pa.array([1.5, None, 2.5])) == [(0, 1.5), (1, None), (2, 2.5)]
    assert collected(np.array([1.5, 2.5], dtype="f4")) == [(0, 1.5), (1, 2.5)]
    assert collected(pa.array(["a", None, "", "\U0001f600"])[1:]) == [(0, None), (1, ""), (2, "\U0001f600")]
    assert collected(pa.array(["x", "yy"], type=pa.large_string())) == [(0, "x"), (1, "yy")]
    assert collected(pa.array([b"\0", None], type=pa.binary())) == [(0, b"\0"), (1, None)]
    assert collected(pa.array([True, None, False])) == [(0, True), (1, None), (2, False)]
    assert collected(pa.nulls(2)) == [(0, None), (1, None)]
    assert collected(pd.Series(["a", None, "c"], dtype="str"), [7, 5, 5]) == [(7, "a"), (5, None), (5, "c")]
    assert collected(pa.array([None] * 9 + [9], type=pa.int64())[9:]) == [(0, 9)]


def test_push_many_refuses_with_the_place() -> None:
    with Batcher(echo) as batcher:
        with pytest.raises(Error) as refused:
            batcher.push_many([1, 2, 2**64, 4])
        assert (refused.value.name, refused.value.accepted) == ("OUT_OF_RANGE", 2)
        with pytest.raises(Error, match="OUT_OF_RANGE"):
            batcher.push_many(np.array([1, 2**63], dtype="u8"))
        with pytest.raises(Error, match="format"):
            batcher.push_many(pa.array([{"a": 1}]))
        with pytest.raises(Error, match="one tag for each"):
            batcher.push_many([1, 2], [1])
        batcher.flush(30)


def test_results_go_out_as_arrays_and_to_arrow() -> None:
    sets: list[Any] = []
    with Batcher(echo, on_result=sets.append, max_delay="1s", max_batch_size=100) as batcher:
        for column in (np.arange(4), np.arange(4.0), ["a", None, "c"], [b"x"], [True, None]):
            batcher.push_many(column)
            batcher.flush(30)
    assert [pa.array(one).to_pylist() for one in sets] == [
        [0, 1, 2, 3], [0.0, 1.0, 2.0, 3.0], ["a", None, "c"], [b"x"], [True, None]
    ]  # fmt: skip
    assert pa.chunked_array(sets[0]).to_pylist() == [0, 1, 2, 3]
    assert np.asarray(sets[0].values).dtype == np.int64


def test_map_keeps_the_sort_of_array() -> None:
    assert microbatch.map([1, "a"], lambda xs: [x * 2 for x in xs]) == [2, "aa"]
    doubled = microbatch.map(np.arange(5), lambda xs: xs * 2.0, max_batch_size=2)
    assert isinstance(doubled, np.ndarray) and doubled.tolist() == [0, 2, 4, 6, 8]
    assert microbatch.map(array.array("d", [1, 2]), lambda xs: [x / 2 for x in xs]) == array.array("d", [0.5, 1])
    sizes: list[int] = []
    microbatch.map(list(range(7)), lambda xs: (sizes.append(len(xs)), xs)[1], batches=3)
    assert sizes == [3, 2, 2]


def test_map_raises_one_error_with_all_results() -> None:
    def handler(values: list[int]) -> list[int]:
        if 3 in values:
            raise KeyError("three")
        return values

    with pytest.raises(microbatch.MapError) as failed:
        microbatch.map([1, 2, 3, 4], handler, max_batch_size=2)
    assert isinstance(failed.value.__cause__, KeyError)
    results: Any = failed.value.results
    assert [result.outcome for result in results] == ["ok", "ok", "failed", "failed"]


def test_it_works_without_numpy() -> None:
    program = (
        "import sys; sys.modules['numpy'] = sys.modules['pandas'] = sys.modules['pyarrow'] = None\n"
        "import microbatch, array\n"
        "with microbatch.Batcher(lambda xs: xs) as b:\n"
        "    assert b.submit(1).result(30) == 1\n"
        "    assert b.submit([1]).result(30) == [1]\n"
        "    b.push_many(array.array('d', [1.5])); b.flush(30)\n"
        "assert microbatch.map([1.5], lambda xs: xs) == [1.5]\n"
    )
    subprocess.run([sys.executable, "-P", "-c", program], check=True, timeout=120)
