"""Threads of Python's that work for a batcher: they take whole batches, and bring results."""

from __future__ import annotations

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


def close_quietly(host: _microbatch.Host, limit: int) -> None:
    try:
        host.close(limit)
    except Exception as refused:
        report("a close that began in a callback failed", refused)
