"""Callbacks that raise: each is told, and the batcher goes on."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from typing import Any

import microbatch
import pytest
from microbatch import Batcher, Error, Reply


class Broken(Exception):
    pass


def broken(*given: Any) -> Any:
    raise Broken


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What sys.unraisablehook is told."""
    lines: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: lines.append((type(one.exc_value), str(one.object))))
    yield lines


@pytest.mark.parametrize("mode", ["threaded", "manual"])
def test_an_on_result_that_raises_is_told_and_gets_the_next_set(told: list[Any], mode: str) -> None:
    seen: list[int] = []

    def on_result(results: Any) -> None:
        seen.extend(results.values)
        raise Broken

    with Batcher(lambda values: values, on_result=on_result, mode=mode, max_batch_size=1) as batcher:
        batcher.push_many([1, 2, 3])
        batcher.flush(30)
    assert seen == [1, 2, 3]
    assert told == [(Broken, "microbatch: on_result failed")] * 3


def test_an_on_release_that_raises_is_told_and_the_object_given_back(told: list[Any]) -> None:
    thing = [1]
    count = sys.getrefcount(thing)
    with Batcher(lambda values: [0], on_release=broken, mode="manual") as batcher:
        batcher.push(thing)
        batcher.flush()
    assert [kind for kind, _ in told] == [Broken]
    assert sys.getrefcount(thing) == count


def test_an_object_size_that_raises_refuses_the_value() -> None:
    with Batcher(lambda values: values, object_size=broken, mode="manual") as batcher:
        for push in (batcher.push, batcher.submit, batcher.check, lambda one: batcher.push_many([one])):
            with pytest.raises(Broken):
                push(object())
        assert batcher.stats().accepted == 0


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_what_stops_a_program_passes_through_on_result_in_manual_mode(interrupt: type[BaseException], told: list[Any]) -> None:
    def on_result(results: Any) -> None:
        raise interrupt

    with Batcher(lambda values: values, on_result=on_result, mode="manual", max_delay="forever") as batcher:
        batcher.push(1)
        batcher.seal()
        with pytest.raises(interrupt):
            batcher.run()
        batcher.run()
        assert batcher.stats().ok == 1
    assert told == []


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_what_stops_a_program_stops_the_loop_of_an_async_handler(interrupt: type[BaseException]) -> None:
    replies: list[Reply[int]] = []

    async def handler(values: list[int]) -> list[int]:
        raise interrupt

    async def main() -> None:
        batcher: Batcher[int, int] = Batcher(handler)
        replies.append(batcher.submit(1))
        try:
            await asyncio.Event().wait()
        finally:
            batcher.abandon()

    with pytest.raises(interrupt):
        asyncio.run(main())
    with pytest.raises((interrupt, Error)):
        replies[0].result(30)


def test_a_handler_that_fails_when_its_time_is_up_has_nothing_to_tell(told: list[Any]) -> None:
    gate = threading.Event()

    def handler(values: list[int]) -> list[int]:
        gate.wait(60)
        raise Broken

    with Batcher(handler, handler_timeout="20ms") as batcher:
        with pytest.raises(Error, match="HANDLER_TIMEOUT"):
            batcher.submit(1).result(60)
        gate.set()
        while batcher.stats().stuck:
            threading.Event().wait(0.001)
        with pytest.raises((Broken, Error)):  # by the same thread, which is done with the first
            batcher.submit(2).result(60)
    assert told == []


@pytest.mark.parametrize("form", ["values", "batch"])
def test_an_exception_whose_text_fails_is_told_all_the_same(form: str) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise Broken

    def handler(given: Any) -> Any:
        raise Mute

    errors: list[Any] = []
    work = handler if form == "values" else microbatch.on_batch(handler)
    with Batcher(work, mode="manual", on_result=lambda results: errors.extend(r.error for r in results)) as batcher:
        batcher.push(1)
        batcher.flush()
    assert [(one.type_name, one.message) for one in errors] == [("Mute", "(its text failed: Broken)")]
