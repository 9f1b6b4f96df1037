"""Every public call, given every wrong input: what refuses it names the value, and the batcher goes on with nothing lost."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import microbatch
import pytest
from microbatch import Batcher, Error, Failure, HeldBatch, Native


class Raising:
    """Whose every conversion fails with an error of its own."""

    def __repr__(self) -> str:
        return "<raising>"

    def __index__(self) -> int:
        raise KeyError("index")

    def __iter__(self) -> Iterator[Any]:
        raise KeyError("iter")


NAN = float("nan")
TIMES: list[Any] = ["x", b"x", [], NAN, Raising()]
LIMITS: list[Any] = [*TIMES, -1, "-1ms"]
WORDS: list[Any] = [None, "x", b"x", 1.5, [], -1, 2**64, Raising()]
MANY: list[Any] = [None, 5, 1.5, "x", b"x", Raising()]


def echoed(values: list[Any]) -> list[Any]:
    return values


# Of each method: an argument, and what it refuses.
CALLS: dict[str, list[tuple[Callable[[Any, Any], Any], list[Any]]]] = {
    "submit": [(lambda b, w: b.submit(w), [2**63, "\ud800"]), (lambda b, w: b.submit(1, deadline=w), TIMES)],
    "push": [
        (lambda b, w: b.push(w), [2**63, -(2**63) - 1, "\ud800"]),
        (lambda b, w: b.push(1, w), WORDS),
        (lambda b, w: b.push(1, 0, deadline=w), TIMES),
        (lambda b, w: b.push(1, 0, timeout=w), TIMES),
    ],
    "push_many": [
        (lambda b, w: b.push_many(w), MANY),
        (lambda b, w: b.push_many([1, 2], w), [*WORDS, [1], [1, -1], [1, "x"]]),
        (lambda b, w: b.push_many([1, 2], deadline=w), TIMES),
        (lambda b, w: b.push_many([1, 2], timeout=w), TIMES),
    ],
    "producer": [(lambda b, w: b.producer().push(1, w), WORDS), (lambda b, w: b.producer().submit(1, timeout=w), TIMES)],
    "check": [(lambda b, w: b.check(w), [2**63, "\ud800"])],
    "cancel": [(lambda b, w: b.cancel(w), WORDS)],
    "room": [(lambda b, w: b.room(w), LIMITS)],
    "advance": [(lambda b, w: b.advance(w), [*TIMES, None])],
    "flush": [(lambda b, w: b.flush(w), LIMITS)],
    "flush_end": [(lambda b, w: b.flush_end(w), [*WORDS, 2**64 - 1]), (lambda b, w: b.flush_end(0, w), LIMITS)],
    "close": [(lambda b, w: b.close(w), LIMITS)],
    "next_batch": [(lambda b, w: b.next_batch(w), LIMITS)],
    "next_results": [(lambda b, w: b.next_results(w), LIMITS)],
    "aflush": [(lambda b, w: stepped(b.aflush(w)), LIMITS)],
    "aroom": [(lambda b, w: stepped(b.aroom(w)), LIMITS)],
    "aclose": [(lambda b, w: stepped(b.aclose(w)), LIMITS)],
    "attach": [(lambda b, w: Batcher.attach(w), WORDS)],
}

# Nothing can be given to these.
PLAIN = {"abandon", "fileno", "flush_begin", "next_due_ns", "now", "now_ns", "run", "seal", "share", "stats", "stats_text"}


def stepped(coroutine: Any) -> Any:
    """What a coroutine does on a loop of its own."""
    return asyncio.run(coroutine)


def test_no_method_is_left_out() -> None:
    public = {name for name in dir(Batcher) if not name.startswith("_")}
    assert public == CALLS.keys() | PLAIN
    for name in PLAIN:
        assert len(inspect.signature(getattr(Batcher, name)).parameters) <= 1, name


def cases(table: dict[str, list[tuple[Callable[[Any, Any], Any], list[Any]]]]) -> list[Any]:
    return [
        pytest.param(call, wrong, id=f"{name}-{at}-{wrong!r:.24}")
        for name, calls in table.items()
        for at, (call, wrongs) in enumerate(calls)
        for wrong in wrongs
    ]


def assert_names(refused: BaseException, wrong: Any) -> None:
    """The message has the value, as text of a time has its own form; an exception of the argument's own is handed on."""
    if isinstance(wrong, Raising) and isinstance(refused, KeyError):
        return
    assert isinstance(refused, (Error, TypeError, ValueError)), repr(refused)
    shown = [repr(wrong), str(wrong), f'"{wrong}"']
    if isinstance(wrong, (str, bytes)):
        shown += [type(wrong).__name__, "UTF-8"]
    if isinstance(wrong, list):
        shown += ["there must be one tag for each value", *(repr(one) for one in wrong), "str", "negative"]
    assert any(part in str(refused) for part in shown), f"{refused} does not name {wrong!r}"


