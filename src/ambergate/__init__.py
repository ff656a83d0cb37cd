"""ambergate: verify SGX evidence, issue and check attestation tokens, release secrets to approved enclaves.

    >>> from ambergate import parse_quote, Collateral, verify_quote
    >>> verified = verify_quote(parse_quote(raw), Collateral.from_json(text), at=when)   # doctest: +SKIP
    >>> verified.tcb_status                                                              # doctest: +SKIP
    <TcbStatus.UP_TO_DATE: 'UpToDate'>

Names are loaded at first use, so that `ambergate.client` inside an enclave never pays for the verifier.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.errors import AmberError, MalformedEvidence, NotGenuine, TokenRejected
    from ambergate.core.quote import Quote, encode_quote, parse_quote
    from ambergate.core.token.check import AttestationClaims, KeySet, check_token
    from ambergate.core.verify import TcbStatus, TrustAnchor, VerifiedQuote, Verifier, explain, verify_quote

__version__ = "0.1.0"

_HOMES = {
    "AmberError": "ambergate.core.errors",
    "AttestationClaims": "ambergate.core.token.check",
    "Collateral": "ambergate.core.collateral.bundle",
    "KeySet": "ambergate.core.token.check",
    "MalformedEvidence": "ambergate.core.errors",
    "NotGenuine": "ambergate.core.errors",
    "Quote": "ambergate.core.quote",
    "TcbStatus": "ambergate.core.verify",
    "TokenRejected": "ambergate.core.errors",
    "TrustAnchor": "ambergate.core.verify",
    "VerifiedQuote": "ambergate.core.verify",
    "Verifier": "ambergate.core.verify",
    "check_token": "ambergate.core.token.check",
    "encode_quote": "ambergate.core.quote",
    "explain": "ambergate.core.verify",
    "parse_quote": "ambergate.core.quote",
    "verify_quote": "ambergate.core.verify",
}

__all__ = [
    "AmberError",
    "AttestationClaims",
    "Collateral",
    "KeySet",
    "MalformedEvidence",
    "NotGenuine",
    "Quote",
    "TcbStatus",
    "TokenRejected",
    "TrustAnchor",
    "VerifiedQuote",
    "Verifier",
    "check_token",
    "encode_quote",
    "explain",
    "parse_quote",
    "verify_quote",
]


def __getattr__(name: str) -> object:
    """The public name, imported when first asked for."""
    home = _HOMES.get(name)
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
