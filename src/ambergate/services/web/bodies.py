"""Reading request bodies: bounded in size and in time, decoded once, at the border."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from ambergate.core.errors import Malformed, TooLarge
from ambergate.core.token.jose import strict_value
from ambergate.services.web.problems import SLOW_REQUEST

if TYPE_CHECKING:
    from starlette.requests import Request

T = TypeVar("T")

MAX_BODY: Final = 500_000  # bytes; the documented limit of the service whose protocol this is
BODY_SECONDS: Final = 30.0  # for the whole body; 500 kB at 17 kB/s
WHOLE: Final = "ambergate.whole"  # in a scope: the server has the whole request, and nothing of it is waited for
_MAX_SEEN: Final = 200  # characters of a parser's words that are repeated to the sender
_OTHER: Final = -(1 << 32)
_MANY: Final = 64  # colons; known requests have some ten
_DRAIN: Final = 8  # times the limit that is still read and thrown away, so that the sender sees our answer


async def read_body(request: Request, *, limit: int = MAX_BODY, seconds: float = BODY_SECONDS) -> bytes:
    """The request's body.

    Args:
        request: the request; its body is read here and nowhere else.
        limit: bytes.
        seconds: until the last byte must have come.

    Raises:
        TooLarge: more bytes than the limit, announced or sent.
        Malformed: the body did not arrive in time (answered 408), or broke off.
    """
    if WHOLE in request.scope:  # a timer costs more than to collect what is here already
        return await _collect(request, limit)
    try:
        async with asyncio.timeout(seconds):
            return await _collect(request, limit)
    except TimeoutError as exc:
        raise Malformed(
            "the request's body did not arrive in time", code=SLOW_REQUEST, wanted=f"within {seconds} s"
        ) from exc


def decode(body: bytes, kind: type[T]) -> T:
    """The body as `kind`, which says what is accepted.

    Raises:
        Malformed: not JSON, or not of that shape.
    """
    value = _plain(body, kind)
    return shaped(parse(body), kind) if value is None else value


def _plain(body: bytes, kind: type[T]) -> T | None:
    """A body that msgspec reads as `parse` and `shaped` do; None: ask them. In a tenth of their time.

    msgspec lets a member stand twice, and the last one count. Every member brings a colon: where there are no more of
    these than members in what was read, none stood twice.
    """
    if b"\\" in body:
        return None
    try:
        value = msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, msgspec.Struct) and _colons(body) == _members(value) else None


def _members(value: msgspec.Struct) -> int:
    """How many members a structure of text has, and those in it; below zero: there is something else in it."""
    members = 0 if _is_silent(type(value)) else _OTHER
    for part in msgspec.structs.astuple(value):
        if part is None:
            continue
        members += 1
        if isinstance(part, msgspec.Struct):
            members += _members(part)
        elif not (isinstance(part, str | bool) or (isinstance(part, list) and all(type(each) is str for each in part))):
            return _OTHER
    return members


def _colons(body: bytes) -> int:
    """`body.count(b":")`, in a tenth of its time where there are few in much: `find` looks at many bytes at once."""
    found, at = 0, body.find(b":")
    while at >= 0:
        if (found := found + 1) > _MANY:
            return body.count(b":")
        at = body.find(b":", at + 1)
    return found


@functools.cache
def _is_silent(kind: type[msgspec.Struct]) -> bool:
    """Whether members that were not sent are None: others cannot be told from those that were."""
    return all(default is None or default is msgspec.NODEFAULT for default in kind.__struct_defaults__)


def parse(body: bytes) -> object:
    """JSON that every reader reads alike (RFC 7493): UTF-8, no member twice, finite numbers, whole characters.

    Raises:
        Malformed: anything else.
    """
    try:
        return strict_value(body.decode())
    except (ValueError, RecursionError) as exc:
        raise _unexpected(str(exc)[:_MAX_SEEN]) from exc


def shaped(value: object, kind: type[T]) -> T:
    """Parsed JSON as `kind`.

    Raises:
        Malformed: it is not of that shape.
    """
    try:
        return msgspec.convert(value, kind)
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise _unexpected(str(exc)[:_MAX_SEEN]) from exc


def _unexpected(seen: str) -> Malformed:
    return Malformed("the request's body is not what is expected here", code="malformed-request", seen=seen)


async def _collect(request: Request, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            # Nobody is there to be told: this is for the log.
            raise Malformed("the connection ended before the request's body did", code="body-broken-off")
        more = message.get("more_body", False)
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit * _DRAIN:
            break
        if size <= limit:
            pieces.append(piece)
    if size > limit:
        seen = request.headers.get("content-length", f"more than {limit}")
        raise TooLarge("the request's body is too large", seen=f"{seen} bytes", wanted=f"at most {limit} bytes")
    return b"".join(pieces)


def header(request: Request, name: bytes) -> str | None:
    """The first header of this name, which is in lower case; None: there is none."""
    for each, value in request.scope["headers"]:
        if each == name:
            return str(value, "latin-1")
    return None
