"""The whole job in Python, beside others: push a number, batch by 256 or 1 ms, double it, the result goes back to its owner;
10,240 values outstanding. And in bulk: a list or an array in, batches of 4096 or 16384 doubled by numpy, lists or arrays out.

    pip install --require-hashes -r bindings/python/bench/requirements.txt     # numpy, aiodataloader, async-batcher, batched
    python bindings/python/bench/f9.py [seconds]

Every round measures all jobs, one after the other; shown are nanoseconds a value: the median over the rounds and, in
brackets, the quartiles; and how many times as long a peer takes, round by round. Run it on a quiet machine.
"""

from __future__ import annotations

import array
import asyncio
import importlib
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import microbatch
from microbatch import Batch, Batcher, Results

SIZE, DELAY, OUTSTANDING = 256, 0.001, 10_240  # a multiple of SIZE, so that no remainder waits a delay
BULK = 4096


class ByHand:
    """What one writes without a library."""

    def __init__(self) -> None:
        self.open: list[tuple[int, asyncio.Future[int]]] = []
        self.timer: asyncio.TimerHandle | None = None

    def submit(self, value: int) -> asyncio.Future[int]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        self.open.append((value, future))
        if len(self.open) == SIZE:
            self.run()
        elif self.timer is None:
            self.timer = loop.call_later(DELAY, self.run)
        return future

    def run(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        batch, self.open = self.open, []
        for (_, future), result in zip(batch, [2 * value for value, _ in batch]):
            if not future.done():
                future.set_result(result)


async def one_after_the_other(submit: Callable[[int], Awaitable[int]], count: int) -> None:
    """A future per value, all awaited."""
    for first in range(0, count, OUTSTANDING):
        replies = [submit(value) for value in range(first, first + OUTSTANDING)]
        for value, reply in enumerate(replies, first):
            assert await reply == 2 * value


async def gathered(submit: Callable[[int], Awaitable[int]], count: int) -> None:
    for first in range(0, count, OUTSTANDING):
        window = range(first, first + OUTSTANDING)
        assert await asyncio.gather(*[submit(value) for value in window]) == [2 * value for value in window]


async def in_tasks(submit: Callable[[int], Awaitable[int]], count: int) -> None:
    """A task per value, as a server has them."""

    async def serve(value: int) -> None:
        assert await submit(value) == 2 * value

    for first in range(0, count, OUTSTANDING):
        await asyncio.gather(*[serve(value) for value in range(first, first + OUTSTANDING)])


Way = Callable[[Callable[[int], Awaitable[int]], int], Awaitable[None]]


async def doubled(values: list[int]) -> list[int]:
    return [2 * value for value in values]


async def ours(way: Way, count: int) -> None:
    async with Batcher(doubled, max_batch_size=SIZE, max_delay=DELAY) as batcher:
        await way(batcher.submit, count)


async def by_hand(way: Way, count: int) -> None:
    await way(ByHand().submit, count)


async def aiodataloader(way: Way, count: int) -> None:
    loader = importlib.import_module("aiodataloader").DataLoader(doubled, max_batch_size=SIZE, cache=False)
    await way(loader.load, count)


async def async_batcher(way: Way, count: int) -> None:
    base: Any = importlib.import_module("async_batcher.batcher").AsyncBatcher

    class Doubling(base):  # type: ignore[misc]
        async def process_batch(self, batch: list[int]) -> list[int]:
            return [2 * value for value in batch]

    batcher = Doubling(max_batch_size=SIZE, max_queue_time=DELAY)
    await way(batcher.process, count)
    await batcher.stop(force=True)


async def batched(way: Way, count: int) -> None:
    module: Any = importlib.import_module("batched")
    double = module.aio.dynamically(batch_size=SIZE, timeout_ms=1000 * DELAY)(doubled)
    await way(double, count)


def in_bulk(source: Any, count: int, out: Callable[[Results[Any]], Any], size: int = BULK) -> None:
    """push_many to a handler on a thread, results to on_result."""
    import numpy

    came = 0

    def on_result(results: Results[Any]) -> None:
        nonlocal came
        came += len(out(results))

    def double(batch: Batch[int]) -> None:
        batch.set_all(numpy.frombuffer(batch.numbers, "i8") * 2)

    with Batcher(
        microbatch.on_batch(double), on_result=on_result, max_batch_size=size, max_delay=DELAY, queue_capacity=1 << 18
    ) as batcher:
        for _ in range(0, count, len(source)):
            batcher.push_many(source)
        batcher.flush()
    assert came == count


def lists_by_hand(source: list[int], count: int) -> None:
    """The same arrays from lists and back without a batcher: what Python itself takes."""
    import numpy

    for _ in range(0, count, len(source)):
        for first in range(0, len(source), BULK):
            (numpy.array(source[first : first + BULK]) * 2).tolist()


def lists_alone(numbers: memoryview[int], count: int) -> None:
    """The integers that come out, made and freed: what no batcher can spare Python."""
    for _ in range(0, count, len(numbers)):
        for first in range(0, len(numbers), BULK):
            numbers[first : first + BULK].tolist()


def timed(work: Callable[[int], Any], count: int) -> Callable[[], float]:
    def run() -> float:
        begun = time.perf_counter_ns()
        answer = work(count)
        if asyncio.iscoroutine(answer):
            asyncio.run(answer)
        return (time.perf_counter_ns() - begun) / count

    return run


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    numbers = array.array("q", range(12 * BULK))
    whole = numbers.tolist()
    single, slow, bulk = 10 * OUTSTANDING, OUTSTANDING, 40 * len(numbers)
    jobs: dict[str, dict[str, Callable[[], float]]] = {
        "await one after the other": {
            "microbatch": timed(lambda count: ours(one_after_the_other, count), single),
            "by hand": timed(lambda count: by_hand(one_after_the_other, count), single),
            "aiodataloader": timed(lambda count: aiodataloader(one_after_the_other, count), slow),
        },
        "gather": {
            "microbatch": timed(lambda count: ours(gathered, count), single),
            "by hand": timed(lambda count: by_hand(gathered, count), single),
            "aiodataloader": timed(lambda count: aiodataloader(gathered, count), slow),
            "async-batcher": timed(lambda count: async_batcher(gathered, count), slow),
            "batched": timed(lambda count: batched(gathered, count), slow),
        },
        "a task for each value": {
            "microbatch": timed(lambda count: ours(in_tasks, count), single),
            "by hand": timed(lambda count: by_hand(in_tasks, count), single),
            "aiodataloader": timed(lambda count: aiodataloader(in_tasks, count), slow),
            "async-batcher": timed(lambda count: async_batcher(in_tasks, count), slow),
            "batched": timed(lambda count: batched(in_tasks, count), slow),
        },
        "a list, doubled by numpy, to lists": {
            "microbatch": timed(lambda count: in_bulk(whole, count, Results.tolist), bulk),
            "without a batcher": timed(lambda count: lists_by_hand(whole, count), bulk),
            "lists out alone": timed(lambda count: lists_alone(memoryview(numbers), count), bulk),
        },
        "an array, doubled by numpy, to arrays": {
            "microbatch": timed(lambda count: in_bulk(numbers, count, lambda results: results.values), 5 * bulk),
            "batches of 16384": timed(lambda count: in_bulk(numbers, count, lambda results: results.values, 4 * BULK), 5 * bulk),
        },
    }
    for group in jobs.values():
        for name in list(group):
            if name in ("aiodataloader", "async-batcher", "batched"):
                try:
                    importlib.import_module(name.replace("-", "_"))
                except ImportError:
                    print(f"{name} is not installed: not measured")
                    del group[name]
    samples = {(title, name): [] for title, group in jobs.items() for name in group}  # type: dict[Any, list[float]]
    until = time.monotonic() + seconds
    for title, group in jobs.items():
        for job in group.values():
            job()  # the first round is for caches
    while time.monotonic() < until or len(next(iter(samples.values()))) < 3:
        for title, group in jobs.items():
            for name, job in group.items():
                samples[title, name].append(job())
    for title, group in jobs.items():
        print(f"{title}, {len(samples[title, 'microbatch'])} rounds:")
        for name in group:
            shown = spread(samples[title, name])
            ratios = [theirs / mine for theirs, mine in zip(samples[title, name], samples[title, "microbatch"])]
            print(f"{name:>18}: {shown} ns a value" + ("" if name == "microbatch" else f", {spread(ratios)} times as long"))


def spread(values: list[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    digits = 0 if middle >= 100 else 1
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


if __name__ == "__main__":
    main()
