"""The key broker's HTTP bodies, as Intel's Key Broker Service has them. Unknown members are refused."""

from __future__ import annotations

import re
from base64 import b64encode
from datetime import UTC
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec

from ambergate.core.errors import Malformed
from ambergate.core.release.keywrap import WRAPPINGS
from ambergate.services.keybroker.ports import Evidence

if TYPE_CHECKING:
    from datetime import datetime

    from ambergate.core.release.envelope import Envelope
    from ambergate.core.release.keywrap import KeyWrap

# Any version: the original's sample configuration names a key whose id is of version 3. uuid.UUID() alone would
# also read braces, URNs and digits without hyphens, giving one key many URLs.
UUID_PATTERN: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


class NonceWire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A nonce of an attestation service, as it gives it: each member base64."""

    val: str
    iat: str
    signature: str


class TransferRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /kbs/v1/keys/{id}/transfer`: a token, or evidence for the background check. Octets are standard base64."""

    attestation_token: str | None = None
    quote: bytes | None = None
    nonce: NonceWire | None = None
    user_data: bytes | None = None
    event_log: bytes | None = None

    def evidence(self) -> Evidence:
        """The evidence.

        Raises:
            Malformed: a part that it needs is not there.
        """
        if not self.quote or self.nonce is None or not self.user_data:
            wanted = "quote, nonce and user_data"
            raise Malformed("the evidence is not whole", code="malformed-request", wanted=wanted)
        nonce = {"val": self.nonce.val, "iat": self.nonce.iat, "signature": self.nonce.signature}
        return Evidence(quote=self.quote, nonce=nonce, user_data=self.user_data, event_log=self.event_log or b"")


class TransferResponse(msgspec.Struct, frozen=True):
    """The sealed secret, both members standard base64 with padding. Nothing may be added: clients refuse more."""

    wrapped_key: str
    wrapped_swk: str

    @classmethod
    def of(cls, envelope: Envelope) -> TransferResponse:
        """The envelope on the wire."""
        return cls(
            wrapped_key=b64encode(envelope.wrapped_key).decode(), wrapped_swk=b64encode(envelope.wrapped_swk).decode()
        )


class KeyWrapResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """A key as its token wrapped it: an extension of ours, given to who asks for it alone."""

    wrapped_key: str
    wrapped_swk: str
    wrapping: str
    algorithm: str
    key_length: int | None = None
    curve_type: str | None = None

    @classmethod
    def of(cls, wrapped: KeyWrap) -> KeyWrapResponse:
        """The wrapped key on the wire."""
        return cls(
            wrapped_key=b64encode(wrapped.wrapped_key).decode(),
            wrapped_swk=b64encode(wrapped.wrapped_swk).decode(),
            wrapping=WRAPPINGS[wrapped.oaep],
            algorithm=wrapped.kind.algorithm,
            key_length=wrapped.kind.bits,
            curve_type=wrapped.kind.curve,
        )


class Version(msgspec.Struct, frozen=True, rename={"git_hash": "gitHash", "build_date": "buildDate"}):
    """`GET /kbs/v1/version`."""

    name: str
    version: str
    git_hash: str = ""
    build_date: str = ""


def instant(at: datetime) -> str:
    """RFC 3339 in UTC, as this protocol has it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_key_id(text: str) -> UUID:
    """A key's id in its one spelling: hyphenated, of any version, in either case.

    Raises:
        Malformed: (`malformed-key-id`) anything else.
    """
    if not UUID_PATTERN.fullmatch(text):
        wanted = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx, hexadecimal"
        raise Malformed("this is no key id", code="malformed-key-id", seen=repr(text[:64]), wanted=wanted)
    return UUID(text)
