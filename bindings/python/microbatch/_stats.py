"""One consistent snapshot of what a batcher has done and holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ._error import STATUSES, TRIGGERS


@dataclass(frozen=True)
class Histogram:
    """Bucket 0 counts 0 and 1, bucket i counts 2**i to 2**(i+1) - 1."""

    count: int
    sum: int
    max: int
    buckets: list[int]


@dataclass(frozen=True)
class Stats:
    """accepted = ok + failed + expired + cancelled + discarded + outstanding, in every snapshot. Times are nanoseconds."""

    accepted: int
    ok: int
    failed: int
    expired: int
    cancelled: int
    discarded: int
    outstanding: int
    undelivered: int
    triggers: dict[str, int]
    refusals: dict[str, int]
    batches: int
    late: int
    stuck: int
    waiting: int
    waiting_bytes: int
    in_flight: int
    delivering: int
    bytes_in_use: int
    oldest_in_flight_age: int
    batch_size: Histogram
    queue_time: Histogram
    handler_time: Histogram
    delivery_time: Histogram


def stats_of(raw: dict[str, Any]) -> Stats:
    triggers = raw.pop("triggers")
    refusals = raw.pop("refusals")
    for name in ("batch_size", "queue_time", "handler_time", "delivery_time"):
        raw[name] = Histogram(*raw[name])
    return Stats(
        triggers={name: triggers[at] for at, name in enumerate(TRIGGERS, 1)},
        refusals={STATUSES[-at].name: count for at, count in enumerate(refusals) if count and -at in STATUSES},
        **raw,
    )
