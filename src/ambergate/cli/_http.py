"""Asking a service over HTTPS: bounded answers, and its errors told as if they had happened here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ambergate.core.errors import (
    AmberError,
    Conflict,
    MalformedPolicy,
    NotAuthorised,
    NotFound,
    TooLarge,
    TooManyRequests,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

TIMEOUT: Final = 30.0  # seconds
_PAGE: Final = 1000  # members of a list that are asked for at a time
MAX_ANSWER: Final = 64 * 1024 * 1024  # bytes: a thousand policies of 20 KB, signed


def ask(
    client: httpx.Client, method: str, path: str, *, body: Mapping[str, object] | None = None
) -> tuple[Any, Mapping[str, str]]:
    """The answer's JSON, None where there is none, and its headers.

    Raises:
        AmberError: what the service told.
        Unavailable: it cannot be reached, or is another.
    """
    content, answer = send(client, method, path, body=body)
    return (None if answer.status_code == 204 else _document(content)), answer.headers


def ask_all(client: httpx.Client, path: str) -> list[dict[str, Any]]:
    """Every member of a list that is told in pages, whose members have ids. Raises as `ask`."""
    found: list[dict[str, Any]] = []
    while True:
        after = f"&after={found[-1]['id']}" if found else ""
        page = ask(client, "GET", f"{path}?limit={_PAGE}{after}")[0]
        found += page
        if len(page) < _PAGE:
            return found


def send(
    client: httpx.Client,
    method: str,
    path: str,
    *,
    body: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[bytes, httpx.Response]:
    """As `ask`, but whatever the service answers with."""
    import httpx

    try:
        with client.stream(method, path, json=body, headers=headers) as answer:
            content = _read(answer)
    except httpx.HTTPError as exc:
        raise Unavailable("the service cannot be asked", seen=f"{type(exc).__name__}: {exc}") from exc
    if answer.status_code not in {200, 201, 204}:
        document = _document(content)
        raise _failure(answer.status_code, document if isinstance(document, dict) else {}, answer.headers)
    return content, answer


def _read(answer: httpx.Response) -> bytes:
    content = bytearray()
    for piece in answer.iter_bytes():
        content += piece
        if len(content) > MAX_ANSWER:
            raise TooLarge("the service's answer is too long", wanted=f"at most {MAX_ANSWER} bytes")
    return bytes(content)


def _document(content: bytes) -> object:
    import msgspec

    try:
        return msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise Unavailable("the answer is not that of this service", hint="does --url lead to it?") from exc


def _failure(status: int, document: Mapping[str, Any], headers: Mapping[str, str]) -> AmberError:
    """The error that the service told, as it would be here."""
    words = str(document.get("error") or document.get("message") or f"HTTP status {status}")
    told = {name: document.get(name) for name in ("code", "seen", "wanted", "hint")}
    if status in {401, 403}:
        return NotAuthorised(words, **told)
    if status == 404:
        return NotFound(words, **told)
    if status == 413:
        return TooLarge(words, **told)
    if status == 429:
        wait = headers.get("retry-after", "1")
        return TooManyRequests(words, retry_after=int(wait) if wait.isdigit() else 1, hint=told["hint"])
    if status == 400:
        malformed = str(told["code"]).startswith(("malformed", "policy-signature", "policy-not-signed"))
        return (MalformedPolicy if malformed else Conflict)(words, **told)
    return Unavailable(words, code=told["code"], seen=f"HTTP status {status}")
