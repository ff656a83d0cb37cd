"""Is this evidence genuine? Numbered steps up to a trust anchor, at a stated instant."""

from ambergate.core.collateral.tcb_info import TcbStatus
from ambergate.core.verify.anchors import TrustAnchor
from ambergate.core.verify.endorsements import VerifiedCollateral, verify_collateral
from ambergate.core.verify.explain import Explanation, Refusal, explain
from ambergate.core.verify.memo import Verifier
from ambergate.core.verify.verdict import CheckRecord, CollateralDigests, Dated, VerifiedQuote, Window
from ambergate.core.verify.verifier import verify_quote

__all__ = [
    "CheckRecord",
    "CollateralDigests",
    "Dated",
    "Explanation",
    "Refusal",
    "TcbStatus",
    "TrustAnchor",
    "VerifiedCollateral",
    "VerifiedQuote",
    "Verifier",
    "Window",
    "explain",
    "verify_collateral",
    "verify_quote",
]
