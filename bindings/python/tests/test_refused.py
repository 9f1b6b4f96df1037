"""What is refused, and what the refusal says: the value that was wrong, and what would be accepted."""

from __future__ import annotations

import array
import re
from collections.abc import Callable
from typing import Any

import microbatch
import pytest
from microbatch import Batcher, Error


def doubled(values: list[Any]) -> list[Any]:
    return [2 * value for value in values]


async def later(values: list[Any]) -> list[Any]:
    return values


wrong: Any = Batcher
"""Calls that the types forbid."""


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: wrong(42), "a handler is a function of a list, on_batch(f) or Native(address), not 42"),
        (lambda: wrong(handlers=[doubled]), "handlers is a mapping such as {int: f, 'string': g}, not [<function"),
        (lambda: wrong(handlers={"int32": doubled}), "there is no kind 'int32': null, bool, int64"),
        (lambda: wrong(doubled, on_result=3), "on_result is a function, not 3"),
        (lambda: wrong(doubled, on_release=3), "on_release is a function, not 3"),
        (lambda: wrong(doubled, object_size=8), "object_size is a function, not 8"),
        (lambda: wrong(doubled, log="x"), "log is a function, not 'x'"),
        (lambda: wrong(later), "an async handler needs a running loop"),
        (lambda: wrong(later, mode="manual"), "async handlers go neither with plain"),
        (lambda: wrong(doubled, max_batchsize=3), "did you mean max_batch_size?"),
        (lambda: wrong(doubled, max_delay="2 parsecs"), 'unknown unit "parsecs"; write a number with ns, us, ms'),
        (lambda: wrong(doubled, max_delay=-1), 'max_delay = "-1000000000": must be 0 ns to forever'),
        (lambda: wrong(doubled, max_batch_size=2.5), 'max_batch_size = "2.5": write a plain whole number'),
        (lambda: wrong(doubled, mode="fast"), 'mode = "fast": must be threaded or manual'),
        (lambda: wrong(doubled, max_batch_size=100, queue_capacity=10), "must not be above queue_capacity = 10 values"),
        (lambda: microbatch.map([1], wrong_handler), "a handler is a function of a batch's values or on_batch(f), not 5"),
        (lambda: microbatch.map([1], doubled, max_batch_size=-2), "max_batch_size is a whole number from 1 on, or 0 for none, not -2"),
        (lambda: microbatch.map([1], doubled, batches=1, max_batch_size=1), "give one of the two, the other 0"),
        (lambda: microbatch.map([1], later), "map has no loop"),
    ],
)
def test_what_cannot_be_made(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(Error, match=re.escape(says)):
        make()


wrong_handler: Any = 5


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda b: b.submit(2**63), "9223372036854775808: integers are 64 bits with a sign"),
        (lambda b: b.submit("\ud800"), r"'\ud800': The string is not valid UTF-8"),
        (lambda b: b.push(1, -1), "a tag is an integer from 0 to 18446744073709551615, not -1"),
        (lambda b: b.push(1, 2**64), "a tag is an integer from 0 to 18446744073709551615, not 18446744073709551616"),
        (lambda b: b.push(1, "x"), "a tag is an integer from 0 to 18446744073709551615, not 'x'"),
        (lambda b: b.push_many([1, 2], -5), "a tag is an integer from 0 to 18446744073709551615, not -5"),
        (lambda b: b.push_many([1, 2], 2**64 - 1), "a tag is an integer from 0 to 18446744073709551615, not 18446744073709551616"),
        (lambda b: b.push_many([1, 2], 2**63 - 1), "tags are below 2**63 in a batcher that submit is used with"),
        (lambda b: b.push_many([1, 2], 1.5), "a tag is an integer from 0 to 18446744073709551615, not 1.5"),
        (lambda b: b.push_many([1, 2], [1]), "there must be one tag for each value"),
        (lambda b: b.push_many("abc"), "str is one value; many come as a list or an array"),
        (lambda b: b.push_many([1, 2**70]), "1180591620717411303424: integers are 64 bits with a sign"),
        (lambda b: b.push_many(array.array("Q", [2**64 - 1])), "18446744073709551615: integers are 64 bits with a sign"),
        (lambda b: b.submit(1, deadline=1, timeout=1), "a value has a deadline or a timeout, not both"),
        (lambda b: b.submit(1, timeout="5 furlongs"), 'unknown unit "furlongs"'),
        (lambda b: b.next_batch(), "batches go to the batcher's handlers; one without handlers is pulled"),
        (lambda b: b.next_results(), 'results go to replies and on_result; results="pull" is for who takes them'),
        (lambda b: b.cancel(77), "No value with that tag is waiting or in flight"),
    ],
)
def test_what_cannot_be_called(call: Callable[[Any], Any], says: str) -> None:
    with Batcher(doubled) as batcher:
        assert batcher.submit(21).result() == 42
        with pytest.raises(Error, match=re.escape(says)):
            call(batcher)
        assert batcher.submit(4).result() == 8


@pytest.mark.parametrize(
    "answer, error, says",
    [
        (None, TypeError, "returned None instead of a sequence of results"),
        (3, Error, "results come as an iterable or an array, not 3"),
        ("ab", Error, "str is one value"),
        ([1], Error, "the handler returned 1 results for 2 values"),
        ({1: 2, 3: 4}, TypeError, "a dict has no such order"),
        ({1, 2}, TypeError, "a set has no such order"),
        ([2**80, 1], Error, "integers are 64 bits with a sign"),
    ],
)
def test_what_a_handler_may_not_answer(answer: Any, error: type[Exception], says: str) -> None:
    with Batcher(lambda values: answer, max_batch_size=2, max_delay=60) as batcher:
        for reply in [batcher.submit(1), batcher.submit(2)]:
            with pytest.raises(error, match=re.escape(says)):
                reply.result()


def test_what_handlers_throw_is_kept_for_replies_alone() -> None:
    failed = 0

    def on_result(results: Any) -> None:
        nonlocal failed
        failed += sum(result.error is not None for result in results)

    def failing(values: list[int]) -> list[int]:
        raise ValueError("never")

    with Batcher(failing, on_result=on_result) as batcher:
        for tag in range(1000):
            batcher.push(1, tag)
        batcher.flush()
        assert failed == 1000
        assert batcher._host is not None and batcher._host.thrown == {}
        with pytest.raises(ValueError, match="never"):
            batcher.submit(1).result()
        assert batcher._host.thrown == {}


def test_fail_hands_on_the_very_exception() -> None:
    why = KeyError("row")

    def handler(batch: microbatch.Batch[int]) -> None:
        batch.fail(0, why)

    with Batcher(microbatch.on_batch(handler)) as batcher, pytest.raises(KeyError) as caught:
        batcher.submit(1).result()
    assert caught.value is why
