"""What goes wrong with extensions, by name."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import sysconfig
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import microbatch
import pytest
from microbatch import Batcher, Error

ROOT = Path(__file__).parents[3]


def run(program: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs a program in a Python of its own, which must end."""
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return done


def test_fork_with_values_outstanding() -> None:
    gate = threading.Event()

    def handler(values: list[int]) -> list[int]:
        gate.wait(60)
        return values

    with Batcher(handler, max_batch_size=1) as batcher:
        replies = [batcher.submit(n) for n in range(3)]
        pid = os.fork()
        if pid == 0:
            good = 0
            for call in (lambda: batcher.submit(9), batcher.flush, batcher.seal, replies[0].result):
                try:
                    call()
                except Error as refused:
                    good += refused.name == "FORKED"
            with Batcher(lambda values: values) as fresh:
                good += fresh.submit(5).result(30) == 5
            os._exit(good)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
        gate.set()
        assert [reply.result(30) for reply in replies] == [0, 1, 2]


@pytest.mark.parametrize("where", ["handler", "queue"])
def test_fork_with_a_batcher_of_a_loop(where: str) -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def handler(values: list[int]) -> list[int]:
            await gate.wait()
            return values

        async with Batcher(handler, max_batch_size=1) as batcher:
            reply = batcher.submit(1)
            while where == "handler" and not batcher.stats().in_flight:
                await asyncio.sleep(0)
            pid = os.fork()
            if pid == 0:
                good = 0
                for call in (lambda: batcher.submit(9), batcher.seal, batcher.flush_begin, reply.result):
                    try:
                        call()
                    except Error as refused:
                        good += refused.name == "FORKED"
                batcher.abandon()
                os._exit(good)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 4
            gate.set()
            assert await reply == 1

    asyncio.run(asyncio.wait_for(main(), 120))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import multiprocessing, microbatch\n"
        "@microbatch.batched(max_delay='1ms')\n"
        "def double(values): return [2 * value for value in values]\n"
        "def work(value): return double(value).result(30)\n"
        "@microbatch.batched\n"
        "def refuse(values): raise microbatch.Failure(7, 'odd', 'Odd')\n"
        "def fail(value):\n"
        "    if value: return refuse(value).result(30)\n"
        "    microbatch.map([1, 2], lambda values: values if values == [1] else 1 / 0, max_batch_size=1)\n"
        "if __name__ == '__main__':\n"
        "    assert work(1) == 2\n"
        f"    with multiprocessing.get_context('{method}').Pool(2) as pool:\n"
        "        assert pool.map(work, range(20)) == [2 * n for n in range(20)]\n"
        "        for value, kind in ((1, microbatch.Failure), (0, microbatch.MapError)):\n"
        "            try: pool.map(fail, [value])\n"
        "            except kind as failure: told = failure\n"
        "            if value: assert (told.code, told.message, told.type_name) == (7, 'odd', 'Odd'), told\n"
        "            else: assert [row.outcome for row in told.results] == ['ok', 'failed'], told\n"
        "    assert work(3) == 6\n"
    )
    subprocess.run([sys.executable, str(program)], check=True, timeout=120)


@pytest.mark.parametrize(
    "wait",
    [
        "flush()",
        "flush_end(b.flush_begin())",
        "close()",
        "submit(2).result()",
        "submit(2).exception()",
        "room()",
        "push(3)",
        "submit(3)",
        "push_many([3] * 99)",
        "producer().push(4)",
        # with a limit that is far off: in slices too
        "flush(3600)",
        "flush_end(b.flush_begin(), 3600)",
        "close(3600)",
        "submit(2).result(3600)",
        "submit(2).exception(3600)",
        "room(3600)",
        "__exit__(None, None, None)",
    ],
)
def test_ctrl_c_ends_every_wait(wait: str) -> None:
    program = (
        "import os, signal, sys, threading, microbatch\n"
        # A job in the background of a shell begins with SIGINT ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "gate = threading.Event()\n"
        "def handler(values):\n"
        "    gate.wait()\n"
        "    return values\n"
        "b = microbatch.Batcher(handler, max_batch_size=1, queue_capacity=1, drain_at_exit='10ms')\n"
        "b.push(1)\n"
        "while not b.stats().in_flight: pass\n"
        f"if {wait.startswith(('room', 'push', 'submit(3)', 'producer'))}: b.push(2)\n"
        "def press():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "threading.Timer(0.2, press).start()\n"
        "try:\n"
        f"    b.{wait}\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', flush=True)\n"
        "gate.set()\n"
        "b.abandon()\n"
    )
    assert run(program).stdout == "interrupted\n"


