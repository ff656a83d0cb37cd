"""`verify_quote`: one pure call from bytes to a proven quote, by numbered steps (see `steps.STEPS`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ambergate.core.collateral.pck import PckExtension, read_pck_extension
from ambergate.core.errors import MalformedCollateral
from ambergate.core.quote.codec import signed_region
from ambergate.core.quote.layout import PCK_CERT_CHAIN
from ambergate.core.quote.td_report import TdReport
from ambergate.core.verify.anchors import TrustAnchor
from ambergate.core.verify.chain import (
    PCK_CHAIN_DATES,
    check_pck_revocation,
    dated,
    prove_issuers,
    prove_lists,
    prove_pck,
    read_pck_chain,
)
from ambergate.core.verify.evaluation import evaluate_tcb
from ambergate.core.verify.qe import match_qe_identity, prove_qe_report
from ambergate.core.verify.signatures import is_signed_raw, point_key
from ambergate.core.verify.statements import prove_qe_identity, prove_tcb_info
from ambergate.core.verify.tcb import PlatformTcb
from ambergate.core.verify.tdx import match_module
from ambergate.core.verify.trail import Trail
from ambergate.core.verify.verdict import VerifiedQuote

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    from ambergate.core.collateral.bundle import Collateral
    from ambergate.core.collateral.certificates import Certificate
    from ambergate.core.collateral.tcb_info import TcbInfo
    from ambergate.core.quote.layout import Quote


def verify_quote(
    quote: Quote, collateral: Collateral, *, at: datetime, anchor: TrustAnchor | None = None
) -> VerifiedQuote:
    """Prove that a quote is genuine at an instant, and say what Intel says of its platform.

    1. The quote brings its PCK certificate chain; its attestation key is a key.
    2. The PCK chain ends at the anchor's key; nobody in it is revoked.
    3. Intel signed the TCB info.
    4. Intel signed the QE identity.
    5. All of these hold at this instant.
    6. The TCB info speaks of this platform, and of its TDX module.
    7. The platform's key signed the QE report, that report names the attestation key, the QE is Intel's.
    8. The attestation key signed header and report.
    9. A TCB level covers the platform, one the TDX module, one the QE; none is revoked.

    Refuses only what no policy could accept. Debug enclaves, an old TCB, unknown measurements are reported, and are
    for `appraise` to judge. Freshness (REPORTDATA) is the caller's business too.

    Args:
        quote: what somebody claims.
        collateral: Intel's statements; all of them are checked.
        at: the instant that certificates, lists and statements must be valid at; aware.
        anchor: the root that vouches; Intel's when not given.

    Raises:
        NotGenuine: with the failing step and the records of all before it.
        ValueError: `at` has no time zone.
    """
    if at.tzinfo is None:
        msg = "`at` must say its time zone"
        raise ValueError(msg)
    anchor = anchor or TrustAnchor.intel()
    trail = Trail()
    trail.passed("1.1.quote_format", f"{quote.tee.name} quote, version {quote.header.version}")
    _check_certification(trail, quote)
    attestation_key = _read_attestation_key(trail, quote)
    root, intermediate, pck = read_pck_chain(trail, quote.certification.data)
    prove_issuers(trail, root, intermediate, anchor)
    prove_pck(trail, pck, intermediate)
    lists = prove_lists(trail, root, intermediate, collateral.root_ca_crl, collateral.pck_crl)
    check_pck_revocation(trail, pck, lists)
    platform = _read_platform(trail, pck)
    tcb = prove_tcb_info(trail, collateral, lists.root, anchor)
    qe = prove_qe_identity(trail, collateral, lists.root, anchor)
    dates = (tcb.dated, qe.dated, dated(PCK_CHAIN_DATES, pck), *lists.dates, *tcb.chain_dates, *qe.chain_dates)
    trail.check_dates(dates, at)
    _match_platform(trail, quote, platform, tcb.info)
    if isinstance(quote.body, TdReport):
        match_module(trail, quote.body, tcb.info)
    prove_qe_report(trail, quote, pck)
    match_qe_identity(trail, quote.tee.name, quote.qe_report, qe.identity)
    _prove_signature(trail, quote, attestation_key)
    verdict = evaluate_tcb(trail, PlatformTcb.of(quote, platform), tcb.info, qe.identity)
    return VerifiedQuote(
        quote=quote,
        at=at,
        anchor=anchor,
        tcb=verdict,
        platform=platform,
        collateral=collateral,
        dates=dates,
        checks=tuple(trail.records),
    )


def _check_certification(trail: Trail, quote: Quote) -> None:
    certification = quote.certification
    if certification.kind != PCK_CERT_CHAIN:
        raise trail.failed(
            "1.2.certification_data",
            "the quote does not bring its PCK certificate chain",
            seen=f"certification data type {certification.kind}",
            wanted=PCK_CERT_CHAIN,
        )
    trail.passed("1.2.certification_data", f"type {certification.kind}, {len(certification.data)} bytes")


def _read_attestation_key(trail: Trail, quote: Quote) -> EllipticCurvePublicKey:
    try:
        key = point_key(quote.attestation_key)
    except ValueError as exc:
        raise trail.failed(
            "1.3.attestation_key", "the attestation key is not a point of P-256", seen=quote.attestation_key.hex()
        ) from exc
    trail.passed("1.3.attestation_key", f"x starts with {quote.attestation_key.hex()[:16]}…")
    return key


def _read_platform(trail: Trail, pck: Certificate) -> PckExtension:
    with trail.parsing("2.12.pck_extension"):
        if pck.sgx_extension is None:
            raise MalformedCollateral("the PCK certificate has no SGX extension", wanted="1.2.840.113741.1.13.1")
        platform = read_pck_extension(pck.sgx_extension)
    trail.passed("2.12.pck_extension", f"FMSPC {platform.fmspc}, PCE {platform.pce_id} SVN {platform.pce_svn}")
    return platform


def _match_platform(trail: Trail, quote: Quote, platform: PckExtension, info: TcbInfo) -> None:
    comparisons = (
        ("6.1.tcb_info_tee", "the TCB info is of another kind of TEE", info.tee, quote.tee.name),
        ("6.2.fmspc", "the TCB info is of another platform", info.fmspc.hex(), platform.fmspc.hex()),
        ("6.3.pce_id", "the TCB info is of another PCE", info.pce_id.hex(), platform.pce_id.hex()),
    )
    for step, message, seen, wanted in comparisons:
        if seen != wanted:
            raise trail.failed(step, message, seen=seen, wanted=wanted)
        trail.passed(step, seen)


def _prove_signature(trail: Trail, quote: Quote, key: EllipticCurvePublicKey) -> None:
    if not is_signed_raw(key, quote.signature, signed_region(quote)):
        raise trail.failed("8.1.quote_signature", "the quote is not signed by its attestation key")
    trail.passed("8.1.quote_signature", "header and report are as the quoting enclave signed them")
