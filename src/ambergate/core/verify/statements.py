"""Intel's signed JSON statements: TCB info (steps 3.5, 3.6) and QE identity (4.5, 4.6).

The signature is checked before the text is parsed: only what Intel said is read at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ambergate.core.collateral.qe_identity import QeIdentity, read_qe_identity
from ambergate.core.collateral.tcb_info import TcbInfo, read_tcb_info
from ambergate.core.verify.chain import QE_CHAIN, TCB_CHAIN, prove_signing_chain
from ambergate.core.verify.signatures import is_signed_raw
from ambergate.core.verify.verdict import Dated, Window

if TYPE_CHECKING:
    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.collateral.certificates import Certificate
    from ambergate.core.collateral.crl import RevocationList
    from ambergate.core.verify.anchors import TrustAnchor
    from ambergate.core.verify.trail import Trail


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenTcbInfo:
    """TCB info that Intel signed, and when it holds."""

    info: TcbInfo
    dated: Dated
    chain_dates: tuple[Dated, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenQeIdentity:
    """A QE identity that Intel signed, and when it holds."""

    identity: QeIdentity
    dated: Dated
    chain_dates: tuple[Dated, ...]


def prove_tcb_info(
    trail: Trail, collateral: Collateral, root_crl: RevocationList, anchor: TrustAnchor
) -> ProvenTcbInfo:
    """Steps 3.1 to 3.6.

    Raises:
        NotGenuine: at the first step that fails.
    """
    chain = prove_signing_chain(trail, TCB_CHAIN, collateral.tcb_info_issuer_chain, root_crl, anchor)
    _signed(trail, "3.5.tcb_info_signature", chain.signer, collateral.tcb_info, collateral.tcb_info_signature)
    with trail.parsing("3.6.tcb_info_format"):
        info = read_tcb_info(collateral.tcb_info)
    trail.passed(
        "3.6.tcb_info_format",
        f"version {info.version}, {info.tee}, FMSPC {info.fmspc}, evaluation {info.evaluation_data_number}, "
        f"{len(info.levels)} levels",
    )
    dated = Dated("5.1.tcb_info_dates", "the TCB info", Window(info.issue_date, info.next_update))
    return ProvenTcbInfo(info=info, dated=dated, chain_dates=chain.dates)


def prove_qe_identity(
    trail: Trail, collateral: Collateral, root_crl: RevocationList, anchor: TrustAnchor
) -> ProvenQeIdentity:
    """Steps 4.1 to 4.6.

    Raises:
        NotGenuine: at the first step that fails.
    """
    chain = prove_signing_chain(trail, QE_CHAIN, collateral.qe_identity_issuer_chain, root_crl, anchor)
    _signed(trail, "4.5.qe_identity_signature", chain.signer, collateral.qe_identity, collateral.qe_identity_signature)
    with trail.parsing("4.6.qe_identity_format"):
        identity = read_qe_identity(collateral.qe_identity)
    trail.passed("4.6.qe_identity_format", f"{identity.kind}, evaluation {identity.evaluation_data_number}")
    dated = Dated("5.2.qe_identity_dates", "the QE identity", Window(identity.issue_date, identity.next_update))
    return ProvenQeIdentity(identity=identity, dated=dated, chain_dates=chain.dates)


def _signed(trail: Trail, step: str, signer: Certificate, text: str, signature: str) -> None:
    """The signature, 128 hex digits, covers the text to the byte (PCS API v4; nothing is re-serialised)."""
    try:
        raw = bytes.fromhex(signature) if len(signature) == 128 else b""
    except ValueError:
        raw = b""
    if len(raw) != 64:
        raise trail.failed(step, "the signature is not 128 hex digits", seen=f"{len(signature)} characters")
    if not is_signed_raw(signer.public_key, raw, text.encode("utf-8", "surrogatepass")):
        raise trail.failed(step, f"{signer.common_name} did not sign this text", seen=f"signature {signature[:16]}…")
    trail.passed(step, f"{signer.common_name} signed {len(text)} characters")
