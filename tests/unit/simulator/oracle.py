"""dcap-qvl, an independent verifier, asked for its opinion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import dcap_qvl
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

if TYPE_CHECKING:
    from datetime import datetime

    from ambergate.core.collateral.bundle import Collateral


@dataclass(frozen=True, slots=True)
class Opinion:
    """Either a status with advisory ids, or why it refused."""

    status: str | None
    advisory_ids: tuple[str, ...] = ()
    refusal: str | None = None


def ask(raw: bytes, collateral: Collateral, *, at: datetime, root_pem: str | None) -> Opinion:
    """What dcap-qvl says under this root; under Intel's when there is none."""
    bundle = dcap_qvl.QuoteCollateralV3.from_json(collateral.to_json())
    instant = int(at.timestamp())
    try:
        if root_pem is None:
            report = dcap_qvl.verify(raw, bundle, instant)
        else:
            root = x509.load_pem_x509_certificate(root_pem.encode()).public_bytes(Encoding.DER)
            report = dcap_qvl.verify_with_root_ca(raw, bundle, root, instant)
    except ValueError as exc:
        return Opinion(status=None, refusal=str(exc))
    return Opinion(status=report.status, advisory_ids=tuple(report.advisory_ids))
