"""Batches with several handlers: parts one after another, on threads, on a loop, and pulled."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import microbatch
import pytest
from microbatch import Batch, Batcher, Error

LOOKS = 0.1
"""How long a handler looks for another that must not run beside it: a look can miss one, and never sees one that is not."""


class Beside:
    """Sees handlers that run beside each other."""

    def __init__(self) -> None:
        self.running = 0
        self.seen = threading.Event()
        self.order: list[str] = []

    def enter(self, name: str) -> None:
        self.order.append(name)
        self.running += 1
        if self.running > 1:
            self.seen.set()

    def leave(self) -> None:
        self.running -= 1


@pytest.mark.parametrize("early", ["keep", "complete", "free"])
def test_p13_the_next_part_waits_for_a_handler_that_let_go_of_its_own(early: str) -> None:
    beside = Beside()

    def numbers(batch: Batch[int]) -> None:
        beside.enter("int64")
        held = batch.keep()
        held.set_all([2 * value for value in batch.values])
        if early != "keep":
            getattr(held, early)()
        beside.seen.wait(LOOKS)
        beside.leave()
        if early == "keep":
            held.complete()

    def texts(values: list[str]) -> list[str]:
        beside.enter("string")
        beside.leave()
        return [value.upper() for value in values]

    handlers: dict[Any, Any] = {int: microbatch.on_batch(numbers), str: texts}
    with Batcher(handlers=handlers, threads=3, max_in_flight=3, max_delay=60, max_batch_size=2) as batcher:
        number, text = batcher.submit(1), batcher.submit("a")
        assert text.result() == "A"
        if early == "free":
            with pytest.raises(Error, match="NO_RESULT"):
                number.result()
        else:
            assert number.result() == 2
    assert beside.order == ["int64", "string"]
    assert not beside.seen.is_set()


def test_p10_a_handler_on_a_thread_keeps_its_slot_until_it_returns() -> None:
    beside = Beside()

    def handler(batch: Batch[int]) -> None:
        beside.enter("")
        held = batch.keep()
        held.set_all(batch.values)
        held.complete()
        beside.seen.wait(LOOKS / 10)
        beside.leave()

    with Batcher(microbatch.on_batch(handler), threads=4, max_in_flight=1, max_batch_size=1) as batcher:
        replies = [batcher.submit(value) for value in range(10)]
        assert [reply.result() for reply in replies] == list(range(10))
    assert not beside.seen.is_set()


def test_p13_parts_on_a_loop_run_one_after_another() -> None:
    async def main() -> None:
        order: list[str] = []
        let_go = asyncio.Event()

        async def numbers(batch: Batch[int]) -> None:
            order.append("int64 begins")
            held = batch.keep()
            held.set_all(batch.values)
            held.complete()
            await let_go.wait()
            order.append("int64 ends")

        async def texts(values: list[str]) -> list[str]:
            order.append("string")
            return values

        handlers: dict[Any, Any] = {int: microbatch.on_batch(numbers), str: texts}
        async with Batcher(handlers=handlers, max_in_flight=2, max_delay=60, max_batch_size=3) as batcher:
            one, text, two = batcher.submit(1), batcher.submit("a"), batcher.submit(2)
            while order != ["int64 begins"]:
                await asyncio.sleep(0)
            for _ in range(10):  # turns of the loop, in which the other part is there
                await asyncio.sleep(0)
            assert order == ["int64 begins"]
            let_go.set()
            assert [await reply for reply in (one, text, two)] == [1, "a", 2]
            assert order == ["int64 begins", "int64 ends", "string"]

    asyncio.run(main())


def test_p21_finished_parts_keep_their_results_when_time_is_up() -> None:
    hangs = threading.Event()

    def texts(values: list[str]) -> list[str]:
        hangs.wait()
        return values

    handlers: dict[Any, Any] = {int: lambda values: [2 * value for value in values], str: texts, None: lambda values: values}
    try:
        with Batcher(handlers=handlers, handler_timeout="20ms", max_delay=60, max_batch_size=3) as batcher:
            null, text, number = batcher.submit(None), batcher.submit("a"), batcher.submit(21)
            with pytest.raises(Error, match="HANDLER_TIMEOUT"):
                text.result()
            assert null.result() is None  # in order of kind code: null, int64, string
            assert number.result() == 42
            hangs.set()
    finally:
        hangs.set()


def test_p13_a_host_of_its_own_pulls_parts() -> None:
    with Batcher(pull_handlers=[int, "default"], max_delay=60, max_batch_size=3) as batcher:
        values: list[Any] = ["a", 2, None]
        replies = [batcher.submit(value) for value in values]
        part = batcher.next_batch()
        assert part.values == [2]
        with pytest.raises(Error, match="TIMEOUT"):
            batcher.next_batch(0)
        assert part.keep() is part
        rest = batcher.next_batch()
        assert rest.values == ["a", None]
        rest.set_all(["A", 0])
        rest.complete()
        part.set(0, 4)
        part.complete()
        assert [reply.result() for reply in replies] == ["A", 4, 0]
    with Batcher(pull_handlers=["string"], max_delay=60) as batcher, pytest.raises(Error, match="NO_HANDLER"):
        batcher.push(1)


def test_p19_complete_next_takes_the_set_that_is_ready() -> None:
    with Batcher(results="pull", max_batch_size=1, max_in_flight=2) as batcher:
        batcher.push(1, 10)
        batcher.push(2, 20)
        first, second = batcher.next_batch(), batcher.next_batch()
        for batch in (first, second):
            batch.set_all([value + 1 for value in batch.values])
        taken = first.complete_next()
        assert taken is not None and [(row.tag, row.value) for row in taken] == [(10, 2)]
        second.complete()
        assert [row.value for row in batcher.next_results(10)] == [3]
        with pytest.raises(Error, match="TOO_LATE"):
            first.complete_next()


def test_wrong_kinds_to_pull() -> None:
    with pytest.raises(Error, match="there is no kind 'int32': null, bool, int64"):
        Batcher(pull_handlers=["int32"])
    with pytest.raises(Error, match="pull_handlers"):
        Batcher(lambda values: values, pull_handlers=[int])