def test_ctrl_c_ends_a_flush_that_waits_for_on_result() -> None:
    program = (
        "import os, signal, threading, microbatch\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "gate, inside = threading.Event(), threading.Event()\n"
        "def on_result(results):\n"
        "    inside.set()\n"
        "    gate.wait()\n"
        "b = microbatch.Batcher(lambda values: values, on_result=on_result, max_batch_size=1)\n"
        "b.push(1)\n"
        "inside.wait()\n"
        "threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        "try:\n"
        "    b.flush()\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', flush=True)\n"
        "gate.set()\n"
        "b.close()\n"
        "b.abandon()\n"
    )
    assert run(program).stdout == "interrupted\n"


@pytest.mark.parametrize("handler", ["def", "async def"])
@pytest.mark.parametrize("wait", ["await b.aflush()", "await b.aclose()", "await b.aroom()", "await b.submit(2)", "async with b: pass"])
def test_ctrl_c_ends_every_wait_on_a_loop(wait: str, handler: str) -> None:
    program = (
        "import asyncio, os, signal, threading, microbatch\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "gate = threading.Event()\n"
        f"{handler} handler(values):\n"
        f"    {'await asyncio.Event().wait()' if 'async' in handler else 'gate.wait()'}\n"
        "    return values\n"
        "async def main():\n"
        "    b = microbatch.Batcher(handler, max_batch_size=1, queue_capacity=1, drain_at_exit='10ms')\n"
        "    b.push(1)\n"
        "    while not b.stats().in_flight: await asyncio.sleep(0)\n"
        f"    if {'aroom' in wait}: b.push(2)\n"
        "    threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        f"    {wait}\n"
        "try:\n"
        "    asyncio.run(main())\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', flush=True)\n"
        "gate.set()\n"
    )
    assert run(program).stdout == "interrupted\n"


@pytest.mark.parametrize("wait", ["flush()", "close()", "submit(2).result()"])
def test_ctrl_c_ends_a_wait_for_the_loop_of_another_thread(wait: str) -> None:
    program = (
        "import asyncio, os, signal, threading, microbatch\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "made, end = threading.Event(), None\n"
        "async def handler(values):\n"
        "    await asyncio.Event().wait()\n"
        "    return values\n"
        "async def main():\n"
        "    global b, end\n"
        "    b, end, loop = microbatch.Batcher(handler, max_batch_size=1), asyncio.Event(), asyncio.get_running_loop()\n"
        "    end.soon = lambda: loop.call_soon_threadsafe(end.set)\n"
        "    made.set()\n"
        "    await end.wait()\n"
        "    b.abandon()\n"
        "other = threading.Thread(target=lambda: asyncio.run(main()))\n"
        "other.start()\n"
        "made.wait()\n"
        "b.push(1)\n"
        "threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        "try:\n"
        f"    b.{wait}\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', flush=True)\n"
        "end.soon()\n"
        "other.join()\n"
    )
    assert run(program).stdout == "interrupted\n"


def test_exit_drains() -> None:
    program = (
        "import microbatch\n"
        "b = microbatch.Batcher(lambda values: values, max_delay='forever',\n"
        "    on_result=lambda results: print(*results.values, flush=True))\n"
        "b.push_many([1, 2, 3])\n"
    )
    done = run(program)
    assert (done.stdout, done.stderr) == ("1 2 3\n", "")


