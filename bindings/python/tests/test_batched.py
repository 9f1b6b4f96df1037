"""Functions and methods made batched."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import pickle
import weakref
from typing import Any, assert_type

import microbatch
import pytest


@microbatch.batched
def increased(values: list[int]) -> list[int]:
    return [value + 1 for value in values]


@microbatch.batched(max_batch_size=4)
async def doubled(values: list[int]) -> list[int]:
    await asyncio.sleep(0)
    return [2 * value for value in values]


def test_batched_takes_functions_with_options_and_without() -> None:
    assert increased(1).result() == 2
    increased.batcher.close()
    increased.batcher.abandon()
    assert increased(2).result() == 3  # one that was freed is made anew
    increased.batcher.close()
    no_function: Any = 5
    with pytest.raises(TypeError, match="batched decorates a function of a list of values, not 5"):
        microbatch.batched(max_batch_size=2)(no_function)


def test_an_async_function_has_a_batcher_on_each_loop_it_is_used_on() -> None:
    async def main() -> list[int]:
        answers = await asyncio.gather(*[doubled(n) for n in range(20)])
        assert doubled.batcher.stats().batch_size.max == 4
        await doubled.batcher.aclose()
        return answers

    for _ in range(2):
        assert asyncio.run(asyncio.wait_for(main(), 60)) == [2 * n for n in range(20)]


class Scaled:
    def __init__(self, by: int) -> None:
        self.by = by

    @microbatch.batched
    async def scaled(self, values: list[int]) -> list[int]:
        return [self.by * value for value in values]

    @staticmethod
    @microbatch.batched
    def negative(values: list[int]) -> list[int]:
        return [-value for value in values]


def test_an_async_method_has_a_batcher_for_each_instance() -> None:
    async def main() -> None:
        one, other = Scaled(3), Scaled(5)
        assert [*await asyncio.gather(one.scaled(2), other.scaled(2), one.scaled(4))] == [6, 10, 12]
        for made in (one, other):
            await made.scaled.batcher.aclose()
            made.scaled.batcher.abandon()

    asyncio.run(asyncio.wait_for(main(), 60))
    assert (Scaled.negative(4).result(), Scaled(1).negative(5).result()) == (-4, -5)
    Scaled.negative.batcher.close()


@microbatch.batched
@microbatch.on_batch
def tagged(batch: microbatch.Batch[int]) -> None:
    batch.set_all([10 * value for value in batch.values])


def test_a_function_of_the_batch_can_be_batched() -> None:
    assert tagged(4).result(30) == 40
    tagged.batcher.close()


def types() -> None:
    """Read by mypy, which `cargo test` runs, and never called."""
    assert_type(increased(1), microbatch.Reply[int])
    assert_type(doubled(1), microbatch.Reply[int])
    assert_type(Scaled(2).negative(1), microbatch.Reply[int])
    assert_type(Scale(2).scaled, microbatch.Batched[int, int])
    assert_type(Scaled(2).scaled, microbatch.Batched[int, int])


def test_it_looks_like_the_function_and_is_pickled_by_its_name() -> None:
    assert (vars(increased)["__name__"], increased.__module__) == ("increased", __name__)
    assert pickle.loads(pickle.dumps(increased)) is increased
    assert isinstance(Scaled.scaled, microbatch.Batched)


@dataclasses.dataclass
class Scale:
    """Equal to others, and not hashable."""

    by: int

    @microbatch.batched(max_batch_size=4)
    def scaled(self, values: list[int]) -> list[int]:
        return [value * self.by for value in values]


def test_equal_instances_have_batchers_of_their_own() -> None:
    one, other = Scale(3), Scale(3)
    assert one == other
    assert one.scaled.batcher is not other.scaled.batcher
    one.by = 5
    assert (one.scaled(2).result(), other.scaled(2).result()) == (10, 6)
    one.scaled.batcher.close()
    gone = weakref.ref(one)
    del one
    gc.collect()
    assert gone() is None
    assert other.scaled(2).result() == 6
    other.scaled.batcher.close()


def test_a_method_whose_instance_is_gone_says_so() -> None:
    scaled = Scale(3).scaled
    with pytest.raises(ReferenceError, match="the instance whose scaled this is is gone"):
        scaled(1).result(30)
    scaled.batcher.close()


class Slim:
    __slots__ = ()

    @microbatch.batched()
    def method(self, values: list[int]) -> list[int]:
        return values


def test_an_instance_without_weak_references_is_refused() -> None:
    with pytest.raises(TypeError, match="add '__weakref__' to Slim.__slots__"):
        Slim().method(1)
