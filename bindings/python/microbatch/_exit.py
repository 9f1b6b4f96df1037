"""What becomes of batchers when the process exits, or forks."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from typing import TYPE_CHECKING

from . import _microbatch

if TYPE_CHECKING:
    from ._ending import Ending

_open: weakref.WeakSet[Ending] = weakref.WeakSet()


def add(batcher: Ending) -> None:
    _open.add(batcher)


def remove(batcher: Ending) -> None:
    _open.discard(batcher)


@atexit.register
def _drain() -> None:
    """Open batchers drain, each up to its drain_at_exit, and what was left is reported."""
    from ._error import Error

    for batcher in list(_open):
        host = batcher._host
        if host is None or batcher._forked(os.getpid()):
            continue
        limit = batcher._timeouts["drain_at_exit"]
        left = 0
        try:
            if batcher._driver is not None or limit == 0:
                left = host.stats()["outstanding"]
            else:
                try:
                    batcher.close(limit / 1e9)
                except Error as ended:
                    left = getattr(ended, "left", 0) or host.stats()["outstanding"]
            batcher._closed = True
            batcher._free()
        except Error:
            pass
        if left and limit:
            print(
                f"microbatch: {left} values were discarded at exit: a batcher was not closed and did not drain in"
                f" {limit / 1e9:g} s",
                file=sys.stderr,
            )


def _after_fork() -> None:
    """In the child: calls answer FORKED."""
    _microbatch.forked()
    _open.clear()


os.register_at_fork(after_in_child=_after_fork)