def test_exit_reports_what_did_not_drain() -> None:
    program = (
        "import microbatch, threading\n"
        "b = microbatch.Batcher(lambda values: threading.Event().wait(), drain_at_exit='50ms', max_batch_size=1)\n"
        "b.push_many([1, 2, 3])\n"
    )
    assert "3 values were discarded at exit" in run(program).stderr


def test_exit_drains_what_has_no_threads() -> None:
    program = (
        "import microbatch\n"
        "b = microbatch.Batcher(lambda values: values, mode='manual', max_delay='forever',\n"
        "    on_result=lambda results: print(*results.values, flush=True))\n"
        "b.push_many([1, 2, 3])\n"
    )
    done = run(program)
    assert (done.stdout, done.stderr) == ("1 2 3\n", "")


def test_exit_reports_what_a_loop_that_is_gone_has_left() -> None:
    program = (
        "import asyncio, microbatch\n"
        "async def handler(values): return values\n"
        "async def main():\n"
        "    global b\n"
        "    b = microbatch.Batcher(handler, max_delay='forever')\n"
        "    b.push_many([1, 2])\n"
        "asyncio.run(main())\n"
    )
    assert "2 values were discarded at exit" in run(program).stderr


def test_exit_is_silent_where_nobody_asked_for_a_drain() -> None:
    program = (
        "import microbatch\n"
        "b = microbatch.Batcher(lambda values: values, max_delay='forever', drain_at_exit=0)\n"
        "b.push_many([1, 2, 3])\n"
    )
    done = run(program)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_batcher_that_is_only_forgotten_is_freed_and_told() -> None:
    def make() -> weakref.ref[Any]:
        cycle: list[Any] = []
        batcher: Batcher[int, int] = Batcher(lambda values: (cycle, values)[1])
        cycle.append(batcher)
        assert batcher.submit(1).result(30) == 1
        return weakref.ref(batcher)

    threads = threading.active_count()
    with pytest.warns(ResourceWarning, match="not closed"):
        ghost = make()
        for _ in range(200):
            gc.collect()
            if ghost() is None:
                break
            threading.Event().wait(0.01)
    assert ghost() is None
    while threading.active_count() > threads:
        threading.Event().wait(0.01)


def memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_100_000_create_and_close_without_growth() -> None:
    def round_trips(count: int) -> None:
        for _ in range(count):
            with Batcher(lambda values: values, mode="manual") as batcher:
                batcher.submit("a")

    round_trips(10_000)
    gc.collect()
    before, files = memory(), descriptors()
    round_trips(100_000)
    gc.collect()
    assert memory() - before < 4 << 20
    assert descriptors() == files


def test_threaded_batchers_give_everything_back() -> None:
    def round_trips(count: int) -> None:
        for _ in range(count):
            with Batcher(lambda values: values) as batcher:
                batcher.submit(object()).result(30)

    round_trips(50)
    threads, files = threading.active_count(), descriptors()
    round_trips(300)
    while threading.active_count() > threads:
        threading.Event().wait(0.01)
    assert descriptors() == files


@pytest.mark.parametrize("wait", ["next_batch()", "next_results()", "next_batch(3600)", "next_results(3600)"])
def test_ctrl_c_ends_a_pull_and_loses_nothing(wait: str) -> None:
    program = (
        "import os, signal, threading, microbatch\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "b = microbatch.Batcher(results='pull')\n"
        "threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        "try:\n"
        f"    b.{wait}\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
        "b.push(1, 5)\n"
        "batch = b.next_batch(30)\n"
        "batch.set_all([2]); batch.complete()\n"
        "print(list(b.next_results(30).tags))\n"
        "b.abandon()\n"
    )
    assert run(program).stdout == "interrupted\n[5]\n"


