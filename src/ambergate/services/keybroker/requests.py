"""What all routes of the broker ask of a request's headers, path and query before its body is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from starlette.exceptions import HTTPException

from ambergate.core.errors import Malformed
from ambergate.services.keybroker.wire import parse_key_id
from ambergate.services.web.bodies import decode, read_body

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from starlette.requests import Request

T = TypeVar("T")

MAX_LISTED: Final = 10_000  # of one answer
JSON: Final = "application/json"
JWT: Final = "application/jwt"
PEM: Final = "application/x-pem-file"
MAX_BODY: Final = 128 * 1024  # bytes; a secret of 64 KiB in base64, and room for its JSON
_MAX_SEEN: Final = 64  # characters of a caller's that are repeated


def refuse_media(request: Request, answers: str = JSON) -> None:
    """415, as this protocol has it, for a caller who does not take what this answers with."""
    ranges = {part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")}
    if not ranges & {answers, f"{answers.partition('/')[0]}/*", "*/*", ""}:
        raise HTTPException(415, f"this answers {answers} only; say so in Accept")


def refuse_content_type(request: Request, reads: str = JSON) -> None:
    """415 for a body that is, by its own words, something else."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != reads:
        raise HTTPException(415, f"this reads {reads} only; say so in Content-Type")


async def read_json(request: Request, kind: type[T], *, limit: int = MAX_BODY) -> T:
    """The body of a request that sends JSON and takes JSON, as `kind`.

    Raises:
        Malformed: it has none, or another.
        TooLarge: longer than `limit` bytes.
    """
    body = await read_body(request, limit=limit)
    if not body:
        raise Malformed("the request has no body", code="malformed-request", wanted="JSON")
    refuse_content_type(request)
    return decode(body, kind)


def path_id(request: Request) -> UUID:
    """The id that the path names.

    Raises:
        HTTPException: (404) it is none, so there is nothing of this name.
    """
    try:
        return parse_key_id(request.path_params["id"])
    except Malformed as exc:
        raise HTTPException(404) from exc


def query(request: Request, known: Collection[str]) -> dict[str, str]:
    """The query's parameters, each once and each known; one that says nothing is left out.

    Raises:
        Malformed: (`malformed-query`) another parameter, or one twice.
    """
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known or name in found:
            wanted = ", ".join(known) or "no parameters"
            raise Malformed("the query is not usable", code="malformed-query", seen=name[:_MAX_SEEN], wanted=wanted)
        found[name] = value.strip()
    return {name: value for name, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for.

    Attributes:
        after: the id that the page begins behind.
        limit: so many at most; None: all of them, if they are not too many.
    """

    after: UUID | None
    limit: int | None

    @property
    def read(self) -> int:
        """How many have to be read."""
        return MAX_LISTED + 1 if self.limit is None else self.limit

    def whole(self, found: Sequence[T]) -> Sequence[T]:
        """What was found; nothing is cut off in silence.

        Raises:
            Malformed: (`too-many`) the whole list was asked for, and is too long.
        """
        if self.limit is None and len(found) > MAX_LISTED:
            hint = "ask for pages, by limit and after (the last id of the page before)"
            raise Malformed("there are too many to list", code="too-many", wanted=f"<= {MAX_LISTED}", hint=hint)
        return found


def page(asked: dict[str, str]) -> Page:
    """The page that a query's `after` and `limit` ask for.

    Raises:
        Malformed: (`malformed-query`) they are no id and no number in bounds.
    """
    limit = asked.get("limit")
    if limit is not None and not (
        limit.isascii() and limit.isdigit() and len(limit) < 6 and 0 < int(limit) <= MAX_LISTED
    ):
        raise Malformed(
            "limit is out of range", code="malformed-query", seen=limit[:_MAX_SEEN], wanted=f"1 to {MAX_LISTED}"
        )
    after = asked.get("after")
    return Page(None if after is None else parse_key_id(after), None if limit is None else int(limit))
