"""Every public call, given every wrong input: what refuses it names the value, and the batcher goes on with nothing lost."""

from __future__ import annotations

import asyncio
import ctypes
import inspect
import pickle
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import microbatch
import numpy as np
import pyarrow as pa
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


def test_a_wrong_row_is_told_which_there_are() -> None:
    with Batcher(mode="manual", count_results=True) as batcher:
        batcher.push_many([10, 20], 1)
        batch = batcher.next_batch(0)
        with pytest.raises(Error, match="INVALID_ARGUMENT: a row is an integer from 0 to 1, not 'x'"):
            batch.set(wrong("x"), 1)
        with pytest.raises(Error, match="OUT_OF_RANGE: row 2 of a batch of 2"):
            batch.fail(2, Failure(5))
        batch.complete()


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: microbatch.on_batch(wrong(5)), "on_batch takes a function of a batch, not 5"),
        (lambda: Failure(wrong("x")), "a code of your own is an integer from 1 to 2147483647, not 'x'"),
        (lambda: Failure(0), "not 0"),
        (lambda: Failure(2**31), "not 2147483648"),
        (lambda: Failure(5, wrong(None)), "the message of a failure is a str, not None"),
        (lambda: Failure(5, "", wrong(7)), "the type_name of a failure is a str, not 7"),
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


@pytest.mark.parametrize("text", ["max_delay\0", "\ud800"])
def test_text_that_c_cannot_carry_is_no_option(text: str) -> None:
    for given in ({text: 1}, {"mode": text}, {"max_batch_size": "1" + text}):
        with pytest.raises(Error, match="INVALID_OPTION") as caught:
            wrong(Batcher)(echoed, **given)
        assert ascii(text)[1:-1] in caught.value.message
    with Batcher(echoed, mode="manual") as batcher, pytest.raises(Error, match="a time as text is a number and a unit"):
        batcher.flush("2ms" + text)


FOREIGN = [
    ((2**32 + 1, 1, 0), "owner", 2**32 - 1),
    ((-1, 1, 0), "owner", 2**32 - 1),
    (("x", 1, 0), "owner", 2**32 - 1),
    ((9, 2**64, 0), "word", 2**64 - 1),
    ((9, None, 0), "word", 2**64 - 1),
    ((9, 1, -1), "size", 2**64 - 1),
    ((9, 1, 1.5), "size", 2**64 - 1),
]


@pytest.mark.parametrize(("given", "name", "most"), FOREIGN)
def test_an_object_of_others_has_numbers_that_fit(given: tuple[Any, Any, Any], name: str, most: int) -> None:
    place = ["owner", "word", "size"].index(name)
    with Batcher(echoed, mode="manual") as batcher:
        for push in (batcher.push, batcher.submit, batcher.check, lambda one: batcher.push_many([one])):
            with pytest.raises(Error) as caught:
                push(microbatch.ForeignObject(*given))
            assert f"the {name} of a ForeignObject is an integer from 0 to {most}, not {given[place]!r}" in str(caught.value)
        assert batcher.stats().accepted == 0


@pytest.mark.parametrize("size", [-1, "x", None, 2**64, 1.5])
def test_object_size_answers_a_size(size: Any) -> None:
    given_back: list[Any] = []
    with Batcher(echoed, mode="manual", object_size=lambda thing: size, on_release=given_back.append) as batcher:
        thing = [1]
        count = sys.getrefcount(thing)
        for push in (batcher.push, batcher.submit, batcher.check, lambda one: batcher.push_many([one])):
            with pytest.raises(Error, match=re.escape(f"what object_size answers is an integer from 0 to {2**64 - 1}, not {size!r}")):
                push(thing)
        assert (sys.getrefcount(thing), batcher.stats().accepted, given_back) == (count, 0, [])