def test_ctrl_c_passes_through_map_and_manual_mode() -> None:
    program = (
        "import os, signal, microbatch\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def handler(values):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    return values\n"
        "for call in (lambda: microbatch.map([1, 2], handler), None):\n"
        "    b = microbatch.Batcher(handler, mode='manual', max_delay='forever')\n"
        "    b.push(1)\n"
        "    try:\n"
        "        (call or b.flush)()\n"
        "    except KeyboardInterrupt:\n"
        "        print('interrupted', b.stats().outstanding)\n"
        "    b.abandon()\n"
    )
    assert run(program).stdout == "interrupted 1\ninterrupted 0\n"


class Thing:
    pass


class Things:
    """Objects that are looked after: each is given back once, and then nobody holds it."""

    def __init__(self) -> None:
        self.ghosts: list[weakref.ref[Thing]] = []
        self.released: list[int] = []

    def make(self) -> Thing:
        thing = Thing()
        self.ghosts.append(weakref.ref(thing))
        return thing

    def on_release(self, thing: Any) -> None:
        if isinstance(thing, Thing):
            self.released.append(id(thing))

    def check(self, given_back: int) -> None:
        for _ in range(300):
            gc.collect()
            if all(ghost() is None for ghost in self.ghosts) and len(self.released) >= given_back:
                break
            threading.Event().wait(0.01)
        assert [ghost() for ghost in self.ghosts] == [None] * len(self.ghosts)
        assert len(self.released) == given_back


def answered(batch: Any) -> None:
    batch.set_all(batch.values)


def failing(batch: Any) -> None:
    raise ValueError


@pytest.mark.parametrize(
    "path", ["ok", "fail", "cancel", "expire", "discard", "refuse", "close", "abandon", "keep", "forget", "fork"]
)
def test_objects_are_given_back_once_on_every_path(path: str) -> None:
    things, kept = Things(), []  # type: tuple[Things, list[Any]]
    gate = threading.Event()

    def keeping(batch: Any) -> None:
        kept.append(batch.keep())

    def waiting(batch: Any) -> None:
        gate.wait(60)
        answered(batch)

    handler = {"fail": failing, "keep": keeping, "forget": keeping, "fork": waiting}.get(path, answered)
    options: dict[str, Any] = {"max_delay": "forever", "max_batch_size": 4, "queue_capacity": 4}
    if path in ("discard", "refuse"):
        options |= {"max_in_flight": 1, "on_full": {"discard": "discard_oldest", "refuse": "reject"}[path]}
        handler = waiting
    batcher: Any = Batcher(microbatch.on_batch(handler), on_release=things.on_release, **options)
    replies = [batcher.submit(things.make(), timeout="1ms" if path == "expire" else None) for _ in range(3)]
    given_back = 6 if path in ("ok", "fork", "refuse") else 3  # a result that is the value is a reference more
    if path == "cancel":
        assert all(reply.cancel() for reply in replies)
    elif path == "expire":
        assert [type(reply.exception(30)) for reply in replies] == [Error] * 3
    elif path == "discard":
        batcher.seal()
        while not batcher.stats().in_flight:
            threading.Event().wait(0.001)
        replies += [batcher.submit(things.make()) for _ in range(8)]
        given_back = 11 + 3 + 4
    elif path == "refuse":
        batcher.seal()
        while not batcher.stats().in_flight:
            threading.Event().wait(0.001)
        replies += [batcher.submit(n) for n in range(4)]
        with pytest.raises(Error, match="QUEUE_FULL"):
            batcher.submit(things.make())
    elif path == "fork":
        batcher.seal()
        while not batcher.stats().in_flight:
            threading.Event().wait(0.001)
        pid = os.fork()
        if pid == 0:
            replies.clear()
            batcher.abandon()
            os._exit(len(things.released))  # they are the parent's to give back
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    gate.set()
    if path == "close":
        with pytest.raises(TimeoutError):
            batcher.close(0)
    elif path not in ("abandon", "cancel", "expire"):
        batcher.seal()
        if path in ("keep", "forget"):
            while not kept:
                threading.Event().wait(0.001)
            kept.pop().free() if path == "keep" else kept.clear()
        for reply in replies:
            reply.exception(30)
        del reply
        batcher.flush(30)
    replies.clear()
    batcher.abandon()
    del batcher, handler
    things.check(given_back)


