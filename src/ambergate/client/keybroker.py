"""From a token to a secret: the exchange with the key broker, in passport mode."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from ambergate.client.replies import answered, bad_reply, noted, octets
from ambergate.core.errors import ReleaseRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from ambergate.client.attempt import Attempt
    from ambergate.client.transport import Channel, Response

SERVICE: Final = "the key broker"
JOSE: Final = "application/jose"  # RFC 7515, section 9.2.1

# The broker compares these header values exactly.
_HEADERS: Final = {"Accept": "application/json", "Content-Type": "application/json"}
# Ours, and others pass over it: keys that never leave a token in the clear may come as it wrapped them.
_WRAPPING: Final = {"amber-wrapping": "key-wrap"}


def transfer(
    channel: Channel, key_id: str, token: str, *, headers: Mapping[str, str], attempt: Attempt
) -> tuple[dict[str, object], bytes]:
    """Ask the broker for a secret, sealed for the key that the token holds.

    Args:
        channel: to the broker's keys.
        key_id: the secret's id.
        token: an attestation token.
        headers: the request id.
        attempt: takes notes.

    Returns:
        The broker's answer as a JSON object, and as the bytes that came.

    Raises:
        AmberError: no secret, and why.
    """
    response = _asked(channel, key_id, token, headers={**_HEADERS, **_WRAPPING, **headers}, attempt=attempt)
    return answered(response, attempt, service=SERVICE, refusal=ReleaseRefused), response.body


def transfer_jwe(channel: Channel, key_id: str, token: str, *, headers: Mapping[str, str], attempt: Attempt) -> bytes:
    """Ask the broker for a secret as a JWE. Arguments and errors are those of `transfer`.

    Returns:
        The JWE as the bytes that came.
    """
    response = _asked(channel, key_id, token, headers={**_HEADERS, "Accept": JOSE, **headers}, attempt=attempt)
    if response.status != 200:
        answered(response, attempt, service=SERVICE, refusal=ReleaseRefused)  # raises
    noted(response, attempt)
    media = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != JOSE:
        raise bad_reply(SERVICE, "is no JWE, which was asked for", seen=media[:80])
    return response.body


def _asked(channel: Channel, key_id: str, token: str, *, headers: Mapping[str, str], attempt: Attempt) -> Response:
    attempt.begin("release")
    body = json.dumps({"attestation_token": token}).encode()
    return channel.request("POST", f"{key_id}/transfer", headers=headers, body=body)


def opened_jwe(private_key: RSAPrivateKey | EllipticCurvePrivateKey, body: bytes) -> bytes:
    """The secret in a JWE that was made for this key.

    Raises:
        Malformed: it was made for another key, or was changed.
        TooLarge: it is longer than any of ours.
        Unavailable: it is no text.
    """
    from ambergate.core.release.jwe import open_jwe  # noqa: PLC0415 - costs memory, and is needed once

    try:
        text = body.decode("ascii")
    except UnicodeDecodeError as exc:
        raise bad_reply(SERVICE, "is no JWE, which was asked for") from exc
    return open_jwe(private_key, text)


def opened(private_key: RSAPrivateKey, document: Mapping[str, object], *, limit: int) -> bytes:
    """The secret in the broker's answer, which was made for this key: Intel's envelope, or as its token wrapped it.

    Args:
        private_key: the workload's.
        document: the answer.
        limit: bytes of the longest secret.

    Raises:
        Malformed: it was made for another key, or was changed.
        Unavailable: it is no such answer.
    """
    from ambergate.core.release.envelope import open_sealed  # noqa: PLC0415 - costs memory, and is needed once

    parts = [octets(document, name, service=SERVICE, limit=2 * limit) for name in ("wrapped_key", "wrapped_swk")]
    if "wrapping" not in document:
        return open_sealed(private_key, parts[0], parts[1])
    return _unwrapped(private_key, document, parts)


def _unwrapped(private_key: RSAPrivateKey, document: Mapping[str, object], parts: list[bytes]) -> bytes:
    from ambergate.core.release.keywrap import WRAPPINGS, KeyWrap, open_key_wrap  # noqa: PLC0415
    from ambergate.core.release.material import KeyKind  # noqa: PLC0415

    hashes = [name for name, words in WRAPPINGS.items() if words == document["wrapping"]]
    algorithm, bits, curve = (document.get(name) for name in ("algorithm", "key_length", "curve_type"))
    if (
        not hashes
        or not isinstance(algorithm, str)
        or not (bits is None or isinstance(bits, int))
        or not (curve is None or isinstance(curve, str))
    ):
        raise bad_reply(SERVICE, "wraps the key in a way that is not known here")
    kind = KeyKind.of(algorithm, bits=bits, curve=curve)
    return open_key_wrap(private_key, KeyWrap(wrapped_key=parts[0], wrapped_swk=parts[1], oaep=hashes[0], kind=kind))
