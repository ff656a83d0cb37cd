"""The claims of a quote that is verified here and now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ambergate.cli import _policy_files as files
from ambergate.cli.quote import collateral_for
from ambergate.core.appraise.evidence import evidence_claims
from ambergate.core.quote.codec import parse_quote
from ambergate.core.quote.layout import MAX_QUOTE
from ambergate.core.verify.anchors import TrustAnchor
from ambergate.core.verify.verifier import verify_quote

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

MAX_PEM: Final = 64 * 1024  # bytes


def proven_claims(quote: Path, collateral: Path | None, anchor: Path | None, at: datetime) -> dict[str, object]:
    """What is proven of the quote at this instant.

    Raises:
        NotGenuine, Malformed: nothing is.
        Unavailable: Intel's PCS was asked, and did not answer.
    """
    parsed = parse_quote(files.read_bytes(quote, MAX_QUOTE))
    trust = TrustAnchor.from_pem(files.read_bytes(anchor, MAX_PEM)) if anchor else TrustAnchor.intel()
    statements = collateral_for(parsed, collateral, None, None)
    return evidence_claims(verify_quote(parsed, statements, at=at, anchor=trust))
