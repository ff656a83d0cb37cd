"""What a service's answers hold: signed JSON as text, issuer chains from headers, CRLs in whichever form they come."""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from ambergate.core.errors import MalformedCollateral
from ambergate.pcs.transport import MAX_CHAIN_HEADER

if TYPE_CHECKING:
    from ambergate.pcs.transport import Reply

_PEM_CRL: Final = re.compile(rb"\s*-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]+)-----END X509 CRL-----\s*")
_HEX: Final = re.compile(rb"(?:[0-9A-Fa-f]{2})+")
_SEQUENCE: Final = b"\x30"  # the first octet of every CRL in DER


def text(reply: Reply) -> str:
    """The body as text.

    Raises:
        MalformedCollateral: not UTF-8.
    """
    try:
        return reply.body.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise MalformedCollateral("a signed document is not UTF-8", seen=f"{exc.reason}, from {reply.url}") from exc


def chain(reply: Reply, names: tuple[str, ...]) -> str:
    """The issuer chain, from the first of these headers that is there. It is PEM, URL-encoded.

    Raises:
        MalformedCollateral: none of them, or too long a one.
    """
    found = next((reply.headers[name] for name in names if name in reply.headers), None)
    if found is None:
        raise MalformedCollateral(
            "a reply has no issuer chain",
            seen=reply.url,
            wanted=f"the header {' or '.join(names)}",
            hint="is there a proxy between that drops headers?",
        )
    if len(found) > MAX_CHAIN_HEADER:
        raise MalformedCollateral(
            "a reply's issuer chain is too long",
            seen=f"{len(found)} characters from {reply.url}",
            wanted=f"at most {MAX_CHAIN_HEADER}",
        )
    return unquote(found)


def crl_hex(reply: Reply) -> str:
    """The CRL as hex of its DER. `Content-Type` is not asked: Intel's PCCS sends hex and says that it is PEM.

    Raises:
        MalformedCollateral: neither DER, nor PEM, nor hex.
    """
    body = reply.body
    if _HEX.fullmatch(body.strip()):
        body = bytes.fromhex(body.strip().decode("ascii"))
    elif armoured := _PEM_CRL.fullmatch(body):
        try:
            body = binascii.a2b_base64(b"".join(armoured[1].split()), strict_mode=True)
        except binascii.Error as exc:
            raise MalformedCollateral("a CRL's PEM is not base64", seen=f"{exc}, from {reply.url}") from exc
    if body[:1] != _SEQUENCE:
        raise MalformedCollateral(
            "a reply is not a CRL", seen=f"{body[:16]!r} from {reply.url}", wanted="DER, or DER in PEM or in hex"
        )
    return body.hex()
