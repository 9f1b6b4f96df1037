"""Threads of Python's that work for a batcher: they take whole batches, and bring results."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from . import _microbatch
from ._batch import report


def start(target: Callable[..., None], name: str, *args: Any) -> None:
    threading.Thread(target=target, name=name, args=args, daemon=True).start()


def serve(host_serves: Callable[[], None]) -> None:
    """The threads hold the host and not the batcher, which could never be freed else if it is only forgotten."""
    try:
        host_serves()
    except BaseException as failure:
        report("a thread of a batcher's ended", failure)


async def waited(work: Callable[[], None]) -> None:
    """Waits on a loop for what waits in a thread. Who is cancelled leaves the thread behind; of its executor's threads asyncio
    waits for the end, and Ctrl-C with it."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(failure: BaseException | None) -> None:
        if done.done():
            return
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(failure)

    def run() -> None:
        failure = None
        try:
            work()
        except BaseException as raised:
            failure = raised
        try:
            loop.call_soon_threadsafe(tell, failure)
        except RuntimeError:
            pass  # the loop has ended

    start(run, "microbatch-wait")
    await done


def close_quietly(host: _microbatch.Host, limit: int) -> None:
    try:
        host.close(limit)
    except Exception as refused:
        report("a close that began in a callback failed", refused)
