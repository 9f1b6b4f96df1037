"""How scenarios and traces write values, names and answers."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import microbatch
from microbatch import Error, Failure

NOBODY_ELSE = 0x7FFFFFFF
KINDS = ["null", "bool", "int64", "float64", "string", "bytes", "object"]
CODES = {status.name: status.code for status in microbatch.statuses()}


class Thing:
    """Stands for an object of owner 1."""

    def __init__(self, word: int, size: int) -> None:
        self.word, self.size = word, size


class NoText(NamedTuple):
    """A string that is not UTF-8, which Python's cannot be."""

    content: bytes


def unescape(text: str) -> bytes:
    content, at = bytearray(), 0
    while at < len(text):
        if text[at] == "%":
            content.append(int(text[at + 1 : at + 3], 16))
            at += 3
        else:
            content.append(ord(text[at]))
            at += 1
    return bytes(content)


def escape(content: bytes) -> str:
    return "".join(
        chr(one) if one < 128 and (chr(one).isalnum() or chr(one) in "_.") else f"%{one:02X}" for one in content
    )


def text(word: str) -> str:
    return "" if word == "-" else unescape(word).decode()


def dashed(shown: str) -> str:
    return escape(shown.encode()) if shown else "-"


def show(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"bool:{int(value)}"
    if isinstance(value, int):
        return f"int64:{value}"
    if isinstance(value, float):
        return "float64:" + struct.pack(">d", value).hex()
    if isinstance(value, str):
        return "string:" + escape(value.encode())
    if isinstance(value, bytes):
        return "bytes:" + escape(value)
    return f"object:{value.word}"


def seconds(nanoseconds: str) -> Fraction:
    return Fraction(int(nanoseconds), 10**9)


def status(call: Callable[[], Any]) -> str:
    try:
        call()
    except Error as refused:
        return refused.name
    return "OK"


def number(before: str, call: Callable[[], Any]) -> str:
    try:
        return f"{before}{call()}"
    except Error as refused:
        return refused.name


def failure_of(code: str, type_name: str, message: str) -> Failure:
    return Failure(int(code), message, type_name)
