"""Batched inference: a numpy network of two layers serves single requests from many asyncio tasks, with and without batching.

    pip install ./bindings/python numpy matplotlib
    python bindings/python/examples/inference.py [picture.png [requests [tasks ...]]]

One by one, each request goes through the network alone: a matrix times a vector, which reads all weights for one answer.
Batched, the requests that came while the network was busy go through it together: a matrix times a matrix, which reads them
once for all. Both run the network on one thread beside the loop. A few requests gain nothing yet: a product with four rows
takes the linear algebra about as long as one with sixteen. Prints throughput, median and 99th percentile of the latency
and the sizes of the batches for each number of tasks, and draws them.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import matplotlib
import microbatch
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

INPUTS, HIDDEN, OUTPUTS = 2048, 2048, 2048
MAX_BATCH_SIZE = 64


class Model:
    """Weights made with a fixed seed: 32 MiB of float32."""

    def __init__(self) -> None:
        rng = np.random.default_rng(2013)
        self.w1 = (rng.standard_normal((INPUTS, HIDDEN)) / np.sqrt(INPUTS)).astype("f4")
        self.w2 = (rng.standard_normal((HIDDEN, OUTPUTS)) / np.sqrt(HIDDEN)).astype("f4")
        self.sizes: Counter[int] = Counter()
        self.thread = ThreadPoolExecutor(1)

    def forward(self, xs: Any) -> Any:
        return np.tanh(xs @ self.w1) @ self.w2

    @microbatch.batched(max_batch_size=MAX_BATCH_SIZE)
    def predict(self, xs: list[Any]) -> Any:
        """Row i answers request i. With max_delay at its default, nothing waits for company while the network is idle."""
        self.sizes[len(xs)] += 1
        return list(self.forward(np.stack(xs)))

    async def one_by_one(self, x: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.thread, self.forward, x)


class Run(NamedTuple):
    tasks: int
    throughput: float
    p50: float
    p99: float
    sizes: Counter[int]


async def serve(predict: Callable[[Any], Awaitable[Any]], requests: Any, tasks: int) -> tuple[float, Any, Any]:
    """Tasks that send one request after the other; answers the time it took, the latency of each request, and the answers."""
    latencies = np.zeros(len(requests))
    answers: list[Any] = [None] * len(requests)

    async def client(first: int) -> None:
        for at in range(first, len(requests), tasks):
            begun = time.perf_counter()
            answers[at] = await predict(requests[at])
            latencies[at] = time.perf_counter() - begun

    begun = time.perf_counter()
    await asyncio.gather(*[client(first) for first in range(tasks)])
    return time.perf_counter() - begun, 1000 * latencies, np.array(answers)


def draw(picture: str, runs: dict[str, list[Run]]) -> None:
    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(15, 4.6))
    for (name, points), colour in zip(runs.items(), ("tab:orange", "tab:blue")):
        tasks = [run.tasks for run in points]
        left.plot(tasks, [run.throughput for run in points], "o-", color=colour, label=name)
        middle.plot(tasks, [run.p50 for run in points], "o-", color=colour, label=f"{name}, median")
        middle.plot(tasks, [run.p99 for run in points], "x:", color=colour, label=f"{name}, 99th percentile")
    for axes in (left, middle, right):
        axes.set(xscale="log", xlabel="tasks, each with one request at a time")
        axes.set_xticks(tasks, [str(count) for count in tasks])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    left.set(title="throughput", ylabel="requests a second")
    for one, batched in zip(*runs.values()):
        if batched.throughput < 1.5 * one.throughput:
            continue
        left.annotate(
            f"{batched.throughput / one.throughput:.1f} x",
            (batched.tasks, batched.throughput),
            textcoords="offset points",
            xytext=(0, 7),
            ha="center",
            color="tab:blue",
        )
    left.set_ylim(0, 1.12 * max(run.throughput for points in runs.values() for run in points))
    left.legend()
    middle.legend()
    middle.set(title="latency", ylabel="milliseconds", yscale="log")
    middle.yaxis.set_major_formatter("{x:g}")
    for run in runs["batched"]:
        # a dot's area is the share of the requests that travelled in batches of this size
        served = sum(size * count for size, count in run.sizes.items())
        areas = [300 * size * count / served for size, count in run.sizes.items()]
        right.scatter([run.tasks] * len(areas), list(run.sizes), areas, color="tab:blue", alpha=0.6, linewidths=0)
    right.axhline(MAX_BATCH_SIZE, color="gray", linestyle="--", linewidth=1)
    right.annotate("max_batch_size", (tasks[0], MAX_BATCH_SIZE), textcoords="offset points", xytext=(0, 5), color="gray")
    right.set(title="batch sizes (area: share of the requests)", ylabel="requests in a batch", ylim=(-5, MAX_BATCH_SIZE + 8))
    figure.suptitle(f"a network of {INPUTS} x {HIDDEN} x {OUTPUTS} on one thread, with and without microbatch")
    figure.tight_layout()
    figure.savefig(picture, dpi=110)


def main() -> None:
    picture = sys.argv[1] if len(sys.argv) > 1 else "inference.png"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    levels = [int(word) for word in sys.argv[3:]] or [1, 4, 16, 64, 256]
    model = Model()
    requests = np.random.default_rng(7).standard_normal((count, INPUTS)).astype("f4")
    runs: dict[str, list[Run]] = {"one by one": [], "batched": []}
    equal = True
    model.forward(requests[:MAX_BATCH_SIZE])  # threads of the library for linear algebra are there from now on
    for tasks in levels:
        outputs = []
        for name, predict in (("one by one", model.one_by_one), ("batched", model.predict)):
            model.sizes.clear()
            seconds, latencies, answers = asyncio.run(serve(predict, requests, tasks))
            outputs.append(answers)
            p50, p99 = np.percentile(latencies, [50, 99])
            runs[name].append(Run(tasks, count / seconds, p50, p99, Counter(model.sizes)))
            sizes = f", {count / model.sizes.total():4.1f} a batch" if model.sizes else ""
            print(f"{tasks:4} tasks, {name:>10}: {count / seconds:6.0f} requests/s, p50 {p50:7.2f} ms, p99 {p99:7.2f} ms{sizes}")
        equal &= np.allclose(outputs[0], outputs[1], rtol=1e-3, atol=1e-4)
    model.predict.batcher.close(30)
    print(f"answers: {'equal' if equal else 'DIFFERENT'}")
    one, batched = runs["one by one"][-1], runs["batched"][-1]
    print(f"batching at {batched.tasks} tasks: {batched.throughput / one.throughput:.1f} times the throughput")
    draw(picture, runs)
    print(f"picture: {picture}")


if __name__ == "__main__":
    main()