class Arrow:
    """What only looks like a column."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def __arrow_c_array__(self, requested_schema: object = None) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Stream(Arrow):
    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        return self.answer

    __arrow_c_array__ = None  # type: ignore[assignment]


NUMBERS = pa.array([1, 2])
NO_COLUMNS: list[tuple[Any, str]] = [
    *((Arrow(one), "a schema and an array in capsules, as pyarrow's does, not") for one in (None, 5, (1,), (1, 2), "ab")),
    (Arrow(NUMBERS.__arrow_c_array__()[::-1]), "a schema and an array in capsules, as pyarrow's does, not"),
    (pa.array([{"a": 1}]), "an Arrow array of format '+s' cannot be pushed: numbers, booleans, strings, binary and nulls can"),
    (pa.array([[1]]), "an Arrow array of format '+l' cannot be pushed"),
    (pa.array([1], type=pa.date32()), "an Arrow array of format 'tdD' cannot be pushed"),
    (pa.array([1], type=pa.decimal128(5)), "an Arrow array of format 'd:5,0' cannot be pushed"),
    (pa.chunked_array([pa.array([1], type=pa.date32())]), "an Arrow array of format 'tdD' cannot be pushed"),
    (np.array(5), "iteration over a 0-d array"),
]


@pytest.mark.parametrize(("column", "says"), NO_COLUMNS, ids=lambda given: repr(given)[:24])
def test_columns_of_a_wrong_type_are_refused_and_nothing_is_taken(column: Any, says: str) -> None:
    with Batcher(echoed, mode="manual") as batcher:
        for take in (batcher.push_many, lambda source: microbatch.map(source, echoed)):
            with pytest.raises((Error, TypeError), match=re.escape(says)):
                take(column)
        assert batcher.stats().accepted == 0
        taken = Arrow(NUMBERS.__arrow_c_array__())
        assert batcher.push_many(wrong(taken)) == 2
        with pytest.raises(Error, match="the Arrow array was taken before"):
            batcher.push_many(wrong(taken))
        assert batcher.stats().accepted == 2


@pytest.mark.parametrize("answer", [None, 5, NUMBERS.__arrow_c_array__()[1]])
def test_a_stream_is_a_capsule_of_one(answer: Any) -> None:
    stream = Stream(answer)
    stream.__class__ = type("Stream", (), {"__arrow_c_stream__": Stream.__arrow_c_stream__})
    with Batcher(echoed, mode="manual") as batcher, pytest.raises(Error, match="a stream in a capsule, as pyarrow's does, not"):
        batcher.push_many(wrong(stream))


def test_a_stream_is_taken_once() -> None:
    capsule = pa.chunked_array([[1], [2, 3]]).__arrow_c_stream__()
    taken = wrong(type("Taken", (), {"__arrow_c_stream__": lambda self: capsule})())
    with Batcher(echoed, mode="manual") as batcher:
        assert batcher.push_many(taken) == 3
        with pytest.raises(Error, match="the Arrow stream was taken before"):
            batcher.push_many(taken)
        assert batcher.stats().accepted == 3


def test_a_tag_is_whatever_is_an_index() -> None:
    told: list[Any] = []
    with Batcher(echoed, mode="manual", on_result=told.extend) as batcher, batcher.producer() as producer:
        batcher.push(1, wrong(np.int64(7)))
        producer.push(2, wrong(np.uint8(8)))
        batcher.push_many([3], wrong(np.int16(9)))
        batcher.push(4, 10)
        assert batcher.cancel(wrong(np.uint64(10))) == 1
        batcher.flush_end(wrong(np.uint64(batcher.flush_begin())))
    assert sorted((one.tag, one.value) for one in told if one.error is None) == [(7, 1), (8, 2), (9, 3)]


def test_what_a_source_raises_is_handed_on_and_nothing_is_taken() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise KeyError("mine")

    with Batcher(echoed, mode="manual") as batcher:
        for source in (failing(), Arrow(KeyError("mine"))):
            with pytest.raises(KeyError, match="mine"):
                batcher.push_many(wrong(source))
        assert batcher.stats().accepted == 0


BUFFERS: list[tuple[Any, list[Any]]] = [
    ((ctypes.c_bool * 3)(True, False, True), [True, False, True]),
    ((ctypes.c_int * 2)(-1, 2), [-1, 2]),
    (np.array([1, -2], dtype=">i8"), [1, -2]),
    (np.array([1.5, -2], dtype=">f4"), [1.5, -2.0]),
    (np.arange(6)[::-2], [5, 3, 1]),
]


@pytest.mark.parametrize(("source", "values"), BUFFERS, ids=lambda given: repr(given)[:24])
def test_buffers_of_other_formats_and_strides_are_read_as_their_values(source: Any, values: list[Any]) -> None:
    seen: list[Any] = []
    with Batcher(lambda got: (seen.extend(got), got)[1], mode="manual") as batcher:
        assert batcher.push_many(source) == len(values)
        batcher.flush()
    assert seen == values and [isinstance(one, bool) for one in seen] == [isinstance(one, bool) for one in values]


@pytest.mark.parametrize("failure", [Failure(5, "\ud800"), Failure(5, "", "a\0b"), Failure(5, "", "\ud800"), Error(-5, "\ud800")])
@pytest.mark.parametrize("how", ["raise", "return"])
def test_no_text_of_a_failure_loses_it(failure: Exception, how: str) -> None:
    def handler(values: list[int]) -> list[Any]:
        if how == "raise":
            raise failure
        return [failure for _ in values]

    told: list[Any] = []
    with Batcher(handler, mode="manual", on_result=told.extend) as batcher:
        reply = batcher.submit(1)
        batcher.push(1, 2)
    assert reply.exception(0) is failure
    assert told[0].error.code == failure.code  # type: ignore[attr-defined]


class Refused(Failure):
    def __init__(self, why: str) -> None:
        super().__init__(9, f"refused: {why}")


@pytest.mark.parametrize(
    "failure",
    [
        Failure(7, "odd", "Odd"),
        Refused("mine"),
        Error(-5, "why", handled="no", accepted=3),
        microbatch.Timeout(microbatch._error.CODES["TIMEOUT"], "late"),
        microbatch.MapError(-30, "all", outcome="failed"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_failures_are_pickled_as_they_are(failure: Exception) -> None:
    failure.add_note("a note")
    again = pickle.loads(pickle.dumps(failure))
    assert (type(again), str(again), vars(again)) == (type(failure), str(failure), vars(failure))


FREED_IS_FINE = {"abandon", "aclose", "attach", "close"}


def test_every_call_on_a_freed_batcher_says_so() -> None:
    given: dict[str, tuple[Any, ...]] = {"push_many": ([1],), "flush_end": (0,)}
    given |= {name: (1,) for name in ("submit", "push", "check", "cancel", "advance")}
    batcher = Batcher(echoed, mode="manual", results="pull")
    producer = batcher.producer()
    batcher.abandon()
    for name in sorted((CALLS.keys() | PLAIN) - FREED_IS_FINE):
        with pytest.raises(Error, match="CLOSED: the batcher is freed"):
            answer = getattr(batcher, name)(*given.get(name, ()))
            if inspect.iscoroutine(answer):
                stepped(answer)
    for push in (producer.push, producer.submit):
        with pytest.raises(Error, match="CLOSED"):
            push(1)
    producer.free()
    batcher.close()
    stepped(batcher.aclose())


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_no_call_of_the_others_is_left_out() -> None:
    """Those that take something are tested above, in test_refused and in test_reply."""
    assert public(microbatch.Producer) == {"push", "submit", "free"}
    assert public(microbatch.Reply) == {
        "add_done_callback", "cancel", "cancelled", "done", "exception", "get_loop", "remove_done_callback", "result", "tag",
    }
    takes_nothing = {"all_ok", "batch", "first_error", "kind", "tags", "tolist", "values"}
    assert public(microbatch.Results) == takes_nothing
    functions = {name for name in microbatch.__all__ if inspect.isfunction(getattr(microbatch, name))}
    assert functions == {"batched", "map", "map_batches", "on_batch", "options", "statuses"}


PUSHES: list[Callable[[Any, Any], Any]] = [
    lambda p, w: p.push(1, tag=w),
    lambda p, w: p.push(1, 0, deadline=w),
    lambda p, w: p.submit(1, deadline=w),
]


@pytest.mark.parametrize(
    ("call", "wrong_one"), [(call, one) for at, call in enumerate(PUSHES) for one in (TIMES if at else WORDS)], ids=repr
)
def test_a_producer_names_what_is_wrong_and_goes_on(call: Callable[[Any, Any], Any], wrong_one: Any) -> None:
    with Batcher(echoed, mode="manual") as batcher, batcher.producer() as producer:
        with pytest.raises(BaseException) as caught:
            call(producer, wrong_one)
        assert_names(caught.value, wrong_one)
        reply = producer.submit(7)
        batcher.flush()
        assert (reply.result(), batcher.stats().accepted) == (7, 1)


@pytest.mark.parametrize("name", ["max_batch_size", "batches"])
def test_a_map_of_more_batches_than_64_bits_can_count_does_not_wrap(name: str) -> None:
    sizes: list[int] = []
    result = microbatch.map([1, 2, 3], lambda values: (sizes.append(len(values)), values)[1], **{name: 2**64 + 1})
    assert (result, sizes) == ([1, 2, 3], [3] if name == "max_batch_size" else [1, 1, 1])


@pytest.mark.parametrize("handler", [None, 5, "x"])
def test_a_map_of_batches_names_what_is_no_handler(handler: Any) -> None:
    with pytest.raises(Error, match=re.escape(f"on_batch takes a function of a batch, not {handler!r}")):
        microbatch.map_batches([1], handler)


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
        with pytest.raises(TypeError, match="context is a contextvars.Context or None, not 5"):
            reply.add_done_callback(print, context=wrong(5))
        batcher.run()
        assert reply.result() == 1
