"""Reading Intel's signed JSON documents: strict about types and widths, silent about members that nobody asked for."""

from __future__ import annotations

import json
import re
from datetime import datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from ambergate.core.errors import MalformedCollateral

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DOCUMENT: Final = 1024 * 1024  # characters; the largest published TCB info is below 64 KiB
MAX_ADVISORIES: Final = 1024
MAX_PARTS: Final = 300_000  # objects and arrays of one text; a TCB info has below 2,000
_INSTANT: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", re.ASCII)
_SVN: Final[Callable[[Any], Any]] = itemgetter("svn")
_HEX: Final = re.compile(r"[0-9A-Fa-f]*", re.ASCII)


def load(text: str, what: str) -> dict[str, object]:
    """The document as a JSON object.

    Raises:
        MalformedCollateral: too long, not JSON, or not an object.
    """
    if len(text) > MAX_DOCUMENT:
        raise MalformedCollateral(
            f"{what} is too long", seen=f"{len(text)} characters", wanted=f"at most {MAX_DOCUMENT}"
        )
    return load_json(text, what, _PLAIN)


def load_json(text: str, what: str, decoder: json.JSONDecoder) -> dict[str, object]:
    """The text as a JSON object (RFC 8259), of a bounded number of parts.

    Args:
        text: of a bounded length.
        what: the name of the document, for messages.
        decoder: one of this module's.

    Raises:
        MalformedCollateral: not JSON, not an object, too many objects and arrays, NaN or Infinity, or text that no
            UTF-8 can hold.
    """
    if len(text) > MAX_PARTS:  # shorter texts cannot have as many, and are not searched for them
        parts = text.count("[") + text.count("{")
        if parts > MAX_PARTS:
            raise MalformedCollateral(f"{what} has too many parts", seen=parts, wanted=f"at most {MAX_PARTS}")
    try:
        value = decoder.decode(text)
        if "\\u" in text or not text.isascii():
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # half of a surrogate pair cannot be
    except (ValueError, RecursionError) as exc:
        raise MalformedCollateral(f"{what} is not JSON", seen=f"{exc!s:.200}", wanted="a JSON object") from exc
    return as_object(value, what)


def _no_number(word: str) -> object:
    msg = f"{word} is no number"
    raise ValueError(msg)


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        msg = "a member stands twice"
        raise ValueError(msg)
    return members


# For what nobody has signed, such as bundles: a member that stands twice is refused.
EACH_ONCE: Final = json.JSONDecoder(parse_constant=_no_number, object_pairs_hook=_each_once)
# For what Intel has signed: of two members of one name the last counts (ADR 0019).
_PLAIN: Final = json.JSONDecoder(parse_constant=_no_number)


def as_object(value: object, what: str) -> dict[str, object]:
    """The value, if it is a JSON object."""
    if not isinstance(value, dict):
        raise MalformedCollateral(f"{what} is not an object", seen=type(value).__name__, wanted="object")
    return value


def member(of: dict[str, object], name: str, what: str) -> dict[str, object]:
    """The member `name`, an object."""
    return as_object(of.get(name), f"{what}.{name}")


def array(of: dict[str, object], name: str, what: str) -> list[object]:
    """The member `name`, a non-empty array."""
    value = of.get(name)
    if not isinstance(value, list) or not value:
        raise MalformedCollateral(
            f"{what}.{name} is not an array with elements", seen=type(value).__name__, wanted="array"
        )
    return value


def text(of: dict[str, object], name: str, what: str) -> str:
    """The member `name`, a string."""
    value = of.get(name)
    if not isinstance(value, str):
        raise MalformedCollateral(f"{what}.{name} is not text", seen=type(value).__name__, wanted="string")
    return value


def integer(of: dict[str, object], name: str, what: str, *, limit: int) -> int:
    """The member `name`, an integer from 0 to `limit`."""
    value = of.get(name)
    if type(value) is not int or not 0 <= value <= limit:
        raise MalformedCollateral(
            f"{what}.{name} is not an integer in range", seen=repr(value)[:64], wanted=f"0 to {limit}"
        )
    return value


def svns(of: dict[str, object], name: str, what: str, *, count: int) -> tuple[int, ...]:
    """The member `name`, an array of exactly `count` objects, each with an integer `svn` from 0 to 255."""
    entries = array(of, name, what)
    if len(entries) != count:
        raise MalformedCollateral(f"{what}.{name} has another length", seen=len(entries), wanted=count)
    try:
        numbers = list(map(_SVN, entries))  # whatever is no object is caught below
        if {int}.issuperset(map(type, numbers)):
            return tuple(bytes(numbers))  # bytes() holds each to 0 to 255
    except (TypeError, KeyError, ValueError):
        pass
    return tuple(integer(as_object(entry, name), "svn", name, limit=0xFF) for entry in entries)


def octets(of: dict[str, object], name: str, what: str, *, width: int) -> bytes:
    """The member `name`, exactly `width` bytes in hex of either case."""
    value = text(of, name, what)
    if len(value) != 2 * width or _HEX.fullmatch(value) is None:
        raise MalformedCollateral(
            f"{what}.{name} is not hex of its width", seen=value[:64], wanted=f"{2 * width} hex digits"
        )
    return bytes.fromhex(value)


def instant(of: dict[str, object], name: str, what: str) -> datetime:
    """The member `name`, exactly `YYYY-MM-DDThh:mm:ssZ` and a real date."""
    value = text(of, name, what)
    if not _INSTANT.fullmatch(value):
        raise MalformedCollateral(f"{what}.{name} is not an instant", seen=value[:64], wanted="YYYY-MM-DDThh:mm:ssZ")
    try:
        return datetime.fromisoformat(value)  # of UTC, since it ends with a Z
    except ValueError as exc:
        raise MalformedCollateral(
            f"{what}.{name} is not a real date", seen=value, wanted="YYYY-MM-DDThh:mm:ssZ"
        ) from exc


def advisories(of: dict[str, object], what: str) -> tuple[str, ...]:
    """The optional member `advisoryIDs`, an array of strings; empty when absent."""
    value = of.get("advisoryIDs", [])
    if not isinstance(value, list) or len(value) > MAX_ADVISORIES or not {str}.issuperset(map(type, value)):
        raise MalformedCollateral(
            f"{what}.advisoryIDs is not an array of text", seen=repr(value)[:64], wanted="strings"
        )
    return tuple(value)
