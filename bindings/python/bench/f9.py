"""The whole job: push a number, batch by 256 or 1 ms, double it, the result goes back to its owner. In bulk: batches of 4096,
handed back as they are.

    python bindings/python/bench/f9.py [values [rounds]]

Interleaves microbatch with a hand-written asyncio batcher (a future per value), and measures lists and arrays through
push_many. Prints ns a value, median and spread over the rounds, and the ratio of the two with futures in the same round.
Other peers are not measured here. Run it on a quiet machine.
"""

from __future__ import annotations

import array
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from microbatch import Batcher

SIZE, DELAY, OUTSTANDING = 256, 0.001, 10_240  # a multiple of SIZE, so that no remainder waits a delay


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


async def windows(submit: Callable[[int], Awaitable[int]], count: int) -> float:
    begun = time.perf_counter_ns()
    for first in range(0, count, OUTSTANDING):
        replies = [submit(value) for value in range(first, first + OUTSTANDING)]
        for value, reply in enumerate(replies, first):
            assert await reply == 2 * value
    return (time.perf_counter_ns() - begun) / count


async def doubled(values: list[int]) -> list[int]:
    return [2 * value for value in values]


async def ours(count: int) -> float:
    async with Batcher(doubled, max_batch_size=SIZE, max_delay=DELAY, max_in_flight=4) as batcher:
        return await windows(batcher.submit, count)


async def by_hand(count: int) -> float:
    return await windows(ByHand().submit, count)


def in_bulk(source: Any, count: int) -> float:
    seen = 0

    def on_result(results: Any) -> None:
        nonlocal seen
        seen += len(results)

    with Batcher(lambda values: values, on_result=on_result, max_batch_size=4096, max_delay=DELAY) as batcher:
        begun = time.perf_counter_ns()
        for _ in range(0, count, len(source)):
            batcher.push_many(source)
        batcher.flush()
        spent = time.perf_counter_ns() - begun
    return spent / seen


def main() -> None:
    count = (int(sys.argv[1]) if len(sys.argv) > 1 else 204_800) // OUTSTANDING * OUTSTANDING
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 9
    numbers = array.array("q", range(OUTSTANDING))
    jobs: dict[str, Callable[[], float]] = {
        "asyncio by hand": lambda: asyncio.run(by_hand(count)),
        "microbatch, await": lambda: asyncio.run(ours(count)),
        "microbatch, list": lambda: in_bulk(list(numbers), count),
        "microbatch, array": lambda: in_bulk(numbers, count),
    }
    samples: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            samples[name].append(job())
    for name, times in samples.items():
        print(f"{name:>18}: {statistics.median(times):7.0f} ns a value ({min(times):.0f} to {max(times):.0f})")
    ratios = [hand / mine for hand, mine in zip(samples["asyncio by hand"], samples["microbatch, await"])]
    print(f"{'by hand / await':>18}: {statistics.median(ratios):7.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
