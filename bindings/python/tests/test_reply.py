"""What submit returns: awaited by tasks, waited for by threads, given up."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from typing import Any

import pytest
from microbatch import Batcher, Error, Reply, Results


def double(values: list[int]) -> list[int]:
    return [2 * value for value in values]


async def adouble(values: list[int]) -> list[int]:
    return double(values)


def on_a_loop(main: Any) -> None:
    asyncio.run(asyncio.wait_for(main, 120))


def test_a_reply_is_a_future_to_asyncio() -> None:
    async def main() -> None:
        async with Batcher(adouble, max_batch_size=8) as batcher:
            reply = batcher.submit(1)
            assert asyncio.isfuture(reply) and not reply.done()
            assert reply.get_loop() is asyncio.get_running_loop()
            done, waiting = await asyncio.wait({reply, batcher.submit(2)}, timeout=30)  # type: ignore[type-var]
            assert not waiting and sorted(one.result() for one in done) == [2, 4]
            assert await asyncio.gather(*[batcher.submit(n) for n in range(100)]) == [2 * n for n in range(100)]
            assert await asyncio.shield(batcher.submit(7)) == 14
            assert [await one for one in asyncio.as_completed([batcher.submit(8)])] == [16]
            assert (await reply, await reply, reply.result(), reply.exception()) == (2, 2, 2, None)

    on_a_loop(main())


def test_several_tasks_loops_and_threads_wait_for_one_reply() -> None:
    gate = threading.Event()

    def handler(values: list[int]) -> list[int]:
        gate.wait(60)
        return double(values)

    with Batcher(handler) as batcher:
        reply = batcher.submit(21)
        answers: list[object] = []

        async def wait() -> object:
            return await reply

        async def several() -> None:
            answers.extend(await asyncio.gather(wait(), wait(), wait()))

        waiters = [threading.Thread(target=lambda: asyncio.run(several())) for _ in range(2)]
        waiters += [threading.Thread(target=lambda: answers.append(reply.result(60))) for _ in range(3)]
        for waiter in waiters:
            waiter.start()
        gate.set()
        for waiter in waiters:
            waiter.join(60)
        assert answers == [42] * 9


def test_a_reply_that_is_cancelled_wakes_its_task_at_once_and_spares_the_batch() -> None:
    async def main() -> None:
        begun, gate = asyncio.Event(), asyncio.Event()

        async def handler(values: list[int]) -> list[int]:
            begun.set()
            await gate.wait()
            return double(values)

        async with Batcher(handler, max_batch_size=2) as batcher:
            stays, goes = batcher.submit(1), batcher.submit(2)
            await begun.wait()

            async def wait() -> object:
                return await goes

            task = asyncio.create_task(wait())
            await asyncio.sleep(0)
            task.cancel("enough")
            with pytest.raises(asyncio.CancelledError):  # though its batch is in flight
                await task
            assert goes.cancelled() and goes.done() and not goes.cancel()
            with pytest.raises(asyncio.CancelledError):
                goes.result()
            waiting = batcher.submit(3)
            assert waiting.cancel() and waiting.cancelled()
            gate.set()
            assert await stays == 2

    on_a_loop(main())


def test_a_cancelled_value_is_never_handled_and_its_place_is_used_again() -> None:
    seen: list[int] = []

    def handler(values: list[int]) -> list[int]:
        seen.extend(values)
        return double(values)

    with Batcher(handler, max_delay="forever", max_batch_size=1000) as batcher:
        for _ in range(100):
            goes = [batcher.submit(-1) for _ in range(5)]
            assert all(reply.cancel() for reply in goes)
            del goes
        stays = [batcher.submit(n) for n in range(50)]
        batcher.flush(30)
        assert [reply.result(30) for reply in stays] == [2 * n for n in range(50)]
        assert seen == list(range(50)) and batcher.stats().cancelled == 500
        with pytest.raises(Error, match="CANCELLED") as told:
            gone = batcher.submit(1)
            gone.cancel()
            gone.result(30)
        assert (told.value.outcome, told.value.handled) == ("cancelled", "no")


def test_a_reply_that_nobody_wants_is_let_go_and_its_value_handled() -> None:
    with Batcher(double, max_delay="forever", max_batch_size=1000) as batcher:
        for n in range(500):
            batcher.submit(n)
        keep = batcher.submit(5)
        batcher.flush(30)
        assert keep.result(30) == 10 and batcher.stats().ok == 501


def test_done_callbacks_run_on_their_loop_in_their_context() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    told: list[tuple[str, int]] = []

    async def main() -> None:
        async with Batcher(adouble) as batcher:
            reply = batcher.submit(4)
            context = contextvars.copy_context()
            context.run(variable.set, "mine")

            def note(done: Reply[int]) -> None:
                told.append((variable.get(), done.result()))

            def spoil(done: Reply[int]) -> None:
                raise ZeroDivisionError

            problems: list[Any] = []
            asyncio.get_running_loop().set_exception_handler(lambda loop, told: problems.append(told["exception"]))
            reply.add_done_callback(spoil)
            reply.add_done_callback(note, context=context)
            reply.add_done_callback(note)
            reply.add_done_callback(spoil)
            assert reply.remove_done_callback(spoil) == 2
            reply.add_done_callback(spoil)
            await reply
            await asyncio.sleep(0)
            reply.add_done_callback(note)
            assert len(told) == 2  # never inside add_done_callback
            await asyncio.sleep(0)
            assert [type(problem) for problem in problems] == [ZeroDivisionError]

    on_a_loop(main())
    assert told == [("mine", 8), ("none", 8), ("none", 8)]


def test_a_callback_without_a_loop_runs_where_the_result_comes() -> None:
    came = threading.Event()
    with Batcher(double) as batcher:
        batcher.submit(1).add_done_callback(lambda reply: came.set())
        assert came.wait(30)


def test_replies_in_cycles_are_collected() -> None:
    class Node:
        reply: Any = None

    with Batcher(lambda values: values) as batcher:
        ghosts = []
        for _ in range(50):
            node = Node()
            node.reply = batcher.submit(node)
            assert node.reply.result(30) is node
            ghosts.append(weakref.ref(node))
        del node
        batcher.flush(30)
        batcher.stats()
        gc.collect()
        assert [ghost() for ghost in ghosts] == [None] * 50


def test_replies_of_a_batcher_that_is_abandoned_say_so() -> None:
    batcher = Batcher(double, max_delay="forever", max_batch_size=100, queue_capacity=1000)
    replies = [batcher.submit(n) for n in range(300)]
    batcher.abandon()
    for reply in replies:
        try:
            reply.result(30)
        except Error as told:
            assert told.name == "DISCARDED" and told.outcome == "discarded"


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_what_stops_a_program_passes_through_manual_mode_and_map(interrupt: type[BaseException]) -> None:
    import microbatch

    def handler(values: list[int]) -> list[int]:
        raise interrupt

    batcher = Batcher(handler, mode="manual", max_delay="forever")
    with batcher:
        reply = batcher.submit(1)
        with pytest.raises(interrupt):
            batcher.flush()
        assert isinstance(reply.exception(0), interrupt)
        batcher.flush()  # and the batcher goes on
    with pytest.raises(interrupt):
        microbatch.map([1, 2], handler)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_stops_a_program_only_fails_the_part_on_a_thread(interrupt: type[BaseException]) -> None:
    def handler(values: list[int]) -> list[int]:
        if 13 in values:
            raise interrupt
        return values

    with Batcher(handler, max_batch_size=1) as batcher:
        bad, good = batcher.submit(13), batcher.submit(1)
        assert good.result(30) == 1
        assert isinstance(bad.exception(30), interrupt)


def test_a_loop_that_stops_ends_its_handlers() -> None:
    replies: list[Reply[int]] = []

    async def handler(values: list[int]) -> list[int]:
        await asyncio.Event().wait()
        return values

    async def main() -> None:
        batcher = Batcher(handler)
        replies.append(batcher.submit(1))
        while not batcher.stats().in_flight:
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(batcher.abandon)
        await asyncio.sleep(0.001)

    asyncio.run(main())
    assert replies[0].done()


def test_a_producer_keeps_its_order() -> None:
    seen: list[int] = []
    with Batcher(lambda values: (seen.extend(values), values)[1], max_batch_size=16) as batcher:
        with batcher.producer() as producer:
            replies = [producer.submit(n) for n in range(500)]
            producer.push(500, 7, timeout=60)
        assert [reply.result(30) for reply in replies] == list(range(500))
        with pytest.raises(Error, match="CLOSED"):
            producer.push(1)
        batcher.flush(30)
        assert seen == list(range(501))
        for refused, name in ((2**63, "OUT_OF_RANGE"), ("\ud800", "INVALID_UTF8")):
            with batcher.producer() as another, pytest.raises(Error, match=name):
                another.push(refused)
        late = batcher.producer()
    with pytest.raises(Error, match="CLOSED"):
        late.push(1)
    late.free()


def test_a_waiting_push_counts_one_refusal_at_most() -> None:
    gate = threading.Event()

    def handler(values: list[int]) -> list[int]:
        gate.wait(60)
        return values

    with Batcher(handler, max_batch_size=1, queue_capacity=1, push_timeout="200ms") as batcher:
        batcher.submit(1)
        while not batcher.stats().in_flight:
            threading.Event().wait(0.001)
        batcher.submit(2)
        with pytest.raises(Error, match="QUEUE_FULL"):
            batcher.push_many([3, 4])
        with pytest.raises(Error, match="QUEUE_FULL"):
            batcher.submit(3)
        assert batcher.stats().refusals == {"QUEUE_FULL": 2}
        gate.set()
        batcher.push_many(list(range(100)))
        batcher.flush(30)
        assert batcher.stats().refusals == {"QUEUE_FULL": 2}


def test_finished_parts_keep_their_results_when_the_time_is_up() -> None:
    gate = threading.Event()

    def stuck(values: list[str]) -> list[str]:
        gate.wait(60)
        return values

    handlers: Any = {int: double, str: stuck}
    with Batcher(handlers=handlers, max_batch_size=4, max_delay="forever", handler_timeout="100ms") as batcher:
        replies = [batcher.submit(value) for value in (1, "a", 2, "b")]
        assert [replies[0].result(30), replies[2].result(30)] == [2, 4]
        with pytest.raises(Error, match="HANDLER_TIMEOUT"):
            replies[1].result(30)
        gate.set()


@pytest.mark.parametrize("mode", ["threaded", "manual"])
def test_on_result_sees_no_rows_of_replies(mode: str) -> None:
    seen: list[tuple[int, Any]] = []

    def on_result(results: Results[Any]) -> None:
        seen.extend((row.tag, row.value if row.error is None else row.error.name) for row in results)
        assert [row.tag for row in results] == list(results.tags) and len(results) == len(results.values)

    def handler(values: list[Any]) -> list[Any]:
        return [RuntimeError("no") if value is None else value for value in values]

    with Batcher(handler, on_result=on_result, mode=mode, max_batch_size=4, max_delay=60) as batcher:
        replies = []
        for values in ([1, 2, 3, 4], ["a", None, 2.5, True], [5, 6, 7, 8]):
            for place, value in enumerate(values):
                if place % 2 and values[0] != 5:
                    batcher.push(value, 10 + place)
                else:
                    replies.append(batcher.submit(value))
        if mode == "manual":
            batcher.run()
        batcher.flush()
        assert [reply.result() for reply in replies] == [1, 3, "a", 2.5, 5, 6, 7, 8]
    assert seen == [(11, 2), (13, 4), (11, "HANDLER_FAILED"), (13, True)]