@pytest.mark.parametrize("how", ["submit", "push", "counted"])
def test_objects_are_given_back_though_nobody_calls_in(how: str) -> None:
    things = Things()

    def look() -> None:
        with Batcher(lambda values: [0], on_release=things.on_release, count_results=how == "counted") as batcher:
            (batcher.submit if how == "submit" else batcher.push)(things.make())
            things.check(1)

    if how == "counted":  # given back by a thread of the engine's, and told on the main thread
        look()
    else:
        with ThreadPoolExecutor(1) as other:
            other.submit(look).result()  # while the main thread is deaf


def test_batchers_that_cannot_be_made_leave_nothing() -> None:
    def failures(count: int) -> None:
        for _ in range(count):
            with pytest.raises(Error, match="max_batch_size"):
                Batcher(lambda values: values, log=print, on_result=print, max_batch_size=10, queue_capacity=1)

    failures(20_000)
    gc.collect()
    before = memory()
    failures(20_000)  # of some 900 bytes each
    gc.collect()
    assert memory() - before < 8 << 20


@pytest.mark.parametrize("way", ["batcher.push", "batcher.submit", "batcher.producer().push", "batcher.producer().submit"])
def test_a_batcher_may_be_abandoned_by_what_runs_in_a_push(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_PERTURB_", "165")  # memory that was freed is not what it was
    program = (
        "import fractions, microbatch\n"
        "class Late(fractions.Fraction):\n"
        "    denominator = 1\n"
        "    @property\n"
        "    def numerator(self):\n"
        "        batcher.abandon()\n"
        "        return 5\n"
        "def abandoning(thing):\n"
        "    batcher.abandon()\n"
        "    return 1\n"
        "batcher = microbatch.Batcher(lambda values: values, mode='manual', object_size=abandoning)\n"
        f"{way}(object())\n"  # taken, and discarded
        "batcher = microbatch.Batcher(lambda values: values, mode='manual')\n"
        "try:\n"
        f"    {way}(1, deadline=Late(5))\n"
        "except microbatch.Error as refused:\n"
        "    print(refused.name)\n"
    )
    assert run(program).stdout == "CLOSED\n"


def test_a_producer_that_is_freed_by_a_tag_pushes_nothing() -> None:
    class Freeing:
        def __index__(self) -> int:
            producer.free()
            return 1

    tag: Any = Freeing()
    with Batcher(lambda values: values, mode="manual") as batcher:
        producer = batcher.producer()
        with pytest.raises(Error, match="the producer is freed"):
            producer.push(1, tag)
        assert batcher.stats().accepted == 0


def test_a_refused_push_that_gives_objects_back_says_why_it_was_refused() -> None:
    things = Things()

    def size(thing: Any) -> int:
        if isinstance(thing, Thing):
            return 0
        other.flush(30)  # what was pushed is given back by a thread of the engine's, and told when this push ends
        raise LookupError("no size")

    def look() -> None:
        for _ in range(100):
            batcher.push(things.make())
            with pytest.raises(LookupError, match="no size"):
                batcher.push(object())

    with Batcher(lambda values: [0], on_release=things.on_release, object_size=size, count_results=True) as batcher:
        other: Batcher[Any, Any] = Batcher.attach(batcher.share())
        with ThreadPoolExecutor(1) as pool:
            pool.submit(look).result()  # while the main thread is deaf
        other.close()
    things.check(100)


def test_a_pull_in_manual_mode_answers_at_once() -> None:
    program = (
        "import microbatch\n"
        "with microbatch.Batcher(mode='manual', results='pull') as b:\n"
        "    for wait in (b.next_batch, b.next_results):\n"
        "        try: wait()\n"
        "        except TimeoutError: print('nothing')\n"
    )
    assert run(program).stdout == "nothing\nnothing\n"


def replacing(batch: Any) -> None:
    for _ in range(3):
        batch.set_all(batch.values)


def setting_and_failing(batch: Any) -> None:
    batch.set_all(batch.values)
    raise ValueError


@pytest.mark.parametrize("path", ["replace", "set and fail", "late", "push_many", "pull", "producer"])
def test_objects_are_given_back_once_on_paths_that_are_rare(path: str) -> None:
    things = Things()
    options: dict[str, Any] = {"mode": "manual", "max_delay": "forever", "max_in_flight": 2}
    kept: list[Any] = []
    if path == "late":
        options |= {"clock": "given", "handler_timeout": 1}
    handler = {"replace": replacing, "set and fail": setting_and_failing, "late": lambda batch: kept.append(batch.keep())}
    work = None if path == "pull" else microbatch.on_batch(handler.get(path, answered))
    if path == "pull":
        options["results"] = "pull"
    with Batcher(work, on_release=things.on_release, on_result=None, **options) as batcher:
        if path == "push_many":
            with pytest.raises(Error, match="OUT_OF_RANGE") as refused:
                batcher.push_many([things.make(), things.make(), 2**64, things.make()])
            assert refused.value.accepted == 2
            del refused  # its traceback has the list
        elif path == "producer":
            with batcher.producer() as producer:
                for _ in range(2):
                    producer.push(things.make())
        else:
            for _ in range(2):
                batcher.push(things.make())
        if path == "pull":
            batcher.seal()
            pulled = batcher.next_batch(0)
            pulled.set_all(pulled.values)
            pulled.complete()
            del pulled
        else:
            batcher.seal()
            batcher.run()
        if path == "late":
            batcher.advance(2)
            batcher.run()
            held = kept.pop()
            with pytest.raises(Error, match="TOO_LATE"):
                held.set(0, things.make())
            with pytest.raises(Error, match="TOO_LATE"):
                held.complete()
            del held
    del batcher
    things.check({"replace": 2 + 6, "set and fail": 4, "late": 3}.get(path, 4))


def test_sub_interpreters_are_refused_at_import() -> None:
    inside = f"import sys; sys.path[:] = {sys.path!r}\ntry:\n    import microbatch\nexcept ImportError as refused:\n    print(refused)\n"
    program = (
        f"import {'_interpreters' if sys.version_info >= (3, 13) else '_xxsubinterpreters'} as subs\n"
        "import microbatch\n"
        f"subs.run_string(subs.create(), {inside!r})\n"
        "with microbatch.Batcher(lambda values: values) as b:\n"
        "    print(b.submit(1).result(30))\n"
    )
    said = run(program).stdout
    # from 3.12 on Python itself refuses those that have a GIL of their own
    assert "main interpreter" in said or "does not support loading in subinterpreters" in said
    assert said.endswith("1\n")


def test_a_free_threaded_interpreter_is_refused_at_import() -> None:
    program = (
        "import sysconfig\n"
        "real = sysconfig.get_config_var\n"
        "sysconfig.get_config_var = lambda name: 1 if name == 'Py_GIL_DISABLED' else real(name)\n"
        "try:\n"
        "    import microbatch\n"
        "except ImportError as refused:\n"
        "    print(refused)\n"
    )
    assert "does not support free-threaded Python" in run(program).stdout


def test_a_free_threaded_interpreter_is_refused_by_the_build() -> None:
    program = (
        "import runpy, sys, sysconfig\n"
        "real = sysconfig.get_config_var\n"
        "sysconfig.get_config_var = lambda name: 1 if name == 'Py_GIL_DISABLED' else real(name)\n"
        "sys.argv = ['setup.py', 'bdist_wheel']\n"
        f"runpy.run_path({str(ROOT / 'bindings/python/setup.py')!r}, run_name='__main__')\n"
    )
    assert "does not support free-threaded Python" in run(program, 1).stderr
