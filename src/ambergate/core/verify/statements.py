"""Intel's signed JSON statements: TCB info (steps 3.1 to 3.6) and QE identity (4.1 to 4.6).

The signature is checked before the text is parsed: only what Intel said is read at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ambergate.core.collateral.qe_identity import read_qe_identity
from ambergate.core.collateral.tcb_info import read_tcb_info
from ambergate.core.verify.chain import QE_CHAIN, TCB_CHAIN, prove_signing_chain
from ambergate.core.verify.signatures import is_signed_raw
from ambergate.core.verify.verdict import Dated, Window

if TYPE_CHECKING:
    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.collateral.certificates import Certificate, KnownCertificates
    from ambergate.core.collateral.crl import RevocationList
    from ambergate.core.collateral.qe_identity import QeIdentity
    from ambergate.core.collateral.tcb_info import TcbInfo
    from ambergate.core.verify.anchors import TrustAnchor
    from ambergate.core.verify.chain import Lists
    from ambergate.core.verify.trail import Trail


class Endorsements(NamedTuple):
    """All that collateral proves under one pair of CAs: the same for every platform that they certify."""

    pck_crl: RevocationList
    tcb_info: TcbInfo
    qe_identity: QeIdentity
    dates: tuple[Dated, ...]  # of statements, CAs, lists and signing chains, in the order in which they are checked

    def dates_with(self, pck: Dated) -> tuple[Dated, ...]:
        """The same with those of a PCK certificate, which stand behind its CAs'."""
        return (*self.dates[:4], pck, *self.dates[4:])


def prove_statements(
    trail: Trail, collateral: Collateral, root: Certificate, lists: Lists, anchor: TrustAnchor
) -> Endorsements:
    """Steps 3.1 to 4.6: Intel signed the TCB info and the QE identity, with certificates that are not revoked.

    Args:
        trail: where the steps are recorded.
        collateral: the statements and their signing chains; where both chains are one text, it is proven once.
        root: the root of the PCK chain; where a signing chain holds the same certificate, it is not read again.
        lists: proven by `prove_lists`.
        anchor: whose key the roots must hold.

    Raises:
        NotGenuine: at the first step that fails.
    """
    known: KnownCertificates = {root.der: root}
    tcb_chain = prove_signing_chain(trail, TCB_CHAIN, collateral.tcb_info_issuer_chain, lists.root, anchor, known)
    _signed(trail, "3.5.tcb_info_signature", tcb_chain.signer, collateral.tcb_info, collateral.tcb_info_signature)
    info = trail.read("3.6.tcb_info_format", read_tcb_info, collateral.tcb_info)
    trail.passed(
        "3.6.tcb_info_format",
        "version {}, {}, FMSPC {}, evaluation {}, {} levels",
        *(info.version, info.tee, info.fmspc, info.evaluation_data_number, len(info.levels)),
    )
    if collateral.qe_identity_issuer_chain == collateral.tcb_info_issuer_chain:
        qe_chain = tcb_chain.again(trail, QE_CHAIN)
    else:
        qe_chain = prove_signing_chain(trail, QE_CHAIN, collateral.qe_identity_issuer_chain, lists.root, anchor, known)
    _signed(
        trail, "4.5.qe_identity_signature", qe_chain.signer, collateral.qe_identity, collateral.qe_identity_signature
    )
    identity = trail.read("4.6.qe_identity_format", read_qe_identity, collateral.qe_identity)
    trail.passed("4.6.qe_identity_format", "{}, evaluation {}", identity.kind, identity.evaluation_data_number)
    dates = (
        Dated("5.1.tcb_info_dates", "the TCB info", Window(info.issue_date, info.next_update)),
        Dated("5.2.qe_identity_dates", "the QE identity", Window(identity.issue_date, identity.next_update)),
        *(*lists.dates, *tcb_chain.dates, *qe_chain.dates),
    )
    return Endorsements(pck_crl=lists.pck, tcb_info=info, qe_identity=identity, dates=dates)


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
    trail.passed(step, "{} signed {} characters", signer.common_name, len(text))
