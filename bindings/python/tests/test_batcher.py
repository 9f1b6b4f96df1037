"""What a batcher does on threads, on a loop and in manual mode."""

from __future__ import annotations

import asyncio
import pickle
import threading
from datetime import timedelta
from fractions import Fraction
from typing import Any

import microbatch
import numpy as np
import pytest
from microbatch import Batch, Batcher, Error, Failure
from microbatch._time import FOREVER, nanoseconds


def double(values: list[int]) -> list[int]:
    return [2 * value for value in values]


def test_every_value_of_many_threads_gets_its_own_result() -> None:
    with Batcher(double, max_batch_size=64, max_delay="1ms", threads=2) as batcher:
        wrong: list[int] = []

        def produce(first: int) -> None:
            replies = [(value, batcher.submit(value)) for value in range(first, first + 2000)]
            wrong.extend(value for value, reply in replies if reply.result(60) != 2 * value)

        threads = [threading.Thread(target=produce, args=(10_000 * n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stats = batcher.stats()
    assert wrong == []
    assert (stats.accepted, stats.ok, stats.outstanding) == (8000, 8000, 0)
    assert stats.batches == stats.batch_size.count and stats.batch_size.max <= 64


def test_async_handlers_overlap_and_replies_are_awaited() -> None:
    async def main() -> None:
        running = most = 0

        async def handler(values: list[int]) -> list[int]:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            running -= 1
            return double(values)

        async with Batcher(handler, max_batch_size=4, max_in_flight=3) as batcher:
            answers = await asyncio.gather(*[batcher.submit(n) for n in range(1000)])
            assert answers == [2 * n for n in range(1000)]
            assert 1 < most <= 3
            await batcher.aflush(30)
            with pytest.raises(Error, match="REENTRANT"):
                batcher.flush()
            with pytest.raises(Error, match="REENTRANT"):
                batcher.submit(1).result()
            loop = asyncio.get_running_loop()
            assert await loop.run_in_executor(None, lambda: batcher.submit(5).result(30)) == 10

    asyncio.run(asyncio.wait_for(main(), 120))


def test_a_timeout_cancels_the_value_and_never_the_batch() -> None:
    async def main() -> None:
        async with Batcher(double, max_delay="forever", max_batch_size=3) as batcher:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(batcher.submit(1), 0.01)
            stays = [batcher.submit(2), batcher.submit(3)]
            batcher.seal()
            assert await asyncio.gather(*stays) == [4, 6]
            stats = batcher.stats()
            assert (stats.cancelled, stats.ok) == (1, 2)

    asyncio.run(asyncio.wait_for(main(), 120))


class Model:
    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        self.w1, self.w2 = rng.normal(size=(3, 8)), rng.normal(size=8)

    @microbatch.batched(max_batch_size=64, max_delay="2ms")
    def predict(self, xs: list[Any]) -> Any:
        return np.tanh(np.stack(xs) @ self.w1) @ self.w2


def test_the_program_of_a_model() -> None:
    async def serve(model: Model, x: Any) -> float:
        return float(await asyncio.wait_for(model.predict(x), 30))

    model = Model()
    inputs = [np.arange(3.0) + n for n in range(100)]
    expected = [float(np.tanh(x @ model.w1) @ model.w2) for x in inputs]

    async def main() -> list[float]:
        return await asyncio.gather(*[serve(model, x) for x in inputs])

    assert np.allclose(asyncio.run(main()), expected)
    assert model.predict(inputs[0]).result(timeout=30) == pytest.approx(expected[0])
    assert model.predict is model.predict and Model().predict is not model.predict
    again = pickle.loads(pickle.dumps(model))
    assert again.predict(inputs[1]).result(30) == pytest.approx(expected[1])
    for one in (model, again):
        one.predict.batcher.close(30)
        one.predict.batcher.abandon()


def test_a_column_in_one_call() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"price": np.linspace(0, 1, 10_000)})
    frame["score"] = microbatch.map(frame["price"], lambda prices: prices * 2, max_batch_size=4096)
    assert frame["score"].tolist() == (frame["price"] * 2).tolist()


def test_handlers_by_kind_and_what_no_handler_takes() -> None:
    handlers = {int: double, "string": lambda texts: [text[::-1] for text in texts]}
    with Batcher(handlers=handlers, max_batch_size=10, max_delay="1ms") as batcher:
        replies = [batcher.submit(value) for value in (1, "ab", 2, "cd")]
        assert [reply.result(30) for reply in replies] == [2, "ba", 4, "dc"]
        for refused in (1.5, None, object()):
            with pytest.raises(Error, match="NO_HANDLER"):
                batcher.submit(refused)


def test_a_handler_that_raises_fails_its_part_with_the_very_exception() -> None:
    failure = LookupError("nobody")

    def handler(values: list[int]) -> list[int]:
        if 13 in values:
            raise failure
        return values

    errors: list[Error | None] = []
    with Batcher(handler, on_result=lambda results: errors.extend(r.error for r in results)) as batcher:
        with pytest.raises(LookupError) as raised:
            batcher.submit(13).result(30)
        assert raised.value is failure
        batcher.push(13, 1)
        batcher.flush(30)
        assert batcher.submit(1).result(30) == 1
    told = [error for error in errors if error is not None]
    assert [(e.name, e.type_name, e.message, e.handled) for e in told] == [
        ("HANDLER_FAILED", "LookupError", "nobody", "yes")
    ]


def test_an_exception_among_the_results_fails_its_value() -> None:
    with Batcher(lambda values: [Failure(7, "odd", "Odd") if v % 2 else v for v in values]) as batcher:
        replies = [batcher.submit(n) for n in range(4)]
        assert [replies[0].result(30), replies[2].result(30)] == [0, 2]
        with pytest.raises(Failure) as failed:
            replies[1].result(30)
        assert failed.value.code == 7


def test_another_number_of_results_is_told_with_both() -> None:
    with Batcher(lambda values: [0, 0]) as batcher:
        with pytest.raises(Error, match="RESULT_COUNT.*2.*1"):
            batcher.submit(1).result(30)


def test_a_batch_is_kept_and_completed_elsewhere() -> None:
    kept: list[microbatch.HeldBatch[int]] = []
    with Batcher(microbatch.on_batch(lambda batch: kept.append(batch.keep())), max_in_flight=2) as batcher:
        reply = batcher.submit(20)
        while not kept:
            threading.Event().wait(0.001)
        kept[0].set(0, 21)
        kept[0].complete()
        assert reply.result(30) == 21
        with pytest.raises(Error, match="TOO_LATE"):
            kept[0].complete()


def test_calls_inside_a_handler_are_refused_and_nothing_hangs() -> None:
    names: list[str] = []

    def handler(batch: Batch[int]) -> None:
        for call in (batcher.flush, batcher.next_batch, lambda: batcher.submit(2).result(), batcher.close):
            try:
                call()
            except Error as refused:
                names.append(refused.name)
        batch.set_all(batch.values)

    with Batcher(microbatch.on_batch(handler), max_delay="1ms") as batcher:
        batcher.submit(1).result(30)
    assert names[:4] == ["REENTRANT", "REENTRANT", "REENTRANT", "IN_PROGRESS"]


def test_a_full_queue_paces_threads_and_refuses_loops() -> None:
    gate = threading.Event()

    def handler(values: list[int]) -> list[int]:
        gate.wait(60)
        return values

    with Batcher(handler, max_batch_size=2, queue_capacity=4) as batcher:
        replies = [batcher.submit(n) for n in range(4)]

        async def on_a_loop() -> None:
            with pytest.raises(Error) as full:
                for n in range(20):
                    replies.append(batcher.submit(n))
            assert full.value.name == "QUEUE_FULL" and full.value.retriable
            gate.set()
            await batcher.aroom(30)

        asyncio.run(on_a_loop())
        replies += [batcher.submit(n) for n in range(1000)]  # waits where it must
        assert len([reply.result(60) for reply in replies]) == len(replies)


def test_manual_mode_runs_on_the_caller() -> None:
    seen: list[int] = []
    with Batcher(
        lambda values: (seen.append(threading.get_ident()), values)[1], mode="manual", max_delay="forever"
    ) as batcher:
        before = threading.active_count()
        reply = batcher.submit(1)
        batcher.run()
        assert not reply.done()
        batcher.flush()
        assert reply.result(0) == 1 and seen == [threading.get_ident()]
        assert threading.active_count() == before


def test_deadline_cancel_and_stats() -> None:
    with Batcher(double, mode="manual", clock="given", max_delay="forever") as batcher:
        late, gone, fine = batcher.submit(1, timeout=1), batcher.submit(2), batcher.submit(3)
        assert gone.cancel()
        batcher.advance(2)
        batcher.flush()
        assert fine.result(0) == 6
        with pytest.raises(Error, match="DEADLINE") as expired:
            late.result(0)
        assert (expired.value.outcome, expired.value.handled) == ("expired", "no")
        with pytest.raises(Error, match="CANCELLED"):
            gone.result(0)
        stats = batcher.stats()
        assert (stats.ok, stats.expired, stats.cancelled) == (1, 1, 1)
        assert "microbatch" in batcher.stats_text()


@pytest.mark.parametrize(
    ("options", "what"),
    [({"max_delay": "2 parsecs"}, "max_delay"), ({"max_batch": 3}, "max_batch"), ({"queue_capacity": -1}, "queue_cap")],
)
def test_wrong_options_are_named(options: dict[str, Any], what: str) -> None:
    with pytest.raises(Error, match=what) as refused:
        Batcher(double, **options)
    assert refused.value.name == "INVALID_OPTION"


def test_pulled_batches_and_results() -> None:
    with Batcher(results="pull", max_batch_size=2) as batcher:
        batcher.push_many([1, 2], 7)
        batch = batcher.next_batch(30)
        batch.set_all([value + 1 for value in batch])
        batch.complete()
        results = batcher.next_results(30)
        assert (list(results.tags), list(results.values)) == ([7, 8], [2, 3])
        with pytest.raises(microbatch.Timeout):
            batcher.next_batch(0)


def test_a_shared_batcher_is_pushed_to_by_its_address() -> None:
    got: list[Any] = []
    with Batcher(double, on_result=lambda results: got.extend(results.values)) as owner:
        other: Batcher[int, int] = Batcher.attach(owner.share())
        other.push(4, 1)
        other.flush(30)
        owner.flush(30)
        other.close()
        with pytest.raises(Error, match="CLOSED"):
            other.push(1)
    assert got == [8]


def test_a_batcher_of_a_loop_is_freed_from_a_thread() -> None:
    async def main() -> None:
        async def handler(values: list[int]) -> list[int]:
            return double(values)

        loop = asyncio.get_running_loop()
        for _ in range(50):
            lost = Batcher(handler, max_delay="forever")
            reply = lost.submit(1)
            await loop.run_in_executor(None, lost.abandon)
            async with Batcher(handler) as batcher:  # may get the descriptor's number
                assert await asyncio.wait_for(batcher.submit(2), 60) == 4
            with pytest.raises(Error, match="DISCARDED"):
                await reply

    asyncio.run(main())


def test_a_batch_says_what_it_was_sealed_by() -> None:
    said: list[str] = []
    look = microbatch.on_batch(lambda batch: said.append(batch.trigger))
    with Batcher(look, mode="manual", clock="given", max_batch_size=2, max_batch_bytes=128, max_delay=1) as batcher:
        for values, now in (([1, 2], None), (["x" * 70, "y" * 70], None), ([3], 5), ([4], 5)):
            batcher.push_many(values)
            batcher.seal() if now is None else batcher.advance(now)
            batcher.run()
        counted = batcher.stats().triggers
    assert said == ["size", "bytes", "flush", "delay", "close"]
    assert {name: counted[name] for name in said} == {"size": 1, "bytes": 1, "flush": 1, "delay": 1, "close": 0}


def test_the_end_of_with_lets_go_of_the_batcher() -> None:
    batcher = Batcher(lambda values: values)
    with batcher:
        assert batcher.submit(1).result() == 1
    with pytest.raises(Error, match="CLOSED: the batcher is freed"):
        batcher.stats()

    async def on_loop() -> None:
        batcher = Batcher(lambda values: values)
        async with batcher:
            assert await batcher.submit(1) == 1
        with pytest.raises(Error, match="CLOSED: the batcher is freed"):
            batcher.stats()

    asyncio.run(on_loop())


def test_times_of_every_form_are_nanoseconds() -> None:
    for given in (timedelta(days=1, seconds=2, microseconds=3), "86402000003us", Fraction(86_402_000_003, 10**6)):
        assert nanoseconds(given) == 86_402_000_003_000
    assert (nanoseconds(2), nanoseconds(0.25), nanoseconds(None), nanoseconds(1e300)) == (2 * 10**9, 250_000_000, FOREVER, FOREVER)
