"""Durations: seconds as a number, a timedelta, text such as "2ms", None for no limit."""

from __future__ import annotations

import math
from datetime import timedelta
from fractions import Fraction
from typing import Union

from . import _microbatch
from ._error import named

Seconds = Union[int, float, Fraction, timedelta, str]
FOREVER = 2**63 - 1


def _is_c_text(text: str) -> bool:
    """Whether C's strings have it."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def nanoseconds(duration: Seconds | None) -> int:
    """What the engine counts in."""
    if duration is None:
        return FOREVER
    if isinstance(duration, str):
        if not _is_c_text(duration):
            raise named("INVALID_ARGUMENT", f"a time as text is a number and a unit, such as '2ms', not {duration!a}")
        return _microbatch.duration(duration)
    if isinstance(duration, timedelta):
        return (duration.days * 86_400 + duration.seconds) * 10**9 + duration.microseconds * 1000
    if isinstance(duration, bool) or not isinstance(duration, (int, float, Fraction)):
        raise TypeError(f"a time is seconds, a timedelta, text such as '2ms' or None, not {duration!r}")
    if isinstance(duration, float) and not math.isfinite(duration):
        if duration > 0:
            return FOREVER
        raise ValueError(f"a time is a number of seconds, not {duration!r}")
    return max(-(2**63), min(FOREVER, round(Fraction(duration) * 10**9)))


def time_out(limit: Seconds | None) -> int:
    """How long a call may wait, in nanoseconds."""
    span = nanoseconds(limit)
    if span < 0:
        raise named("INVALID_ARGUMENT", f"a time-out is 0 or longer, or None for no limit, not {limit!r}")
    return span


Option = Seconds


def option_text(name: str, type_name: str, value: Option) -> str:
    """An option as the library reads it."""
    if not _is_c_text(name):
        raise named("INVALID_OPTION", f"{name!a} is not an option")
    if isinstance(value, str):
        if not _is_c_text(value):
            raise named("INVALID_OPTION", f"{name} = {value!a}: the text of an option has no NUL and no lone surrogate")
        return value
    if type_name == "duration":
        return str(nanoseconds(value))
    return str(value)
