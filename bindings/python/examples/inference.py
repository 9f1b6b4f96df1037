"""Batched inference: a numpy two-layer network serves single requests from many asyncio tasks, with and without batching.

    pip install ./bindings/python numpy matplotlib
    python bindings/python/examples/inference.py [picture.png [requests [tasks]]]

Prints throughput, median and 99th percentile of the latency, and the sizes of the batches, and draws them.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from typing import Any

import matplotlib
import microbatch
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

INPUTS, HIDDEN, OUTPUTS = 256, 1024, 16


class Model:
    """Weights made with a fixed seed."""

    def __init__(self) -> None:
        rng = np.random.default_rng(2013)
        self.w1 = rng.normal(size=(INPUTS, HIDDEN)) / np.sqrt(INPUTS)
        self.w2 = rng.normal(size=(HIDDEN, OUTPUTS)) / np.sqrt(HIDDEN)
        self.sizes: Counter[int] = Counter()

    def forward(self, xs: Any) -> Any:
        return np.tanh(xs @ self.w1) @ self.w2

    @microbatch.batched(max_batch_size=64, max_delay="2ms")
    def predict(self, xs: list[Any]) -> Any:
        self.sizes[len(xs)] += 1
        return list(self.forward(np.stack(xs)))

    async def one_by_one(self, x: Any) -> Any:
        return self.forward(x)


async def serve(predict: Any, requests: Any, tasks: int) -> tuple[float, list[float], Any]:
    """Many tasks, each with one request at a time; answers the time it took, each latency, and the answers.

    A latency counts from the arrival of the request: with one at a time, most of it is waiting for the others' turns.
    """
    latencies = [0.0] * len(requests)
    answers: list[Any] = [None] * len(requests)

    async def client(first: int) -> None:
        for at in range(first, len(requests), tasks):
            begun = time.perf_counter()
            await asyncio.sleep(0)  # the request has arrived, and waits for its turn on the loop
            answers[at] = await predict(requests[at])
            latencies[at] = time.perf_counter() - begun

    begun = time.perf_counter()
    await asyncio.gather(*[client(first) for first in range(tasks)])
    return time.perf_counter() - begun, latencies, np.array(answers)


def main() -> None:
    picture = sys.argv[1] if len(sys.argv) > 1 else "inference.png"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
    tasks = int(sys.argv[3]) if len(sys.argv) > 3 else 200
    model = Model()
    requests = np.random.default_rng(7).normal(size=(count, INPUTS))
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4))
    answers = []
    for name, predict in (("one by one", model.one_by_one), ("batched", model.predict)):
        seconds, latencies, outputs = asyncio.run(serve(predict, requests, tasks))
        answers.append(outputs)
        p50, p99 = (1000 * np.percentile(latencies, q) for q in (50, 99))
        print(f"{name:>10}: {count / seconds:8.0f} requests/s, latency p50 {p50:.2f} ms, p99 {p99:.2f} ms")
        left.hist(1000 * np.array(latencies), bins=60, histtype="step", label=f"{name}, {count / seconds:.0f}/s")
    model.predict.batcher.close(30)
    print(f"   answers: {'equal' if np.allclose(*answers) else 'DIFFERENT'}")
    batches = sum(model.sizes.values())
    print(f"   batches: {batches}, of {count / batches:.1f} requests on average, at most {max(model.sizes)}")
    left.set(xlabel="latency, ms", ylabel="requests", title=f"{tasks} tasks, one request at a time")
    left.legend()
    sizes = sorted(model.sizes)
    right.bar(sizes, [model.sizes[size] for size in sizes])
    right.set(xlabel="requests in a batch", ylabel="batches", title="batch sizes")
    figure.tight_layout()
    figure.savefig(picture, dpi=120)
    print(f"   picture: {picture}")


if __name__ == "__main__":
    main()
