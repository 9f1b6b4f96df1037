"""Plays a scenario of tests/conformance through the public API and gives its trace. The formats are in the README there."""

from __future__ import annotations

import array
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import microbatch
from conformance_text import CODES, KINDS, NOBODY_ELSE, NoText, Thing, dashed, failure_of, number, seconds, show, status, text, unescape
from microbatch import Batch, Batcher, Error, Failure, ForeignObject, Results

LACKS = {"owned", "free_in_callback"}
"""What Python has no form for: pushed bytes stay Python's, and a batcher in use by a call outlives it."""

class Runner:
    def __init__(self) -> None:
        self.trace: list[str] = []
        self.scripts: dict[str, list[str]] = {}
        self.calls: dict[str, int] = {}
        self.options: dict[str, str] = {}
        self.held: list[Any] = []
        self.pulls: list[str] = []
        self.marks: list[int] = []
        self.batcher: Batcher[Any, Any] | None = None
        self.owner = 0
        self.depth = 0

    def play(self, scenario: str) -> str:
        for line in scenario.split("\n"):
            words = line.split(" ")
            if words[0] in ("", "#", "needs"):
                continue
            if words[0] == "owner":
                self.owner = int(words[1])
            elif words[0] == "option":
                self.options[words[1]] = words[2]
            elif words[0] == "handler":
                self.scripts.setdefault(words[1], []).append(" ".join(words[2:]))
            elif words[0] == "pull":
                self.pulls.append(words[1])
            elif words[0] in ("on_result", "on_release"):
                self.scripts.setdefault(words[0], []).append(" ".join(words[1:]))
            elif words[0] == "new":
                answer = self.make()
                self.line("new -> " + answer)
                if answer != "OK":
                    return self.text()
            else:
                self.step(line)
        if self.batcher is not None:
            self.step("free")
        for at, batch in enumerate(self.held):
            if batch is not None:
                self.step(f"h{at + 1} free")
        return self.text()

    def text(self) -> str:
        return "".join(line + "\n" for line in self.trace)

    def line(self, line: str) -> None:
        self.trace.append("  " * self.depth + line)

    def indented(self, by: int, work: Callable[[], Any]) -> None:
        self.depth += by
        try:
            work()
        finally:
            self.depth -= by

    def actions(self, name: str) -> list[str]:
        lines = self.scripts.get(name)
        if lines is None:
            return []
        call = self.calls.get(name, 0)
        self.calls[name] = call + 1
        line = lines[min(call, len(lines) - 1)]
        return line.split(" ; ") if line else []

    def parse(self, word: str) -> Any:
        kind, _, content = word.partition(":")
        if kind == "null":
            return None
        if kind == "bool":
            return content == "1"
        if kind == "int64":
            return int(content)
        if kind == "float64":
            return struct.unpack(">d", bytes.fromhex(content))[0]
        if kind == "bytes":
            return unescape(content)
        if kind == "string":
            try:
                return unescape(content).decode()
            except UnicodeDecodeError:
                return NoText(unescape(content))
        of, item, size = (int(part) for part in content.split("/"))
        if of and of == self.owner:
            return Thing(item, size)
        return ForeignObject(NOBODY_ELSE if of else 0, item, size)

    # ---- making and callbacks ----

    def make(self) -> str:
        handlers: dict[str, Any] = {
            kind: microbatch.on_batch(lambda batch, kind=kind: self.handle(kind, batch))  # type: ignore[misc]
            for kind in KINDS
            if kind in self.scripts
        }
        default = microbatch.on_batch(lambda batch: self.handle("default", batch)) if "default" in self.scripts else None

        def on_result(results: Results[Any]) -> None:
            self.indented(1, lambda: (self.show_results(results, f"batch {results.batch}", results.kind), self.callback("on_result")))

        def on_release(thing: Any) -> None:
            self.indented(1, lambda: (self.line(f"release object {thing.word}"), self.callback("on_release")))

        def create() -> None:
            options: dict[str, Any] = {"clock": "given", **self.options}
            self.batcher = Batcher(
                default,
                handlers=handlers,
                pull_handlers=self.pulls,
                on_result=on_result if "on_result" in self.scripts else None,
                on_release=on_release if self.owner else None,
                object_size=lambda thing: int(thing.size),
                count_results="on_result" not in self.scripts and self.options.get("results") != "pull",
                mode="manual",
                **options,
            )

        return status(create)

    def callback(self, name: str) -> None:
        def act() -> None:
            for action in self.actions(name):
                self.step(action[3:])

        self.indented(1, act)

    def handle(self, name: str, batch: Batch[Any]) -> None:
        returned = [0]

        def act() -> None:
            for action in self.actions(name):
                self.act(batch, action, returned)

        self.indented(1, lambda: (self.show_batch(batch, name), self.indented(1, act)))
        if returned[0]:
            raise Failure(returned[0]) if returned[0] > 0 else Error(returned[0], "")

    def act(self, batch: Batch[Any], action: str, returned: list[int]) -> None:
        words = action.split(" ")
        if words[0] == "do":
            self.step(action[3:])
        elif words[0] == "return":
            returned[0] = int(words[1])
        elif words[0] == "keep":
            answer = number("OK h", lambda: (self.held.append(batch.keep()), len(self.held))[1])
            self.line("keep -> " + answer)
        else:
            answer = self.on_batch(batch, words)
            if answer != "OK":
                self.line(f"{action} -> {answer}")

    def show_batch(self, batch: Batch[Any], name: str) -> None:
        rows = "".join(f" {show(value)}@{tag}" for value, tag in zip(batch.values, batch.tags))
        is_map = name == "map"
        trigger, age = ("-", 0) if is_map else (batch.trigger.upper(), batch.age_ns)
        self.line(f"batch {batch.number} {name} {trigger} {batch.kind} age {age}:{rows}")

    def show_results(self, results: Results[Any], title: str, kind: str | None) -> None:
        self.line(f"results {title} count {len(results)}" + (f" {kind}" if kind else ""))

        def rows() -> None:
            for result in results:
                shown = f"{result.tag} {result.outcome.upper()} {result.handled.upper()} "
                error = result.error
                if error is None:
                    shown += show(result.value)
                elif error.code > 0:
                    shown += f"{error.code} {dashed(error.type_name)} {dashed(error.message)}"
                else:
                    shown += error.name
                self.line(shown)

        self.indented(1, rows)

    # ---- steps ----

    def step(self, step: str) -> None:
        answer = self.answer(step.split(" "))
        if answer is not None:
            self.line(f"{step} -> {answer}")

    def answer(self, words: list[str]) -> str | None:
        name = words[0]
        if name[0] == "h" and name[1:].isdigit():
            return self.on_held(int(name[1:]) - 1, words[1:])
        if name == "map":
            return self.map(words)
        batcher = self.batcher
        if batcher is None:
            return "INVALID_HANDLE"
        if name == "push":
            return self.push(batcher, words)
        if name == "push_many":
            return self.push_many(batcher, words)
        if name == "check":
            value = self.parse(words[1])
            return "INVALID_UTF8" if isinstance(value, NoText) else status(lambda: batcher.check(value))
        if name == "cancel":
            return number("OK ", lambda: batcher.cancel(int(words[1])))
        if name == "advance":
            return status(lambda: batcher.advance(seconds(words[1])))
        if name == "now":
            return str(batcher.now_ns())
        if name == "next_due":
            due = batcher.next_due_ns()
            return "FOREVER" if due is None else str(due)
        if name == "flush_begin":
            return number("OK m", lambda: (self.marks.append(batcher.flush_begin()), len(self.marks))[1])
        if name == "flush_end":
            return status(lambda: batcher.flush_end(self.marks[int(words[1][1:]) - 1], 0))
        if name in ("room", "flush"):
            return status(lambda: getattr(batcher, name)(0))
        if name in ("seal", "run"):
            return status(getattr(batcher, name))
        if name == "close":
            try:
                batcher.close(None if words[1] == "forever" else seconds(words[1]))
            except Error as refused:
                left = getattr(refused, "left", 0)
                return f"TIMEOUT left {left}" if left else refused.name
            return "OK"
        if name == "free":
            batcher.abandon()
            self.batcher = None
            return "OK"
        if name == "next_batch":

            def pull() -> int:
                batch = batcher.next_batch(0)
                self.indented(1, lambda: self.show_batch(batch, "pulled"))
                self.held.append(batch)
                return len(self.held)

            return number("OK h", pull)
        if name == "next_results":

            def pull_results() -> None:
                results = batcher.next_results(0)
                self.indented(1, lambda: self.show_results(results, f"batch {results.batch}", results.kind))

            return status(pull_results)
        assert name == "stats", name
        self.line(self.stats(batcher))
        return None

    @staticmethod
    def deadline(words: list[str]) -> Fraction | None:
        given = [word[9:] for word in words if word.startswith("deadline=")]
        return seconds(given[0]) if given else None

    def push(self, batcher: Batcher[Any, Any], words: list[str]) -> str:
        value = self.parse(words[1])
        if isinstance(value, NoText):
            return "INVALID_UTF8"
        return status(lambda: batcher.push(value, int(words[2]), deadline=self.deadline(words)))

    def push_many(self, batcher: Batcher[Any, Any], words: list[str]) -> str:
        values: list[Any] = []
        listed = [int(tag) for tag in words[2].split(",")]
        tokens = [word for word in words[3:] if "=" not in word]
        for token in tokens:
            value = self.parse(token)
            if isinstance(value, NoText):
                break
            values.append(value)
        cut = len(values) < len(tokens)
        tags: Any = listed[: len(values)] if "," in words[2] else listed[0]
        source: Any = values
        if words[1] == "int64s" and all(type(value) is int for value in values):
            source = array.array("q", values)
        elif words[1] == "float64s" and all(type(value) is float for value in values):
            source = array.array("d", values)
        try:
            accepted = batcher.push_many(source, tags, deadline=self.deadline(words))
        except Error as refused:
            return f"{refused.name} accepted {refused.accepted}"
        return f"{'INVALID_UTF8' if cut else 'OK'} accepted {accepted}"

    def map(self, words: list[str]) -> str:
        values: Any = [self.parse(token) for token in words[4:]]
        if any(isinstance(value, NoText) for value in values):
            return "INVALID_UTF8"
        if words[1] == "int64s" and all(type(value) is int for value in values):
            values = array.array("q", values)
        elif words[1] == "float64s" and all(type(value) is float for value in values):
            values = array.array("d", values)
        split = {"max_batch_size" if words[2] == "size" else "batches": int(words[3])}

        def run() -> None:
            results = microbatch.map_batches(values, lambda batch: self.handle("map", batch), **split)
            self.indented(1, lambda: self.show_results(results, "map", None))

        return status(run)

    # ---- batches ----

    def on_held(self, at: int, action: list[str]) -> str:
        batch = self.held[at]
        if batch is None:
            return "TOO_LATE"
        if action[0] in ("complete", "complete_ok", "free"):
            self.held[at] = None
            return status(getattr(batch, action[0]))
        if action[0] == "keep":
            return status(batch.keep)
        if action[0] == "complete_next":
            self.held[at] = None

            def complete() -> None:
                results = batch.complete_next()
                if results is not None:
                    self.indented(1, lambda: self.show_results(results, f"batch {results.batch}", results.kind))

            return status(complete)
        return self.on_batch(batch, action)

    def on_batch(self, batch: Batch[Any], action: list[str]) -> str:
        name = action[0]
        if name in ("echo", "double"):
            last = "OK"
            for row, value in enumerate(batch.values):
                if name == "double" and type(value) is int:
                    value = (2 * value + 2**63) % 2**64 - 2**63
                answer = status(lambda: batch.set(row, value))
                last = last if answer == "OK" else answer
            return last
        if name == "set":
            value = self.parse(action[2])
            return "INVALID_UTF8" if isinstance(value, NoText) else status(lambda: batch.set(int(action[1]), value))
        if name == "set_int64s":
            numbers = array.array("q", range(int(action[2]), int(action[2]) + int(action[1])))
            return status(lambda: batch.set_all(numbers))
        if name == "fail":
            failure = failure_of(action[2], text(action[3]), text(action[4]))
            return status(lambda: batch.fail(int(action[1]), failure))
        assert name == "fail_all", name
        return status(lambda: batch.fail_all(failure_of(action[1], text(action[2]), text(action[3]))))

    @staticmethod
    def stats(batcher: Batcher[Any, Any]) -> str:
        s = batcher.stats()
        first, last = -CODES["WRONG_OWNER"], -CODES["CLOSED"]
        triggers = "".join(f" {name.upper()}={count}" for name, count in s.triggers.items() if count)
        refusals = "".join(f" {name}={count}" for name, count in s.refusals.items() if first <= -CODES[name] <= last)

        def histogram(of: microbatch.Histogram) -> str:
            return f"{of.count}/{of.sum}/{of.max}"

        return (
            f"stats -> accepted {s.accepted} ok {s.ok} failed {s.failed} expired {s.expired} cancelled {s.cancelled}"
            f" discarded {s.discarded} outstanding {s.outstanding} undelivered {s.undelivered} waiting {s.waiting}"
            f" waiting_bytes {s.waiting_bytes} in_flight {s.in_flight} oldest {s.oldest_in_flight_age}"
            f" batches {s.batches} late {s.late} batch_size {histogram(s.batch_size)}"
            f" queue_time {histogram(s.queue_time)} triggers{triggers} refusals{refusals}"
        )
