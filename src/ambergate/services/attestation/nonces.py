"""Nonces that need no storage: the service recognises its own by a MAC, and their age by their own text.

The signature is HMAC-SHA-256 and not a public-key signature, since nobody but this service checks it; its form is
private to the server (wire protocol, section 3).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from ambergate.core.errors import Malformed, NotGenuine

if TYPE_CHECKING:
    from collections.abc import Callable

RANDOM_BYTES: Final = 64
KEY_BYTES: Final = 32
LIFETIME: Final = timedelta(seconds=120)
MAX_MEMBER: Final = 1024  # characters of base64; `val` has 120
STEP: Final = "10.1.nonce"
_ZONE: Final = " +0000 UTC"
_FORMAT: Final = f"%Y-%m-%d %H:%M:%S{_ZONE}"
_DOMAIN: Final = b"ambergate nonce v1\x00"


class Nonce(NamedTuple):
    """A nonce as it travels: three strings of standard base64."""

    val: str
    iat: str
    signature: str

    @property
    def octets(self) -> bytes:
        """What is hashed into REPORTDATA: val and iat, each decoded once."""
        return decode_member(self.val, "val") + decode_member(self.iat, "iat")


class Nonces:
    """Makes nonces and recognises them.

    Args:
        key: 32 secret bytes, the same on every node.
        lifetime: how long a nonce is good for.
        token_bytes: randomness.
    """

    def __init__(self, key: bytes, *, lifetime: timedelta, token_bytes: Callable[[int], bytes]) -> None:
        if len(key) != KEY_BYTES:
            msg = f"a nonce key has {KEY_BYTES} bytes"
            raise ValueError(msg)
        self._key = key
        self._lifetime = lifetime
        self._token_bytes = token_bytes

    def make(self, at: datetime) -> Nonce:
        """A fresh nonce. `val` holds base64 text of 64 random bytes, as the protocol's has since 2023."""
        val = base64.b64encode(self._token_bytes(RANDOM_BYTES))
        iat = at.astimezone(UTC).strftime(_FORMAT).encode()
        signature = self._mac(val, iat)
        return Nonce(*(base64.b64encode(part).decode() for part in (val, iat, signature)))

    def check(self, nonce: Nonce, at: datetime) -> bytes:
        """The nonce's octets, if this service made it and it is still good.

        Raises:
            Malformed: not base64.
            NotGenuine: of another service, changed, or expired.
        """
        val, iat = decode_member(nonce.val, "val"), decode_member(nonce.iat, "iat")
        if not hmac.compare_digest(self._mac(val, iat), decode_member(nonce.signature, "signature")):
            raise NotGenuine(
                "the nonce is not of this service",
                step=STEP,
                code="nonce-unknown",
                hint="get a nonce here, and use it unchanged",
            )
        # Our own text: the MAC holds. Read by its places: `strptime` takes a fifth of a signature.
        issued = datetime.fromisoformat(iat[: -len(_ZONE)].decode()).replace(tzinfo=UTC)
        if not issued - timedelta(seconds=1) <= at <= issued + self._lifetime:
            raise NotGenuine(
                "the nonce has expired",
                step=STEP,
                code="nonce-expired",
                seen=at.isoformat(),
                wanted=f"within {self._lifetime.total_seconds():.0f} s of {issued.isoformat()}",
                hint="get a fresh nonce and quote again",
            )
        return val + iat

    def _mac(self, val: bytes, iat: bytes) -> bytes:
        sized = len(val).to_bytes(4, "big") + val + iat  # no two pairs give the same bytes
        return hmac.digest(self._key, _DOMAIN + sized, "sha256")


def decode_member(text: str, name: str) -> bytes:
    """A nonce's member, standard base64 with padding.

    Raises:
        Malformed: it is not.
    """
    try:
        if len(text) > MAX_MEMBER:
            raise Malformed(f"the nonce's {name} is too long", code="malformed-request", wanted=f"<= {MAX_MEMBER}")
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError) as exc:
        raise Malformed(f"the nonce's {name} is not base64", code="malformed-request") from exc
