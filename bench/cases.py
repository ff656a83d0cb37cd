"""What is measured. Every case is shown to accept the evidence, and what is forged of it refused, before it counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dcap_qvl
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from ambergate.core.errors import NotGenuine
from ambergate.core.quote import parse_quote
from ambergate.core.quote.codec import signed_region
from ambergate.core.verify import Verifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.evidence import Evidence

    Case = Callable[[], object]


def cases(evidence: Evidence) -> dict[str, Case]:
    """Name -> one call, in the order of the table."""
    seen = Verifier(anchor=evidence.anchor)
    _refuses_forged(seen, evidence)
    stranger = Verifier(anchor=evidence.anchor, max_platforms=0)  # forgets each platform, keeps the collateral
    _refuses_forged(stranger, evidence)
    return {
        "verify_warm": lambda: seen.verify(evidence.raw, evidence.collateral, at=evidence.at),
        "verify_new_platform": lambda: stranger.verify(evidence.raw, evidence.collateral, at=evidence.at),
        "verify_cold": lambda: Verifier(anchor=evidence.anchor).verify(
            evidence.raw, evidence.collateral, at=evidence.at
        ),
        "p256_verify": _one_signature(evidence),
        "dcap_qvl": _dcap_qvl(evidence),
    }


def _refuses_forged(verifier: Verifier, evidence: Evidence) -> None:
    """A verifier that is fast because it does not look has no place in the table."""
    verifier.verify(evidence.raw, evidence.collateral, at=evidence.at)
    forged = bytearray(evidence.raw)
    forged[112] ^= 1  # the first byte of MRENCLAVE
    try:
        verifier.verify(bytes(forged), evidence.collateral, at=evidence.at)
    except NotGenuine:
        return
    msg = "the verifier accepted a forged quote"
    raise AssertionError(msg)


def _one_signature(evidence: Evidence) -> Case:
    quote = parse_quote(evidence.raw)
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + quote.attestation_key)
    r, s = (int.from_bytes(half, "big") for half in (quote.signature[:32], quote.signature[32:]))
    signature, data, algorithm = encode_dss_signature(r, s), signed_region(quote), ec.ECDSA(hashes.SHA256())
    return lambda: key.verify(signature, data, algorithm)


def _dcap_qvl(evidence: Evidence) -> Case:
    collateral = dcap_qvl.QuoteCollateralV3.from_json(evidence.collateral.to_json())
    raw, root, instant = evidence.raw, evidence.root_der, int(evidence.at.timestamp())
    if root is None:
        return lambda: dcap_qvl.verify(raw, collateral, instant)
    return lambda: dcap_qvl.verify_with_root_ca(raw, collateral, root, instant)
