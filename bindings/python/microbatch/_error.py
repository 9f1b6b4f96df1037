"""What can go wrong, from the library's own table."""

from __future__ import annotations

from typing import NamedTuple

from . import _microbatch


class Status(NamedTuple):
    """One status of the library."""

    code: int
    retriable: bool
    name: str
    text: str


STATUSES: dict[int, Status] = {
    code: Status(code, bool(retriable), name, text) for code, retriable, name, text in _microbatch.status_table()
}
CODES: dict[str, int] = {status.name: status.code for status in STATUSES.values()}


class Error(Exception):
    """A call was refused, or a value came to another outcome than OK.

    code: the library's number (negative), or the handler's own (positive). name: the status by name, for example
    "QUEUE_FULL"; "USER_CODE" for the handler's own. message: what was wrong and what would be accepted. type_name: of a
    failure in a handler, the name of the exception. retriable: whether the same call, repeated later, may succeed. handled:
    "no", "maybe" or "yes": whether a handler saw the value; None if no value was concerned. outcome: what the value came to;
    None if no value was. accepted: of a bulk push, how many values were taken before the one that was refused.
    """

    def __init__(
        self,
        code: int,
        message: str | None = None,
        *,
        type_name: str = "",
        handled: str | None = None,
        outcome: str | None = None,
        accepted: int | None = None,
    ) -> None:
        status = STATUSES.get(code)
        self.code = code
        self.name = status.name if status else "USER_CODE" if code > 0 else "UNKNOWN_CODE"
        self.retriable = bool(status and status.retriable)
        self.message = message if message is not None else status.text if status else ""
        self.type_name = type_name
        self.handled = handled
        self.outcome = outcome
        self.accepted = accepted
        what = self.name if code <= 0 else f"{self.name} {code}"
        super().__init__(f"{what}: {type_name + ': ' if type_name else ''}{self.message}")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args), self.__dict__


class Timeout(Error, TimeoutError):
    """TIMEOUT, which is a TimeoutError too."""


class MapError(Error):
    """Values of a map failed. `results` has every result, those that are OK too; the code is that of the first failure."""

    results: object


def _rebuild(kind: type[Exception], args: tuple[object, ...]) -> Exception:
    error = kind.__new__(kind)
    error.args = args
    return error


def make(code: int, message: str | None = None) -> Error:
    """The exception of a status."""
    return Timeout(code, message) if code == CODES["TIMEOUT"] else Error(code, message)


def of_row(code: int, type_name: str, message: str | None, outcome: int, handled: int) -> Error:
    """Why a value has no result."""
    if type_name:
        return Error(code, message, type_name=type_name, handled=HANDLED[handled], outcome=OUTCOMES[outcome])
    error = make(code, message)
    error.outcome, error.handled = OUTCOMES[outcome], HANDLED[handled]
    return error


def named(name: str, message: str | None = None) -> Error:
    return make(CODES[name], message)


class Failure(Exception):
    """Raise it in a handler to fail its part with a positive code of your own; return it in the results to fail one value."""

    def __init__(self, code: int, message: str = "", type_name: str = "") -> None:
        if not isinstance(code, int) or not 0 < code < 2**31:
            raise named("INVALID_ARGUMENT", f"a code of your own is an integer from 1 to {2**31 - 1}, not {code!r}")
        for name, text in (("message", message), ("type_name", type_name)):
            if not isinstance(text, str):
                raise named("INVALID_ARGUMENT", f"the {name} of a failure is a str, not {text!r}")
        super().__init__(message)
        self.code = code
        self.message = message
        self.type_name = type_name

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args), self.__dict__


class ForeignObject(NamedTuple):
    """An object of another owner than this batcher's: a word that means something to its owner only."""

    owner: int
    word: int
    size: int = 0


def describe(failure: BaseException) -> tuple[int, str, str]:
    """Code, type name and message that an exception is reported with."""
    if not isinstance(failure, BaseException):
        raise named("INVALID_ARGUMENT", f"a failure is an exception, not {failure!r}")
    if isinstance(failure, Failure):
        return failure.code, _sendable(failure.type_name).replace("\0", "\\x00"), _sendable(failure.message)
    if isinstance(failure, Error):
        return failure.code, failure.type_name or type(failure).__name__, _sendable(failure.message)
    try:
        message = str(failure)
    except Exception as broken:
        message = f"(its text failed: {type(broken).__name__})"
    return CODES["HANDLER_FAILED"], type(failure).__name__, _sendable(message)


def _sendable(text: str) -> str:
    """Lone surrogates are written out: the reason of a failure must not be lost by them."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


_microbatch.setup(make=make, of_row=of_row, ForeignObject=ForeignObject)
KINDS, TRIGGERS, OUTCOMES, HANDLED = _microbatch.names()
INT64, FLOAT64 = KINDS.index("int64"), KINDS.index("float64")
EXPIRED_CODES = frozenset((CODES["HANDLER_TIMEOUT"], CODES["DEADLINE"]))
