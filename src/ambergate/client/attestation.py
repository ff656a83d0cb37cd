"""From a nonce to an attestation token: the exchange with the attestation service.

1. `GET nonce`: the service's signed nonce.
2. A quote over REPORTDATA that binds nonce and data.
3. `POST attest`: quote, nonce and data; the answer is the token.

The token is not checked here: that is the business of whom it is shown to. What is read from it (its end, the TCB
status) serves only to tell the user and to know when to ask again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ambergate.client.ports import REPORT_DATA_SIZE
from ambergate.client.replies import answered, bad_reply, octets
from ambergate.core.errors import NotWelcome, SettingsError, TokenRejected, TooLarge
from ambergate.core.token.forms import flat_claims

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ambergate.client.attempt import Attempt
    from ambergate.client.ports import EvidenceSource
    from ambergate.client.transport import Channel

SERVICE: Final = "the attestation service"
MAX_TOKEN: Final = 64 * 1024  # characters; our limit, ten times the longest token seen
MAX_QUOTE: Final = 256 * 1024  # bytes; our limit, an SGX quote has about 5 KiB
MAX_NONCE_PART: Final = 1024  # bytes; what Intel's C client takes
_JWS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Nonce:
    """The service's nonce: its parts as they came, and what is hashed of them."""

    wire: Mapping[str, str]
    val: bytes
    iat: bytes

    @classmethod
    def of(cls, document: Mapping[str, object]) -> Nonce:
        """The nonce in an answer.

        Raises:
            Unavailable: (`bad-reply`) a part is missing or not base64.
        """
        parts = {
            name: octets(document, name, service=SERVICE, limit=MAX_NONCE_PART) for name in ("val", "iat", "signature")
        }
        return cls(wire={name: str(document[name]) for name in parts}, val=parts["val"], iat=parts["iat"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """A token, and what it says of itself (unchecked).

    Attributes:
        token: the compact JWS.
        expires_at: the end of its life; None when it does not say.
        tcb_status: the platform's TCB status.
        advisory_ids: Intel's advisories that concern the platform.
    """

    token: str
    expires_at: datetime | None
    tcb_status: str | None
    advisory_ids: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Attested(expires_at={self.expires_at}, tcb_status={self.tcb_status})"


def report_data(tee: str, nonce: Nonce, data: bytes) -> bytes:
    """REPORTDATA that binds nonce and data to the quote: the hash of val, iat and data (wire protocol, section 2).

    For SGX SHA-256 and 32 zero bytes, for TDX SHA-512.

    Raises:
        SettingsError: another kind of environment.
    """
    bound = nonce.val + nonce.iat + data
    match tee:
        case "SGX":
            return hashlib.sha256(bound).digest().ljust(REPORT_DATA_SIZE, b"\0")
        case "TDX":
            return hashlib.sha512(bound).digest()
        case _:
            raise SettingsError("this kind of evidence is not supported", seen=tee, wanted="SGX or TDX")


def attest(
    channel: Channel, source: EvidenceSource, *, held: Callable[[], bytes], headers: Mapping[str, str], attempt: Attempt
) -> Attested:
    """A fresh token over fresh evidence that binds the held data.

    Args:
        channel: to the attestation API.
        source: makes the quote.
        held: gives the runtime data; empty: none. Asked once there is a nonce: making a key takes seconds, and a
            service that is down should be told of at once.
        headers: API key and request id.
        attempt: takes notes of each step.

    Raises:
        AmberError: no token, and why.
    """
    accepted = {"Accept": "application/json", **headers}
    attempt.begin("nonce")
    nonce = Nonce.of(
        answered(channel.request("GET", "nonce", headers=accepted), attempt, service=SERVICE, refusal=NotWelcome)
    )

    attempt.begin("quote")
    data = held()
    quote = source.quote(report_data(source.tee, nonce, data))
    if len(quote) > MAX_QUOTE:
        raise TooLarge("the quote is too long", seen=f"{len(quote)} bytes", wanted=f"<= {MAX_QUOTE}")

    attempt.begin("attest")
    body: dict[str, object] = {"quote": _base64(quote), "verifier_nonce": dict(nonce.wire)}
    if data:
        body["runtime_data"] = _base64(data)
    posted = {**accepted, "Content-Type": "application/json"}
    response = channel.request("POST", "attest", headers=posted, body=json.dumps(body).encode())
    attested = read_token(answered(response, attempt, service=SERVICE, refusal=NotWelcome).get("token"))
    attempt.note("tcb_status", attested.tcb_status)
    attempt.note("advisory_ids", ", ".join(attested.advisory_ids))
    return attested


def read_token(token: object) -> Attested:
    """What a token says of itself. Its signature is not checked.

    Raises:
        Unavailable: (`bad-reply`) it is not a compact JWS with a JSON object in it.
        TooLarge: it is longer than `MAX_TOKEN`.
    """
    if isinstance(token, str) and len(token) > MAX_TOKEN:
        raise TooLarge("the token is too long", seen=f"{len(token)} characters", wanted=f"<= {MAX_TOKEN}")
    if not isinstance(token, str) or not _JWS.fullmatch(token):
        raise bad_reply(SERVICE, "holds no token")
    payload = token.split(".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError) as exc:
        raise bad_reply(SERVICE, "holds a token whose claims cannot be read") from exc
    if not isinstance(claims, dict):
        raise bad_reply(SERVICE, "holds a token whose claims cannot be read")
    flat = _flat(claims)
    status, advisories = flat.get("attester_tcb_status"), flat.get("attester_advisory_ids")
    return Attested(
        token=token,
        expires_at=_instant(claims.get("exp")),
        tcb_status=status if isinstance(status, str) else None,
        advisory_ids=tuple(map(str, advisories)) if isinstance(advisories, list) else (),
    )


def _flat(claims: dict[str, object]) -> Mapping[str, object]:
    """By today's flat names, whatever the profile that the API key has; what says two things says nothing here."""
    try:
        return flat_claims(claims)
    except TokenRejected:
        return {}


def _instant(seconds: object) -> datetime | None:
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
