"""microbatch: pushes single values, handles them in batches, routes each result back."""

from __future__ import annotations

import sysconfig

if sysconfig.get_config_var("Py_GIL_DISABLED"):
    raise ImportError(
        "microbatch does not support free-threaded Python: its extension is of the limited API, which that has not"
    )

from typing import NamedTuple

from ._batch import Batch, HeldBatch, Native, OnBatch, on_batch
from ._batched import Batched, batched
from ._batcher import OPTIONS, Batcher
from ._error import STATUSES, Error, Failure, ForeignObject, MapError, Status, Timeout
from ._map import map, map_batches
from ._microbatch import Producer, Reply
from ._microbatch import version as __version__
from ._results import Result, Results
from ._stats import Histogram, Stats


class OptionInfo(NamedTuple):
    """One option, from the library's table."""

    name: str
    type_name: str
    unit: str
    default: str
    choices: str
    doc: str
    minimum: int
    maximum: int
    default_value: int
    """What it comes to in Python where it is not set; 0 if other options decide."""


def options() -> list[OptionInfo]:
    """Every option of a Batcher."""
    return [OptionInfo(*row) for row in OPTIONS.values()]


def statuses() -> list[Status]:
    """Every status of the library."""
    return list(STATUSES.values())


__all__ = [
    "Batch",
    "Batched",
    "Batcher",
    "Error",
    "Failure",
    "ForeignObject",
    "HeldBatch",
    "Histogram",
    "MapError",
    "Native",
    "OnBatch",
    "OptionInfo",
    "Producer",
    "Reply",
    "Result",
    "Results",
    "Stats",
    "Status",
    "Timeout",
    "__version__",
    "batched",
    "map",
    "map_batches",
    "on_batch",
    "options",
    "statuses",
]