@pytest.mark.parametrize("call, wrong", cases(CALLS))
def test_a_batcher_names_what_is_wrong_and_goes_on(call: Callable[[Any, Any], Any], wrong: Any) -> None:
    with Batcher(echoed, mode="manual", clock="given", max_batch_size=2) as batcher:
        before = batcher.submit(1)
        with pytest.raises(BaseException) as caught:
            call(batcher, wrong)
        assert_names(caught.value, wrong)
        after = batcher.submit(2)
        batcher.run()
        assert (before.result(), after.result()) == (1, 2)
        stats = batcher.stats()
        assert (stats.accepted, stats.ok, stats.outstanding) == (2, 2, 0)


ROWS: list[Any] = [None, "x", 1.5, [], -1, 2, 2**70, Raising()]

BATCH: dict[str, list[tuple[Callable[[Any, Any], Any], list[Any]]]] = {
    "set": [(lambda b, w: b.set(w, 1), ROWS), (lambda b, w: b.set(0, w), [2**63, "\ud800"])],
    "set_all": [(lambda b, w: b.set_all(w), [*MANY, {1: 2}, [2**63, 1]])],
    "fail": [(lambda b, w: b.fail(w, Failure(5)), ROWS), (lambda b, w: b.fail(0, w), [None, 5, "x"])],
    "fail_all": [(lambda b, w: b.fail_all(w), [None, 5, "x"])],
}

PLAIN_OF_BATCH = {
    "age", "age_ns", "complete", "complete_next", "complete_ok", "free", "keep", "kind", "number", "numbers", "tags", "trigger",
    "values",
}


def test_no_method_of_a_batch_is_left_out() -> None:
    assert {name for name in dir(HeldBatch) if not name.startswith("_")} == BATCH.keys() | PLAIN_OF_BATCH


@pytest.mark.parametrize("call, wrong", cases(BATCH))
def test_a_batch_names_what_is_wrong_and_goes_on(call: Callable[[Any, Any], Any], wrong: Any) -> None:
    with Batcher(mode="manual", results="pull", max_batch_size=2) as batcher:
        batcher.push_many([10, 20], 1)
        batch = batcher.next_batch(0)
        with pytest.raises(BaseException) as caught:
            call(batch, wrong)
        if not isinstance(wrong, (dict, list)):
            assert_names(caught.value, wrong)
        batch.set_all([11, 21])
        batch.complete()
        results = batcher.next_results(0)
        assert (list(results.tags), results.tolist()) == ([1, 2], [11, 21])


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: microbatch.on_batch(wrong(5)), "on_batch takes a function of a batch, not 5"),
        (lambda: Failure(wrong("x")), "a code of your own is an integer from 1 to 2147483647, not 'x'"),
        (lambda: Failure(0), "not 0"),
        (lambda: Failure(2**31), "not 2147483648"),
        (lambda: Batcher(Native(2**70)), f"the address of a native handler is an integer from 0 to {2**64 - 1}, not {2**70}"),
        (lambda: Batcher(Native(wrong(None))), "the address of a native handler"),
        (lambda: Batcher(Native(4096, -1)), "the user_data of a native handler"),
        (lambda: Batcher(Native(4096, 0, wrong("x"))), "the release of a native handler"),
        (lambda: Batcher(pull_handlers=wrong(None)), "pull_handlers is a list of kinds, such as [int, 'default'], not None"),
        (lambda: microbatch.map(wrong(5), echoed), "values come as an iterable or an array, not 5"),
    ],
)
def test_what_is_made_of_wrong_things_names_them(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(Error, match=re.escape(says)):
        make()


def wrong(value: Any) -> Any:
    """What the types forbid."""
    return value


@pytest.mark.parametrize("limit", LIMITS, ids=repr)
def test_a_reply_names_a_wrong_time_out_and_stays(limit: Any) -> None:
    with Batcher(echoed, mode="manual") as batcher:
        reply = batcher.submit(1)
        for wait in (reply.result, reply.exception):
            with pytest.raises((Error, TypeError, ValueError)) as caught:
                wait(limit)
            assert_names(caught.value, limit)
        with pytest.raises(TypeError, match="a callback is a function of the reply, not 5"):
            reply.add_done_callback(wrong(5))
        batcher.run()
        assert reply.result() == 1
