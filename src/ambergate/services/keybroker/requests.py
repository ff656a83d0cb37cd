"""What all routes of the broker ask of a request's headers, path and query before its body is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException

from ambergate.core.errors import Malformed
from ambergate.services.keybroker.wire import parse_key_id
from ambergate.services.web.bodies import decode, read_body

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import TypeVar
    from uuid import UUID

    from starlette.requests import Request

    T = TypeVar("T")

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
