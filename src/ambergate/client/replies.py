"""What the services answer: JSON read with bounds, refusals turned back into the errors they stand for."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Final

from ambergate.core.errors import (
    AmberError,
    NotAuthorised,
    NotGenuine,
    Refusal,
    SettingsError,
    TimedOut,
    TokenRejected,
    TooLarge,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ambergate.client.attempt import Attempt
    from ambergate.client.transport import Response

# Codes of `Unavailable` for answers that are no help.
BAD_REPLY: Final = "bad-reply"
REDIRECTED: Final = "redirected"
BUSY: Final = "too-many-requests"
SERVICE_ERROR: Final = "service-error"

_DECISIONS: Final = ("not-welcome", "release-refused")  # codes of policies' decisions, whatever the status
_MAX_WORDS: Final = 500  # characters of a service's own words that are repeated to our user
_MAX_MISMATCHES: Final = 50  # policy rules that are repeated to our user


def answered(response: Response, attempt: Attempt, *, service: str, refusal: type[Refusal]) -> dict[str, object]:
    """The JSON object of a successful answer; notes the status and ids of the exchange.

    Args:
        response: the answer.
        attempt: takes the notes.
        service: whose answer it is, for messages.
        refusal: what this service's policies refuse with.

    Raises:
        AmberError: the answer is a failure (`failure`), or not a JSON object.
    """
    noted(response, attempt)
    document = _json_object(response.body)
    if response.status != 200:
        raise failure(response.status, document or {}, service=service, refusal=refusal)
    if document is None:
        raise bad_reply(service, "is not a JSON object")
    return document


def noted(response: Response, attempt: Attempt) -> None:
    """Note the status and ids of an exchange."""
    attempt.note("http_status", response.status)
    attempt.note("request_id", response.headers.get("request-id"))
    attempt.note("trace_id", response.headers.get("trace-id"))


def failure(status: int, document: Mapping[str, object], *, service: str, refusal: type[Refusal]) -> AmberError:
    """The error that an answer other than 200 stands for.

    What the service says of the evidence (failing step, mismatches of a policy) is kept; its words are its own and
    are only repeated.
    """
    words = _text(document, "error") or _text(document, "message") or f"HTTP status {status}"
    message = f"{service}: {words}"
    code, hint = _text(document, "code"), _text(document, "hint")
    decided = code in _DECISIONS or "mismatches" in document
    if status == 400 or (status in {401, 403} and decided):
        return _refused(message, document, code=code, hint=hint, refusal=refusal)
    if status == 401 and code and code.startswith("token"):
        return TokenRejected(message, code=code, hint=hint)
    if status in {401, 403}:
        return NotAuthorised(message, code=code, hint=hint or "is the API key right?")
    if status == 404:
        return SettingsError(message, code="settings-not-found", hint=hint or "are the URL and the key id right?")
    if status == 413:
        return TooLarge(message, code=code, hint=hint)
    return _unavailable(status, message, hint)


def bad_reply(service: str, why: str, *, seen: object = None) -> Unavailable:
    """The error for an answer that is not what the protocol says."""
    return Unavailable(
        f"the answer of {service} {why}", code=BAD_REPLY, seen=seen, hint="does the URL lead to this service?"
    )


def octets(document: Mapping[str, object], name: str, *, service: str, limit: int) -> bytes:
    """A member that holds standard base64 with padding, 1 to `limit` bytes.

    Raises:
        Unavailable: (`bad-reply`) it is not there or not that.
    """
    value = document.get(name)
    if not isinstance(value, str):
        raise bad_reply(service, f"has no {name}")
    try:
        decoded = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise bad_reply(service, f"holds a {name} that is not base64") from exc
    if not 0 < len(decoded) <= limit:
        raise bad_reply(service, f"holds a {name} of unusable length", seen=f"{len(decoded)} bytes")
    return decoded


def _refused(
    message: str, document: Mapping[str, object], *, code: str | None, hint: str | None, refusal: type[Refusal]
) -> AmberError:
    step = _text(document, "step")
    if step or (code or "").startswith("malformed"):
        seen, wanted = _text(document, "seen"), _text(document, "wanted")
        return NotGenuine(message, step=step or "parse", code=code, seen=seen, wanted=wanted, hint=hint)
    return refusal(message, mismatches=_mismatches(document), code=code, hint=hint)


def _unavailable(status: int, message: str, hint: str | None) -> Unavailable:
    if 300 <= status < 400:
        return Unavailable(message, code=REDIRECTED, hint="redirects are not followed: set the URL it leads to")
    if status in {408, 504}:
        return TimedOut(message, hint=hint)
    if status == 429:
        return Unavailable(message, code=BUSY, hint=hint or "wait, then try again")
    return Unavailable(message, code=SERVICE_ERROR if status >= 500 else BAD_REPLY, hint=hint)


def _json_object(body: bytes) -> dict[str, object] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _text(document: Mapping[str, object], name: str) -> str | None:
    """A member's text in one line, shortened: it goes into messages."""
    value = document.get(name)
    if not isinstance(value, str):
        return None
    return " ".join(value.split())[:_MAX_WORDS] or None


def _mismatches(document: Mapping[str, object]) -> list[dict[str, str]]:
    entries = document.get("mismatches")
    return [
        {name: _text(entry, name) or "" for name in ("rule", "seen", "wanted")}
        for entry in (entries[:_MAX_MISMATCHES] if isinstance(entries, list) else ())
        if isinstance(entry, dict)
    ]
